// How a copy of a leaderless shard lies in the state store, beside what MemoryMachine keeps there for readers:
//
//   copy                        -> CopyRecord
//   item <leaf> <id>            -> context, and of each version everything but its value
//   sibling <id> <actor> <n>    -> the value of a version that readers do not see
//   hint <target> <id>          -> since when (ms since the epoch)
//
// The value of the version that readers see is the machine's own memory, place and history. So a
// leaf's keys can be listed without touching a value, and searches read what they read elsewhere.

import { leafOf } from "../../consensus/quorum/digest-tree.ts";
import type { Actor, VersionVector } from "../../consensus/quorum/vectors.ts";
import type { Item } from "../../consensus/quorum/versions.ts";
import type { NodeId } from "../../model/ids.ts";
import type { PutItem } from "../memories/commands.ts";
import { extendKey, type Key } from "../storage/key.ts";
import { pack, unpack } from "../transport/frames.ts";

/** What a version of a memory holds. */
export type MemoryValue = Omit<PutItem, "id">;

/** An item whose values lie elsewhere. */
export type Outline = Item<true>;

/**
 * serving: holds what it acknowledged. filling: a new member that reads the shard from the others.
 * rebuilding: it lost something, or was away for too long; it answers no reads until it has read the others.
 */
export type CopyState = "serving" | "filling" | "rebuilding";

export interface CopyRecord {
  readonly actor: Actor;
  /** The last dot that was given. */
  readonly counter: number;
  readonly floor: VersionVector;
  readonly forgotten: VersionVector;
  readonly state: CopyState;
  /** Epoch of the change of members for which it was filled; 0: it was there from the beginning. */
  readonly filledFor: number;
  /** It does not hold everything that it acknowledged, or never did: one other copy cannot make up for that. */
  readonly lacks: boolean;
  /** When it last exchanged everything with another copy, in ms since the epoch. */
  readonly syncedMs: number;
  /** Who may alone have heard of what it took since then: every member of its sets, in whatever sets it has now. */
  readonly members: readonly NodeId[];
}

export const COPY = "copy";

/** Of a version, as it lies on disk. */
const LIVE = 1;
const SHARED = 2;

export function itemKey(prefix: Key, id: string): Key {
  return extendKey(prefix, "item", leafOf(id), id);
}

export function outlineBytes(outline: Outline): Buffer {
  return pack([
    outline.context,
    outline.versions.map(({ dot, atMs, writes, value, key, shared }) => [
      dot,
      atMs,
      writes,
      (value === null ? 0 : LIVE) + (shared === true ? SHARED : 0),
      ...(key === undefined ? [] : [key]),
    ]),
  ]);
}

export function outlineFrom(bytes: Uint8Array): Outline {
  const [context, versions] = unpack(bytes) as [
    VersionVector,
    [[string, number], number, string[], number, string?][],
  ];
  return {
    context,
    versions: versions.map(([dot, atMs, writes, marks, key]) => ({
      dot,
      atMs,
      writes,
      value: (marks & LIVE) === 0 ? null : true,
      ...(key === undefined ? {} : { key }),
      ...((marks & SHARED) === 0 ? {} : { shared: true }),
    })),
  };
}

/** The same knowledge without the values. */
export function outlineOf(item: Item<unknown>): Outline {
  return {
    context: item.context,
    versions: item.versions.map((version) => ({ ...version, value: version.value === null ? null : true })),
  };
}
