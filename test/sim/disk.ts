// A disk that does what disks do: writes take time; a power cut loses, keeps or tears what was on its way; it
// runs full, fails, flips bits and puts a write where it does not belong. It holds a node's log folder and
// its state store, and outlives the processes that use them.

import type { GroupId } from "../../src/model/ids.ts";
import type { Clock } from "../../src/node/clock.ts";
import type { LogFile, LogFolder } from "../../src/node/storage/log-folder.ts";
import {
  payloadOf,
  Register,
  StoreCorruptError,
  type Item,
  type RangeOptions,
  type Store,
  type StoreReader,
  type StoreSnapshot,
  type StoreWriter,
} from "../../src/node/storage/store.ts";
import { nameOf, type Key } from "../../src/node/storage/key.ts";
import { Unflushed } from "../../src/node/storage/unflushed.ts";
import { unpack } from "../../src/node/transport/frames.ts";
import type { Chance } from "./chance.ts";
import { Mirror, type MirrorWatch } from "./mirror.ts";
import { placeOf, Records } from "./records.ts";
import type { Owner } from "./timeline.ts";
import type { World } from "./world.ts";

const SECTOR_BYTES = 512;
const FULL_RETRY_MS = 250;
const APPLIED_REST = "\u0001applied\u0000";
const LOG = "log";
/** For what was seen before. */
const UNWATCHED: MirrorWatch = { onRecord: () => undefined, onEntry: () => undefined };

export interface DiskHabits {
  /** Time of one write. */
  readonly writeMsMin: number;
  readonly writeMsMax: number;
  /** How long applied state waits to be flushed. */
  readonly stateFlushMs: number;
}

export interface DiskWatch extends MirrorWatch {
  readonly name: string;
  /** A transaction brought the state of a group, visible now, to `applied`. */
  onState(group: GroupId, generation: number, applied: number, digest: number): void;
}

interface InFlight {
  readonly file: SimulatedFile;
  readonly bytes: Buffer;
  readonly position: number;
}

/** A file's content, and what of it is certain. */
export interface Content {
  bytes: Buffer;
  size: number;
  mirror: Mirror;
  /** Where whole frames begin and end. */
  readonly frames: { readonly start: number; readonly end: number }[];
}

/** A place in a log to which it can be cut back. */
export interface LogEnd {
  readonly content: Content;
  /** Bytes. */
  readonly end: number;
}

export class SimulatedDisk {
  isFull = false;
  isFailing = false;
  /** It answers nothing until then. */
  stalledUntilMs = 0;
  /** Every write takes so much longer. */
  slowMs = 0;
  /** The next write goes to the wrong place. */
  misdirects = false;
  /** One did. */
  isMisdirected = false;
  /** Bits of the state have flipped. */
  isRotten = false;
  readonly habits: DiskHabits;
  readonly world: World;
  readonly chance: Chance;
  readonly watch: DiskWatch;
  readonly inFlight = new Set<InFlight>();
  state = new Records();
  /** Batch of the state store on its way to the disk: all of it or nothing survives. */
  stateInFlight: (() => void) | undefined;
  readonly #hanging = new Set<() => void>();
  #names = new Map<string, Content>();
  #durableNames = new Map<string, Content>();

  constructor(world: World, chance: Chance, habits: DiskHabits, watch: DiskWatch) {
    this.world = world;
    this.chance = chance;
    this.habits = habits;
    this.watch = watch;
  }

  get isNew(): boolean {
    return this.#durableNames.size === 0;
  }

  /** What the log says for certain, whatever the process that uses it thinks. */
  get mirror(): Mirror | undefined {
    return this.#durableNames.get(LOG)?.mirror;
  }

