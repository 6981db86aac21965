// What an update does to a memory and its history, and what is said where it cannot be done.

import { Mem0ctlError } from "../model/errors.ts";
import type { MemoryEvent } from "../model/node-api.ts";
import type { StoredRecord } from "./stored.ts";

/** Most events a memory's history keeps; the oldest go first. */
export const HISTORY_EVENTS_KEPT = 100;

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
  return { after, events: [...known, event].slice(-HISTORY_EVENTS_KEPT) };
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
