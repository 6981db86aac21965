// What the node needs of a disk, and no more: one ordered key space, atomic transactions whose writes are
// visible at once and durable when their promise resolves, and snapshots to read from. LMDB stands behind
// it in a running node; a simulated disk can.

import type { Key } from "./key.ts";

/**
 * A text is kept as UTF-8. A function is asked for the value when it is first needed, if it is: of what changes with
 * every command only the last value before a flush is ever made. It must give the same whenever it is asked.
 */
export type StoreValue = Uint8Array | string | (() => Uint8Array);

export function payloadOf(written: StoreValue): Buffer {
  const payload = typeof written === "function" ? written() : written;
  if (typeof payload === "string") return Buffer.from(payload);
  return payload instanceof Buffer
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}

/**
 * The key of a record that many transactions write. The store notes where the last value lies that is not flushed yet,
 * and puts the next in its place, without a look for what is there. Whoever holds one writes the record by it alone: what
 * another writes later under the same key counts, whatever the register writes after that.
 */
export class Register {
  readonly key: Key;
  /** The store's own. */
  place: { readonly among: object; readonly at: number } | undefined;

  constructor(key: Key) {
    this.key = key;
  }
}

export interface StoreWriter {
  put(to: Key | Register, value: StoreValue): void;
  remove(what: Key | Register): void;
}

export interface RangeOptions {
  /** Inclusive. */
  readonly start: Key;
  /** Exclusive. */
  readonly end: Key;
  /** What was written and is not on disk yet may be left out: to sort it in is most of a short look's time. */
  readonly onDisk?: boolean;
}

export interface Item {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface StoreReader {
  get(key: Key): Buffer | undefined;
  range(options: RangeOptions): Iterable<Item>;
  /** Keys alone; cheaper than `range`, and blind to corrupt values. */
  keys(options: RangeOptions): Iterable<Buffer>;
}

/** A consistent state of the store, unmoved by later writes; close it soon, it holds back reuse of pages. */
export interface StoreSnapshot extends StoreReader {
  close(): void;
}

export interface Store extends StoreReader {
  /**
   * Runs `work` in one transaction. On return its writes are visible to reads; when the promise resolves
   * they are flushed to disk, and so is everything written before them. While there is no room the
   * promise stays open and `full` is true. A throw of `work` rejects, and nothing of it was written.
   * Inside `work`, reads through the store see its writes.
   */
  transact(work: (writer: StoreWriter) => void): Promise<void>;
  /** Flushes what was written so far, without waiting for more to come. */
  flush(): Promise<void>;
  snapshot(): StoreSnapshot;
  /** No room on the disk, or the file-size limit is reached; writes wait until there is. */
  readonly full: boolean;
  /** Bytes that were written and are not on disk yet. */
  readonly unwrittenBytes: number;
  /** Bytes of the store on disk. */
  sizeBytes(): number;
  /** Flushes and closes. */
  close(): Promise<void>;
}

/** A record does not match its checksum. It is reported, never read as absent. */
export class StoreCorruptError extends Error {
  override readonly name = "StoreCorruptError";

  /** @param what the key of the record, or in words what cannot be read, and why. */
  constructor(what: Buffer | string) {
    super(
      typeof what === "string"
        ? what
        : `a record of the store does not match its checksum (key ${what.toString("hex").slice(0, 96)})`,
    );
  }
}

/** Deletes every key of a range, in transactions of bounded size, so that no write waits long. */
export async function removeRange(
  store: Store,
  start: Key,
  end: Key,
  isOver: () => boolean = () => false,
  keysPerTransaction = 2000,
): Promise<void> {
  while (!isOver()) {
    const batch: Buffer[] = [];
    for (const key of store.keys({ start, end })) {
      batch.push(Buffer.from(key));
      if (batch.length === keysPerTransaction) break;
    }
    if (batch.length === 0) return;
    const removed = store.transact((writer) => {
      for (const key of batch) writer.remove(key);
    });
    await store.flush();
    await removed;
    if (batch.length < keysPerTransaction) return;
  }
}