  /** Runs `done` when a write of the process that begins now has reached the disk, or has failed. */
  writing(done: () => void, owner: Owner): void {
    const stallMs = Math.max(0, this.stalledUntilMs - this.world.nowMs);
    const { timeline } = this.world;
    const timer = timeline.plan(
      stallMs + this.slowMs + this.#writeMs(),
      () => {
        this.#hanging.delete(onEnd);
        done();
      },
      owner,
    );
    const onEnd = (): void => {
      timer.close();
      timeline.plan(this.#writeMs(), done, owner);
    };
    if (stallMs > 0) this.#hanging.add(onEnd);
  }

  /** It answers again, also to those that wait for it. */
  endStall(): void {
    this.stalledUntilMs = 0;
    for (const onEnd of this.#hanging) onEnd();
    this.#hanging.clear();
  }

  #writeMs(): number {
    return this.chance.between(this.habits.writeMsMin, this.habits.writeMsMax);
  }

  folder(owner: Owner): LogFolder {
    return {
      read: (name) => {
        const content = this.#names.get(name);
        return content === undefined ? undefined : Buffer.from(content.bytes.subarray(0, content.size));
      },
      open: (name) => {
        let content = this.#names.get(name);
        if (content === undefined) {
          content = { bytes: Buffer.alloc(SECTOR_BYTES), size: 0, mirror: new Mirror(), frames: [] };
          if (owner.isAlive) this.#names.set(name, content);
        }
        return new SimulatedFile(this, owner, content);
      },
      rename: (from, to) => {
        const content = this.#names.get(from);
        if (content === undefined || !owner.isAlive) return;
        this.#names.delete(from);
        this.#names.set(to, content);
        this.world.note(this.watch.name, `  ${from} took the place of ${to}`);
      },
      link: (from, to) => {
        const content = this.#names.get(from);
        if (content !== undefined && owner.isAlive) this.#names.set(to, content);
      },
      remove: (name) => {
        if (owner.isAlive) this.#names.delete(name);
      },
      sync: () => {
        if (owner.isAlive) this.#makeCertain();
      },
    };
  }

  /** Power off, or the process killed: what was on its way ends somehow. */
  cut(): void {
    for (const one of this.inFlight) {
      const fate = this.chance.next();
      if (fate < 0.4) continue;
      if (fate < 0.7) one.file.settle(one.bytes, one.position);
      else one.file.tear(one.bytes, one.position);
    }
    this.inFlight.clear();
    if (this.stateInFlight !== undefined && this.chance.hits(0.5)) this.stateInFlight();
    this.stateInFlight = undefined;
    // What no sync of the folder made certain may be there or not.
    if (this.chance.hits(0.5)) this.#makeCertain();
    else this.#names = new Map(this.#durableNames);
  }

  /** A file that took the log's name says for certain, from here on, what was written to it. */
  #makeCertain(): void {
    const before = this.#durableNames.get(LOG);
    this.#durableNames = new Map(this.#names);
    const log = this.#durableNames.get(LOG);
    if (log === undefined || log === before) return;
    const { watch } = this;
    const seen = new Set<GroupId>();
    const again: MirrorWatch = {
      onRecord: (group, record, isNew) => {
        // Only a group that this very file let go before begins anew in it.
        watch.onRecord(group, record, isNew && seen.has(group));
        seen.add(group);
      },
      onEntry: (group, entry, prevTerm) => watch.onEntry(group, entry, prevTerm),
    };
    const mirror = new Mirror();
    for (const { start, end } of log.frames) mirror.take(log.bytes.subarray(start, end), again);
  }

  /** Of what is written to a file that is not the log yet, nobody was told anything: a crash may forget it. */
  watchOf(content: Content): MirrorWatch {
    return this.#names.get(LOG) === content ? this.watch : UNWATCHED;
  }

  /** Everything is gone. */
  wipe(): void {
    this.inFlight.clear();
    this.stateInFlight = undefined;
    this.state = new Records();
    this.#names = new Map();
    this.#durableNames = new Map();
  }

  /** Flips a bit in some records of the applied state; false when there are none. */
  rot(): boolean {
    const names = this.state.all();
    if (names.length === 0) return false;
    this.isRotten = true;
    for (let count = 1 + this.chance.below(3); count > 0; count -= 1) {
      this.state.damage(this.chance.pick(names));
    }
    return true;
  }

  /** The log as it is now, and where the last of it ends. */
  logEnd(): LogEnd | undefined {
    const content = this.#durableNames.get(LOG);
    const end = content?.frames.at(-1)?.end;
    return content === undefined || end === undefined ? undefined : { content, end };
  }

