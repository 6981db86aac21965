// Where memories lie in a Redis or Valkey Cluster. Everything that belongs to one shard key is in the slot
// that the key has on every engine (topology/slots.ts), and so is everything that is counted about it: one
// script changes all of it at once. ARCHITECTURE.md lists the keys.

import { slotOf, SLOTS } from "../../../topology/slots.ts";
import { shardHint } from "../../../memory/id.ts";
import type { MemoryEvent } from "../../../model/node-api.ts";
import type { StoredRecord } from "../../../memory/stored.ts";

const PREFIX = "mem0:";

/** Slot -> the smallest number whose decimal digits have it; filled as far as it was looked for. */
const tags: (string | undefined)[] = Array.from({ length: SLOTS });
let nextTag = 0;

/**
 * A hash tag of the slot. The shard key itself cannot be one: it may hold braces, and a slot's own counts
 * need one too.
 */
function tagOf(slot: number): string {
  for (let tag = tags[slot]; ; tag = tags[slot]) {
    if (tag !== undefined) return tag;
    const number = String(nextTag);
    nextTag += 1;
    tags[slotOf(number)] ??= number;
  }
}

function keyIn(slot: number, rest: string): string {
  return `${PREFIX}{${tagOf(slot)}}:${rest}`;
}

/** Hash: the fields of `MEMORY_FIELDS`. */
export function memoryKey(slot: number, id: string): string {
  return keyIn(slot, `memory:${id}`);
}

/** k shard key, r record as JSON, v vector as float32, h history as JSON, c what is counted of it, w the write that made it so. */
export type MemoryField = "k" | "r" | "v" | "h" | "c" | "w";

/** Sorted set, all of score 0: the members of `indexMember`. */
export function indexKey(slot: number): string {
  return keyIn(slot, "index");
}

/** Hash: `memories`, `bytes`, and one field for each entity: `user_id alice` -> [memories, created, updated]. */
export function countsKey(slot: number): string {
  return keyIn(slot, "counts");
}

/** Hash: shard key -> the last write to its memories. */
export function writesKey(slot: number): string {
  return keyIn(slot, "writes");
}

/** String: what a write came to, for as long as it may be sent again. */
export function doneKey(slot: number, write: string): string {
  return keyIn(slot, `done:${write}`);
}

/** String: the slot of a memory whose id does not tell it. */
export function placeKey(id: string): string {
  return keyIn(placeSlot(id), `place:${id}`);
}

export function placeSlot(id: string): number {
  return slotOf(id);
}

/** Where a memory lies that was added here; elsewhere a hint is the number of a shard, or chance. */
export function hintedSlot(id: string): number | undefined {
  return shardHint(id);
}

const SEPARATOR = "\0";

/** By shard key, then by id: a scope's memories follow each other. A shard key holds no control character. */
export function indexMember(shardKey: string, id: string): string {
  return `${shardKey}${SEPARATOR}${id}`;
}

export function memberIn(bytes: Buffer): { readonly shardKey: string; readonly id: string } {
  const text = bytes.toString("utf8");
  const at = text.lastIndexOf(SEPARATOR);
  return { shardKey: text.slice(0, at), id: text.slice(at + 1) };
}

/** Bounds of ZRANGEBYLEX for the members of one shard key. */
export function indexRange(shardKey: string): readonly [min: string, max: string] {
  return [`[${shardKey}${SEPARATOR}`, `(${shardKey}\u0001`];
}

export function encodeRecord(record: StoredRecord): string {
  return JSON.stringify(record);
}

export function decodeRecord(bytes: Buffer): StoredRecord {
  return JSON.parse(bytes.toString("utf8")) as StoredRecord;
}

export function decodeHistory(bytes: Buffer | null): readonly MemoryEvent[] {
  return bytes === null ? [] : (JSON.parse(bytes.toString("utf8")) as MemoryEvent[]);
}
