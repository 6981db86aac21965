// What is read of a slice of keys: the parts in which it goes to another shard, and how much of a shard lies on either
// side of a cut.

import { countedOf } from "../../memory/stored.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { KeySlice } from "../../model/shard-map.ts";
import { isInSlice } from "../../topology/handovers.ts";
import { giveWay } from "../clock.ts";
import { extendKey } from "../storage/key.ts";
import { itemBytes, recordIn, type PutItem } from "./commands.ts";
import type { SliceCursor } from "./custody.ts";
import { memoriesAfter } from "./handover-commands.ts";
import type { MemoryMachine } from "./memory-machine.ts";
import type { SessionRecord } from "./sessions.ts";

/** Of one part: bytes, and what is looked at in one turn. */
const PART_BYTES_MAX = 256 << 10;
/** Of an id that is gone. */
const REMOVED_BYTES = 500;
const LOOKED_PER_TURN = 500;
const LOOKED_MAX = 20_000;
const IDS_MAX = 500;

export interface SlicePart {
  readonly items: readonly PutItem[];
  readonly removed: readonly string[];
  readonly to: SliceCursor | null;
  readonly bytes: number;
  /** Nothing was left to read. */
  readonly isEnd: boolean;
  /** Nothing will follow: the giver had fenced the slice, so these are all its sessions too. */
  readonly last?: { readonly sessions: readonly SessionRecord[] };
}

/** The part after `after` of what leaves. Throws `handover-over` where this handover is not the one that leaves. */
export async function slicePart(
  machine: MemoryMachine,
  id: number,
  after: SliceCursor | null,
): Promise<SlicePart> {
  const { leaving } = machine.custody.state;
  if (leaving?.id !== id || leaving.state === "ended") {
    throw new Mem0ctlError("unavailable", "handover-over", "the shard hands over no such slice");
  }
  const { slice } = leaving;
  if (after !== null && "changed" in after) return changedPart(machine, slice, after.changed);
  const scanned = await scannedPart(machine, slice, after === null ? null : after.scanned);
  // Everything was seen once; from here on it is what has changed since it began to leave.
  return scanned ?? changedPart(machine, slice, undefined);
}

/** undefined at the end of the memories. */
async function scannedPart(
  machine: MemoryMachine,
  slice: KeySlice,
  after: readonly [string, string] | null,
): Promise<SlicePart | undefined> {
  const items: PutItem[] = [];
  let to = after;
  let bytes = 0;
  for (let looked = 0; looked < LOOKED_MAX && bytes < PART_BYTES_MAX;) {
    let seen = 0;
    for (const place of memoriesAfter(machine, slice, to)) {
      if (seen === LOOKED_PER_TURN || bytes >= PART_BYTES_MAX) break;
      seen += 1;
      to = place;
      const item = isInSlice(slice, place[0]) ? itemOf(machine, ...place) : undefined;
      if (item === undefined) continue;
      items.push(item);
      bytes += itemBytes(item);
    }
    if (seen === 0) break;
    looked += seen;
    await giveWay(machine.clock);
  }
  if (to === null || to === after) return undefined;
  return { items, removed: [], to: { scanned: to }, bytes, isEnd: false };
}

/** In one turn: what is applied between two of its reads would be missed. */
function changedPart(
  machine: MemoryMachine,
  slice: KeySlice,
  after: readonly [number, number] | undefined,
): SlicePart {
  const items: PutItem[] = [];
  const removed: string[] = [];
  const seen = new Set<string>();
  let to = after;
  let bytes = 0;
  let isEnd = true;
  for (const { at, id } of machine.custody.changedAfter(after)) {
    if (bytes >= PART_BYTES_MAX || seen.size >= IDS_MAX) {
      isEnd = false;
      break;
    }
    to = at;
    if (seen.has(id)) continue;
    seen.add(id);
    const key = machine.placeOf(id);
    const item = key !== undefined && isInSlice(slice, key) ? itemOf(machine, key, id) : undefined;
    if (item === undefined) removed.push(id);
    else items.push(item);
    bytes += item === undefined ? REMOVED_BYTES : itemBytes(item);
  }
  const isLast = isEnd && machine.custody.state.leaving?.state === "fenced";
  return {
    items,
    removed,
    // Distinct from a scan that has not begun: what was scanned is not scanned again.
    to: { changed: to ?? [0, 0] },
    bytes,
    isEnd,
    ...(isLast ? { last: { sessions: machine.sessions.all() } } : {}),
  };
}

