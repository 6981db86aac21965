// The seam between operations and what keeps the data. Operations never ask which engine they run
// on; they ask what it can do.

import type { MemoryService } from "../memory/service.ts";
import type { ConsistencyRequest, ConsistencyTerms } from "../model/consistency.ts";
import type {
  EngineName,
  NodeId,
  Protocol,
  ReplicationStrategy,
  Role,
  ShardId,
  ShardingStrategy,
} from "../model/ids.ts";
import type {
  CutRequest,
  ExportPage,
  ImportRequest,
  ImportResult,
  MemoryRecord,
  MemoryEvent,
  MemoryStats,
  ShardCut,
  ShardVerification,
} from "../model/node-api.ts";
import type { OperationReport, OperationRequest } from "../model/operation.ts";
import type { HandoverStep, Step } from "../model/plan.ts";
import type { ShardMap, SlotRange } from "../model/shard-map.ts";
import type { ClusterView } from "../model/view.ts";

export interface Capabilities {
  readonly engine: EngineName;
  readonly sharding: readonly ShardingStrategy[];
  readonly protocols: readonly Protocol[];
  readonly replication: readonly ReplicationStrategy[];
  readonly roles: readonly Role[];
  /** Whether the cluster has to know a new node before it runs, or can only meet one that runs. */
  readonly joins: "before-start" | "after-start";
  /** Where it is kept that a node shall hold nothing; `in-manifest`: whoever drains writes it there first. */
  readonly drains: "in-cluster" | "in-manifest";
}

/** What an engine saw, before `operations/status` judges health: `health` and `reasons` are not in it. */
export type EngineView = Omit<ClusterView, "health" | "reasons">;

/** Progress of a long call; rendered on stderr by the CLI. Never contains secrets. */
export interface Progress {
  readonly node?: NodeId;
  readonly done: number;
  readonly total: number;
  readonly message: string;
}

export interface CallOptions {
  /** One deadline for the whole call, in ms from its start. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Of steps that copy: most that one node sends in a second. */
  readonly bytesPerSecondMax?: number;
  /** Of memory operations; what is left out is the manifest's. */
  readonly consistency?: ConsistencyRequest;
}

export interface NodeAction {
  readonly node: NodeId;
  /** spawned, already-running, connected, stopped, was-not-running, not-managed. */
  readonly outcome:
    | "spawned"
    | "already-running"
    | "connected"
    | "stopped"
    | "was-not-running"
    | "not-managed";
  readonly pid: number | null;
  /** Why a node that is not managed from here could not be connected to. */
  readonly error?: string;
}

/** A memory as the routes of a node give it (mem0's shape). */
export interface Memory extends Omit<MemoryRecord, "embedding" | "history"> {
  readonly hash: string;
  readonly score?: number;
}

export interface Scope {
  readonly user_id?: string;
  readonly agent_id?: string;
  readonly run_id?: string;
  readonly app_id?: string;
}

export interface AddRequest extends Scope {
  /** One memory per text. */
  readonly texts: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** The caller's own vectors, one per text. */
  readonly embeddings?: readonly (readonly number[])[];
}

export interface SearchRequest {
  readonly query: string;
  /** mem0's filter language: {"user_id": …}, {"AND": [...]}, {"metadata": …}. */
  readonly filters: Readonly<Record<string, unknown>>;
  readonly topK: number;
  readonly threshold?: number;
  readonly embedding?: readonly number[];
}

export interface ListRequest {
  readonly filters: Readonly<Record<string, unknown>>;
  readonly page: number;
  readonly pageSize: number;
}

export interface MemoryPage {
  readonly count: number;
  readonly results: readonly Memory[];
}

export interface MemoryChange {
  readonly text?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /**
   * Only while the memory's text has this hash, else `memory-changed` (kind conflict); linearizable. Refused
   * by the quorum protocol, which orders no writes.
   */
  readonly ifHash?: string;
}

export interface MemoryOperations {
  add(request: AddRequest, options: CallOptions): Promise<readonly Memory[]>;
  search(request: SearchRequest, options: CallOptions): Promise<readonly Memory[]>;
  list(request: ListRequest, options: CallOptions): Promise<MemoryPage>;
  get(id: string, options: CallOptions): Promise<Memory>;
  history(id: string, options: CallOptions): Promise<readonly MemoryEvent[]>;
  update(id: string, change: MemoryChange, options: CallOptions): Promise<Memory>;
  delete(id: string, options: CallOptions): Promise<void>;
  /** Deletes every memory of the scope; resolves to how many. */
  deleteAll(scope: Scope, options: CallOptions): Promise<number>;
  import(request: ImportRequest, options: CallOptions): Promise<ImportResult>;
  export(
    request: { readonly shard: ShardId; readonly cursor: string | null; readonly limit: number },
    options: CallOptions,
  ): Promise<ExportPage>;
  stats(options: CallOptions): Promise<MemoryStats>;
}

