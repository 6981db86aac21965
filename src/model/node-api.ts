// What an embedded node tells an admin over HTTP (`GET /v1/cluster/node` and friends). The embedded
// engine merges the reports of all nodes into one ClusterView.
//
//   GET  /v1/cluster/node                -> NodeReport            (role read)
//   GET  /v1/cluster/map                 -> ShardMap              (role read)
//   POST /v1/cluster/transfer            TransferRequest -> TransferResult   (role admin)
//   POST /v1/cluster/stop                {} -> { stopping: true }            (role admin)
//   POST /v1/cluster/join                { node: MapNode } -> ShardMap       (role admin)
//   POST /v1/cluster/admit               { node: id, uid } -> { uid: string | null } (role admin)
//   POST /v1/cluster/leave               { node: id } -> ShardMap            (role admin)
//   POST /v1/cluster/drain               DrainRequest -> ShardMap            (role admin)
//   GET  /v1/cluster/operation           -> { operation: OperationReport | null }   (role read)
//   POST /v1/cluster/operation           OperationRequest -> { operation: OperationReport }  (role admin)
//   POST /v1/cluster/operation/cancel    {} -> { operation: OperationReport }       (role admin)
//   GET  /v1/cluster/verify?shard=ID     -> ShardVerification               (role read)
//   GET  /v1/cluster/cut?shard=ID&at=K&key=K -> ShardCut                     (role read)
//   GET  /v1/cluster/handover?kind=K&shard=ID&into=ID&at=K&key=K -> { possible: true }, or why not  (role read)
//   POST /v1/cluster/repair              RepairRequest -> { repairing: true }       (role admin)
//   POST /v1/memories/import             ImportRequest -> ImportResult       (role write)
//   GET  /v1/memories/export?shard=ID&cursor=C&limit=N -> ExportPage         (role read)
//   GET  /v1/memories/stats              -> MemoryStats                      (role read)
//   GET  /openapi.json, GET /v1/ping/    unauthenticated on loopback only for ping
// plus mem0's own routes (see http/memories.ts). Errors are ErrorBody (model/errors.ts).

import type { Settings } from "./settings.ts";
import type { GroupId, NodeId, Protocol, Role, ShardId } from "./ids.ts";
import type { OperationReport, OperationSummary } from "./operation.ts";
import type { ShardMap } from "./shard-map.ts";
import type { ReplicaRole, ReplicaState } from "./view.ts";

export interface PeerReport {
  readonly id: NodeId;
  readonly state: "up" | "suspect" | "down";
  /** Age of the last frame received from it; null when none was received since this node started. */
  readonly lastHeartbeatMs: number | null;
  /** By which it was met: it then has data, and is refused when it comes back without it, under another. */
  readonly uid?: string;
  /** Why it is refused or unreachable, where known. */
  readonly error?: string;
}

export interface ProgressReport {
  readonly node: NodeId;
  readonly role: ReplicaRole;
  readonly state: ReplicaState;
  readonly lagEntries: number;
  readonly lagBytes: number;
  /** Age of the oldest entry that the replica has not acknowledged; 0 when none. */
  readonly lagMs: number;
}

/** What one copy of a leaderless shard is to another, as the other sees it (quorum protocol). */
export interface CopyPeerReport {
  readonly node: NodeId;
  readonly state: ReplicaState;
  /** Writes noted for it that it has not got yet. */
  readonly hints: number;
  /** Keys found to differ and not made equal yet. */
  readonly divergentKeys: number;
  /** Hints, and writes that this node coordinates and it has not acknowledged. */
  readonly lagEntries: number;
  /** Age of the oldest of them; 0 when none. */
  readonly lagMs: number;
  /** Age of the last comparison that ended; null when none did since this node started. */
  readonly comparedMs: number | null;
}

/** One copy of a leaderless shard: it has peers, and no leader by design. */
export interface CopyReport {
  /** serving; filling: a new member reads the shard; rebuilding: it lost something, and answers no reads. */
  readonly state: "serving" | "filling" | "rebuilding";
  readonly hints: number;
  readonly hintBytes: number;
  /** Deletions that are kept until every copy surely knows of them. */
  readonly tombstones: number;
  readonly divergentKeys: number;
  /** Every other copy of the shard, also those that are on their way out. */
  readonly peers: readonly CopyPeerReport[];
}

/** One replica group as one of its members sees it. */
export interface GroupReport {
  readonly id: GroupId;
  readonly role: ReplicaRole;
  readonly leader: NodeId | null;
  readonly term: number;
  /** Paxos: the ballot that the replica promised. */
  readonly ballot?: { readonly round: number; readonly proposer: NodeId };
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly memories: number;
  readonly bytes: number;
  /** Writes of clients that it has carried out since the shard was founded, those that were compacted included. */
  readonly writes: number;
  /** Why its state here is damaged; absent while nothing is known against it. */
  readonly damage?: string;
  /** On the leader only: every other member. */
  readonly progress?: readonly ProgressReport[];
  /**
   * Only of the quorum protocol's shards: `leader` is then null and `term` 0 by design, and the indexes
   * count the writes that this copy has seen.
   */
  readonly copy?: CopyReport;
}

