// What is read of one shard's state: by id, by filter, by similarity, as pages for export. Long reads work on
// a snapshot of the store and give way to others, so that no heartbeat waits for them.

import { addedEvent, historyBytes, memoryNotFound } from "../../memory/changes.ts";
import { ENTITY_TYPES, mergeEntities } from "../../memory/entities.ts";
import { boundingShardKeys, matches, type Filter } from "../../memory/filter.ts";
import { bestFirst, cosine, newestFirst } from "../../memory/ranking.ts";
import { SCOPE_FIELDS, type ScopeField } from "../../memory/record.ts";
import type { EntityCount, ScoredMemory, StoredMemory } from "../../memory/service.ts";
import { countedOf, exportedRecord, vectorFrom, type StoredRecord } from "../../memory/stored.ts";
import { VectorSet } from "../../memory/vector-set.ts";
import type { ShardKeyField } from "../../model/ids.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { ExportPage, MemoryEvent, MemoryRecord } from "../../model/node-api.ts";
import { giveWay } from "../clock.ts";
import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import type { StoreReader } from "../storage/store.ts";
import { unpack } from "../transport/frames.ts";
import { recordIn, vectorBytesIn } from "./commands.ts";
import type { EntityRecord, MemoryMachine } from "./memory-machine.ts";

/** Records looked at before others get their turn. */
const RECORDS_PER_TURN = 500;
const EXPORT_BYTES_MAX = 4 << 20;
/** Of a number of a vector, written out. */
const VECTOR_NUMBER_BYTES = 10;

/** Throws `memory-not-found`. */
export function getMemory(machine: MemoryMachine, id: string): StoredMemory {
  const key = machine.visiblePlaceOf(id);
  const record = key === undefined ? undefined : machine.record(key, id);
  if (record === undefined) throw memoryNotFound(id);
  return { id, ...record };
}

export function getHistory(machine: MemoryMachine, id: string): readonly MemoryEvent[] {
  const { id: _, ...record } = getMemory(machine, id);
  const events = machine.events(id);
  return events.length > 0 ? events : [addedEvent(id, record)];
}

interface Found {
  readonly key: string;
  readonly id: string;
  readonly record: StoredRecord;
  /** Record and vector as they are stored. */
  readonly value: Buffer;
}

/** Every record of the shard that can match, in key order. */
async function* scan(
  machine: MemoryMachine,
  reader: StoreReader,
  filter: Filter,
  keyField: ShardKeyField,
): AsyncGenerator<Found> {
  const memories = extendKey(machine.prefix, "memory");
  const keys = boundingShardKeys(filter, keyField);
  const prefixes: readonly Key[] =
    keys === undefined ? [memories] : keys.map((key) => extendKey(memories, key));
  let looked = 0;
  for (const prefix of prefixes) {
    for (const { key: bytes, value } of reader.range({ start: prefix, end: prefixEnd(prefix) })) {
      looked += 1;
      if (looked % RECORDS_PER_TURN === 0) await giveWay(machine.clock);
      const [key, id] = decodeKey(bytes, memories.length) as [string, string];
      if (machine.custody.isHidden(key)) continue;
      const record = recordIn(value);
      if (matches(filter, { id, ...record })) yield { key, id, record, value };
    }
  }
}

/** Newest first: the first `limit` of all that match, and how many match. */
export async function listMemories(
  machine: MemoryMachine,
  filter: Filter,
  keyField: ShardKeyField,
  limit: number,
): Promise<{ readonly count: number; readonly newest: readonly StoredMemory[] }> {
  const snapshot = machine.store.snapshot();
  try {
    let count = 0;
    let newest: StoredMemory[] = [];
    for await (const { id, record } of scan(machine, snapshot, filter, keyField)) {
      count += 1;
      newest.push({ id, ...record });
      if (newest.length >= 2 * limit + 1000) newest = newest.toSorted(newestFirst).slice(0, limit);
    }
    return { count, newest: newest.toSorted(newestFirst).slice(0, limit) };
  } finally {
    snapshot.close();
  }
}

export interface SearchQuery {
  readonly filter: Filter;
  readonly vector: Float32Array;
  readonly topK: number;
  readonly threshold: number;
}

/** The `topK` best of the shard, best first. Exact: every vector of the scope is compared. */
export async function searchMemories(
  machine: MemoryMachine,
  query: SearchQuery,
  keyField: ShardKeyField,
): Promise<readonly ScoredMemory[]> {
  const keys = boundingShardKeys(query.filter, keyField);
  if (keys === undefined) return searchEverything(machine, query, keyField);
  const best: ScoredMemory[] = [];
  for (const key of keys) {
    const set =
      machine.vectors.get(machine.owner, key) ?? (await loadVectors(machine, key, query.vector.length));
    let taken = 0;
    let looked = 0;
    for (const { id, score } of set.search(query.vector)) {
      if (taken >= query.topK || score < query.threshold) break;
      looked += 1;
      if (looked % RECORDS_PER_TURN === 0) await giveWay(machine.clock);
      const record = machine.record(key, id);
      if (record === undefined || !matches(query.filter, { id, ...record })) continue;
      best.push({ id, ...record, score });
      taken += 1;
    }
  }
  return best.toSorted(bestFirst).slice(0, query.topK);
}

