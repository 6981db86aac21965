// The logs of all replica groups of a node in one append-only file: what is waited for before a promise
// leaves, so it costs one sequential write and one fdatasync per batch, and batches form by themselves
// while the one before is being flushed. LMDB would write some ten scattered pages for each.
//
// The file is a sequence of frames, one per batch: magic, length, CRC-32, sequence number, payload. When it
// has grown to several times what is still needed, it is rewritten (log-rewrite.ts). A batch that was cut off
// by a crash was never acknowledged and is dropped; anything else that does not match its checksum is reported.

import type { Entry, HardState, SnapshotMeta } from "../../consensus/seam.ts";
import type { GroupId } from "../../model/ids.ts";
import { isNoRoom } from "../../model/no-room.ts";
import { pause, type Clock } from "../clock.ts";
import { FRAME_OVERHEAD_BYTES, isTorn, readFrame } from "./log-frames.ts";
import type { LogFile, LogFolder } from "./log-folder.ts";
import { LogFrame, newerHardState, readRecords } from "./log-records.ts";
import { LOG_FILE, LogRewrite, neededWrites, NEW_LOG_FILE } from "./log-rewrite.ts";
import { marked, salvageLog, type Salvage } from "./log-salvage.ts";
import { StoreCorruptError } from "./store.ts";

/** What a group keeps besides its entries. */
export interface GroupRecord {
  readonly hardState: HardState;
  /** The log holds the entries after it. */
  readonly snapshot: SnapshotMeta;
  /** Under which generation the group's state lies in the state store. */
  readonly generation: number;
  /** Set while the group recovers from damage of the log. */
  readonly recovery?: GroupRecovery;
}

export interface GroupRecovery {
  /** Its entries and its state do not fit each other, or are gone: a leader's snapshot is needed. */
  readonly refill: boolean;
  /** The term in which it begins, higher than any that its members knew; absent until all were asked. */
  readonly term?: number;
  /** Whom it votes for meanwhile. */
  readonly trusted?: readonly string[];
}

/** The fact that says that this log was damaged, while a group may still have to recover because of it. */
export const LOG_DAMAGED = "log-damaged";

export type LogWrite =
  | { readonly kind: "group"; readonly group: GroupId; readonly record: GroupRecord }
  | { readonly kind: "entries"; readonly group: GroupId; readonly entries: readonly Entry[] }
  /** Drops entries with index >= from. */
  | { readonly kind: "truncate"; readonly group: GroupId; readonly from: number }
  | { readonly kind: "remove"; readonly group: GroupId }
  /** The group's hard state alone, ahead of what could not be written yet. */
  | { readonly kind: "promise"; readonly group: GroupId; readonly hardState: HardState }
  /** A fact about the node itself. */
  | { readonly kind: "fact"; readonly name: string; readonly value: unknown };

export interface GroupLog {
  record: GroupRecord;
  /** record.snapshot.index + 1 …, without a gap. */
  entries: Entry[];
}

export interface LogStoreOptions {
  readonly folder: LogFolder;
  readonly clock: Clock;
  /** Called when the disk fails; must not return into the store. */
  readonly onDiskFailure: (reason: string) => void;
  /** Bytes above which the file is rewritten when most of it is no longer needed; default 64 MiB. */
  readonly rewriteBytesMin?: number;
  /** Written ahead as zeros: a write into them changes no file size, which halves the time of its flush. */
  readonly aheadBytes?: number;
  /** Of the zeros written ahead, what only hard state may use: a full disk must not stop elections. */
  readonly reserveBytes?: number;
  /** True: a damaged log is not an error; what can be read of it is kept, and every group of it recovers. */
  readonly salvage?: (found: Salvage) => boolean;
}

/** The last log that was found damaged, as it was; one is kept. */
export const DAMAGED_FILE = "log.damaged";
const AHEAD_BYTES = 4 << 20;
const RESERVE_BYTES = 1 << 20;
/** What an entry weighs besides its data. */
const ENTRY_OVERHEAD_BYTES = 64;
const REWRITE_BYTES_MIN = 64 << 20;
const FULL_RETRY_MS = 250;
const INLINE_BYTES_MAX = 1 << 18;
const QUICK_MS = 3;
/** Frames closer to each other than this are many. */
const BUSY_MS = 0.5;
/** The file is rewritten when it is this many times as large as what is needed of it. */
const REWRITE_RATIO = 4;
/** … or holds this much that is not needed: the file is read whole at a start, and stays far from 2 GiB. */
const REWRITE_WASTE_BYTES = 512 << 20;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** What shares a frame, and who waits for it. */
interface Batch {
  readonly writes: LogWrite[];
  readonly waiting: Waiting[];
}