/** Ids of a slice's memories, some at a time, in order of keys. */
export interface SliceIds {
  readonly ids: readonly string[];
  /** Where to go on; null at the end. */
  readonly to: readonly [key: string, id: string] | null;
}

export async function sliceIds(
  machine: MemoryMachine,
  slice: KeySlice,
  after: readonly [string, string] | null,
): Promise<SliceIds> {
  const ids: string[] = [];
  let to = after;
  for (let looked = 0; looked < LOOKED_MAX;) {
    let seen = 0;
    for (const place of memoriesAfter(machine, slice, to)) {
      if (seen === LOOKED_PER_TURN) break;
      seen += 1;
      to = place;
      const [key, id] = place;
      if (isInSlice(slice, key) && !machine.custody.isHidden(key)) ids.push(id);
    }
    if (seen < LOOKED_PER_TURN) return { ids, to: null };
    looked += seen;
    await giveWay(machine.clock);
  }
  return { ids, to };
}

/** Those of the ids that a memory here has under a key outside of the slice. */
export function idsElsewhere(
  machine: MemoryMachine,
  slice: KeySlice,
  ids: readonly string[],
): readonly string[] {
  return ids.filter((id) => {
    const key = machine.visiblePlaceOf(id);
    return key !== undefined && !isInSlice(slice, key);
  });
}

function itemOf(machine: MemoryMachine, key: string, id: string): PutItem | undefined {
  const value = machine.valueOf(key, id);
  if (value === undefined) return undefined;
  // A memory of the same id that another key has taken over is no more than a record without a place.
  const history = machine.placeOf(id) === key ? machine.events(id) : [];
  const counted = countedOf(recordIn(value));
  return history.length === 0 ? { id, key, value, counted } : { id, key, value, counted, history };
}

/** Where a shard is cut: `at` a key, at the median of its memories, or by a slice. */
export type Cut = { readonly at: string | null } | { readonly slice: KeySlice };

export interface CutSizes {
  /** The key; null where it is cut by a slice, or the shard has fewer than two keys. */
  readonly at: string | null;
  readonly goes: { readonly memories: number; readonly bytes: number };
  readonly stays: { readonly memories: number; readonly bytes: number };
}

export async function cutSizes(machine: MemoryMachine, cut: Cut): Promise<CutSizes> {
  const sizes = new Map<string, { memories: number; bytes: number }>();
  let looked = 0;
  const snapshot = machine.store.snapshot();
  try {
    for (const [key, id] of memoriesAfter({ store: snapshot, prefix: machine.prefix }, null, null)) {
      looked += 1;
      if (looked % LOOKED_PER_TURN === 0) await giveWay(machine.clock);
      if (machine.custody.isHidden(key)) continue;
      const size = sizes.get(key) ?? { memories: 0, bytes: 0 };
      size.memories += 1;
      size.bytes += snapshot.get(extendKey(machine.prefix, "memory", key, id))?.length ?? 0;
      sizes.set(key, size);
    }
  } finally {
    snapshot.close();
  }
  const at = "slice" in cut ? null : (cut.at ?? medianOf(sizes));
  const slice: KeySlice | null =
    "slice" in cut ? cut.slice : at === null ? null : { kind: "range", start: at, end: null };
  const goes = { memories: 0, bytes: 0 };
  const stays = { memories: 0, bytes: 0 };
  for (const [key, { memories, bytes }] of sizes) {
    const side = slice !== null && isInSlice(slice, key) ? goes : stays;
    side.memories += memories;
    side.bytes += bytes;
  }
  return { at, goes, stays };
}

/** The key, not the first one, before which lies as near to half of the memories as can be. Keys are in order. */
function medianOf(sizes: ReadonlyMap<string, { readonly memories: number }>): string | null {
  let total = 0;
  for (const { memories } of sizes.values()) total += memories;
  let before = 0;
  let best: { readonly key: string; readonly off: number } | undefined;
  for (const [key, { memories }] of sizes) {
    const off = Math.abs(2 * before - total);
    if (before > 0 && (best === undefined || off < best.off)) best = { key, off };
    before += memories;
  }
  return best?.key ?? null;
}
