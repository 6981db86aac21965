// When a tombstone may be forgotten (9). It is old enough that no hint from before it is left, and every copy
// of the shard has told a floor that covers it: each has been through a full exchange with the copy that
// holds it, after the deletion, so none has an older version. A copy that was away for too long is not waited
// for. What was forgotten without it is remembered as one vector; when it comes back
// its floor does not reach that far, which tells exactly that it has to be rebuilt before it answers.

import type { NodeId } from "../../model/ids.ts";
import { resolve } from "./resolve.ts";
import { includes, type VersionVector } from "./vectors.ts";
import type { Item } from "./versions.ts";

export interface Witness {
  readonly node: NodeId;
  /** The newest floor that it told; undefined when it has told none. */
  readonly floor: VersionVector | undefined;
  /** How long since anything was exchanged with it. */
  readonly awayMs: number;
}

export interface TombstoneAge {
  readonly nowMs: number;
  readonly graceMs: number;
  /** How long a copy may be away before it is not waited for any more. */
  readonly awayMsMax: number;
}

/** Whether what the key has left is a deletion that everybody knows of. */
export function isCollectable(
  item: Item<unknown>,
  ownFloor: VersionVector,
  witnesses: readonly Witness[],
  { nowMs, graceMs, awayMsMax }: TombstoneAge,
): boolean {
  const winner = resolve(item);
  if (winner === undefined || winner.value !== null) return false;
  if (item.versions.some(({ atMs }) => nowMs - atMs <= graceMs)) return false;
  if (!includes(ownFloor, item.context)) return false;
  return witnesses.every(
    ({ floor, awayMs }) => (floor !== undefined && includes(floor, item.context)) || awayMs > awayMsMax,
  );
}

/** Whether a copy with this floor may still hold what others have deleted and forgotten. */
export function mustBeRebuilt(floor: VersionVector, forgottenByOthers: VersionVector): boolean {
  return !includes(floor, forgottenByOthers);
}
