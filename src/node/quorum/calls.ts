// What copies of a shard ask each other, as typed calls over the network. Every call names the sets of
// copies that its sender goes by, and the epoch of its map. A copy that knows a newer map in which the sets
// are others refuses: what an outdated set acknowledges the current one might not meet (12).

import type { CopySets } from "../../consensus/quorum/levels.ts";
import type { Digest } from "../../consensus/quorum/digest-tree.ts";
import type { Listed, Opening } from "../../consensus/quorum/exchange.ts";
import { mustBeRebuilt } from "../../consensus/quorum/tombstones.ts";
import type { VersionVector } from "../../consensus/quorum/vectors.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { Network } from "../transport/network.ts";
import type { CopyName } from "./forgotten.ts";
import type { CopyState, Outline } from "./records.ts";
import type { Change } from "./copy-items.ts";

/** Which sets the sender goes by. */
export interface Standing extends CopySets {
  readonly epoch: number;
  /** Of the shard: which keys are its own. */
  readonly version: number;
}

/**
 * What two copies have to know of each other before one takes anything of the other: how long one was away, each only
 * reckons for itself, by a clock that may have stood still with its machine.
 */
export interface Past {
  /** What was forgotten without some copy, as far as this one knows. */
  readonly forgotten: VersionVector;
  /**
   * Its floor and that, for it has asked since: of a copy that serves. Any other knows that it lacks something, or gives
   * nothing before it has asked.
   */
  readonly seen?: VersionVector;
}

export interface CopyCalls {
  /** `reading`: a client waits for it, so only a copy that may answer reads does. */
  "quorum-digests": { ask: { ids: readonly string[] }; answer: DigestsAnswer };
  "quorum-items": { ask: { ids: readonly string[]; reading: boolean }; answer: ItemsAnswer };
  "quorum-store": { ask: { changes: readonly Change[]; floor: VersionVector }; answer: StoreAnswer };
  /** `lacks`: of who asks. */
  "quorum-open": {
    ask: { opening: Opening; reading: boolean; lacks: boolean; wallMs: number };
    answer: OpenAnswer;
  };
  "quorum-leaves": { ask: { ranges: readonly number[] }; answer: LeavesAnswer };
  "quorum-keys": { ask: { leaves: readonly number[] }; answer: KeysAnswer };
  "quorum-done": {
    ask: { floor: VersionVector; forgotten: VersionVector; generation: string; lacks: boolean };
    answer: null;
  };
  "quorum-outlines": { ask: { ids: readonly string[] }; answer: OutlinesAnswer };
  "quorum-filled": { ask: { since: number }; answer: FilledAnswer };
}

export type CopyCall = keyof CopyCalls;

const CALLS: readonly string[] = [
  "quorum-digests",
  "quorum-items",
  "quorum-store",
  "quorum-open",
  "quorum-leaves",
  "quorum-keys",
  "quorum-done",
  "quorum-outlines",
  "quorum-filled",
] satisfies CopyCall[];

export function isCopyCall(method: string): method is CopyCall {
  return CALLS.includes(method);
}

export interface DigestsAnswer {
  readonly digests: readonly Digest[];
  /** By the clock of who answers. */
  readonly wallMs: number;
}

/** The first of the items asked for, as many as one frame may carry. */
export interface ItemsAnswer {
  readonly changes: readonly Change[];
  readonly floor: VersionVector;
  readonly generation: string;
  /** An older version does not say. */
  readonly past?: Past;
}

/** What is held of each key afterwards, on disk. */
export interface StoreAnswer {
  readonly digests: readonly Digest[];
  readonly floor: VersionVector;
}

export interface OpenAnswer {
  readonly opening: Opening;
  readonly generation: string;
  /** null when the roots are equal. */
  readonly ranges: readonly Digest[] | null;
  readonly standing: Standing;
  /** It does not hold everything that it acknowledged, or never did. */
  readonly lacks: boolean;
  /** By the clock of who answers. */
  readonly wallMs: number;
}

export interface LeavesAnswer {
  readonly leaves: readonly (readonly Digest[])[];
  readonly generation: string;
}