/** Something that a run had left half done, and how it was ended: by which rule, on what it rests. */
export interface Settled {
  /** `slot 7365`. */
  readonly what: string;
  /** `left`: no rule says what is right, and a guess could lose data. */
  readonly outcome: "completed" | "rolled-back" | "closed" | "left";
  readonly why: string;
}

/** One operation runs at a time; it goes on when nobody watches. */
export interface OperationControl {
  /** Throws `operation-running`, `map-changed`, `step-outdated` (all conflict); nothing is begun then. */
  begin(request: OperationRequest, options: CallOptions): Promise<OperationReport>;
  /** Throws what beginning the step would, `ids-clash` (conflict) among it; nothing is begun. */
  check(step: HandoverStep, options: CallOptions): Promise<void>;
  /** The one that runs, or ran last; null when none ever did. */
  current(options: CallOptions): Promise<OperationReport | null>;
  /** What has not begun never does. Throws `no-operation` (conflict). */
  cancel(options: CallOptions): Promise<OperationReport>;
  /** Compares what the replicas of a shard hold. Throws `unknown-shard`. */
  verify(shard: ShardId, options: CallOptions): Promise<ShardVerification>;
  /** How much of a shard lies on either side of a cut. Throws `unknown-shard`. */
  cut(request: CutRequest, options: CallOptions): Promise<ShardCut>;
  /** Begins to make a replica anew from another one. Throws `not-a-replica`, `only-copy`, `repairs-itself`. */
  repair(shard: ShardId, node: NodeId, options: CallOptions): Promise<void>;
  /** Keeps new replicas off a node, or lets it have some again. Idempotent. */
  drain(node: NodeId, draining: boolean, options: CallOptions): Promise<void>;
}

/** Who owns which slots, for planning their moves. */
export interface SlotTable {
  readonly epoch: number;
  readonly owners: readonly {
    readonly id: NodeId;
    readonly weight: number;
    readonly draining: boolean;
    readonly slots: readonly SlotRange[];
  }[];
  /** Per slot, where it was asked for; a slot that is not in it holds nothing. */
  readonly contents?: ReadonlyMap<number, { readonly keys: number; readonly bytes: number }>;
  /**
   * Microseconds that nodes spent on requests so far, where it was asked for: of two looks the difference counts. Of
   * slots only where their node counts them.
   */
  readonly work?: {
    readonly byOwner: ReadonlyMap<NodeId, number>;
    readonly bySlot: ReadonlyMap<number, number>;
  };
}

export interface GatewayServices {
  readonly memories: MemoryService;
  readonly consistency: ConsistencyTerms;
}

export interface Engine {
  readonly capabilities: Capabilities;
  /** Starts what the manifest spawns and connects to the rest; resolves when each answers, not when healthy. */
  up(nodes: readonly NodeId[], options: CallOptions): Promise<readonly NodeAction[]>;
  /** Stops what `up` spawned. Never signals a process that it cannot prove is the node's. */
  down(nodes: readonly NodeId[], options: CallOptions): Promise<readonly NodeAction[]>;
  /** Asks all nodes in parallel under one deadline; a node that does not answer is in the result all the same. */
  view(options: CallOptions): Promise<EngineView>;
  /** The newest shard map that any node has; falls back to the manifest's initial one with `live: false`. */
  shardMap(options: CallOptions): Promise<{ readonly map: ShardMap; readonly live: boolean }>;
  /**
   * Engines whose shards are nothing but slots, which move one by one: the slots of every node that may own some.
   * @param request.contents whether to measure what each slot holds, which takes longer.
   * @param request.work whether to read how much the nodes had to do.
   */
  slotTable?(
    request: { readonly contents: boolean; readonly work?: boolean },
    options: CallOptions,
  ): Promise<SlotTable>;
  /** Plans that the cluster itself carries out; absent where each step has to be executed from here. */
  readonly operations?: OperationControl;
  /** Idempotent. */
  execute(step: Step, options: CallOptions): Promise<string>;
  /**
   * Ends what any run, ours or another tool's, left half done: by rule, never by a guess. Empty where there was
   * nothing, or where the nodes go on by themselves.
   */
  settle(options: CallOptions): Promise<readonly Settled[]>;
  /** Path of a spawned node's log file. */
  logFile(node: NodeId): string;
  readonly memories: MemoryOperations;
  /** What a gateway serves over HTTP; absent where the engine's own nodes serve it. */
  readonly gateway?: () => Promise<GatewayServices>;
  /** Closes connections, so that the process can end. Safe to call twice. */
  close(): Promise<void>;
}
