// The two ends of a handover in their logs. The giver's: leave, then fence, then drop, or stay where it is given up.
// The taker's: arrive, part by part, the last of which makes the slice its own; or discard. Each answers with the
// custody that holds after it, from which whoever carries the handover out sees what is done.
//
// Whose a fenced slice becomes is decided by one entry of the taker's log, the first that has the last part: it takes
// the slice, or, where ids clash, refuses it. Both are final, for later parts of that handover change nothing. So the
// giver may stay when it is told of a refusal, however late or often, and nobody tells it so of a slice that was taken.

import type { KeySlice } from "../../model/shard-map.ts";
import { isInSlice } from "../../topology/handovers.ts";
import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import type { StoreReader, StoreWriter } from "../storage/store.ts";
import type { HandoverCommand } from "./commands.ts";
import type { CustodyState, SliceCursor } from "./custody.ts";
import type { MemoryMachine } from "./memory-machine.ts";

/** Of one log entry: what is removed, and what is looked at for it. */
const REMOVED_MAX = 200;
const LOOKED_MAX = 2000;
export function applyHandover(
  machine: MemoryMachine,
  command: HandoverCommand,
  index: number,
  writer: StoreWriter,
): CustodyState {
  switch (command.do) {
    case "leave":
      return leave(machine, command, writer);
    case "fence":
      return fence(machine, command, writer);
    case "stay":
      return stay(machine, command, writer);
    case "drop":
      return drop(machine, command, writer);
    case "arrive":
      return arrive(machine, command, index, writer);
    case "discard":
      return discard(machine, command, writer);
  }
}

type Of<Do extends HandoverCommand["do"]> = Extract<HandoverCommand, { readonly do: Do }>;

function leave({ custody }: MemoryMachine, { id, slice }: Of<"leave">, writer: StoreWriter): CustodyState {
  if (id <= custody.state.last || custody.state.leaving !== null) return custody.state;
  return custody.change({ last: id, leaving: { id, slice, state: "leaving", dropped: null } }, writer);
}

/** From this entry on nothing of the slice is read or written here. */
function fence({ custody }: MemoryMachine, { id }: Of<"fence">, writer: StoreWriter): CustodyState {
  const { leaving, version } = custody.state;
  if (leaving?.id !== id || leaving.state !== "leaving") return custody.state;
  return custody.change({ version: version + 1, leaving: { ...leaving, state: "fenced" } }, writer);
}

/**
 * Gives it up, unless it is too late for that; done when nothing leaves any more. A slice that was fenced is served as
 * before then, under the version of before: that is the one which the map has.
 */
function stay(machine: MemoryMachine, { id, refused }: Of<"stay">, writer: StoreWriter): CustodyState {
  const { custody } = machine;
  const { leaving, last, version } = custody.state;
  if (leaving === null) return last < id ? custody.change({ last: id }, writer) : custody.state;
  if (leaving.id !== id) return custody.state;
  if (leaving.state === "fenced") {
    if (refused !== true) return custody.state;
    const { slice, dropped: after } = leaving;
    // An id that was put under another key meanwhile is that memory's: the one of before was left for the taker.
    const isReplaced = (key: string, memory: string): boolean => machine.placeOf(memory) !== key;
    const dropped = forget(machine, { slice, after, which: isReplaced }, writer);
    if (dropped !== undefined) return custody.change({ leaving: { ...leaving, dropped } }, writer);
    return custody.change({ version: version - 1, leaving: { ...leaving, state: "ended" } }, writer);
  }
  const isOver = custody.forgetChanged(LOOKED_MAX, writer);
  return custody.change({ leaving: isOver ? null : { ...leaving, state: "ended" } }, writer);
}

/** Forgets some of a slice that is another's; done when nothing leaves any more. */
function drop(machine: MemoryMachine, { id }: Of<"drop">, writer: StoreWriter): CustodyState {
  const { custody } = machine;
  const { leaving } = custody.state;
  if (leaving?.id !== id || leaving.state !== "fenced") return custody.state;
  const dropped = forget(machine, { slice: leaving.slice, after: leaving.dropped }, writer);
  if (dropped !== undefined) return custody.change({ leaving: { ...leaving, dropped } }, writer);
  const isOver = custody.forgetChanged(LOOKED_MAX, writer);
  return isOver ? custody.change({ leaving: null }, writer) : custody.state;
}

