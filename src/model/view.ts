// The one view of a cluster that every table and every JSON comes from (additions only, within v1).

import type { Settings } from "./settings.ts";
import type { EngineName, NodeId, Role, ShardId, ShardingStrategy, ReplicationProtocol } from "./ids.ts";
import type { OperationSummary } from "./operation.ts";

export type Health = "healthy" | "degraded" | "unavailable";
export type NodeState = "up" | "suspect" | "down" | "draining";
export type ShardState = "ok" | "under-replicated" | "moving" | "leaderless" | "down";
export type ReplicaRole = "leader" | "follower" | "learner" | "arbiter";
export type ReplicaState = "replicating" | "probing" | "snapshot" | "down";

/** Why a cluster is not healthy. Codes are stable; see operations/health.ts for the list. */
export interface Reason {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export interface NodeView {
  readonly id: NodeId;
  readonly address: string;
  readonly role: Role;
  readonly zone: string;
  readonly state: NodeState;
  /** null where the node did not answer. */
  readonly pid: number | null;
  readonly version: string | null;
  readonly uptimeMs: number | null;
  /** Age of the newest sign of life that any node had of it; null when none ever had. */
  readonly lastHeartbeatMs: number | null;
  /** Number of shards it leads. */
  readonly leads: number;
  /** Number of data replicas it holds. */
  readonly replicas: number;
  readonly memories: number | null;
  /** Of engines that count keys. */
  readonly keys?: number | null;
  readonly bytes: number | null;
  /** The address that it was started with, where the cluster knows it by another. */
  readonly ownAddress?: string;
  /** Other nodes that have no connection with it at the moment; absent when there are none. */
  readonly cutOffFrom?: readonly NodeId[];
  /** Why it is not up: `connection refused`, `no answer within 2 s`, `HTTP 401`. */
  readonly error?: string;
  /** Replicas of it whose state is damaged, and why; absent when there are none. */
  readonly damaged?: readonly { readonly group: string; readonly why: string }[];
  /** Why it takes no writes although it is up: a full disk, say. */
  readonly writeRefusal?: string;
  /** Set while it has no data and may not begin: what it waits for, as the end of a sentence about it. */
  readonly waiting?: string;
  /** What it was started with, where it says so. */
  readonly settings?: Settings;
  /** Set while other nodes take no connection from it: it is not the node that they know under this id. */
  readonly refusal?: NodeRefusal;
}

export interface NodeRefusal {
  /** Sorted; never empty. */
  readonly by: readonly NodeId[];
  /** In the words of the first of them: `node-3 came back without its data; …`. */
  readonly why: string;
}

export interface ReplicaView {
  readonly node: NodeId;
  readonly role: ReplicaRole;
  readonly state: ReplicaState;
  /** null where nobody knows (no leader). */
  readonly lagEntries: number | null;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  /** Quorum protocol: writes that other nodes keep for it. */
  readonly hints?: number;
  /** Quorum protocol: keys in which it is known to differ from another copy. */
  readonly divergentKeys?: number;
  /** Quorum protocol: whether it answers; absent where it did not say. */
  readonly copy?: "serving" | "filling" | "rebuilding";
}

/** Unique: rounds are compared first, then the names of the proposers. */
export interface Ballot {
  readonly round: number;
  readonly proposer: NodeId;
}

/** Of a leaderless shard: how many of its copies answer, and how many reads and writes ask for. */
export interface Shortage {
  readonly copies: number;
  readonly answering: number;
  readonly read: number;
  readonly write: number;
}

export interface ShardView {
  readonly id: ShardId;
  /** `slots 0-1023`, `keys [g, n)`. */
  readonly range: string;
  readonly state: ShardState;
  readonly leader: NodeId | null;
  readonly term: number;
  /** Set where there is no leader by design (quorum protocol). */
  readonly leaderless?: true;
  /** Quorum protocol: set where fewer copies answer than R or W; while copies change, of the set that lacks more. */
  readonly short?: Shortage;
  /** Paxos: the highest ballot that a replica promised; the leader is its proposer once it was elected. */
  readonly ballot?: Ballot;
  /** Of engines that shard by slots alone: how many it owns. */
  readonly slots?: number;
  /** Why it refuses requests although it has a leader. */
  readonly refusal?: string;
  readonly memories: number | null;
  readonly keys?: number | null;
  readonly bytes: number | null;
  /** Writes of clients that it has carried out since it was founded, as far as anybody knows; absent: nobody does. */
  readonly writes?: number;
  readonly replicas: readonly ReplicaView[];
}

/** A slot between two nodes: half its keys may be here and half there. */
export interface OpenSlotView {
  readonly slot: number;
  /** null where only the other end is open. */
  readonly from: NodeId | null;
  readonly to: NodeId | null;
}

/** Two nodes that name different leaders for the same group in the same term, or live in different terms. */
export interface Disagreement {
  /** `meta` or a shard id. */
  readonly group: string;
  readonly claims: readonly {
    readonly node: NodeId;
    readonly leader: NodeId | null;
    readonly term: number;
  }[];
}

export interface ClusterView {
  readonly apiVersion: "mem0ctl/v1";
  readonly kind: "ClusterStatus";
  readonly cluster: string;
  readonly engine: EngineName;
  readonly protocol: ReplicationProtocol;
  readonly sharding: ShardingStrategy;
  readonly health: Health;
  readonly reasons: readonly Reason[];
  readonly leader: NodeId | null;
  /** Set where the cluster as such has no leader by design, only its shards have. */
  readonly leaderless?: true;
  readonly term: number;
  readonly epoch: number;
  readonly totalNodes: number;
  readonly healthyNodes: number;
  readonly totalShards: number;
  /** Data copies each shard should have. */
  readonly copies: number;
  /** Quorum protocol: how many of them a read asks and a write waits for where a request asks for no other level. */
  readonly levels?: { readonly read: number; readonly write: number };
  readonly replication: {
    /** What is counted here; absent: log entries. */
    readonly unit?: "bytes";
    /** Log entries that every live replica of their shard has. */
    readonly totalReplicated: number;
    /** Entries that some replica has still to acknowledge. */
    readonly pending: number;
    /** Replicas that cannot be reached or fed. */
    readonly failed: number;
    /** Largest over all replicas. */
    readonly lagMs: number;
    /** Quorum protocol: writes that nodes keep for copies that missed them, and keys known to differ. */
    readonly hints?: number;
    readonly divergentKeys?: number;
  };
  readonly nodes: readonly NodeView[];
  readonly shards: readonly ShardView[];
  /** Slots that no node owns: `5461-10922`; absent when there are none. */
  readonly unownedSlots?: string;
  /** Slots that were opened for a move that has not ended; absent when there are none. */
  readonly openSlots?: readonly OpenSlotView[];
  readonly disagreements: readonly Disagreement[];
  /** The operation that runs; absent when none does. */
  readonly operation?: OperationSummary;
}
