// One copy of a leaderless shard on this node, with all that belongs to it; and the bounds that all of them keep.

import type { HintLimits } from "../../consensus/quorum/hints.ts";
import type { VersionVector } from "../../consensus/quorum/vectors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { ComparisonLimits } from "./comparison.ts";
import type { Coordinator } from "./coordinator.ts";
import type { Handoff } from "./handoff.ts";
import type { Orphans } from "./orphans.ts";
import type { ShardCopy } from "./shard-copy.ts";

export interface LeaderlessLimits extends ComparisonLimits {
  /** Every copy is compared with every other of its shard once in this time. */
  readonly compareEveryMs: number;
  readonly compareMsMax: number;
  /** Age at which a tombstone may be forgotten: hints from before it are gone by then. */
  readonly graceMs: number;
  /** Absence after which a copy is not waited for with that, and is rebuilt when it comes back. */
  readonly awayMsMax: number;
  readonly hints: HintLimits;
  readonly hintsEveryMs: number;
  readonly slowMs: number;
}

export const LEADERLESS_LIMITS: LeaderlessLimits = {
  rangesPerQuestion: 8,
  leavesPerQuestion: 32,
  keysPerQuestion: 128,
  restMs: 5,
  callMs: 3000,
  compareEveryMs: 10_000,
  compareMsMax: 600_000,
  graceMs: 6 * 3_600_000,
  awayMsMax: 24 * 3_600_000,
  hints: { hintsMax: 100_000, bytesMax: 16 << 20, ageMsMax: 3 * 3_600_000 },
  hintsEveryMs: 500,
  slowMs: 100,
};

/** What this node knows of another copy of a shard. */
export interface PeerKnowledge {
  floor: VersionVector | undefined;
  /** By the monotonic clock: the end of the last full comparison, or when it was first thought of. */
  heardMs: number;
  comparedMs: number | undefined;
  divergentKeys: number;
}

/** One copy with all that belongs to it. */
export interface CopyHere {
  readonly copy: ShardCopy;
  readonly handoff: Handoff;
  readonly coordinator: Coordinator;
  readonly orphans: Orphans;
  readonly peers: Map<NodeId, PeerKnowledge>;
  /** Compared with in full since this copy has to be filled or rebuilt, and whether it lacked something then. */
  readonly sources: Map<NodeId, { readonly lacks: boolean }>;
  /** The change that the sources are to fill it for; 0 where none. */
  sourcesSince: number;
  readonly comparing: Set<NodeId>;
}
