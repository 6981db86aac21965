// What an update does to a memory and its history, and what is said where it cannot be done.

import { Mem0ctlError } from "../model/errors.ts";
import type { MemoryEvent } from "../model/node-api.ts";
import type { StoredRecord } from "./stored.ts";

/** Most events a memory's history keeps; the oldest go first. */
const HISTORY_EVENTS_KEPT = 100;
/** And bytes of their texts. It is written anew with every update, and goes from node to node in one piece. */
const HISTORY_BYTES_KEPT = 2 << 20;
/** Of an event, besides its texts. */
const EVENT_BYTES = 200;

export interface RecordChange {
  readonly id: string;
  readonly text?: string;
  /** Of the text. */
  readonly hash?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly at: string;
}

/** A memory after an update, and its history with the event of it. */
export function updated(
  change: RecordChange,
  before: StoredRecord,
  history: readonly MemoryEvent[],
): { readonly after: StoredRecord; readonly events: readonly MemoryEvent[] } {
  const after: StoredRecord = {
    ...before,
    ...(change.text === undefined ? {} : { memory: change.text }),
    ...(change.hash === undefined ? {} : { hash: change.hash }),
    ...(change.metadata === undefined ? {} : { metadata: change.metadata }),
    updated_at: change.at,
  };
  const known = history.length > 0 ? history : [addedEvent(change.id, before)];
  const event: MemoryEvent = {
    id: eventId(change.id, eventNumber(known) + 1),
    event: "UPDATE",
    old_memory: before.memory,
    new_memory: after.memory,
    created_at: change.at,
  };
  return { after, events: historyKept([...known, event]) };
}

/** What is kept of a history: its newest events, the last of them however large it is. */
export function historyKept(events: readonly MemoryEvent[]): readonly MemoryEvent[] {
  let first = events.length;
  for (let bytes = 0; first > Math.max(0, events.length - HISTORY_EVENTS_KEPT); first -= 1) {
    bytes += historyBytes(events.slice(first - 1, first));
    if (bytes > HISTORY_BYTES_KEPT && first < events.length) break;
  }
  return events.slice(first);
}

/** Bytes of a history on its way, roughly. */
export function historyBytes(events: readonly MemoryEvent[] = []): number {
  let bytes = 0;
  for (const { old_memory: old, new_memory: text } of events) {
    bytes += EVENT_BYTES + Buffer.byteLength(old ?? "") + Buffer.byteLength(text ?? "");
  }
  return bytes;
}

/** The event that a memory's history begins with; not stored before there is a second one. */
export function addedEvent(id: string, record: StoredRecord): MemoryEvent {
  return {
    id: eventId(id, 1),
    event: "ADD",
    old_memory: null,
    new_memory: record.memory,
    created_at: record.created_at,
  };
}

/** Within what an id may be, so that an exported history can be imported again. */
function eventId(memory: string, number: number): string {
  return `${memory.slice(0, 100)}-e${number}`;
}

function eventNumber(events: readonly MemoryEvent[]): number {
  const last = /-e(\d{1,9})$/.exec(events.at(-1)?.id ?? "")?.[1];
  return last === undefined ? events.length : Number(last);
}

export function memoryChanged(id: string, { hash, updated_at: at }: StoredRecord): Mem0ctlError {
  return new Mem0ctlError("conflict", "memory-changed", `memory ${id} is not what it was`, {
    why: `the hash of its text is ${hash}; it was updated at ${at}`,
    hint: `read it again with \`mem0ctl memories get ${id}\`, and decide anew`,
    data: { id, hash, updated_at: at },
  });
}

export function memoryNotFound(id: string): Mem0ctlError {
  return new Mem0ctlError("not-found", "memory-not-found", `there is no memory ${id}`, {
    why: "it was never added, or it was deleted",
    hint: "see what is there with `mem0ctl memories list --user ID`",
  });
}