  /** Cuts the log back to what it was once, as if the rest had never been written; false where it was rewritten since. */
  cutBack({ content, end }: LogEnd): boolean {
    if (this.#durableNames.get(LOG) !== content || (content.frames.at(-1)?.end ?? 0) <= end) return false;
    content.bytes.fill(0, end, content.size);
    content.size = end;
    content.mirror = new Mirror();
    const frames = content.frames.filter((frame) => frame.end <= end);
    content.frames.splice(0, Infinity, ...frames);
    for (const frame of frames)
      content.mirror.take(content.bytes.subarray(frame.start, frame.end), UNWATCHED);
    return true;
  }

  /** A record of the state that is on disk and can be read. */
  readable(key: Key): Buffer | undefined {
    const stored = this.state.get(nameOf(key));
    return stored === undefined || stored.isDamaged === true ? undefined : stored.value;
  }

  /** Flips a bit of some whole frame of the log. False when there is none yet. */
  flipBit(): boolean {
    const content = this.#durableNames.get(LOG);
    if (content === undefined || content.frames.length === 0) return false;
    const { start, end } = this.chance.pick(content.frames);
    const at = start + this.chance.below(end - start);
    content.bytes[at] = (content.bytes[at] ?? 0) ^ (1 << this.chance.below(8));
    return true;
  }
}

class SimulatedFile implements LogFile {
  readonly #disk: SimulatedDisk;
  readonly #owner: Owner;
  readonly #content: Content;

  constructor(disk: SimulatedDisk, owner: Owner, content: Content) {
    this.#disk = disk;
    this.#owner = owner;
    this.#content = content;
  }

  write(bytes: Buffer, position: number): Promise<void> {
    const disk = this.#disk;
    // What a writer does with its buffer afterwards must not change what is written.
    const one: InFlight = { file: this, bytes: Buffer.from(bytes), position };
    return new Promise((resolve, reject) => {
      if (!this.#owner.isAlive) return;
      disk.inFlight.add(one);
      disk.writing(() => {
        disk.inFlight.delete(one);
        const error = this.#refusal(one.bytes, position);
        if (error !== undefined) {
          reject(error);
          return;
        }
        this.settle(one.bytes, position);
        resolve();
      }, this.#owner);
    });
  }

  writeInPlace(bytes: Buffer, position: number): void {
    if (!this.#owner.isAlive) return;
    const error = this.#refusal(bytes, position);
    if (error !== undefined) throw error;
    this.settle(Buffer.from(bytes), position);
  }

  truncate(bytes: number): void {
    if (!this.#owner.isAlive) return;
    const content = this.#content;
    if (bytes < content.size) content.bytes.fill(0, bytes, content.size);
    content.size = Math.min(content.size, bytes);
    this.#forgetFrames(bytes);
  }

  sync(): void {
    // A write is on disk when it returns.
  }

  close(): void {
    // Nothing is held open.
  }

  /** The write ended well. */
  settle(bytes: Buffer, position: number): void {
    const disk = this.#disk;
    disk.world.mix(bytes);
    if (disk.world.isTraced) {
      const what = bytes[0] === 0 ? "zeros ahead" : "a frame";
      disk.world.note(disk.watch.name, `  wrote ${what}: ${bytes.length} bytes at ${position}`);
    }
    const whole = this.#content.frames;
    if (disk.misdirects && whole.length > 2 && bytes[0] !== 0) {
      disk.misdirects = false;
      disk.isMisdirected = true;
      const { start } = whole[disk.chance.below(whole.length - 1)] ?? { start: 0 };
      this.#put(bytes.subarray(0, Math.min(bytes.length, position - start)), start);
      disk.world.say(disk.watch.name, `a write of ${bytes.length} bytes for ${position} went to ${start}`);
      this.#content.mirror.take(bytes, disk.watchOf(this.#content));
      return;
    }
    this.#put(bytes, position);
    if (this.#content.mirror.take(bytes, disk.watchOf(this.#content))) {
      this.#forgetFrames(position);
      whole.push({ start: position, end: position + bytes.length });
    }
  }

  /** Some of its sectors reached the disk. */
  tear(bytes: Buffer, position: number): void {
    const { chance } = this.#disk;
    const isPrefix = chance.hits(0.5);
    const kept = chance.below(bytes.length + 1);
    const keeps: boolean[] = [];
    let isWhole = true;
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + SECTOR_BYTES - ((position + at) % SECTOR_BYTES));
      const keep = isPrefix ? end <= kept : chance.hits(0.5);
      keeps.push(keep);
      if (!keep) isWhole = false;
      at = end;
    }
    if (isWhole) {
      this.settle(bytes, position);
      return;
    }
    let sector = 0;
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + SECTOR_BYTES - ((position + at) % SECTOR_BYTES));
      if (keeps[sector] === true) this.#put(bytes.subarray(at, end), position + at);
      sector += 1;
      at = end;
    }
  }

