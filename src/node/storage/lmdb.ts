// The store on LMDB. What a transaction writes lies in memory first, where every read sees it, and goes to
// disk as one LMDB transaction with all that came meanwhile (group commit): written by LMDB's own thread,
// flushed (`overlappingSync` off: a commit that resolved has been through fdatasync), and only then is the
// promise of `transact` resolved. Every value carries a CRC-32 over key and payload, so a flipped bit or a
// record from the wrong place is noticed.
//
// A failed write is one of two things: no room (kept, told by `full`, tried again until there is room; no
// promise resolves meanwhile), or a failing disk, after which the page cache cannot be trusted any more and
// the process must end. Room is asked for before LMDB is: what lmdb-js notes of a page that found none
// (`mdb_page_flush`, since 3.0) goes into 100 bytes of the heap, and does not always fit.

import { statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { open } from "lmdb";
import { isNoRoom } from "../../model/no-room.ts";
import { makeFolder, syncFolder } from "./folders.ts";
import { checkDataFile } from "./lmdb-file.ts";
import { keyOf, nameOf, type Key } from "./key.ts";
import { Room } from "./room.ts";
import {
  payloadOf,
  StoreCorruptError,
  type Item,
  type RangeOptions,
  type Store,
  type StoreSnapshot,
  type StoreValue,
  type StoreWriter,
} from "./store.ts";
import { Unflushed, type Written } from "./unflushed.ts";

const DATA_FILE = "data.mdb";
const CHECKSUM_BYTES = 4;
/** Of the data file, a page each; a batch changes no more of them than this, or what it changes lies together. */
const PAGE_BYTES = 4096;
const CHANGED_BYTES_MAX = 16 << 20;
const ROOM_BYTES_MIN = 1 << 20;
const FULL_RETRY_MS = 250;
/** Records, a millisecond or two of work. */
const SEALED_PER_TURN = 500;
/** Unflushed bytes above which a flush is not put off any longer. */
const UNFLUSHED_BYTES_MAX = 16 << 20;

function seal(key: Key, payload: Uint8Array): Buffer {
  const record = Buffer.allocUnsafe(CHECKSUM_BYTES + payload.length);
  record.set(payload, CHECKSUM_BYTES);
  record.writeUInt32BE(crc32(payload, crc32(key)), 0);
  return record;
}

function unseal(key: Buffer, record: Buffer): Buffer {
  if (record.length < CHECKSUM_BYTES) throw new StoreCorruptError(Buffer.from(key));
  const payload = record.subarray(CHECKSUM_BYTES);
  if (crc32(payload, crc32(key)) !== record.readUInt32BE(0)) throw new StoreCorruptError(Buffer.from(key));
  return payload;
}

/** What is read of what was written: the newest by name. */
type Overlay = ReadonlyMap<string, Written> | Unflushed;

const NOTHING: Overlay = new Map();

export interface LmdbOptions {
  /** Made with mode 0700 when it is not there. */
  readonly folder: string;
  /** How long a write may wait for others to be flushed with it; 0: not at all, for what is waited for. */
  readonly flushDelayMs: number;
  /** Awaited before what was written is flushed: nothing here may be on disk before what it rests on. */
  readonly beforeFlush?: () => Promise<void>;
  /** Called once with the reason when the disk fails; must not return into the store. */
  readonly onDiskFailure: (reason: string) => void;
}

/** Opens or makes the store in `folder`. Throws, as `isFileDamage` knows it, when the file is not LMDB's, or broken. */
export function openLmdbStore(options: LmdbOptions): Store {
  makeFolder(options.folder);
  checkDataFile(join(options.folder, DATA_FILE));
  return new LmdbStore(options);
}

class LmdbStore implements Store {
  private readonly options: LmdbOptions;
  private readonly environment: ReturnType<typeof open<Buffer, Buffer>>;
  private readonly dataFile: string;
  private readonly room: Room;
  private active = new Unflushed();
  /** Resolves once all of `active` is on disk; one for all its transactions. */
  private activeDurable: Promise<void> | undefined;
  /** Being written by LMDB; reads still come from here until it is visible there. */
  private flushing: Unflushed | undefined;
  private waiting: (() => void)[] = [];
  private timer: NodeJS.Timeout | undefined;
  private idle: (() => void)[] = [];
  private isFull = false;
  /** Somebody waits for what was written so far: the next flush is not put off. */
  private hurried = false;
  private closing = false;
  private closed = false;

  constructor(options: LmdbOptions) {
    this.options = options;
    const settings = {
      path: options.folder,
      keyEncoding: "binary",
      encoding: "binary",
      cache: false,
      overlappingSync: false,
      // Batches are named below. Those that it makes of each turn have a promise that nobody can catch.
      eventTurnBatching: false,
      // LMDB makes its files for everyone to read otherwise; its types do not know the option.
      permissionsMode: 0o600,
    } as const;
    this.environment = open<Buffer, Buffer>(settings);
    this.dataFile = join(options.folder, DATA_FILE);
    this.room = new Room(options.folder, this.dataFile);
    // LMDB flushes what is in its file, not that there is one.
    syncFolder(options.folder);
  }

  get full(): boolean {
    return this.isFull;
  }

  get unwrittenBytes(): number {
    return this.active.bytes + (this.flushing?.bytes ?? 0);
  }

  get(key: Key): Buffer | undefined {
    const name = nameOf(key);
    for (const unflushed of [this.active, this.flushing]) {
      const written = unflushed?.get(name);
      if (written !== undefined) return payloadOf(written);
      if (unflushed?.has(name) === true) return undefined;
    }
    this.refuseClosed();
    const record = this.environment.get(key);
    return record === undefined ? undefined : unseal(key, record);
  }

  range(range: RangeOptions): Iterable<Item> {
    const { start, end } = range;
    const unflushed = range.onDisk === true ? NOTHING : this.overlay();
    return merged(unflushed, range, this.whileOpen(this.environment.getRange({ start, end })), ITEMS);
  }

  *keys(range: RangeOptions): Iterable<Buffer> {
    for (const { key } of merged(this.overlay(), range, this.recordsOf(range), KEYS)) yield key;
  }

  transact(work: (writer: StoreWriter) => void): Promise<void> {
    const { active } = this;
    active.begin();
    try {
      work({
        // Sealed when it is flushed: a record is a copy, and one that lies here for seconds outlives the young
        // collections, as does the piece of the buffers' pool that it was cut from.
        put: (to, value) => active.write(to, value),
        remove: (what) => active.write(what, undefined),
      });
    } catch (error) {
      active.undo();
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    active.end();
    return this.durable();
  }

  snapshot(): StoreSnapshot {
    this.refuseClosed();
    const transaction = this.environment.useReadTransaction();
    // What is not made yet may be: it gives the same whenever it is asked.
    const overlay = new Map([...(this.flushing ?? []), ...this.active]);
    let closed = false;
    const isOpen = (): boolean => !this.closed;
    const range = (bounds: RangeOptions): Iterable<Item> =>
      merged(overlay, bounds, this.whileOpen(this.environment.getRange({ ...bounds, transaction })), ITEMS);
    return {
      get(key) {
        for (const item of range({ start: key, end: Buffer.concat([key, Buffer.of(0)]) })) return item.value;
        return undefined;
      },
      range,
      *keys(bounds) {
        for (const { key } of range(bounds)) yield key;
      },
      close() {
        if (!closed && isOpen()) transaction.done();
        closed = true;
      },
    };
  }

  sizeBytes(): number {
    return statSync(this.dataFile).size;
  }

  async flush(): Promise<void> {
    if (this.active.length === 0 && this.flushing === undefined) return;
    const done = this.durable();
    this.hurried = true;
    this.startFlush();
    await done;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closing = true;
    // A full disk takes nothing more: what was never promised durable may be left behind.
    while ((this.active.length > 0 || this.flushing !== undefined) && !this.isFull) {
      this.startFlush();
      await new Promise<void>((resolve) => this.idle.push(resolve));
    }
    this.closed = true;
    clearTimeout(this.timer);
    await this.environment.close();
    this.room.close();
  }

  /** Resolves once everything written so far is on disk. */
  private durable(): Promise<void> {
    const durable = (this.activeDurable ??= new Promise((resolve) => {
      this.waiting.push(resolve);
    }));
    const isDue = this.options.flushDelayMs === 0 || this.active.bytes > UNFLUSHED_BYTES_MAX;
    // While there is no room, it is tried again from time to time.
    if (isDue && !this.isFull) this.startFlush();
    else if (this.timer === undefined) this.flushIn(this.options.flushDelayMs);
    return durable;
  }

  private flushIn(delayMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      // Gone even if a flush still runs: what it finds at its end to be written is then put off anew.
      this.timer = undefined;
      this.startFlush();
    }, delayMs);
  }

  private startFlush(): void {
    if (this.flushing !== undefined || this.closed) return;
    this.hurried = false;
    clearTimeout(this.timer);
    this.timer = undefined;
    const batch = this.active;
    const waiting = this.waiting;
    this.flushing = batch;
    this.active = new Unflushed();
    this.activeDurable = undefined;
    this.waiting = [];
    this.write(batch).then(
      () => {
        this.isFull = false;
        this.flushing = undefined;
        for (const resolve of waiting) resolve();
        this.flushEnded();
      },
      (error: unknown) => {
        // A log that gave up while the store closes is not on disk, and what rests on it must not be either.
        if (!this.closing && !isNoRoom(error) && !this.room.isGone()) {
          this.options.onDiskFailure(error instanceof Error ? error.message : String(error));
          return;
        }
        this.isFull = true;
        this.flushing = undefined;
        batch.append(this.active);
        this.active = batch;
        this.waiting = [...waiting, ...this.waiting];
        this.flushIn(FULL_RETRY_MS);
        this.flushEnded();
      },
    );
  }

  private flushEnded(): void {
    const { idle } = this;
    this.idle = [];
    for (const resolve of idle) resolve();
    if (this.hurried && !this.isFull) {
      this.startFlush();
      return;
    }
    if (this.timer !== undefined || this.waiting.length === 0) return;
    if (this.options.flushDelayMs === 0 || this.active.bytes > UNFLUSHED_BYTES_MAX) this.startFlush();
    else this.flushIn(this.options.flushDelayMs);
  }

  private async write(batch: Unflushed): Promise<void> {
    await this.options.beforeFlush?.();
    this.checkRoom(batch);
    const records = await sealed(batch);
    await this.commit(() => {
      for (const { key, record } of records) {
        if (record === undefined) void this.environment.remove(key);
        else void this.environment.put(key, record);
      }
    });
  }

  private checkRoom(batch: Unflushed): void {
    // Generously: a new page for each that is changed, and twice what is written.
    const check = (count: number): void => {
      const changedBytes = Math.min(count * PAGE_BYTES, CHANGED_BYTES_MAX);
      this.room.check(ROOM_BYTES_MIN + changedBytes + 2 * batch.bytes);
    };
    try {
      check(batch.length);
    } catch (error) {
      // What was written again and again takes room once.
      const count = batch.countNames();
      if (count === batch.length) throw error;
      check(count);
    }
  }

  /** What `work` puts and removes as one LMDB transaction. */
  private async commit(work: () => void): Promise<void> {
    try {
      await this.environment.batch(work);
    } catch (error) {
      // The library gives the cause as a second promise, which must not go unhandled.
      const cause = error instanceof Error && "commitError" in error ? error.commitError : undefined;
      throw cause instanceof Promise ? await cause.catch((reason: unknown) => reason) : error;
    }
  }

  private overlay(): Overlay {
    if (this.flushing === undefined) return this.active;
    return this.active.length === 0 ? this.flushing : new Map([...this.flushing, ...this.active]);
  }

  /**
   * LMDB's memory is gone once it is closed. Work that a stop overtakes may still read; it is told so, and not
   * even an iterator is given back to LMDB then.
   */
  private *whileOpen<Found>(found: Iterable<Found>): Generator<Found> {
    this.refuseClosed();
    const iterator = found[Symbol.iterator]();
    let isOver = false;
    try {
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
        yield next.value;
        this.refuseClosed();
      }
      isOver = true;
    } finally {
      if (!isOver && !this.closed) iterator.return?.();
    }
  }

  private refuseClosed(): void {
    if (this.closed) throw new Error("the store is closed: the node is stopping");
  }

  private *recordsOf(range: RangeOptions): Iterable<{ key: Buffer; value: undefined }> {
    for (const key of this.whileOpen(this.environment.getKeys({ ...range }))) yield { key, value: undefined };
  }
}

