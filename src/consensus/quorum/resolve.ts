// Which of several concurrent versions readers see: the same one on every copy, whatever order they came in
// (4). The newer one wins, by a time that nobody can set far into the future (5); equal times go by dot. A
// tombstone is a version like any other. The losers stay in the item until someone who has seen them writes.

import { compareDots } from "./vectors.ts";
import type { Item, Version } from "./versions.ts";

/** How far a claimed time may be ahead of the coordinator's clock. */
const AHEAD_MS_MAX = 1000;

/**
 * The time that a version is given: what the writer claims, but not more than the coordinator's clock and a
 * little. One that claims next year would otherwise win against every concurrent write until then (5).
 */
export function cappedTime(claimedMs: number, coordinatorMs: number): number {
  return Math.min(claimedMs, coordinatorMs + AHEAD_MS_MAX);
}

/** What readers see; undefined when nothing was ever written or all is forgotten. */
export function resolve<Value>(item: Item<Value>): Version<Value> | undefined {
  let winner: Version<Value> | undefined;
  for (const version of distinct(item)) {
    if (winner === undefined || isNewer(version, winner)) winner = version;
  }
  return winner;
}

/**
 * A write whose answer was lost may have been done by two coordinators. Its second version is one that
 * another names among those it had seen, or that is the same write under a later dot.
 */
function distinct<Value>(item: Item<Value>): readonly Version<Value>[] {
  if (item.versions.length < 2) return item.versions;
  const once = item.versions.filter(
    (version) =>
      !item.versions.some((other) => {
        const write = version.writes[0];
        if (other === version || write === undefined || !other.writes.includes(write)) return false;
        return other.writes[0] !== write || compareDots(other.dot, version.dot) < 0;
      }),
  );
  // Only the newest writes are named: two that name each other after that are both kept.
  return once.length === 0 ? item.versions : once;
}

function isNewer(a: Version<unknown>, b: Version<unknown>): boolean {
  return a.atMs === b.atMs ? compareDots(a.dot, b.dot) > 0 : a.atMs > b.atMs;
}