export interface KeysAnswer {
  readonly keys: readonly (readonly Listed[])[];
  readonly generation: string;
}

/** What is known of each key, without the values. */
export interface OutlinesAnswer {
  readonly outlines: readonly Outline[];
  readonly floor: VersionVector;
  /** It serves: it neither lacks anything, nor has to judge what it holds itself. */
  readonly whole: boolean;
}

export interface FilledAnswer {
  readonly state: CopyState;
  readonly filled: boolean;
}

export interface CallBody<Method extends CopyCall> {
  readonly shard: ShardId;
  readonly standing: Standing;
  /** Of the copy that asks; absent where there is none, and an older version does not say. */
  readonly past?: Past;
  readonly ask: CopyCalls[Method]["ask"];
}

export function standingOf(map: ShardMap, shard: ShardId): Standing {
  const slice = shardById(map, shard);
  return {
    epoch: map.epoch,
    version: slice?.version ?? 0,
    replicas: slice?.replicas ?? [],
    outgoing: slice?.outgoing?.replicas ?? [],
  };
}

/** Order says who is preferred, not who belongs. */
export function sameSets(a: Standing, b: Standing): boolean {
  return (
    a.version === b.version && sameMembers(a.replicas, b.replicas) && sameMembers(a.outgoing, b.outgoing)
  );
}

function sameMembers(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}

/** Throws `stale-map` (unavailable) when the sender goes by sets that are no longer those of the shard. */
export function refuseOutdated(sender: Standing, own: Standing): void {
  if (sender.epoch >= own.epoch || sameSets(sender, own)) return;
  throw new Mem0ctlError("unavailable", "stale-map", "the copies of this shard have changed", {
    why: `the request goes by epoch ${sender.epoch} of the shard map, and ${own.epoch} is known here`,
    hint: "it is sent again when the sender has heard of the change",
    data: { epoch: own.epoch },
  });
}

/** Throws `not-here` (unavailable) when a copy is not of the version of its shard that a request goes by. */
export function refuseOtherVersion({ version }: Standing, copy: CopyName): void {
  if (version === copy.version) return;
  throw new Mem0ctlError("unavailable", "not-here", `this node has no such copy of shard ${copy.shard} now`, {
    why: `the request goes by version ${version} of the shard, and the copy here is of version ${copy.version}`,
    hint: "another copy answers meanwhile",
  });
}

/** What a copy says to reads, and to comparisons while it withholds what it holds. */
export function notServing(shard: ShardId): Mem0ctlError {
  return new Mem0ctlError(
    "unavailable",
    "copy-not-serving",
    "the copy is being filled and answers no reads",
    { data: { shard } },
  );
}

/**
 * Throws `copy-not-serving` (unavailable) when `forgotten` is not all known to a copy that takes itself for whole: it may
 * hold what was deleted, and is rebuilt as soon as it is compared (10).
 */
export function refuseBehind(past: Past | undefined, forgotten: VersionVector, shard: ShardId): void {
  if (past?.seen !== undefined && mustBeRebuilt(past.seen, forgotten)) throw notServing(shard);
}

export class CopyClient {
  private readonly network: Network;
  private readonly map: () => ShardMap;
  private readonly pastOf: (name: CopyName) => Past | undefined;

  constructor(network: Network, map: () => ShardMap, pastOf: (name: CopyName) => Past | undefined) {
    this.network = network;
    this.map = map;
    this.pastOf = pastOf;
  }

  /** Which sets a call goes by that is made now. */
  standing(shard: ShardId): Standing {
    return standingOf(this.map(), shard);
  }

  async call<Method extends CopyCall>(
    node: NodeId,
    method: Method,
    shard: ShardId,
    ask: CopyCalls[Method]["ask"],
    deadlineMs: number,
    standing: Standing = this.standing(shard),
  ): Promise<CopyCalls[Method]["answer"]> {
    const past = this.pastOf({ shard, version: standing.version });
    const body: CallBody<Method> = { shard, standing, ask, ...(past === undefined ? {} : { past }) };
    return (await this.network.call(node, method, body, deadlineMs)) as CopyCalls[Method]["answer"];
  }
}
