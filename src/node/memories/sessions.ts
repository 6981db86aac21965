// Sessions make a retried write apply once (Ongaro's dissertation 6.3): the state machine keeps the results
// that the client has not acknowledged yet, and answers a repeated sequence number from them. Sessions
// expire deterministically: the one unused for the longest, counted in log entries, makes room.

import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import type { Store, StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";

const SESSIONS_MAX = 256;
/** A session's last use is written again only after this many entries; expiry is that coarse. */
const TOUCH_ENTRIES = 1000;

interface Session {
  /** Every sequence number below was answered. */
  low: number;
  /** Index of its last use as written. */
  touched: number;
  /** Sequence numbers whose results are kept. */
  readonly kept: Set<number>;
}

export type Seen =
  | { readonly kind: "new" }
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "expired" };

export class Sessions {
  private readonly store: Store;
  private prefix: Key;
  private sessions = new Map<string, Session>();

  constructor(store: Store, prefix: Key) {
    this.store = store;
    this.prefix = prefix;
    this.reload(prefix);
  }

  reload(prefix: Key): void {
    this.prefix = prefix;
    this.sessions = new Map();
    const sessions = extendKey(prefix, "session");
    for (const { key, value } of this.store.range({ start: sessions, end: prefixEnd(sessions) })) {
      const [low, touched] = unpack(value) as [number, number];
      this.sessions.set(String(decodeKey(key, sessions.length)[0]), { low, touched, kept: new Set() });
    }
    const results = extendKey(prefix, "result");
    for (const key of this.store.keys({ start: results, end: prefixEnd(results) })) {
      const [id, sequence] = decodeKey(key, results.length);
      this.sessions.get(String(id))?.kept.add(Number(sequence));
    }
  }

  open(id: string, index: number, writer: StoreWriter): void {
    if (!this.sessions.has(id) && this.sessions.size >= SESSIONS_MAX) this.expireOldest(writer);
    const session = this.sessions.get(id) ?? { low: 1, touched: index, kept: new Set<number>() };
    session.touched = index;
    this.sessions.set(id, session);
    this.writeSession(id, session, writer);
  }

  seen(id: string, sequence: number): Seen {
    const session = this.sessions.get(id);
    if (session === undefined || sequence < session.low) return { kind: "expired" };
    if (!session.kept.has(sequence)) return { kind: "new" };
    const bytes = this.store.get(extendKey(this.prefix, "result", id, sequence));
    return bytes === undefined ? { kind: "expired" } : { kind: "done", result: unpack(bytes) };
  }

  done(
    id: string,
    sequence: number,
    answered: number,
    result: unknown,
    index: number,
    writer: StoreWriter,
  ): void {
    const session = this.sessions.get(id);
    if (session === undefined) return;
    writer.put(extendKey(this.prefix, "result", id, sequence), pack(result));
    session.kept.add(sequence);
    if (answered > session.low) {
      for (const kept of session.kept) {
        if (kept >= answered) continue;
        writer.remove(extendKey(this.prefix, "result", id, kept));
        session.kept.delete(kept);
      }
      session.low = answered;
      this.writeSession(id, session, writer);
    } else if (index - session.touched > TOUCH_ENTRIES) {
      session.touched = index;
      this.writeSession(id, session, writer);
    }
  }

  private expireOldest(writer: StoreWriter): void {
    let oldest: [string, Session] | undefined;
    for (const entry of this.sessions) {
      const older =
        oldest === undefined ||
        entry[1].touched < oldest[1].touched ||
        (entry[1].touched === oldest[1].touched && entry[0] < oldest[0]);
      if (older) oldest = entry;
    }
    if (oldest === undefined) return;
    const [id, session] = oldest;
    for (const kept of session.kept) writer.remove(extendKey(this.prefix, "result", id, kept));
    writer.remove(extendKey(this.prefix, "session", id));
    this.sessions.delete(id);
  }

  private writeSession(id: string, session: Session, writer: StoreWriter): void {
    writer.put(extendKey(this.prefix, "session", id), pack([session.low, session.touched]));
  }
}
