// The two ends of a handover in their logs. The giver's: leave, then fence, then drop, or stay where it is given up.
// The taker's: arrive, part by part, the last of which makes the slice its own; or discard. Each answers with the
// custody that holds after it, from which whoever carries the handover out sees what is done.

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
/** Ids that are named, of those that cannot be taken. */
export const CLASHES_NAMED_MAX = 10;

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

/** Gives it up, unless it is too late for that; done when nothing leaves any more. */
function stay({ custody }: MemoryMachine, { id }: Of<"stay">, writer: StoreWriter): CustodyState {
  const { leaving, last } = custody.state;
  if (leaving === null) return last < id ? custody.change({ last: id }, writer) : custody.state;
  if (leaving.id !== id || leaving.state === "fenced") return custody.state;
  const isOver = custody.forgetChanged(LOOKED_MAX, writer);
  return custody.change({ leaving: isOver ? null : { ...leaving, state: "ended" } }, writer);
}

/** Forgets some of a slice that is another's; done when nothing leaves any more. */
function drop(machine: MemoryMachine, { id }: Of<"drop">, writer: StoreWriter): CustodyState {
  const { custody } = machine;
  const { leaving } = custody.state;
  if (leaving?.id !== id || leaving.state !== "fenced") return custody.state;
  const dropped = forget(machine, leaving.slice, leaving.dropped, writer);
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
  const clashes = [...(known?.clashes ?? [])];
  for (const item of part.items) {
    const place = machine.placeOf(item.id);
    // A memory of this shard's own under the same id is not replaced: the handover may yet be given up, and is for it.
    if (place === undefined || isInSlice(slice, place)) machine.putMemory(item, writer);
    else if (clashes.length < CLASHES_NAMED_MAX) clashes.push(item.id);
  }
  for (const gone of part.removed) {
    const place = machine.placeOf(gone);
    if (place !== undefined && isInSlice(slice, place)) machine.removeMemory(gone, writer);
  }
  if (part.last === undefined) {
    const named = clashes.length === 0 ? {} : { clashes };
    return custody.change({ arriving: { id, slice, cursor: part.to, ended: false, ...named } }, writer);
  }
  machine.sessions.take(part.last.sessions, index);
  return custody.change({ version: custody.state.version + 1, arriving: null }, writer);
}

/** Forgets some of what has come; done when nothing arrives any more. */
function discard(machine: MemoryMachine, { id }: Of<"discard">, writer: StoreWriter): CustodyState {
  const { custody } = machine;
  const { arriving, last } = custody.state;
  if (arriving === null) return last < id ? custody.change({ last: id }, writer) : custody.state;
  if (arriving.id !== id) return custody.state;
  const from = arriving.ended ? scannedUpTo(arriving.cursor) : null;
  const dropped = forget(machine, arriving.slice, from, writer);
  if (dropped === undefined) return custody.change({ arriving: null }, writer);
  return custody.change({ arriving: { ...arriving, ended: true, cursor: { scanned: dropped } } }, writer);
}

function scannedUpTo(cursor: SliceCursor | null): readonly [string, string] | null {
  return cursor !== null && "scanned" in cursor ? cursor.scanned : null;
}

/** Removes memories of the slice after the given one; where it stopped, undefined when there are no more. */
function forget(
  machine: MemoryMachine,
  slice: KeySlice,
  after: readonly [string, string] | null,
  writer: StoreWriter,
): readonly [string, string] | undefined {
  const found: [string, string][] = [];
  let looked = 0;
  let last: readonly [string, string] | undefined;
  for (const [key, id] of memoriesAfter(machine, slice, after)) {
    if (looked === LOOKED_MAX || found.length === REMOVED_MAX) break;
    looked += 1;
    last = [key, id];
    if (isInSlice(slice, key)) found.push([key, id]);
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
