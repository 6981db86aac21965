// The shard map as plain data: what the metadata group stores, what nodes and clients route by.

import type { NodeId, Role, ShardId, ShardingStrategy, ShardKeyField } from "./ids.ts";

export interface MapNode {
  readonly id: NodeId;
  readonly address: string;
  readonly role: Role;
  readonly zone: string;
  readonly weight: number;
  readonly draining: boolean;
}

/** Inclusive slots `[from, to]` of 0..16383. */
export interface SlotRange {
  readonly from: number;
  readonly to: number;
}

/**
 * One shard's slice of the key space. hash and directory: slots. range: keys `start <= key < end` by
 * UTF-8 bytes, `start` "" for the first and `end` null for the last.
 */
export interface ShardSlice {
  readonly id: ShardId;
  readonly slots: readonly SlotRange[];
  readonly start: string;
  readonly end: string | null;
  /** Data replicas, preferred leader first. */
  readonly replicas: readonly NodeId[];
  /** Log-only voters of this group. */
  readonly arbiters: readonly NodeId[];
  /** Quorum protocol, while the replicas change: those before, which are asked as well until it is over. */
  readonly outgoing?: OutgoingReplicas;
}

export interface OutgoingReplicas {
  readonly replicas: readonly NodeId[];
  /** Epoch of the map in which the change began. */
  readonly since: number;
}

export interface ShardMap {
  /** Raised by every change. */
  readonly epoch: number;
  readonly strategy: ShardingStrategy;
  readonly key: ShardKeyField;
  /** directory: pinned keys. */
  readonly directory: Readonly<Record<string, ShardId>>;
  readonly shards: readonly ShardSlice[];
  readonly nodes: readonly MapNode[];
  /** Voters of the metadata group; every other node follows it as a learner. */
  readonly metaVoters: readonly NodeId[];
}
