// One replica group on disk: hard state and log in the log store, where every write is waited for, and the
// applied state in the state store, which may lag behind it: what is missing there is applied again from
// the log. A received snapshot is staged, and flushed, under the next generation of the state and becomes
// the state by one small write to the log store.

import type { DurableState, PersistEffect } from "../../consensus/seam.ts";
import type { GroupId } from "../../model/ids.ts";
import { decodeKey, encodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import type { GroupRecord, LogStore, LogWrite } from "../storage/log-store.ts";
import { StoreCorruptError, type Store, type StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";

/** The two stores of a node; `log` is flushed at once, `state` a little later. */
export interface Stores {
  readonly log: LogStore;
  readonly state: Store;
}

/** Name of the record that says up to where the state was applied. */
export const APPLIED = "applied";

export interface LoadedGroup {
  readonly group: DurableGroup;
  readonly durable: DurableState;
  /** Why the state cannot be used; `durable.applied` is then where the log begins. */
  readonly damage: StoreCorruptError | undefined;
}

/**
 * States of replicas that the log does not know: they were moved away, and a crash kept what they held from
 * being cleaned. Only where every state belongs to a replica with a log.
 */
export function forgottenStates(stores: Stores): readonly { readonly start: Key; readonly end: Key }[] {
  const forgotten: { readonly start: Key; readonly end: Key }[] = [];
  const states = encodeKey("state");
  const end = prefixEnd(states);
  let next: Key | undefined = states;
  while (next !== undefined) {
    const [key]: Iterable<Buffer> = stores.state.keys({ start: next, end });
    if (key === undefined) break;
    const id = String(decodeKey(key, states.length)[0]);
    const all = encodeKey("state", id);
    next = prefixEnd(all);
    if (!stores.log.groups.has(id)) forgotten.push({ start: all, end: next });
  }
  return forgotten;
}

export class DurableGroup {
  readonly id: GroupId;
  private record: GroupRecord;
  private appliedKey: { readonly generation: number; readonly key: Key } | undefined;

  private constructor(id: GroupId, record: GroupRecord) {
    this.id = id;
    this.record = record;
  }

  /** A replica made anew, based on `durable.snapshot` (index 0 for one that will be fed by its leader). */
  static create(id: GroupId, durable: DurableState): { group: DurableGroup; write: LogWrite } {
    const { hardState, snapshot } = durable;
    const group = new DurableGroup(id, { hardState, snapshot, generation: 1 });
    return { group, write: { kind: "group", group: id, record: group.record } };
  }

  /** Reads what is on disk; a state that cannot be read, or is older than the log's beginning, is damaged. */
  static load(id: GroupId, stores: Stores): LoadedGroup | undefined {
    const log = stores.log.groups.get(id);
    if (log === undefined) return undefined;
    const { record } = log;
    const group = new DurableGroup(id, record);
    const { hardState, snapshot } = record;
    const durable = { hardState, snapshot, entries: [...log.entries], applied: snapshot.index };
    try {
      const key = extendKey(group.prefix(), APPLIED);
      const bytes = stores.state.get(key);
      // Nothing applied has reached the disk yet: a founded group begins at its founding entry.
      const applied = bytes === undefined ? Math.min(1, snapshot.index) : Number(unpack(bytes));
      if (applied < snapshot.index) throw new StoreCorruptError(key);
      return { group, durable: { ...durable, applied }, damage: undefined };
    } catch (error) {
      if (!(error instanceof StoreCorruptError)) throw error;
      return { group, durable, damage: error };
    }
  }

  /** Counts the states that the group has had here. */
  get generation(): number {
    return this.record.generation;
  }

  /** The log holds the entries after it. */
  get logBase(): number {
    return this.record.snapshot.index;
  }

  /** Where the state lies now. */
  prefix(): Key {
    return encodeKey("state", this.id, this.record.generation);
  }

  /** Where no state ever lies: what a machine begins with whose own cannot be read. */
  emptyPrefix(): Key {
    return encodeKey("state", this.id, 0);
  }

  /** Where a snapshot that is being received is staged. */
  stagingPrefix(): Key {
    return encodeKey("state", this.id, this.record.generation + 1);
  }

  /** Adds to `writes` what one persist effect asks for. Returns the prefix of a state that was replaced. */
  write(effect: PersistEffect, writes: LogWrite[]): Key | undefined {
    let replaced: Key | undefined;
    const before = this.record;
    let record = before;
    if (effect.hardState !== undefined) record = { ...record, hardState: effect.hardState };
    if (effect.compactTo !== undefined) record = { ...record, snapshot: effect.compactTo };
    if (effect.snapshot !== undefined) {
      replaced = this.prefix();
      record = { ...record, snapshot: effect.snapshot, generation: record.generation + 1 };
    }
    this.record = record;
    // A commit index alone is not worth a flush: after a crash the leader tells it again, and what was
    // applied is known to be committed.
    const promised =
      record.hardState.term !== before.hardState.term || record.hardState.vote !== before.hardState.vote;
    if (promised || record.snapshot !== before.snapshot) {
      writes.push({ kind: "group", group: this.id, record });
    }
    if (effect.truncateFrom !== undefined) {
      writes.push({ kind: "truncate", group: this.id, from: effect.truncateFrom });
    }
    if (effect.entries !== undefined && effect.entries.length > 0) {
      writes.push({ kind: "entries", group: this.id, entries: effect.entries });
    }
    return replaced;
  }

  /** Makes the staged state the state; log and promises stay. Returns the prefix of the state before it. */
  switchState(writes: LogWrite[]): Key {
    const replaced = this.prefix();
    this.record = { ...this.record, generation: this.record.generation + 1 };
    writes.push({ kind: "group", group: this.id, record: this.record });
    return replaced;
  }

  /** Goes into the state store, in the transaction that applied up to `index`. */
  writeApplied(writer: StoreWriter, index: number): void {
    const { generation } = this.record;
    if (this.appliedKey?.generation !== generation) {
      this.appliedKey = { generation, key: extendKey(this.prefix(), APPLIED) };
    }
    writer.put(this.appliedKey.key, () => pack(index));
  }

  /** States of other generations than the current one: what a crash left of a snapshot. */
  leftovers(): readonly { readonly start: Key; readonly end: Key }[] {
    const all = encodeKey("state", this.id);
    const current = this.prefix();
    return [
      { start: all, end: current },
      { start: prefixEnd(current), end: prefixEnd(all) },
    ];
  }

  /** Where every state of the replica lies, of all generations. */
  allStates(): { readonly start: Key; readonly end: Key } {
    const all = encodeKey("state", this.id);
    return { start: all, end: prefixEnd(all) };
  }
}