export class LogStore {
  readonly groups = new Map<GroupId, GroupLog>();
  readonly facts = new Map<string, unknown>();
  private readonly options: LogStoreOptions;
  private file: LogFile;
  private offset = 0;
  /** The file reaches up to here; beyond `offset` it is zeros. */
  private allocated = 0;
  private zeros = Buffer.alloc(0);
  private sequence = 0;
  private pending: LogWrite[] = [];
  private readonly frame = new LogFrame();
  private waiting: Waiting[] = [];
  private flushing: Promise<void> | undefined;
  private isFull = false;
  /** The last write took less than QUICK_MS. */
  private isQuick = false;
  /** When the last write ended, on the monotonic clock. */
  private flushedMs = 0;
  /** Size at which rewriting is considered again. */
  private considerAt = 0;
  private closing = false;
  /** Set when it was closed with writes that found no room: none after them may be written. */
  private givenUp: Error | undefined;
  /** From its beginning until its file is taken or given up: what is made meanwhile, it needs too. */
  private rewrite: LogRewrite | undefined;
  /** Resolves once it is whole or given up. */
  private rewriting: Promise<void> | undefined;
  private readonly reserveBytes: number;
  /** Bytes of entries that wait to be written. */
  private pendingBytes = 0;
  /** What the disk would have to take for the log to go on. */
  private missingBytes = 0;
  /** Term and vote of each group as they are on disk. */
  private readonly promised = new Map<GroupId, HardState>();
  /** Who waits for hard state while there is no room. */
  private promises: { readonly group: GroupId; readonly resolve: () => void }[] = [];
  private readonly promiseFrame = new LogFrame();
  private wake: () => void = () => undefined;
  /** Called when there turns out to be no room. */
  onFull: () => void = () => undefined;

  /** Opens or makes the store. Throws StoreCorruptError when something that was acknowledged cannot be read. */
  constructor(options: LogStoreOptions) {
    this.options = options;
    this.reserveBytes = options.reserveBytes ?? RESERVE_BYTES;
    const { folder } = options;
    // What an unfinished rewrite left.
    folder.remove(NEW_LOG_FILE);
    const bytes = folder.read(LOG_FILE);
    let bytesKept = bytes;
    if (bytes !== undefined) {
      try {
        this.offset = this.recover(bytes);
      } catch (error) {
        if (!(error instanceof StoreCorruptError)) throw error;
        const found = salvageLog(bytes);
        if (options.salvage?.(found) !== true) throw error;
        bytesKept = this.salvage(found);
      }
    }
    for (const [group, log] of this.groups) {
      // It had nothing yet, or the log lost its end since: then it had voted and acknowledged again, and asks anew.
      if (log.record.recovery?.refill === true) log.record = marked(log.record, true);
      this.promised.set(group, log.record.hardState);
    }
    this.file = folder.open(LOG_FILE);
    this.allocated = this.offset;
    if (bytes !== undefined) this.clearTail((bytesKept ?? bytes).subarray(this.offset));
    this.file.sync();
    if (bytes === undefined) folder.sync();
  }

  /** What was kept of a damaged log, for the node's own log; undefined when it was whole. */
  salvaged: Salvage | undefined;

  /**
   * Sets the damaged file aside and puts what can be had of it in its place. Returns the new file's bytes. Without
   * room for them the damaged file stays as it is: the error says how many they are, and `isNoRoom` knows it.
   */
  private salvage(salvage: Salvage): Buffer {
    this.salvaged = salvage;
    this.groups.clear();
    this.facts.clear();
    for (const [name, value] of salvage.facts) this.facts.set(name, value);
    this.facts.set(LOG_DAMAGED, { at: salvage.damagedAt });
    for (const [group, log] of salvage.groups) this.groups.set(group, log);
    const frames: Buffer[] = [];
    for (const writes of neededWrites(this.facts, this.groups)) {
      this.frame.clear();
      for (const one of writes) this.frame.add(one);
      frames.push(Buffer.from(this.frame.seal(frames.length + 1)));
    }
    const kept = Buffer.concat(frames);
    this.setAside(kept);
    this.frame.clear();
    this.sequence = frames.length;
    this.offset = kept.length;
    return kept;
  }