/** Without a scope to bound it: every record that matches, one vector at a time, nothing kept in memory. */
async function searchEverything(
  machine: MemoryMachine,
  query: SearchQuery,
  keyField: ShardKeyField,
): Promise<readonly ScoredMemory[]> {
  const snapshot = machine.store.snapshot();
  try {
    let best: ScoredMemory[] = [];
    for await (const { id, record, value } of scan(machine, snapshot, query.filter, keyField)) {
      const score = cosine(query.vector, vectorFrom(vectorBytesIn(value)));
      if (score < query.threshold) continue;
      best.push({ id, ...record, score });
      if (best.length >= 2 * query.topK + 1000) best = best.toSorted(bestFirst).slice(0, query.topK);
    }
    return best.toSorted(bestFirst).slice(0, query.topK);
  } finally {
    snapshot.close();
  }
}

/**
 * Loads a scope's vectors. In one turn: what is applied meanwhile must not be missed, and a set that is
 * filled over several turns would miss it. 10,000 vectors of 384 take some 20 ms, once per scope.
 */
async function loadVectors(machine: MemoryMachine, key: string, dimensions: number): Promise<VectorSet> {
  await giveWay(machine.clock);
  const known = machine.vectors.get(machine.owner, key);
  if (known !== undefined) return known;
  const set = new VectorSet(dimensions);
  const prefix = extendKey(machine.prefix, "memory", key);
  for (const { key: bytes, value } of machine.store.range({ start: prefix, end: prefixEnd(prefix) })) {
    set.set(String(decodeKey(bytes, prefix.length)[0]), vectorFrom(vectorBytesIn(value)));
  }
  machine.vectors.add(machine.owner, key, set);
  return set;
}

export async function listEntities(machine: MemoryMachine): Promise<EntityCount[]> {
  // The counts are of all that lies here; while some of it is another shard's, they are made anew.
  if (machine.custody.hidden !== undefined) return countEntities(machine);
  const prefix = extendKey(machine.prefix, "entity");
  const entities: EntityCount[] = [];
  for (const { key, value } of machine.store.range({ start: prefix, end: prefixEnd(prefix) })) {
    const [field, name] = decodeKey(key, prefix.length) as [ScopeField, string];
    const [memories, created_at, updated_at] = unpack(value) as EntityRecord;
    entities.push({ type: ENTITY_TYPES[field], name, memories, created_at, updated_at });
  }
  return entities;
}

async function countEntities(machine: MemoryMachine): Promise<EntityCount[]> {
  const entities: EntityCount[] = [];
  await forEachVisible(machine, (value) => {
    const [names, created_at, updated_at] = countedOf(recordIn(value));
    for (const [at, field] of SCOPE_FIELDS.entries()) {
      const name = names[at];
      if (name === undefined || name === null) continue;
      entities.push({ type: ENTITY_TYPES[field], name, memories: 1, created_at, updated_at });
    }
  });
  return [...mergeEntities(entities)];
}

/** Memories and bytes of those keys that the shard answers for. */
export async function visibleSize(
  machine: MemoryMachine,
): Promise<{ readonly memories: number; readonly bytes: number }> {
  if (machine.custody.hidden === undefined) return machine.size();
  let memories = 0;
  let bytes = 0;
  await forEachVisible(machine, (value) => {
    memories += 1;
    bytes += value.length;
  });
  return { memories, bytes };
}

async function forEachVisible(machine: MemoryMachine, work: (value: Buffer) => void): Promise<void> {
  const snapshot = machine.store.snapshot();
  try {
    const memories = extendKey(machine.prefix, "memory");
    let looked = 0;
    for (const { key, value } of snapshot.range({ start: memories, end: prefixEnd(memories) })) {
      looked += 1;
      if (looked % RECORDS_PER_TURN === 0) await giveWay(machine.clock);
      if (!machine.custody.isHidden(String(decodeKey(key, memories.length)[0]))) work(value);
    }
  } finally {
    snapshot.close();
  }
}

/** A page of whole records, by id. `cursor` is the last id of the page before. */
export function exportMemories(machine: MemoryMachine, cursor: string | null, limit: number): ExportPage {
  const places = extendKey(machine.prefix, "place");
  const start = cursor === null ? places : Buffer.concat([extendKey(places, cursor), Buffer.of(0)]);
  const records: MemoryRecord[] = [];
  let bytes = 0;
  let more = false;
  for (const { key, value } of machine.store.range({ start, end: prefixEnd(places) })) {
    if (records.length >= limit || bytes >= EXPORT_BYTES_MAX) {
      more = true;
      break;
    }
    const id = String(decodeKey(key, places.length)[0]);
    const shardKey = value.toString();
    if (machine.custody.isHidden(shardKey)) continue;
    const stored = machine.valueOf(shardKey, id);
    if (stored === undefined)
      throw new Mem0ctlError("failed", "record-missing", `the record of memory ${id} is missing`);
    const vector = vectorFrom(vectorBytesIn(stored));
    const events = machine.events(id);
    records.push(exportedRecord(id, recordIn(stored), vector, events));
    bytes += stored.length + vector.length * VECTOR_NUMBER_BYTES + historyBytes(events);
  }
  return { records, cursor: more ? (records.at(-1)?.id ?? null) : null };
}