interface Sealed {
  readonly key: Key;
  /** Undefined for one that is removed. */
  readonly record: Buffer | undefined;
}

/** What is to be put and removed. Of seconds of writes that is much: requests are answered in between. */
async function sealed(batch: Unflushed): Promise<readonly Sealed[]> {
  const records: Sealed[] = [];
  for (const { key, value } of batch.inOrder()) {
    records.push({ key, record: value === undefined ? undefined : seal(key, payloadOf(value)) });
    if (records.length % SEALED_PER_TURN === 0) await setImmediate();
  }
  return records;
}

/** What is read of what: of a value that is not flushed, and of a record on disk. */
interface Reading<Value> {
  readonly payload: (written: StoreValue) => Buffer;
  readonly record: (key: Buffer, value: Value) => Buffer;
}

const ITEMS: Reading<Buffer> = { payload: payloadOf, record: unseal };
const NO_BYTES = Buffer.alloc(0);
const KEYS: Reading<undefined> = { payload: () => NO_BYTES, record: () => NO_BYTES };

/** What is on disk and what is not there yet, in the order of keys; the newer wins. */
function* merged<Value>(
  overlay: Overlay,
  { start, end }: RangeOptions,
  records: Iterable<{ key: Buffer; value: Value }>,
  { payload, record }: Reading<Value>,
): Generator<Item> {
  const [from, to] = [nameOf(start), nameOf(end)];
  const newer: { readonly key: Key; readonly written: Written }[] = [];
  for (const name of [...overlay.keys()].filter((known) => known >= from && known < to).toSorted()) {
    newer.push({ key: keyOf(name), written: overlay.get(name) });
  }
  let at = 0;
  for (const { key, value } of records) {
    let replaced = false;
    for (let next = newer[at]; next !== undefined; next = newer[at]) {
      const order = Buffer.compare(next.key, key);
      if (order > 0) break;
      at += 1;
      if (order === 0) replaced = true;
      if (next.written !== undefined) yield { key: next.key, value: payload(next.written) };
    }
    if (!replaced) yield { key, value: record(key, value) };
  }
  for (const { key, written } of newer.slice(at)) {
    if (written !== undefined) yield { key, value: payload(written) };
  }
}
