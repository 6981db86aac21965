// One replica group on disk: hard state and log in the log store, where every write is waited for, and the
// applied state in the state store, which may lag behind it: what is missing there is applied again from
// the log. A received snapshot is staged, and flushed, under the next generation of the state and becomes
// the state by one small write to the log store.

import type { DurableState, PersistEffect } from "../../consensus/seam.ts";
import type { GroupId } from "../../model/ids.ts";
import { decodeKey, encodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import { marked } from "../storage/log-salvage.ts";
import type { GroupRecord, GroupRecovery, LogStore, LogWrite } from "../storage/log-store.ts";
import { Register, StoreCorruptError, type Store, type StoreWriter } from "../storage/store.ts";
import type { Learned } from "./promise-reports.ts";
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
  readonly damage: Error | undefined;
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

/**
 * The generation of a replica that is made anew: one that no state of it lies under. Of one that was moved away,
 * and called back, records may be left that are still to be deleted, and a crash must not make them its state. Nor is
 * it one that the replica had before it was moved away: a log that lost all since then would look like the whole one.
 */
export function generationAfter(state: Store, id: GroupId): number {
  const all = encodeKey("state", id);
  const end = prefixEnd(all);
  let generation = readNumber(state, FORGOTTEN) ?? 0;
  for (let next: Key = all; ; next = prefixEnd(encodeKey("state", id, generation))) {
    const [key]: Iterable<Buffer> = state.keys({ start: next, end });
    if (key === undefined) return generation + 1;
    generation = Math.max(generation, Number(decodeKey(key, all.length)[0]));
  }
}

/** Index and term of the last entry that was applied: what a log has to agree with that was damaged. */
const APPLIED_TERM = "applied-term";

/**
 * Of each replica, the generation of its state that the log is known to have on disk. It is written after the log, and
 * goes before the log's record of it does: a log that lacks it was cut off.
 */
const LOGGED = encodeKey("logged");

/** The highest generation of all replicas that were forgotten: one number for as many of them as there may be. */
const FORGOTTEN = encodeKey("forgotten");

/** Notes that the log has this generation of the replica on disk; nothing to write where that is known. */
export function noteLogged(state: Store, id: GroupId, generation: number): Promise<void> {
  const key = encodeKey("logged", id);
  if (readNumber(state, key) === generation) return Promise.resolve();
  return state.transact((writer) => writer.put(key, () => pack(generation)));
}

/**
 * From now on the log may lose the replica, whose state is of this generation; where that is not known, of the one
 * that the log had. Resolves once that is on disk.
 */
export function forgetLogged(state: Store, id: GroupId, generation?: number): Promise<void> {
  const key = encodeKey("logged", id);
  const highest = Math.max(readNumber(state, FORGOTTEN) ?? 0, generation ?? readNumber(state, key) ?? 0);
  return state.transact((writer) => {
    writer.put(FORGOTTEN, () => pack(highest));
    writer.remove(key);
  });
}

/** Replicas that the log was known to have on disk. */
export function loggedGroups(state: Store): readonly GroupId[] {
  const ids: GroupId[] = [];
  for (const key of state.keys({ start: LOGGED, end: prefixEnd(LOGGED) })) {
    ids.push(String(decodeKey(key, LOGGED.length)[0]));
  }
  return ids;
}

/** Whether the state holds something that the log, which is flushed first, does not: then the end of the log was lost. */
export function isLogShort(stores: Stores): boolean {
  const { log, state } = stores;
  for (const id of loggedGroups(state)) if (!log.groups.has(id)) return true;
  for (const [id, { record, entries }] of log.groups) {
    // It begins anew, and the state that lies there is not its own any more.
    if (record.recovery?.refill === true) continue;
    const logged = readNumber(state, encodeKey("logged", id));
    if (logged !== undefined && logged > record.generation) return true;
    const applied = readNumber(state, extendKey(encodeKey("state", id, record.generation), APPLIED));
    if (applied !== undefined && applied > record.snapshot.index + entries.length) return true;
  }
  return false;
}

/** What cannot be read says nothing: it is repaired as damage of the state. */
function readNumber(state: Store, key: Key): number | undefined {
  try {
    const bytes = state.get(key);
    return bytes === undefined ? undefined : Number(unpack(bytes));
  } catch (error) {
    if (!(error instanceof StoreCorruptError)) throw error;
    return undefined;
  }
}

export class DurableGroup {
  readonly id: GroupId;
  private record: GroupRecord;
  private appliedRecords:
    | { readonly generation: number; readonly applied: Register; readonly appliedTerm: Register }
    | undefined;

  private constructor(id: GroupId, record: GroupRecord) {
    this.id = id;
    this.record = record;
  }

  /**
   * A replica made anew, based on `durable.snapshot` (index 0 for one that will be fed by its leader).
   * `recovery` where there may have been one before, in a log that was damaged.
   */
  static create(
    id: GroupId,
    generation: number,
    durable: DurableState,
    recovery?: GroupRecovery,
  ): { group: DurableGroup; write: LogWrite } {
    const { hardState, snapshot } = durable;
    const record = { hardState, snapshot, generation };
    const group = new DurableGroup(id, recovery === undefined ? record : { ...record, recovery });
    return { group, write: { kind: "group", group: id, record: group.record } };
  }

  /**
   * Reads what is on disk; a state that cannot be read, or is older than the log's beginning, is damaged.
   * `logsMatch`: the protocol's logs agree on all that comes before an entry on which they agree.
   */
  static load(id: GroupId, stores: Stores, logsMatch: boolean): LoadedGroup | undefined {
    const log = stores.log.groups.get(id);
    if (log === undefined) return undefined;
    const { record } = log;
    const group = new DurableGroup(id, record);
    const { hardState, snapshot } = record;
    const durable = { hardState, snapshot, entries: [...log.entries], applied: snapshot.index };
    if (record.recovery !== undefined) return group.loadRecovering(durable, stores.state, logsMatch);
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

  /**
   * After damage of the log, what is left of it is kept only where the state vouches for it: the entry that
   * was applied last is in the log, with its term, so all before are those that were committed. Where logs do not
   * match, as in paxos, whose slots are written in any order and written again, one entry says nothing of others:
   * what is left counts only once a state has been sent, and the log was not damaged since.
   */
  private loadRecovering(durable: DurableState, state: Store, logsMatch: boolean): LoadedGroup {
    const { snapshot, entries, hardState } = durable;
    const { refill, term: begunIn } = this.record.recovery ?? { refill: true };
    const isWhole = refill === false && (logsMatch || begunIn !== undefined);
    try {
      const bytes = state.get(extendKey(this.prefix(), APPLIED));
      const termBytes = state.get(extendKey(this.prefix(), APPLIED_TERM));
      const applied = bytes === undefined ? -1 : Number(unpack(bytes));
      const [index, term] = termBytes === undefined ? [-1, 0] : (unpack(termBytes) as [number, number]);
      const own = applied === snapshot.index ? snapshot.term : entries[applied - snapshot.index - 1]?.term;
      if (isWhole && index === applied && own === term) {
        const commit = Math.min(snapshot.index + entries.length, Math.max(hardState.commit, applied));
        return {
          group: this,
          durable: { ...durable, hardState: { ...hardState, commit }, applied },
          damage: undefined,
        };
      }
    } catch (error) {
      if (!(error instanceof StoreCorruptError)) throw error;
    }
    // In the term that it chose before it may have acknowledged what is gone now: it asks for another one.
    if (!refill) this.record = marked(this.record, true);
    return {
      group: this,
      durable: {
        hardState: { ...hardState, commit: 0 },
        snapshot: { index: 0, term: 0, membership: snapshot.membership },
        entries: [],
        applied: 0,
      },
      damage: new Error("its log was damaged, and what is left does not reach its state"),
    };
  }

  /** Set while it recovers from damage of the log. */
  get recovery(): GroupRecovery | undefined {
    return this.record.recovery;
  }

  /** All others were asked: it begins in this term. What is left of the log goes where it is of no use. */
  learn(learned: Learned, writes: LogWrite[]): void {
    const { term, trusted, membership } = learned;
    const { hardState, snapshot, recovery } = this.record;
    const refill = recovery?.refill !== false;
    this.record = {
      ...this.record,
      hardState: { term, vote: "", commit: refill ? 0 : hardState.commit },
      snapshot: refill ? { index: 0, term: 0, membership } : snapshot,
      recovery: { refill, term, trusted },
    };
    if (refill) writes.push({ kind: "truncate", group: this.id, from: 1 });
    writes.push({ kind: "group", group: this.id, record: this.record });
  }

  /** It has everything again. */
  recovered(writes: LogWrite[]): void {
    const { recovery: _, ...record } = this.record;
    this.record = record;
    writes.push({ kind: "group", group: this.id, record });
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
      const { recovery } = record;
      if (recovery !== undefined) record = { ...record, recovery: { ...recovery, refill: false } };
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
  writeApplied(writer: StoreWriter, index: number, term: number): void {
    const { generation } = this.record;
    if (this.appliedRecords?.generation !== generation) {
      const prefix = this.prefix();
      const applied = new Register(extendKey(prefix, APPLIED));
      const appliedTerm = new Register(extendKey(prefix, APPLIED_TERM));
      this.appliedRecords = { generation, applied, appliedTerm };
    }
    const { applied, appliedTerm } = this.appliedRecords;
    writer.put(applied, () => pack(index));
    writer.put(appliedTerm, () => pack([index, term]));
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
