// What an operator's tools ask of a node besides its memories; cluster/admin-service.ts implements it.

import type { CallContext } from "../memory/service.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type {
  CutRequest,
  DrainRequest,
  NodeReport,
  RepairRequest,
  ShardCut,
  ShardVerification,
  TransferRequest,
  TransferResult,
} from "../model/node-api.ts";
import type { OperationReport, OperationRequest } from "../model/operation.ts";
import type { HandoverStep } from "../model/plan.ts";
import type { MapNode, ShardMap } from "../model/shard-map.ts";

export interface AdminService {
  report(): NodeReport;
  map(): ShardMap;
  transfer(request: TransferRequest, context: CallContext): Promise<TransferResult>;
  join(node: MapNode, context: CallContext): Promise<ShardMap>;
  /** Lets a node that joined begin; resolves to the uid that may, null where nobody who joined has the id. */
  admit(node: NodeId, uid: string, context: CallContext): Promise<string | null>;
  leave(node: NodeId, context: CallContext): Promise<ShardMap>;
  drain(request: DrainRequest, context: CallContext): Promise<ShardMap>;
  /** The operation that runs, or ran last. */
  operation(context: CallContext): Promise<OperationReport | null>;
  /** Throws `operation-running`, `map-changed`, `step-outdated` (all conflict); nothing is begun then. */
  beginOperation(request: OperationRequest, context: CallContext): Promise<OperationReport>;
  /** Throws what beginning it would, and `ids-clash` as that does, but not for another one that runs. */
  checkHandover(step: HandoverStep, context: CallContext): Promise<void>;
  /** Throws `no-operation` (conflict). */
  cancelOperation(context: CallContext): Promise<OperationReport>;
  /** Compares what the replicas of a shard hold. */
  verify(shard: ShardId, context: CallContext): Promise<ShardVerification>;
  /** How much of a shard lies on either side of a cut. Throws `unknown-shard`. */
  cut(request: CutRequest, context: CallContext): Promise<ShardCut>;
  /** Begins to make a replica anew from another one. Throws `only-copy`, `repairs-itself`. */
  repair(request: RepairRequest, context: CallContext): Promise<void>;
  /** Starts a clean stop; resolves before it is over. */
  stop(): Promise<void>;
}
