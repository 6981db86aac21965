// Sessions make a retried write apply once (Ongaro's dissertation 6.3): the state machine keeps the results
// that the client has not acknowledged yet, and answers a repeated sequence number from them. Sessions
// expire deterministically: the one unused for the longest, counted in log entries, makes room.

import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import { Register, type Store, type StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";

interface Session {
  /** Every sequence number below was answered. */
  low: number;
  /** Index of the log entry that used it last. */
  touched: number;
  /** Results by sequence number, none below `low`. */
  readonly results: Map<number, unknown>;
  readonly record: Register;
}

/** A session as it goes to another shard. */
export type SessionRecord = readonly [
  id: string,
  low: number,
  results: readonly (readonly [sequence: number, result: unknown])[],
];

export type Seen =
  | { readonly kind: "new" }
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "expired" };

export class Sessions {
  private readonly store: Store;
  private readonly countMax: number;
  private prefix: Key;
  private sessions = new Map<string, Session>();
  /** Changed since the last `write`. */
  private changed = new Set<string>();

  constructor(store: Store, prefix: Key, countMax: number) {
    this.store = store;
    this.countMax = countMax;
    this.prefix = prefix;
    this.reload(prefix);
  }

  reload(prefix: Key): void {
    this.prefix = prefix;
    this.sessions = new Map();
    this.changed = new Set();
    const sessions = extendKey(prefix, "session");
    for (const { key, value } of this.store.range({ start: sessions, end: prefixEnd(sessions) })) {
      const [low, touched, results] = unpack(value) as [number, number, [number, unknown][]];
      const id = String(decodeKey(key, sessions.length)[0]);
      this.sessions.set(id, {
        low,
        touched,
        results: new Map(results),
        record: this.recordOf(id),
      });
    }
  }

  private recordOf(id: string): Register {
    return new Register(extendKey(this.prefix, "session", id));
  }

  open(id: string, index: number): void {
    if (!this.sessions.has(id) && this.sessions.size >= this.countMax) this.expireOldest();
    const session = this.sessions.get(id);
    if (session !== undefined) session.touched = index;
    else this.sessions.set(id, { low: 1, touched: index, results: new Map(), record: this.recordOf(id) });
    this.changed.add(id);
  }

  seen(id: string, sequence: number): Seen {
    const session = this.sessions.get(id);
    if (session === undefined || sequence < session.low) return { kind: "expired" };
    if (!session.results.has(sequence)) return { kind: "new" };
    return { kind: "done", result: session.results.get(sequence) };
  }

  done(id: string, sequence: number, answered: number, result: unknown, index: number): void {
    const session = this.sessions.get(id);
    if (session === undefined) return;
    session.results.set(sequence, result);
    session.touched = index;
    if (answered > session.low) {
      for (const kept of session.results.keys()) if (kept < answered) session.results.delete(kept);
      session.low = answered;
    }
    this.changed.add(id);
  }

  all(): SessionRecord[] {
    return [...this.sessions].map(([id, { low, results }]) => [id, low, [...results]]);
  }

  /**
   * Sessions of a shard that is part of this one from now on: what they wrote there is not written again here. One that
   * is known went there with keys that this shard gave away, and has come back with them: what it wrote here since is
   * not forgotten for what is told of before.
   */
  take(records: readonly SessionRecord[], index: number): void {
    for (const [id, low, results] of records) {
      if (!this.sessions.has(id) && this.sessions.size >= this.countMax) this.expireOldest();
      const known = this.sessions.get(id);
      const session: Session = {
        low: Math.max(low, known?.low ?? 0),
        touched: index,
        results: new Map(results),
        record: known?.record ?? this.recordOf(id),
      };
      for (const [sequence, result] of known?.results ?? []) session.results.set(sequence, result);
      for (const kept of session.results.keys()) if (kept < session.low) session.results.delete(kept);
      this.sessions.set(id, session);
      this.changed.add(id);
    }
  }

  /** Writes what changed; once per transaction, whatever the number of commands in it. */
  write(writer: StoreWriter): void {
    for (const id of this.changed) {
      const session = this.sessions.get(id);
      if (session === undefined) {
        writer.remove(extendKey(this.prefix, "session", id));
        continue;
      }
      const { low, touched, record } = session;
      const results = [...session.results];
      writer.put(record, () => pack([low, touched, results]));
    }
    this.changed = new Set();
  }

  private expireOldest(): void {
    let oldest: [string, Session] | undefined;
    for (const entry of this.sessions) {
      const older =
        oldest === undefined ||
        entry[1].touched < oldest[1].touched ||
        (entry[1].touched === oldest[1].touched && entry[0] < oldest[0]);
      if (older) oldest = entry;
    }
    if (oldest === undefined) return;
    this.sessions.delete(oldest[0]);
    this.changed.add(oldest[0]);
  }
}