export interface NodeReport {
  readonly cluster: string;
  readonly clusterId: string;
  readonly id: NodeId;
  /** Made with its data directory. */
  readonly uid: string;
  /** Set while it has no data and may not begin: what it waits for, as the end of a sentence about it. */
  readonly waiting?: string;
  readonly address: string;
  readonly role: Role;
  readonly zone: string;
  readonly pid: number;
  readonly version: string;
  /** What its shards run. */
  readonly protocol: Protocol;
  readonly uptimeMs: number;
  /** Set while the disk is full or writes are refused for another reason. */
  readonly writeRefusal: string | null;
  readonly map: ShardMap;
  readonly peers: readonly PeerReport[];
  readonly groups: readonly GroupReport[];
  /** Leaders as this node last heard of them, for all groups, hosted here or not. */
  readonly leaders: Readonly<Record<GroupId, { readonly leader: NodeId | null; readonly term: number }>>;
  /** The operation that runs, as this node has heard of it; absent when none does. */
  readonly operation?: OperationSummary;
  /** What it was started with; absent from a node of an earlier version. */
  readonly settings?: Settings;
}

export interface DrainRequest {
  readonly node: NodeId;
  /** Whether it is to get no new replicas. */
  readonly draining: boolean;
}

/** What one replica of a shard was seen to hold; `error` when it could not be read, all else is null then. */
export interface ReplicaContent {
  readonly node: NodeId;
  readonly memories: number | null;
  /** SHA-256 over ids, texts, vectors and everything else, in the order of ids. */
  readonly digest: string | null;
  readonly error?: string;
  /** Of the error, where it has one: `too-stale` may pass. */
  readonly code?: string;
}

/** A memory that is not the same on all replicas, and is not being written. */
export interface DifferingMemory {
  readonly id: string;
  readonly parts: readonly ("presence" | "text" | "vector" | "metadata")[];
  readonly copies: readonly {
    readonly node: NodeId;
    readonly present: boolean;
    /** Most of the others agree on something else. */
    readonly isOdd: boolean;
  }[];
}

export interface ShardVerification {
  readonly shard: ShardId;
  readonly replicas: readonly ReplicaContent[];
  /** The first of them. */
  readonly differences: readonly DifferingMemory[];
  /** How many there are. */
  readonly differing: number;
}

/** Where a shard is cut: at a key or slot, else in the middle; or around a single key. */
export interface CutRequest {
  readonly shard: ShardId;
  readonly at?: string;
  readonly key?: string;
}

export interface ShardCut {
  readonly shard: ShardId;
  /** First key or slot of what goes; null around a single key, and where there is no middle. */
  readonly at: string | null;
  readonly goes: { readonly memories: number; readonly bytes: number };
  readonly stays: { readonly memories: number; readonly bytes: number };
}

export interface RepairRequest {
  readonly shard: ShardId;
  /** Whose replica is made anew from another one. */
  readonly node: NodeId;
}

export interface OperationAnswer {
  /** The one that runs, or ran last. */
  readonly operation: OperationReport | null;
}

export interface TransferRequest {
  /** `meta` or a shard id. */
  readonly group: GroupId;
  /** Absent: the best caught-up replica. */
  readonly to?: NodeId;
}

export interface TransferResult {
  readonly group: GroupId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
}

/** One line of the interchange format; every field of a memory, the vector included. */
export interface MemoryRecord {
  readonly id: string;
  readonly memory: string;
  readonly user_id?: string;
  readonly agent_id?: string;
  readonly run_id?: string;
  readonly app_id?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly categories?: readonly string[];
  readonly created_at: string;
  readonly updated_at: string;
  /** The vector as numbers (float32 precision). */
  readonly embedding?: readonly number[];
  /** Earlier versions, oldest first. */
  readonly history?: readonly MemoryEvent[];
}

export interface MemoryEvent {
  readonly id: string;
  readonly event: "ADD" | "UPDATE" | "DELETE";
  readonly old_memory: string | null;
  readonly new_memory: string | null;
  readonly created_at: string;
}

export interface ImportRequest {
  readonly records: readonly MemoryRecord[];
}

/** Records are imported whole or not at all, one by one; `failed` says which and why. */
export interface ImportResult {
  readonly imported: number;
  readonly failed: readonly { readonly index: number; readonly field: string; readonly message: string }[];
}

export interface ExportPage {
  readonly records: readonly MemoryRecord[];
  /** Give it back for the next page; null at the end of the shard. */
  readonly cursor: string | null;
}

export interface MemoryStats {
  readonly memories: number;
  readonly bytes: number;
  readonly shards: readonly { readonly id: ShardId; readonly memories: number; readonly bytes: number }[];
  readonly entities: {
    readonly users: number;
    readonly agents: number;
    readonly runs: number;
    readonly apps: number;
  };
}
