// What an operator's tools ask of a node besides its memories; cluster/admin-service.ts implements it.

import type { CallContext } from "../memory/service.ts";
import type { NodeId } from "../model/ids.ts";
import type { NodeReport, TransferRequest, TransferResult } from "../model/node-api.ts";
import type { MapNode, ShardMap } from "../model/shard-map.ts";

export interface AdminService {
  report(): NodeReport;
  map(): ShardMap;
  transfer(request: TransferRequest, context: CallContext): Promise<TransferResult>;
  join(node: MapNode, context: CallContext): Promise<ShardMap>;
  leave(node: NodeId, context: CallContext): Promise<ShardMap>;
  /** Starts a clean stop; resolves before it is over. */
  stop(): Promise<void>;
}