  #put(bytes: Buffer, position: number): void {
    const content = this.#content;
    const end = position + bytes.length;
    if (end > content.bytes.length) {
      const larger = Buffer.alloc(Math.max(end, 2 * content.bytes.length));
      content.bytes.copy(larger);
      content.bytes = larger;
    }
    content.bytes.set(bytes, position);
    content.size = Math.max(content.size, end);
  }

  #forgetFrames(from: number): void {
    const { frames } = this.#content;
    while ((frames.at(-1)?.end ?? 0) > from) frames.pop();
  }

  #refusal(bytes: Buffer, position: number): Error | undefined {
    const disk = this.#disk;
    if (disk.isFailing) return systemError("EIO");
    if (!disk.isFull || position + bytes.length <= this.#content.size) return undefined;
    disk.world.note(disk.watch.name, `  no room for ${bytes.length} bytes at ${position}`);
    // Part of it found room.
    this.#put(bytes.subarray(0, disk.chance.below(bytes.length)), position);
    return systemError("ENOSPC");
  }
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code });
}

/** The state store of a process on its disk: visible at once, on disk some time later, in one piece per flush. */
export class SimulatedStore implements Store {
  readonly #disk: SimulatedDisk;
  readonly #owner: Owner;
  readonly #clock: Clock;
  readonly #beforeFlush: () => Promise<void>;
  readonly #onDiskFailure: (reason: string) => void;
  readonly #visible: Records;
  #unflushed = new Unflushed();
  #waiting: (() => void)[] = [];
  #isFlushing = false;
  #isPlanned = false;
  #isHurried = false;
  #isFull = false;

  constructor(parts: {
    readonly disk: SimulatedDisk;
    readonly owner: Owner;
    readonly clock: Clock;
    readonly beforeFlush: () => Promise<void>;
    readonly onDiskFailure: (reason: string) => void;
  }) {
    this.#disk = parts.disk;
    this.#owner = parts.owner;
    this.#clock = parts.clock;
    this.#beforeFlush = parts.beforeFlush;
    this.#onDiskFailure = parts.onDiskFailure;
    this.#visible = new Records(parts.disk.state);
  }

  get full(): boolean {
    return this.#isFull;
  }

  get unwrittenBytes(): number {
    return this.#unflushed.bytes;
  }

