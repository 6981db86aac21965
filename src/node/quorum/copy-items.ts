// What a copy of a leaderless shard has on disk of each key: the outline, the value that readers see as a memory of the
// machine, and beside it those that they do not see; and the tree of digests over all of it. Whoever writes says what
// has been seen.
//
// A copy that was given up is removed from the disk while what began before may still run. Its floor says of all
// that is gone already that it was seen: read as absent, it would be deleted at every copy that is told so. So once
// closed it tells nothing any more.

import { DigestTree, digestOf, type Digest } from "../../consensus/quorum/digest-tree.ts";
import type { Listed } from "../../consensus/quorum/exchange.ts";
import { resolve } from "../../consensus/quorum/resolve.ts";
import { sameDot, type Dot, type VersionVector } from "../../consensus/quorum/vectors.ts";
import { absent, isForgettable, type Item, type Version } from "../../consensus/quorum/versions.ts";
import { countedOf } from "../../memory/stored.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { ShardId } from "../../model/ids.ts";
import { giveWay, type Clock } from "../clock.ts";
import { itemBytes, recordIn } from "../memories/commands.ts";
import type { MemoryMachine } from "../memories/memory-machine.ts";
import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import { StoreCorruptError, type Store, type StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";
import { itemKey, outlineBytes, outlineFrom, outlineOf, type MemoryValue, type Outline } from "./records.ts";

/** Keys looked at in one go. */
const KEYS_PER_TURN = 1000;

/** A change of one key: what is known of it afterwards, with the values that came with it. */
export interface Change {
  readonly id: string;
  readonly item: Item<MemoryValue>;
}

/** Bytes of a change on the network, roughly. */
export function sizeOf({ item }: Change): number {
  let bytes = 200;
  for (const { value } of item.versions) {
    if (value === null) continue;
    bytes += itemBytes(value);
  }
  return bytes;
}

export interface CopyItemsOptions {
  readonly shard: ShardId;
  readonly prefix: Key;
  readonly store: Store;
  readonly machine: MemoryMachine;
}

export class CopyItems {
  readonly tree = new DigestTree();
  private readonly shard: ShardId;
  private readonly prefix: Key;
  private readonly store: Store;
  private readonly machine: MemoryMachine;
  private readonly left = new Set<string>();
  private closed = false;

  constructor({ shard, prefix, store, machine }: CopyItemsOptions) {
    this.shard = shard;
    this.prefix = prefix;
    this.store = store;
    this.machine = machine;
  }

  close(): void {
    this.closed = true;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Keys that are deleted and not forgotten, with all that their deletion had seen. */
  *tombstones(): Iterable<readonly [id: string, context: VersionVector]> {
    for (const id of this.left) yield [id, this.outline(id).context];
  }

  /** Keys of which nothing is left for readers: tombstones, and contexts that the floor does not cover yet. */
  get remains(): ReadonlySet<string> {
    return this.left;
  }

  outline(id: string): Outline {
    this.refuseWhenClosed();
    const bytes = this.store.get(itemKey(this.prefix, id));
    return bytes === undefined ? absent() : outlineFrom(bytes);
  }

  digest(id: string): Digest {
    return digestOf(id, this.outline(id));
  }

  /** With the values. */
  item(id: string): Item<MemoryValue> {
    const outline = this.outline(id);
    const seen = resolve(outline);
    const versions = outline.versions.map((version) => ({
      ...version,
      value: version.value === null ? null : this.valueOf(id, version.dot, seen),
    }));
    return { context: outline.context, versions };
  }

  /** The keys of a leaf with their digests. */
  listed(leaf: number): readonly Listed[] {
    this.refuseWhenClosed();
    const start = extendKey(this.prefix, "item", leaf);
    const all: Listed[] = [];
    for (const { key, value } of this.store.range({ start, end: prefixEnd(start) })) {
      const id = String(decodeKey(key, start.length)[0]);
      all.push([id, digestOf(id, outlineFrom(value))]);
    }
    return all;
  }

  /** Keys whose deletion was done by that write. */
  deletedBy(write: string): readonly string[] {
    return [...this.left].filter((id) => {
      const seen = resolve(this.outline(id));
      return seen !== undefined && seen.value === null && seen.writes[0] === write;
    });
  }

  /** Ids of which anything is known, in an order of their own, and where to go on. */
  idsAfter(after: Key | undefined, countMax: number): { readonly ids: readonly string[]; readonly to: Key } {
    this.refuseWhenClosed();
    const items = extendKey(this.prefix, "item");
    const start = after === undefined ? items : Buffer.concat([after, Buffer.of(0)]);
    const ids: string[] = [];
    let to = start;
    for (const key of this.store.keys({ start, end: prefixEnd(items) })) {
      to = Buffer.from(key);
      ids.push(String(decodeKey(key, items.length)[1]));
      if (ids.length === countMax) break;
    }
    return { ids, to };
  }

  /** Brings a key to what is known of it now, with `floor` seen of all others; inside a transaction. */
  write({ id, item }: Change, floor: VersionVector, writer: StoreWriter): void {
    const before = this.outline(id);
    const after = outlineOf(item);
    const seen = resolve(before);
    const next = resolve(item);
    for (const version of before.versions) {
      const isHidden = version.value !== null && !isSame(version, seen);
      const stays = item.versions.some(({ dot }) => sameDot(dot, version.dot)) && !isSame(version, next);
      if (isHidden && !stays) writer.remove(this.siblingKey(id, version.dot));
    }
    for (const version of item.versions) {
      const wasHidden =
        before.versions.some(({ dot }) => sameDot(dot, version.dot)) && !isSame(version, seen);
      if (version.value === null || isSame(version, next) || wasHidden) continue;
      writer.put(this.siblingKey(id, version.dot), pack(version.value));
    }
    if (!isSame(seen, next)) {
      if (next !== undefined && next.value !== null) this.machine.putMemory({ id, ...next.value }, writer);
      else if (seen !== undefined && seen.value !== null) this.machine.removeMemory(id, writer);
    }
    const isGone = isForgettable(after, floor);
    if (isGone) writer.remove(itemKey(this.prefix, id));
    else writer.put(itemKey(this.prefix, id), outlineBytes(after));
    this.tree.change(id, digestOf(id, before), isGone ? "" : digestOf(id, after));
    if (!isGone && (next === undefined || next.value === null)) this.left.add(id);
    else this.left.delete(id);
  }

  private valueOf(id: string, dot: Dot, seen: Version<true> | undefined): MemoryValue {
    if (seen !== undefined && sameDot(seen.dot, dot)) {
      const key = this.machine.placeOf(id);
      const value = key === undefined ? undefined : this.machine.valueOf(key, id);
      if (key !== undefined && value !== undefined) {
        return { key, value, counted: countedOf(recordIn(value)), history: this.machine.events(id) };
      }
    } else {
      const bytes = this.store.get(this.siblingKey(id, dot));
      if (bytes !== undefined) return unpack(bytes) as MemoryValue;
    }
    // The outline promises a value that is not there: as bad as one that fails its checksum.
    throw new StoreCorruptError(itemKey(this.prefix, id));
  }

  private siblingKey(id: string, [actor, counter]: Dot): Key {
    return extendKey(this.prefix, "sibling", id, actor, counter);
  }

  /** Reads what is on disk. */
  index(): void {
    this.tree.clear();
    this.left.clear();
    const start = extendKey(this.prefix, "item");
    for (const { key, value } of this.store.range({ start, end: prefixEnd(start) })) {
      const id = String(decodeKey(key, start.length)[1]);
      const outline = outlineFrom(value);
      this.tree.change(id, "", digestOf(id, outline));
      const seen = resolve(outline);
      if (seen === undefined || seen.value === null) this.left.add(id);
    }
  }

  /**
   * The records that cannot be read, and all others of their memories. undefined where it was closed meanwhile: of a copy
   * that was being made nothing may be left then.
   */
  async damaged(clock: Clock): Promise<readonly Buffer[] | undefined> {
    const { store } = this;
    const lost = new Set<string>();
    const unreadable: Buffer[] = [];
    const recordsOf = new Map<string, Buffer[]>();
    let looked = 0;
    // Taken once: others write while this one gives way.
    const keys = [...store.keys({ start: this.prefix, end: prefixEnd(this.prefix) })];
    for (const key of keys) {
      looked += 1;
      if (looked % KEYS_PER_TURN === 0) await giveWay(clock);
      if (this.closed) return undefined;
      const id = idOf(key, this.prefix.length);
      if (id !== undefined) recordsOf.set(id, [...(recordsOf.get(id) ?? []), Buffer.from(key)]);
      try {
        store.get(key);
      } catch (error) {
        if (!(error instanceof StoreCorruptError)) throw error;
        unreadable.push(Buffer.from(key));
        if (id !== undefined) lost.add(id);
      }
    }
    // One whose outline and records contradict each other is as good as unreadable.
    for (const [id] of recordsOf) {
      if (lost.has(id)) continue;
      try {
        this.item(id);
      } catch (error) {
        if (!(error instanceof StoreCorruptError)) throw error;
        lost.add(id);
      }
    }
    if (this.closed) return undefined;
    return [...unreadable, ...[...lost].flatMap((id) => recordsOf.get(id) ?? [])];
  }

  private refuseWhenClosed(): void {
    if (this.closed) throw notHere(this.shard);
  }
}

/** What a copy says once it was given up. */
export function notHere(shard: ShardId): Mem0ctlError {
  return new Mem0ctlError("unavailable", "not-here", `this node has given up its copy of shard ${shard}`);
}

function isSame(a: Version<unknown> | undefined, b: Version<unknown> | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && sameDot(a.dot, b.dot));
}

/** The memory that a record belongs to; undefined for those of the copy as a whole. */
function idOf(key: Buffer, offset: number): string | undefined {
  const [kind, ...rest] = decodeKey(key, offset);
  switch (kind) {
    case "item":
    case "memory":
      return String(rest[1]);
    case "sibling":
    case "place":
    case "history":
      return String(rest[0]);
    default:
      return undefined;
  }
}
