// A memory as it is kept, whatever keeps it: made of what a caller brought, and given back as one line of
// an export.

import type { MemoryEvent, MemoryRecord } from "../model/node-api.ts";
import { SCOPE_FIELDS, textHash, type Scope } from "./record.ts";
import type { NewMemory } from "./service.ts";

/** A memory without its id, its vector and its history, which lie beside it. */
export interface StoredRecord extends Scope {
  readonly memory: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly categories?: readonly string[];
  readonly created_at: string;
  readonly updated_at: string;
  /** MD5 of the text in hex. */
  readonly hash: string;
}

/** What of a record is counted under its entities: the names in the order of SCOPE_FIELDS, and its times. */
export type Counted = readonly [names: readonly (string | null)[], createdAt: string, updatedAt: string];

export function countedOf(record: StoredRecord): Counted {
  return [SCOPE_FIELDS.map((field) => record[field] ?? null), record.created_at, record.updated_at];
}

/** Of a memory that is new at the time `at`. */
export function newRecord(memory: NewMemory, at: string): StoredRecord {
  const { text, embedding: _, ...rest } = memory;
  return { memory: text, ...rest, created_at: at, updated_at: at, hash: textHash(text) };
}

/** Of a memory that was exported somewhere: everything as it was there. */
export function importedRecord(record: MemoryRecord): StoredRecord {
  const { id: _, embedding: _vector, history: _history, ...rest } = record;
  return { ...rest, hash: textHash(record.memory) };
}

export function exportedRecord(
  id: string,
  stored: StoredRecord,
  vector: Float32Array | undefined,
  history: readonly MemoryEvent[],
): MemoryRecord {
  const { hash: _, ...record } = stored;
  return {
    id,
    ...record,
    ...(vector === undefined ? {} : { embedding: [...vector] }),
    ...(history.length === 0 ? {} : { history }),
  };
}

/** Little-endian float32, as every machine that runs this has it in memory. */
export function vectorBytes(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** A copy, aligned. */
export function vectorFrom(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.prototype.slice.call(bytes).buffer as ArrayBuffer, 0, bytes.length / 4);
}
