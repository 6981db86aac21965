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

export function slotCount(ranges: readonly SlotRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

/** `0-5460, 10923`; "" for none. */
export function slotsText(ranges: readonly SlotRange[]): string {
  return ranges.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)).join(", ");
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
  /** Raised whenever keys come or go; 0 where it is absent. What a request names so that a stale one is refused. */
  readonly version?: number;
  /** Made for a handover and not serving yet: all its members found its group together. */
  readonly founding?: true;
  /** Those members, while it is founding: with others in their place there would be two groups of one name. */
  readonly founders?: readonly NodeId[];
}

/**
 * Keys of one shard that go to another; none of the other's own are in it. `except` and `also`: pinned keys, which stay,
 * or go, whatever their slot.
 */
export type KeySlice =
  | {
      readonly kind: "slots";
      readonly slots: readonly SlotRange[];
      readonly except: readonly string[];
      readonly also: readonly string[];
    }
  | { readonly kind: "range"; readonly start: string; readonly end: string | null }
  | { readonly kind: "key"; readonly key: string; readonly pinned: boolean };

/** A slice of keys on its way from one shard to another; one at a time. */
export interface Handover {
  /** Epoch of the map in which it began: later ones have greater ids. */
  readonly id: number;
  /** The step that it carries out, in words. */
  readonly name: string;
  readonly from: ShardId;
  readonly to: ShardId;
  readonly slice: KeySlice;
  /** The slice is all that `from` has: with it the shard ends. */
  readonly isWhole: boolean;
  /**
   * copying: `from` serves the slice, until its log says that it does not. dropping: `to` does; `from` forgets it. Of
   * leaderless shards, whose copies divide what they know by themselves, this map alone says whose it is.
   */
  readonly phase: "copying" | "dropping";
  /** Leaderless shards: their versions before it; null for one that was made for it. */
  readonly versions?: { readonly from: number; readonly to: number | null };
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
  readonly handover?: Handover;
  /** Shards that were merged away, and what each became part of: sessions of theirs went there. */
  readonly heirs?: Readonly<Record<ShardId, ShardId>>;
  /** Number of the next shard that is made; absent before the first handover. No number is given twice. */
  readonly nextShard?: number;
}
