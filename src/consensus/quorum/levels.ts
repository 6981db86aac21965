// How many copies a read asks and a write waits for, and over which sets. R + W > N makes a read meet every
// acknowledged write; that is overlap, not linearizability (1): a write that failed may still appear (3), and
// concurrent writes have no order. While the copies of a shard change there are two sets, and the level is
// needed in both, so that what either set acknowledged is met by whoever asks the other (12).

import { copiesOfLevel, type Consistency, type ReadConsistency } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";

/** One, quorum, all or a number; the levels of other protocols are refused. */
export type Level = ReadConsistency;

/** The copies of a shard now and, while they change, before. */
export interface CopySets {
  readonly replicas: readonly NodeId[];
  /** Empty unless a change is under way. */
  readonly outgoing: readonly NodeId[];
}

/** Copies that a level means among `copies`. Throws `consistency-out-of-range` when it is none of them (13). */
function copiesOf(level: Level, copies: number): number {
  const count = copiesOfLevel(level, copies);
  if (count !== undefined) return count;
  throw new Mem0ctlError(
    "invalid",
    "consistency-out-of-range",
    `the level ${level} cannot be had of ${copies} ${copies === 1 ? "copy" : "copies"}`,
    { hint: `ask for one, quorum, all, or a number from 1 to ${copies}` },
  );
}

/** Whether those that agree are enough, in every set. */
export function isEnough(sets: CopySets, level: Level, agrees: (node: NodeId) => boolean): boolean {
  return setsOf(sets).every((set) => set.filter(agrees).length >= copiesOf(level, set.length));
}

/** Everyone in either set, those of the current one first. */
export function everyone(sets: CopySets): readonly NodeId[] {
  return [...new Set([...sets.replicas, ...sets.outgoing])];
}

/** The smallest part of `candidates`, taken in their order, that is enough; undefined when all are not. */
export function firstEnough(
  sets: CopySets,
  level: Level,
  candidates: readonly NodeId[],
): readonly NodeId[] | undefined {
  const chosen = new Set<NodeId>();
  for (const set of setsOf(sets)) {
    const needed = copiesOf(level, set.length);
    const usable = [
      ...candidates.filter((node) => chosen.has(node)),
      ...candidates.filter((node) => !chosen.has(node)),
    ];
    const taken = usable.filter((node) => set.includes(node)).slice(0, needed);
    if (taken.length < needed) return undefined;
    for (const node of taken) chosen.add(node);
  }
  return candidates.filter((node) => chosen.has(node));
}

/**
 * Of the other copies, how many must have been read in full before a copy that lost something, or a new one, holds every
 * write of `copies` that was acknowledged, and every one that a read of a majority has told (2): with one fewer, a write
 * could have met the rest.
 */
export function sourcesNeeded(
  { read, write }: Pick<Consistency, "read" | "write">,
  copies: number,
  others: number,
): number {
  const told = copiesOf(read, copies);
  const fewest = Math.min(copiesOf(write, copies), 2 * told > copies ? told : copies);
  return Math.min(others, copies - fewest + 1);
}

function setsOf({ replicas, outgoing }: CopySets): readonly (readonly NodeId[])[] {
  return outgoing.length === 0 ? [replicas] : [replicas, outgoing];
}