  get(key: Key): Buffer | undefined {
    return reader(this.#visible).get(key);
  }

  range(range: RangeOptions): Iterable<Item> {
    return reader(this.#visible).range(range);
  }

  keys(range: RangeOptions): Iterable<Buffer> {
    return reader(this.#visible).keys(range);
  }

  snapshot(): StoreSnapshot {
    return { ...reader(new Records(this.#visible)), close: () => undefined };
  }

  sizeBytes(): number {
    return this.#visible.size * 100;
  }

  transact(work: (writer: StoreWriter) => void): Promise<void> {
    const before: (() => void)[] = [];
    const reached = new Map<string, number>();
    const unflushed = this.#unflushed;
    unflushed.begin();
    const write = (to: Key | Register, value: Buffer | undefined): void => {
      const key = to instanceof Register ? to.key : to;
      const name = nameOf(key);
      const known = this.#visible.get(name);
      before.push(() => this.#visible.restore(name, known));
      if (value === undefined) this.#visible.remove(name);
      else this.#visible.put(name, key, value);
      unflushed.write(to, value === undefined ? undefined : Buffer.from(value));
      const place = value === undefined ? undefined : placeOf(name);
      if (value !== undefined && place?.rest === APPLIED_REST)
        reached.set(place.prefix, Number(unpack(value)));
    };
    try {
      work({
        put: (to, value) => write(to, payloadOf(value)),
        remove: (what) => write(what, undefined),
      });
    } catch (error) {
      for (const undo of before.toReversed()) undo();
      unflushed.undo();
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    unflushed.end();
    for (const [prefix, applied] of reached) {
      const place = placeOf(prefix);
      if (place !== undefined) {
        this.#disk.watch.onState(place.group, place.generation, applied, this.#visible.digestOf(prefix));
      }
    }
    return this.#durable();
  }

  async flush(): Promise<void> {
    if (this.#unflushed.length === 0 && !this.#isFlushing) return;
    const done = this.#durable();
    this.#isHurried = true;
    this.#startFlush();
    await done;
  }

  async close(): Promise<void> {
    if (!this.#isFull) await this.flush();
  }

  #durable(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#planFlush(this.#disk.habits.stateFlushMs);
    });
  }

  #planFlush(ms: number): void {
    if (this.#isPlanned || this.#isFlushing) return;
    this.#isPlanned = true;
    this.#clock.later(ms, () => {
      this.#isPlanned = false;
      this.#startFlush();
    });
  }

  #startFlush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#isHurried = false;
    const batch = this.#unflushed;
    const waiting = this.#waiting;
    this.#unflushed = new Unflushed();
    this.#waiting = [];
    const disk = this.#disk;
    const settle = (): void => {
      disk.stateInFlight = undefined;
      for (const { key: view, value: written } of batch.inOrder()) {
        const key = Buffer.from(view);
        const name = nameOf(key);
        const value = written === undefined ? undefined : payloadOf(written);
        if (value === undefined) disk.state.remove(name);
        else disk.state.put(name, key, value);
        const place = placeOf(name);
        if (place?.rest !== APPLIED_REST || value === undefined) continue;
        const applied = Number(unpack(value));
        const held = disk.mirror?.groups.get(place.group);
        // A snapshot that is staged is the state of no log yet.
        if (held?.record.generation !== place.generation) continue;
        disk.world.must(
          applied <= held.record.snapshot.index + held.entries.length,
          "state-behind-log",
          () => `${disk.watch.name}: state of ${place.group} at ${applied} is on disk before its log`,
        );
      }
    };
    const again = (): void => {
      this.#isFlushing = false;
      if (this.#isHurried && !this.#isFull) this.#startFlush();
      else if (this.#unflushed.length > 0 || this.#waiting.length > 0) {
        this.#planFlush(this.#isFull ? FULL_RETRY_MS : disk.habits.stateFlushMs);
      }
    };
    // A log that gives up closes with its disk full: what rests on it is left behind as well.
    const logged = this.#beforeFlush().then(
      () => true,
      () => false,
    );
    void logged.then((isLogged) => {
      if (!this.#owner.isAlive || !isLogged) return;
      disk.stateInFlight = settle;
      disk.writing(() => {
        disk.stateInFlight = undefined;
        if (disk.isFailing) {
          this.#onDiskFailure("EIO: simulated");
          return;
        }
        this.#isFull = disk.isFull && batch.length > 0;
        if (this.#isFull) {
          batch.append(this.#unflushed);
          this.#unflushed = batch;
          this.#waiting = [...waiting, ...this.#waiting];
        } else {
          settle();
          for (const resolve of waiting) resolve();
        }
        again();
      }, this.#owner);
    });
  }
}

function reader(records: Records): StoreReader {
  const read = (name: string): Item => {
    const stored = records.get(name);
    if (stored === undefined || stored.isDamaged === true) {
      throw new StoreCorruptError(stored?.key ?? Buffer.from(name, "latin1"));
    }
    return { key: Buffer.from(stored.key), value: Buffer.from(stored.value) };
  };
  return {
    get(key) {
      const name = nameOf(key);
      return records.get(name) === undefined ? undefined : read(name).value;
    },
    *range({ start, end }) {
      for (const name of records.between(nameOf(start), nameOf(end))) yield read(name);
    },
    *keys({ start, end }) {
      for (const name of records.between(nameOf(start), nameOf(end))) yield Buffer.from(name, "latin1");
    },
  };
}