  /** Puts `kept` in the place of the damaged file, which keeps another name; or leaves all as it is. */
  private setAside(kept: Buffer): void {
    const { folder } = this.options;
    folder.remove(DAMAGED_FILE);
    try {
      const file = folder.open(NEW_LOG_FILE);
      file.writeInPlace(kept, 0);
      file.sync();
      file.close();
      // Not copied: it may be large, and the disk nearly full.
      folder.link(LOG_FILE, DAMAGED_FILE);
    } catch (error) {
      folder.remove(NEW_LOG_FILE);
      if (!isNoRoom(error)) throw error;
      const message = `what can be read of the damaged log takes ${kept.length} bytes: ${reasonOf(error)}`;
      throw Object.assign(new Error(message, { cause: error }), { code: "ENOSPC" });
    }
    folder.rename(NEW_LOG_FILE, LOG_FILE);
    folder.sync();
  }

  /** The log does not reach what was applied from it: a part of its end is gone, though none is damaged. */
  async markLost(): Promise<void> {
    const writes: LogWrite[] = [{ kind: "fact", name: LOG_DAMAGED, value: { at: this.offset } }];
    for (const [group, { record }] of this.groups) {
      writes.push({ kind: "group", group, record: marked(record, false) });
    }
    await this.append(writes);
  }

  /** No room on the disk; writes wait until there is. */
  get full(): boolean {
    return this.isFull;
  }

  /** Bytes of entries that wait to be written. */
  get unwrittenBytes(): number {
    return this.pendingBytes;
  }

  /** While it is full: the bytes that are missing. */
  get neededBytes(): number {
    return this.isFull ? this.missingBytes : 0;
  }

  /**
   * Resolves once the hard state of the group, as it is now, is on disk, even while there is no room for what
   * was written before it: then it goes into the reserve.
   */
  promiseHardState(group: GroupId): Promise<void> {
    // Of a group that is not on disk itself a promise would not be found again: it waits for what is before it.
    if (!this.isFull || !this.promised.has(group)) return this.append([]);
    return new Promise((resolve) => {
      this.promises.push({ group, resolve });
      this.wake();
    });
  }

  sizeBytes(): number {
    return this.offset;
  }