function arrive(
  machine: MemoryMachine,
  part: Of<"arrive">,
  index: number,
  writer: StoreWriter,
): CustodyState {
  const { custody } = machine;
  const { id, slice } = part;
  const known = custody.state.arriving;
  const isFirst = known === null && id > custody.state.last && part.after === null;
  const isNext = known?.id === id && !known.ended && sameCursor(known.cursor, part.after);
  // It was taken already, or is of a handover that is over.
  if (!isFirst && !isNext) return custody.state;
  if (isFirst) custody.change({ last: id, arriving: { id, slice, cursor: null, ended: false } }, writer);
  for (const item of part.items) {
    const place = machine.placeOf(item.id);
    // A memory of this shard's own under the same id is not replaced: the handover is given up for it.
    if (place === undefined || isInSlice(slice, place)) machine.putMemory(item, writer);
    else custody.clashing(item.id, writer);
  }
  for (const gone of part.removed) {
    const place = machine.placeOf(gone);
    if (place !== undefined && isInSlice(slice, place)) machine.removeMemory(gone, writer);
  }
  const { clashes } = custody.state.arriving ?? {};
  const named = clashes === undefined ? {} : { clashes };
  if (part.last === undefined) {
    return custody.change({ arriving: { id, slice, cursor: part.to, ended: false, ...named } }, writer);
  }
  if (clashes !== undefined) {
    const arriving = { id, slice, cursor: null, ended: true, clashes };
    return custody.change({ arriving, refused: { id, clashes } }, writer);
  }
  machine.sessions.take(part.last.sessions, index);
  return custody.change({ version: custody.state.version + 1, arriving: null }, writer);
}

/** Forgets some of what has come; done when nothing arrives any more. */
function discard(machine: MemoryMachine, { id }: Of<"discard">, writer: StoreWriter): CustodyState {
  const { custody } = machine;
  const { arriving, last } = custody.state;
  if (arriving === null) {
    return last < id ? custody.change({ last: id, refused: { id, clashes: [] } }, writer) : custody.state;
  }
  if (arriving.id !== id) return custody.state;
  const refused = { id, clashes: arriving.clashes ?? [] };
  const after = arriving.ended ? scannedUpTo(arriving.cursor) : null;
  const dropped = forget(machine, { slice: arriving.slice, after }, writer);
  if (dropped === undefined) return custody.change({ arriving: null, refused }, writer);
  const cursor = { scanned: dropped };
  return custody.change({ arriving: { ...arriving, ended: true, cursor }, refused }, writer);
}

function scannedUpTo(cursor: SliceCursor | null): readonly [string, string] | null {
  return cursor !== null && "scanned" in cursor ? cursor.scanned : null;
}

/** Removes memories of the slice after the given one; where it stopped, undefined when there are no more. */
function forget(
  machine: MemoryMachine,
  {
    slice,
    after,
    which = () => true,
  }: {
    readonly slice: KeySlice;
    readonly after: readonly [string, string] | null;
    readonly which?: (key: string, id: string) => boolean;
  },
  writer: StoreWriter,
): readonly [string, string] | undefined {
  const found: [string, string][] = [];
  let looked = 0;
  let last: readonly [string, string] | undefined;
  for (const [key, id] of memoriesAfter(machine, slice, after)) {
    if (looked === LOOKED_MAX || found.length === REMOVED_MAX) break;
    looked += 1;
    last = [key, id];
    if (isInSlice(slice, key) && which(key, id)) found.push([key, id]);
  }
  for (const [key, id] of found) machine.forgetMemory(key, id, writer);
  return last;
}

/** Keys and ids, in order of keys, from which the slice is picked. */
export function* memoriesAfter(
  { store, prefix }: { readonly store: StoreReader; readonly prefix: Key },
  slice: KeySlice | null,
  after: readonly [string, string] | null,
): Iterable<readonly [key: string, id: string]> {
  const memories = extendKey(prefix, "memory");
  const all = slice?.kind === "key" ? extendKey(memories, slice.key) : memories;
  const start = after === null ? all : Buffer.concat([extendKey(memories, ...after), Buffer.of(0)]);
  for (const key of store.keys({ start, end: prefixEnd(all) })) {
    yield decodeKey(key, memories.length) as [string, string];
  }
}

function sameCursor(a: SliceCursor | null, b: SliceCursor | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
