// One replica group on disk: hard state, log, and the generation under which its state lies. A received
// snapshot is staged under the next generation and becomes the state by one small write.

import type { DurableState, Entry, EntryKind, HardState, PersistEffect, SnapshotMeta } from "../../consensus/seam.ts";
import type { GroupId } from "../../model/ids.ts";
import { encodeKey, extendKey, decodeKey, prefixEnd, type Key } from "../storage/key.ts";
import { StoreCorruptError, type Store, type StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";

interface GroupRecord {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  readonly generation: number;
}

/** What `checkpoint` remembers and `restore` gives back; opaque. */
export interface DurableCheckpoint {
  readonly record: GroupRecord;
  readonly lastIndex: number;
}

const KINDS: readonly EntryKind[] = ["noop", "command", "config"];
/** Term (6 bytes), kind (1), then the data. */
const ENTRY_HEAD_BYTES = 7;

const recordKey = (group: GroupId): Key => encodeKey("group", group);
const logPrefix = (group: GroupId): Key => encodeKey("log", group);
/** Name of the record that says up to where the state was applied. */
export const APPLIED = "applied";

/** Where the state of `group` lies in `generation`. */
export function statePrefix(group: GroupId, generation: number): Key {
  return encodeKey("state", group, generation);
}

/** Ids of the groups that have a replica on this disk. */
export function groupsOnDisk(store: Store): GroupId[] {
  const prefix = encodeKey("group");
  const ids: GroupId[] = [];
  for (const key of store.keys({ start: prefix, end: prefixEnd(prefix) })) ids.push(String(decodeKey(key)[1]));
  return ids;
}

export class DurableGroup {
  readonly id: GroupId;
  private readonly store: Store;
  private readonly log: Key;
  private record: GroupRecord;
  private lastIndex: number;

  private constructor(id: GroupId, store: Store, record: GroupRecord, lastIndex: number) {
    this.id = id;
    this.store = store;
    this.log = logPrefix(id);
    this.record = record;
    this.lastIndex = lastIndex;
  }

  /** A replica made anew, based on `snapshot` (index 0 for one that will be fed by its leader). */
  static create(id: GroupId, store: Store, writer: StoreWriter, hardState: HardState, snapshot: SnapshotMeta): DurableGroup {
    const group = new DurableGroup(id, store, { hardState, snapshot, generation: 1 }, snapshot.index);
    group.writeRecord(writer);
    group.writeApplied(writer, snapshot.index);
    return group;
  }

  /** Reads what is on disk. Throws StoreCorruptError for a record that fails its checksum or a log with a hole. */
  static load(id: GroupId, store: Store): { group: DurableGroup; durable: DurableState } | undefined {
    const bytes = store.get(recordKey(id));
    if (bytes === undefined) return undefined;
    const record = unpack(bytes) as GroupRecord;
    const log = logPrefix(id);
    const entries: Entry[] = [];
    const start = extendKey(log, record.snapshot.index + 1);
    for (const { key, value } of store.range({ start, end: prefixEnd(log) })) {
      const index = record.snapshot.index + 1 + entries.length;
      if (decodeKey(key, log.length)[0] !== index) throw new StoreCorruptError(key);
      entries.push(decodeEntry(index, value));
    }
    const group = new DurableGroup(id, store, record, record.snapshot.index + entries.length);
    const applied = store.get(extendKey(group.prefix(), APPLIED));
    if (applied === undefined) throw new StoreCorruptError(extendKey(group.prefix(), APPLIED));
    return {
      group,
      durable: {
        hardState: record.hardState,
        snapshot: record.snapshot,
        entries,
        applied: Number(unpack(applied)),
      },
    };
  }

  /** Where the state lies now. */
  prefix(): Key {
    return statePrefix(this.id, this.record.generation);
  }

  /** Where a snapshot that is being received is staged. */
  stagingPrefix(): Key {
    return statePrefix(this.id, this.record.generation + 1);
  }

  /** What this object believes is on disk, to be given back to `restore` when a transaction fails. */
  checkpoint(): DurableCheckpoint {
    return { record: this.record, lastIndex: this.lastIndex };
  }

  restore(checkpoint: DurableCheckpoint): void {
    this.record = checkpoint.record;
    this.lastIndex = checkpoint.lastIndex;
  }

  /** Writes one persist effect. Returns the prefix of a state that was replaced, to be deleted at leisure. */
  write(writer: StoreWriter, effect: PersistEffect): Key | undefined {
    let replaced: Key | undefined;
    let { record } = this;
    if (effect.hardState !== undefined) record = { ...record, hardState: effect.hardState };
    if (effect.compactTo !== undefined) record = { ...record, snapshot: effect.compactTo };
    if (effect.snapshot !== undefined) {
      replaced = this.prefix();
      record = { ...record, snapshot: effect.snapshot, generation: record.generation + 1 };
      this.removeLog(writer, 0, this.lastIndex);
      this.lastIndex = effect.snapshot.index;
    }
    if (record !== this.record) {
      this.record = record;
      this.writeRecord(writer);
      if (effect.snapshot !== undefined) this.writeApplied(writer, effect.snapshot.index);
    }
    if (effect.truncateFrom !== undefined) {
      this.removeLog(writer, effect.truncateFrom, this.lastIndex);
      this.lastIndex = Math.min(this.lastIndex, effect.truncateFrom - 1);
    }
    for (const entry of effect.entries ?? []) {
      writer.put(extendKey(this.log, entry.index), encodeEntry(entry));
      this.lastIndex = entry.index;
    }
    return replaced;
  }

  writeApplied(writer: StoreWriter, index: number): void {
    writer.put(extendKey(this.prefix(), APPLIED), pack(index));
  }

  /** The range of log entries that are no longer needed; deleting them can wait. */
  obsoleteLog(): { readonly start: Key; readonly end: Key } {
    return { start: this.log, end: extendKey(this.log, this.record.snapshot.index + 1) };
  }

  /** Removes every trace of the replica. Its state (returned prefix) is deleted at leisure. */
  remove(writer: StoreWriter): Key {
    this.removeLog(writer, 0, this.lastIndex);
    writer.remove(recordKey(this.id));
    return encodeKey("state", this.id);
  }

  private removeLog(writer: StoreWriter, from: number, to: number): void {
    const first = Math.max(from, 0);
    const keys = [...this.store.keys({ start: extendKey(this.log, first), end: extendKey(this.log, to + 1) })];
    for (const key of keys) writer.remove(Buffer.from(key));
  }

  private writeRecord(writer: StoreWriter): void {
    writer.put(recordKey(this.id), pack(this.record));
  }
}

function encodeEntry(entry: Entry): Buffer {
  const bytes = Buffer.allocUnsafe(ENTRY_HEAD_BYTES + entry.data.length);
  bytes.writeUIntBE(entry.term, 0, 6);
  bytes[6] = KINDS.indexOf(entry.kind);
  bytes.set(entry.data, ENTRY_HEAD_BYTES);
  return bytes;
}

function decodeEntry(index: number, bytes: Buffer): Entry {
  return {
    index,
    term: bytes.readUIntBE(0, 6),
    kind: KINDS[bytes[6] ?? 0] ?? "noop",
    // A copy: what LMDB gave may lie in a buffer that it reuses.
    data: Uint8Array.prototype.slice.call(bytes, ENTRY_HEAD_BYTES),
  };
}