  /**
   * Visible in `groups` and `facts` on return; resolves once all writes, and all before, are on disk. Rejects
   * when the store is closed while there is no room for them.
   */
  append(writes: readonly LogWrite[]): Promise<void> {
    for (const one of writes) {
      this.see(one);
      this.pending.push(one);
      this.pendingBytes += entryBytesOf(one);
      this.rewrite?.note(one);
    }
    if (this.givenUp !== undefined) return Promise.reject(this.givenUp);
    if (this.pending.length === 0 && this.flushing === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.flushing ??= this.flushLoop();
    });
  }

  /** Writes what is pending, unless the disk is full, and closes. */
  async close(): Promise<void> {
    this.closing = true;
    await this.rewriting;
    while (this.flushing !== undefined) await this.flushing;
    this.rewrite?.discard();
    // What was written ahead is given back, but for what is kept in reserve.
    this.file.truncate(Math.min(this.allocated, this.offset + this.reserveBytes));
    this.file.close();
  }

  private async flushLoop(): Promise<void> {
    while (this.pending.length > 0 || this.rewrite?.isWhole === true) {
      const batch: Batch = { writes: this.pending, waiting: this.waiting };
      this.pending = [];
      this.waiting = [];
      if (!(await this.write(batch))) {
        // Given up only when the node stops while its disk is full: nobody was promised anything.
        this.flushing = undefined;
        this.givenUp = new Error("the log was closed while its disk was full");
        for (const { reject } of [...batch.waiting, ...this.waiting.splice(0)]) reject(this.givenUp);
        return;
      }
      for (const one of batch.writes) this.pendingBytes -= entryBytesOf(one);
      for (const { resolve } of batch.waiting) resolve();
      this.considerRewrite();
    }
    this.flushing = undefined;
    // Nothing to write: whoever waited for earlier writes has them.
    for (const { resolve } of this.waiting.splice(0)) resolve();
  }

  /** False only when the disk fails, or the node stops while there is no room. */
  private async write(batch: Batch): Promise<boolean> {
    const { writes } = batch;
    for (;;) {
      // Without room, too: the old file may give back what the next frame needs.
      const isTaken = await this.takeNewFile(batch);
      if (isTaken !== undefined) return isTaken;
      if (writes.length === 0) return true;
      this.frame.clear();
      for (const one of writes) this.frame.add(one);
      const frame = this.frame.seal(this.sequence + 1);
      let isBegun = false;
      try {
        await this.makeRoom(frame.length);
        isBegun = true;
        await this.writeOut(frame);
        this.wrote(frame, writes);
        this.hasRoom();
        return true;
      } catch (error) {
        if (!isNoRoom(error)) {
          this.options.onDiskFailure(reasonOf(error));
          return false;
        }
        // Part of it may have been written, and must not be taken for a frame; what a longer row of zeros
        // took is given back.
        if (isBegun) this.giveUpReserve();
        else this.file.truncate(this.allocated);
        const isNews = !this.isFull;
        this.isFull = true;
        this.missingBytes = this.aheadOf(frame.length + this.reserveBytes);
        if (isNews) this.onFull();
        if (this.closing) return false;
        await this.promiseUntil(this.options.clock.nowMs() + FULL_RETRY_MS);
      }
    }
  }

  private wrote(frame: Buffer, writes: readonly LogWrite[]): void {
    this.sequence += 1;
    this.offset += frame.length;
    this.areOnDisk(writes);
  }

  private areOnDisk(writes: readonly LogWrite[]): void {
    for (const one of writes) {
      if (one.kind === "group") this.notePromised(one.group, one.record.hardState);
      else if (one.kind === "promise") this.notePromised(one.group, one.hardState);
      else if (one.kind === "remove") this.promised.delete(one.group);
    }
  }

  private notePromised(group: GroupId, hardState: HardState): void {
    this.promised.set(group, newerHardState(this.promised.get(group), hardState));
  }

  /** There is room again: who waited for hard state has it with what was written before it. */
  private hasRoom(): void {
    this.isFull = false;
    if (this.promises.length === 0) return;
    for (const { group, resolve } of this.promises.splice(0)) {
      const log = this.groups.get(group);
      const writes = log === undefined ? [] : [promiseOf(group, log.record.hardState)];
      void this.append(writes).then(resolve, () => undefined);
    }
  }

  /** Writes hard state into the reserve, for whoever asks, until it is time to try again or a new file is whole. */
  private async promiseUntil(deadlineMs: number): Promise<void> {
    const { clock } = this.options;
    while (!this.closing && this.rewrite?.isWhole !== true && clock.nowMs() < deadlineMs) {
      await this.writePromises();
      const woken = new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      if (this.promises.length > 0 && this.hasReserve()) continue;
      await Promise.race([pause(clock, Math.max(1, deadlineMs - clock.nowMs())), woken]);
      this.wake = () => undefined;
    }
  }

  private hasReserve(): boolean {
    return this.allocated - this.offset > this.promiseFrame.payloadBytes + FRAME_OVERHEAD_BYTES;
  }

  private async writePromises(): Promise<void> {
    const waiting = this.promises.splice(0);
    const writes: LogWrite[] = [];
    for (const group of new Set(waiting.map((one) => one.group))) {
      const hardState = this.groups.get(group)?.record.hardState;
      const known = this.promised.get(group);
      if (hardState === undefined) continue;
      if (known?.term === hardState.term && known.vote === hardState.vote) continue;
      writes.push(promiseOf(group, hardState));
    }
    if (writes.length > 0) {
      this.promiseFrame.clear();
      for (const one of writes) this.promiseFrame.add(one);
      const frame = this.promiseFrame.seal(this.sequence + 1);
      if (this.offset + frame.length > this.allocated) {
        // The reserve is used up, too: they wait for room like everybody.
        this.promises.unshift(...waiting);
        return;
      }
      try {
        await this.writeOut(frame);
      } catch (error) {
        this.promises.unshift(...waiting);
        if (!isNoRoom(error)) this.options.onDiskFailure(reasonOf(error));
        else this.giveUpReserve();
        return;
      }
      this.wrote(frame, writes);
      for (const one of writes) this.rewrite?.note(one);
    }
    for (const { resolve } of waiting) resolve();
  }

  /** A file system that takes no write in place either: what there is of one must not be taken for a frame. */
  private giveUpReserve(): void {
    this.file.truncate(this.offset);
    this.allocated = this.offset;
  }

  /**
   * With little to do, a small frame is written in place: handing it to another thread and back costs more
   * than the write. When frames follow each other closely the thread takes them, and what comes meanwhile
   * shares the next one; so it does on a disk that was slow, which must not hold up heartbeats.
   */
  private async writeOut(frame: Buffer): Promise<void> {
    const { clock } = this.options;
    const sinceMs = clock.nowMs();
    const inPlace = this.isQuick && sinceMs - this.flushedMs > BUSY_MS && frame.length <= INLINE_BYTES_MAX;
    if (inPlace) this.file.writeInPlace(frame, this.offset);
    else await this.file.write(frame, this.offset);
    this.flushedMs = clock.nowMs();
    this.isQuick = this.flushedMs - sinceMs < QUICK_MS;
  }

  /** Sees to it that `bytes` fit before the reserve; as long as they do not, writes no part of them. */
  private async makeRoom(bytes: number): Promise<void> {
    const missing = this.offset + bytes + this.reserveBytes - this.allocated;
    if (missing <= 0) return;
    const ahead = this.aheadOf(missing);
    // Kept: it is needed again after as many bytes, and memory outside the heap is what calls for collections.
    if (this.zeros.length < ahead) this.zeros = Buffer.alloc(ahead);
    await this.file.write(this.zeros.subarray(0, ahead), this.allocated);
    this.allocated += ahead;
  }

  /** How many bytes the file is made longer by where so many are missing. */
  private aheadOf(missingBytes: number): number {
    return Math.max(this.options.aheadBytes ?? AHEAD_BYTES, missingBytes);
  }

  /** Zeros that were written ahead stay; what a crash cut off is made zeros again, without asking for room. */
  private clearTail(tail: Buffer): void {
    if (tail.length === 0) return;
    try {
      if (!tail.equals(Buffer.alloc(tail.length))) {
        this.file.writeInPlace(Buffer.alloc(tail.length), this.offset);
      }
      this.allocated = this.offset + tail.length;
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      this.giveUpReserve();
    }
  }

  /** What a write means for what is needed; the same at recovery and when it is made. */
  private see(one: LogWrite): void {
    switch (one.kind) {
      case "fact":
        this.facts.set(one.name, one.value);
        return;
      case "remove":
        this.groups.delete(one.group);
        return;
      case "group": {
        const log = this.groups.get(one.group);
        if (log === undefined) {
          this.groups.set(one.group, { record: one.record, entries: [] });
          return;
        }
        const dropped = one.record.snapshot.index - log.record.snapshot.index;
        // A snapshot of another generation replaces the log, a compaction only shortens it, and a state that
        // was rebuilt in place of a damaged one leaves it as it is.
        if (one.record.generation !== log.record.generation && dropped !== 0) log.entries = [];
        else if (dropped > 0) log.entries.splice(0, dropped);
        // A promise may have been written ahead of it.
        const hardState = newerHardState(log.record.hardState, one.record.hardState);
        log.record = { ...one.record, hardState };
        return;
      }
      case "promise": {
        const log = this.groups.get(one.group);
        if (log === undefined) return;
        log.record = { ...log.record, hardState: newerHardState(log.record.hardState, one.hardState) };
        return;
      }
      case "truncate": {
        const log = this.groups.get(one.group);
        if (log !== undefined)
          log.entries.length = Math.min(
            log.entries.length,
            Math.max(0, one.from - 1 - log.record.snapshot.index),
          );
        return;
      }
      case "entries": {
        const log = this.groups.get(one.group);
        if (log === undefined) return;
        for (const entry of one.entries) {
          const at = entry.index - log.record.snapshot.index - 1;
          if (at !== log.entries.length)
            throw new StoreCorruptError(
              `the log of group ${one.group} has a gap before entry ${entry.index}`,
            );
          log.entries.push(entry);
        }
      }
    }
  }

  /** Reads all frames; returns where the next one goes. */
  private recover(bytes: Buffer): number {
    let offset = 0;
    while (offset < bytes.length) {
      const next = this.sequence + 1;
      const payload = readFrame(bytes, offset, next);
      if (payload === undefined) {
        if (!isTorn(bytes, offset, next))
          throw new StoreCorruptError(`the frame at byte ${offset} is damaged`);
        return offset;
      }
      this.sequence = next;
      for (const one of readRecords(payload)) this.see(one);
      offset += payload.length + FRAME_OVERHEAD_BYTES;
    }
    return offset;
  }

  private considerRewrite(): void {
    if (this.rewrite !== undefined || this.closing || this.isFull) return;
    const bytesMin = this.options.rewriteBytesMin ?? REWRITE_BYTES_MIN;
    if (this.offset < Math.max(bytesMin, this.considerAt)) return;
    // Looking at every entry is not for every batch.
    this.considerAt = this.offset + bytesMin / 8;
    let needed = 0;
    for (const log of this.groups.values()) {
      for (const entry of log.entries) {
        needed += entry.data.length + ENTRY_OVERHEAD_BYTES;
      }
    }
    if (this.offset < Math.min(REWRITE_RATIO * needed, needed + REWRITE_WASTE_BYTES)) return;
    try {
      this.rewrite = new LogRewrite(this.options.folder);
    } catch (error) {
      if (!isNoRoom(error)) this.options.onDiskFailure(reasonOf(error));
      return;
    }
    this.rewriting = this.writeNewFile(this.rewrite).finally(() => {
      this.rewriting = undefined;
    });
  }

  /** Writes what is needed while the old file goes on, and has the flush loop take the new one. */
  private async writeNewFile(rewrite: LogRewrite): Promise<void> {
    try {
      // From here on, what is made is noted; everything before is in what is needed.
      await rewrite.write(neededWrites(this.facts, this.groups));
    } catch (error) {
      this.giveUpRewrite(rewrite, error);
      return;
    }
    // Nobody will take it: `close` removes it.
    if (this.givenUp !== undefined) return;
    rewrite.isWhole = true;
    this.wake();
    this.flushing ??= this.flushLoop();
  }

  /**
   * Goes on in the new file of a rewrite, if there is one, with all that waits to be written: `batch` takes it
   * in. undefined: there is none, or no room for its rest. False: the disk failed.
   */
  private async takeNewFile(batch: Batch): Promise<boolean | undefined> {
    const { rewrite } = this;
    if (rewrite?.isWhole !== true) return undefined;
    // All of it was noted; what comes from here on goes to the new file like any other.
    this.rewrite = undefined;
    for (const one of this.pending.splice(0)) batch.writes.push(one);
    for (const one of this.waiting.splice(0)) batch.waiting.push(one);
    try {
      await rewrite.finish(this.reserveBytes);
    } catch (error) {
      this.giveUpRewrite(rewrite, error);
      return isNoRoom(error) ? undefined : false;
    }
    try {
      this.options.folder.sync();
    } catch (error) {
      // The old file has no name any more: going on with it would lose what is acknowledged.
      this.options.onDiskFailure(reasonOf(error));
      return false;
    }
    this.file.close();
    this.file = rewrite.file;
    this.offset = rewrite.offset;
    this.allocated = rewrite.offset + this.reserveBytes;
    this.considerAt = 0;
    this.sequence = rewrite.sequence;
    this.areOnDisk(batch.writes);
    this.hasRoom();
    return true;
  }

  /** Without room for a second file the first one goes on. */
  private giveUpRewrite(rewrite: LogRewrite, error: unknown): void {
    this.rewrite = undefined;
    rewrite.discard();
    if (!isNoRoom(error)) this.options.onDiskFailure(reasonOf(error));
  }
}

function entryBytesOf(one: LogWrite): number {
  let bytes = 0;
  if (one.kind === "entries") for (const { data } of one.entries) bytes += data.length + ENTRY_OVERHEAD_BYTES;
  return bytes;
}

/** Term and vote alone: the commit index speaks of entries that may still wait to be written. */
function promiseOf(group: GroupId, { term, vote }: HardState): LogWrite {
  return { kind: "promise", group, hardState: { term, vote, commit: 0 } };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
