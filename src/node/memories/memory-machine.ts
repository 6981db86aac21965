// The state machine of a shard: memories, their vectors, histories and sessions, below one prefix of the
// store. Deterministic: the same commands give the same bytes on every replica.
//
//   memory  <shard key> <id>  -> record and vector   place   <id>   -> shard key
//   entity  <type> <name>     -> [memories, created_at, updated_at]
//   history <id>              -> MemoryEvent[] (once updated)
//   session <session>         -> sessions.ts         totals         -> [memories, bytes, writes]
//   custody, changed          -> custody.ts

import { historyKept, memoryChanged, memoryNotFound, updated } from "../../memory/changes.ts";
import { matches } from "../../memory/filter.ts";
import { SCOPE_FIELDS } from "../../memory/record.ts";
import { countedOf, vectorFrom, type Counted, type StoredRecord } from "../../memory/stored.ts";
import { errorBody, Mem0ctlError } from "../../model/errors.ts";
import type { MemoryEvent } from "../../model/node-api.ts";
import type { Clock } from "../clock.ts";
import type { MachineSize, StateMachine } from "../host/machine.ts";
import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import { payloadOf, Register, type Store, type StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";
import {
  decodeCommand,
  memoryValue,
  recordIn,
  vectorBytesIn,
  type CommandResult,
  type PutItem,
  type ShardCommand,
} from "./commands.ts";
import { Custody, STALE_EPOCH } from "./custody.ts";
import { applyHandover } from "./handover-commands.ts";
import { Sessions } from "./sessions.ts";
import type { VectorCache } from "../../memory/vector-cache.ts";

/** Entities whose counts stay in memory; beyond it all are read anew. */
const ENTITIES_KEPT = 4096;

export type EntityRecord = readonly [memories: number, createdAt: string, updatedAt: string];

interface KnownEntity {
  readonly record: Register;
  /** Undefined where nothing of the entity is there. */
  counts: EntityRecord | undefined;
  /** By a command of the transaction at hand. */
  isChanged: boolean;
}

export class MemoryMachine implements StateMachine {
  readonly owner: string;
  readonly store: Store;
  readonly vectors: VectorCache;
  /** For what is read over several turns. */
  readonly clock: Clock;
  private statePrefix: Key;
  readonly sessions: Sessions;
  /** Which keys it answers for. */
  readonly custody: Custody;
  /** By name, those of each field of SCOPE_FIELDS: most commands are about what was counted shortly before. */
  private readonly entities = SCOPE_FIELDS.map(() => new Map<string, KnownEntity>());
  private entitiesKnown = 0;
  private changedEntities: KnownEntity[] = [];
  /** What the keys of memories and places begin with. */
  private prefixes: { readonly memory: Key; readonly place: Key };
  private totals: Register;
  private memories = 0;
  private bytes = 0;
  private writes = 0;
  /** Of the command that is applied. */
  private index = 0;

  constructor(parts: {
    readonly owner: string;
    readonly store: Store;
    readonly vectors: VectorCache;
    readonly clock: Clock;
    readonly prefix: Key;
    /** The same on every replica. */
    readonly sessionsMax: number;
  }) {
    this.owner = parts.owner;
    this.store = parts.store;
    this.vectors = parts.vectors;
    this.clock = parts.clock;
    this.statePrefix = parts.prefix;
    this.prefixes = prefixesOf(parts.prefix);
    this.totals = totalsOf(parts.prefix);
    this.sessions = new Sessions(parts.store, parts.prefix, parts.sessionsMax);
    this.custody = new Custody(parts.store, parts.prefix);
    this.readTotals();
  }

  get prefix(): Key {
    return this.statePrefix;
  }

  reload(prefix: Key): void {
    this.statePrefix = prefix;
    this.prefixes = prefixesOf(prefix);
    this.totals = totalsOf(prefix);
    this.vectors.drop(this.owner);
    this.forgetEntities();
    this.sessions.reload(prefix);
    this.custody.reload(prefix);
    this.readTotals();
  }

  size(): MachineSize {
    return { memories: this.memories, bytes: this.bytes, writes: this.writes };
  }

  close(): void {
    this.vectors.drop(this.owner);
  }

  finish(writer: StoreWriter): void {
    this.sessions.write(writer);
    this.writeEntities(writer);
    const { memories, bytes, writes } = this;
    writer.put(this.totals, () => pack([memories, bytes, writes]));
  }

  apply(bytes: Uint8Array, index: number, writer: StoreWriter): CommandResult {
    const { session, sequence, answered, command, version } = decodeCommand(bytes);
    this.index = index;
    if (command.t === "handover") {
      return { ok: true, value: applyHandover(this, command.part, index, writer) };
    }
    if (command.t === "open-session") {
      this.sessions.open(session, index);
      return { ok: true, value: null };
    }
    const seen = this.sessions.seen(session, sequence);
    if (seen.kind === "done") return seen.result as CommandResult;
    if (seen.kind === "expired") {
      return {
        ok: false,
        error: errorBody(
          new Mem0ctlError("unknown-outcome", "session-expired", "the session of this write has expired", {
            why: "it was unused for too long, or its answer was already given",
            hint: "read the memory back, or repeat the request with the same id",
          }),
        ),
      };
    }
    this.writes += 1;
    // Kept like any other result: sent again it is refused again, whatever has become of the slice meanwhile.
    const result = this.answersFor(command, version ?? 0) ? this.execute(command, writer) : STALE_EPOCH;
    this.sessions.done(session, sequence, answered, result, index);
    return result;
  }

  private answersFor(command: ShardCommand, version: number): boolean {
    const { custody } = this;
    if (command.t === "put" && command.items.some(({ key }) => custody.isHidden(key))) return false;
    return custody.answers(version, () => {
      if (command.t === "put") return true;
      return (
        (command.t === "update" || command.t === "delete") && this.visiblePlaceOf(command.id) !== undefined
      );
    });
  }

  /** As `placeOf`, of a memory that this shard answers for. */
  visiblePlaceOf(id: string): string | undefined {
    const key = this.placeOf(id);
    return key === undefined || this.custody.isHidden(key) ? undefined : key;
  }

  /** The shard key under which `id` lies. */
  placeOf(id: string): string | undefined {
    return this.store.get(extendKey(this.prefixes.place, id))?.toString();
  }

  record(key: string, id: string): StoredRecord | undefined {
    const value = this.valueOf(key, id);
    return value === undefined ? undefined : recordIn(value);
  }

  /** Record and vector as they are stored. */
  valueOf(key: string, id: string): Buffer | undefined {
    return this.store.get(this.memoryKey(key, id));
  }

  private memoryKey(key: string, id: string): Key {
    return extendKey(this.prefixes.memory, key, id);
  }

  /** Events written since the first update; empty for a memory that was only added. */
  events(id: string): readonly MemoryEvent[] {
    const bytes = this.store.get(extendKey(this.statePrefix, "history", id));
    return bytes === undefined ? [] : (unpack(bytes) as MemoryEvent[]);
  }

  private execute(command: ShardCommand, writer: StoreWriter): CommandResult {
    switch (command.t) {
      case "put":
        for (const item of command.items) {
          // Who made the id just now knows that nothing is there; a retry of it is found by its session.
          if (command.fresh === true) this.addMemory(item, writer);
          else this.putOwn(item, writer);
        }
        return { ok: true, value: command.items.length };
      case "update":
        return this.update(command, writer);
      case "delete": {
        const key = this.visiblePlaceOf(command.id);
        if (key === undefined) return refusal(memoryNotFound(command.id));
        this.remove(key, command.id, writer);
        return { ok: true, value: null };
      }
      case "delete-matching": {
        const found: [string, string][] = [];
        const memories = extendKey(this.statePrefix, "memory");
        for (const { key, value } of this.store.range({ start: memories, end: prefixEnd(memories) })) {
          const [shardKey, id] = decodeKey(key, memories.length) as [string, string];
          if (this.custody.isHidden(shardKey)) continue;
          if (matches(command.filter, { id, ...recordIn(value) })) found.push([shardKey, id]);
        }
        for (const [shardKey, id] of found) this.remove(shardKey, id, writer);
        return { ok: true, value: found.length };
      }
      case "open-session":
      case "handover":
        return { ok: true, value: null };
    }
  }

  /** As `putMemory`, of a memory of this shard's own: one that has only arrived under its id is not replaced unsaid. */
  private putOwn(item: PutItem, writer: StoreWriter): void {
    const { custody } = this;
    const arrived = custody.state.arriving === null ? undefined : this.placeOf(item.id);
    if (arrived !== undefined && custody.isHidden(arrived)) custody.clashing(item.id, writer);
    this.putMemory(item, writer);
  }

  /** Writes a memory, in place of one with the same id. */
  putMemory(item: PutItem, writer: StoreWriter): void {
    this.removeMemory(item.id, writer);
    this.addMemory(item, writer);
  }

  private addMemory(item: PutItem, writer: StoreWriter): void {
    const { value } = item;
    writer.put(this.memoryKey(item.key, item.id), value);
    writer.put(extendKey(this.prefixes.place, item.id), item.key);
    if (item.history !== undefined && item.history.length > 0) {
      writer.put(extendKey(this.statePrefix, "history", item.id), pack(historyKept(item.history)));
    }
    this.custody.touched(item.id, item.key, this.index, writer);
    this.memories += 1;
    this.bytes += value.length;
    this.countEntities(item.counted, 1);
    this.cache(item.key, item.id, value);
  }

  private update(command: ShardCommand & { readonly t: "update" }, writer: StoreWriter): CommandResult {
    const key = this.visiblePlaceOf(command.id);
    const old = key === undefined ? undefined : this.valueOf(key, command.id);
    if (key === undefined || old === undefined) return refusal(memoryNotFound(command.id));
    const before = recordIn(old);
    if (command.ifHash !== undefined && before.hash !== command.ifHash)
      return refusal(memoryChanged(command.id, before));
    const { after, events } = updated(command, before, this.events(command.id));
    const value = memoryValue(after, command.vector ?? vectorBytesIn(old));
    writer.put(this.memoryKey(key, command.id), value);
    this.custody.touched(command.id, key, this.index, writer);
    this.bytes += value.length - old.length;
    if (command.vector !== undefined) this.cache(key, command.id, value);
    writer.put(extendKey(this.statePrefix, "history", command.id), pack(events));
    this.countEntities(countedOf(after), 0);
    return { ok: true, value: { id: command.id, ...after } };
  }

  /** Removes a memory where there is one. */
  removeMemory(id: string, writer: StoreWriter): void {
    const key = this.placeOf(id);
    // What is another shard's from now on is that one's to replace; its events are not those of what takes the id here.
    if (key !== undefined && this.custody.state.leaving?.state === "fenced" && this.custody.isHidden(key)) {
      writer.remove(extendKey(this.statePrefix, "history", id));
      return;
    }
    if (key !== undefined) this.remove(key, id, writer);
  }

  /** Removes a memory of a slice that is another shard's; one with the same id under another key stays. */
  forgetMemory(key: string, id: string, writer: StoreWriter): void {
    this.remove(key, id, writer, this.placeOf(id) === key);
  }

  /** Counts memories and entities anew, after records were lost. */
  recount(writer: StoreWriter): void {
    this.memories = 0;
    this.bytes = 0;
    this.forgetEntities();
    // What was removed meanwhile may have been any record.
    this.totals = totalsOf(this.statePrefix);
    this.vectors.drop(this.owner);
    const entities = extendKey(this.statePrefix, "entity");
    const counted = [...this.store.keys({ start: entities, end: prefixEnd(entities) })];
    for (const key of counted) writer.remove(key);
    const memories = extendKey(this.statePrefix, "memory");
    for (const { value } of this.store.range({ start: memories, end: prefixEnd(memories) })) {
      this.memories += 1;
      this.bytes += value.length;
      this.countEntities(countedOf(recordIn(value)), 1);
    }
  }

  private remove(key: string, id: string, writer: StoreWriter, isPlaced = true): void {
    const value = this.valueOf(key, id);
    if (value === undefined) return;
    writer.remove(this.memoryKey(key, id));
    for (const kind of isPlaced ? ["place", "history"] : []) {
      writer.remove(extendKey(this.statePrefix, kind, id));
    }
    this.custody.touched(id, key, this.index, writer);
    this.memories -= 1;
    this.bytes -= value.length;
    this.countEntities(countedOf(recordIn(value)), -1);
    this.vectors.peek(this.owner, key)?.delete(id);
  }

  /** `change` 1 for an added memory, -1 for a removed one, 0 for one that was updated. */
  private countEntities([names, createdAt, updatedAt]: Counted, change: -1 | 0 | 1): void {
    for (let at = 0; at < SCOPE_FIELDS.length; at += 1) {
      const name = names[at];
      if (name === undefined || name === null) continue;
      const entity = this.entities[at]?.get(name) ?? this.readEntity(at, name);
      const { counts } = entity;
      // One whose last memory went is gone, whether a transaction ended in between or not: replicas group
      // commands into transactions as they come.
      const [count, created, updated] =
        counts !== undefined && counts[0] > 0 ? counts : [0, createdAt, updatedAt];
      const newest = change >= 0 && updatedAt > updated ? updatedAt : updated;
      const oldest = createdAt < created ? createdAt : created;
      entity.counts = [count + change, oldest, newest];
      if (!entity.isChanged) this.changedEntities.push(entity);
      entity.isChanged = true;
    }
  }

  private readEntity(at: number, name: string): KnownEntity {
    const field = SCOPE_FIELDS[at] ?? "";
    // Memory of its own, for it is kept: a piece of the buffers' pool would keep all of them from being freed.
    const key = Buffer.from(Uint8Array.from(extendKey(this.statePrefix, "entity", field, name)).buffer);
    const bytes = this.store.get(key);
    const counts = bytes === undefined ? undefined : (unpack(bytes) as EntityRecord);
    const entity = { record: new Register(key), counts, isChanged: false };
    this.entities[at]?.set(name, entity);
    this.entitiesKnown += 1;
    return entity;
  }

  /** Once per transaction: many memories of one user change one record. */
  private writeEntities(writer: StoreWriter): void {
    for (const entity of this.changedEntities) {
      const { record, counts } = entity;
      const isLeft = counts !== undefined && counts[0] > 0;
      if (isLeft) writer.put(record, () => pack(counts));
      else writer.remove(record);
      if (!isLeft) entity.counts = undefined;
      entity.isChanged = false;
    }
    this.changedEntities = [];
    if (this.entitiesKnown > ENTITIES_KEPT) this.forgetEntities();
  }

  private forgetEntities(): void {
    for (const known of this.entities) known.clear();
    this.entitiesKnown = 0;
    this.changedEntities = [];
  }

  /** The cache may forget a scope; it never stops a replica. */
  private cache(key: string, id: string, value: Uint8Array): void {
    try {
      this.vectors.peek(this.owner, key)?.set(id, vectorFrom(vectorBytesIn(payloadOf(value))));
    } catch {
      this.vectors.forget(this.owner, key);
    }
  }

  private readTotals(): void {
    const bytes = this.store.get(this.totals.key);
    const totals: readonly [number, number, number?] =
      bytes === undefined ? [0, 0] : (unpack(bytes) as [number, number, number?]);
    // A state that was written before writes were counted has two numbers.
    [this.memories, this.bytes, this.writes] = [totals[0], totals[1], totals[2] ?? 0];
  }
}

function prefixesOf(state: Key): { readonly memory: Key; readonly place: Key } {
  return { memory: extendKey(state, "memory"), place: extendKey(state, "place") };
}

function totalsOf(state: Key): Register {
  return new Register(extendKey(state, "totals"));
}

function refusal(error: Mem0ctlError): CommandResult {
  return { ok: false, error: errorBody(error) };
}
