// Which keys a shard's state answers for, while a slice of them goes to another shard's log, or comes from one
// (topology/handovers.ts). It is part of the state and changes by log entries alone, so every replica agrees from
// which entry on the slice is another's. All commands can be repeated: they name the handover, and the part of it
// that they continue.
//
//   custody -> CustodyState     changed <log index> <number> -> id, of memories of the slice that change meanwhile

import { errorBody, Mem0ctlError } from "../../model/errors.ts";
import type { KeySlice } from "../../model/shard-map.ts";
import { isInSlice } from "../../topology/handovers.ts";
import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import type { Store, StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";

/** How far a slice was read: all memories once, in order of keys, then those that changed meanwhile. */
export type SliceCursor =
  | { readonly scanned: readonly [key: string, id: string] }
  | { readonly changed: readonly [index: number, number: number] };

export interface Leaving {
  readonly id: number;
  readonly slice: KeySlice;
  /** leaving: served here, and what changes is noted. fenced: served no more. ended: given up. */
  readonly state: "leaving" | "fenced" | "ended";
  /** How far it was forgotten. */
  readonly dropped: readonly [key: string, id: string] | null;
}

export interface Arriving {
  readonly id: number;
  readonly slice: KeySlice;
  readonly cursor: SliceCursor | null;
  /** Given up: what has come is being forgotten, and nothing more is taken. */
  readonly ended: boolean;
  /** Some ids of it that a memory of the shard's own has under another key: of each only that one is here. */
  readonly clashes?: readonly string[];
}

/** Ids that are named, of those that cannot be taken. */
export const CLASHES_NAMED_MAX = 10;

/** The handover of which nothing is taken any more, whatever comes of it and whoever sends it. */
export interface Refused {
  readonly id: number;
  /** Some of those for which it was refused. */
  readonly clashes: readonly string[];
}

export interface CustodyState {
  /** Raised when keys come or go: a request made for another version may be about keys of before. */
  readonly version: number;
  /** The newest handover that was heard of: what is older, or over, is never begun again. */
  readonly last: number;
  readonly leaving: Leaving | null;
  readonly arriving: Arriving | null;
  /** The newest one. Absent in states of before, which tell a slice that was taken from one that was discarded by the map alone. */
  readonly refused?: Refused;
}

const NOTHING: CustodyState = { version: 0, last: 0, leaving: null, arriving: null };

export class Custody {
  private readonly store: Store;
  private prefix: Key;
  private current: CustodyState = NOTHING;
  /** Of the last key that was asked for: keys come in order. */
  private known: { readonly key: string; readonly isHidden: boolean } | undefined;
  private noted: { index: number; number: number } = { index: 0, number: 0 };
  private turned = 0;

  constructor(store: Store, prefix: Key) {
    this.store = store;
    this.prefix = prefix;
    this.reload(prefix);
  }

  reload(prefix: Key): void {
    this.prefix = prefix;
    const bytes = this.store.get(extendKey(prefix, "custody"));
    this.become(bytes === undefined ? NOTHING : (unpack(bytes) as CustodyState));
  }

  get state(): CustodyState {
    return this.current;
  }

  /**
   * How often keys came or went, or are hidden no more, since this replica was opened. A version can be the one of before
   * again.
   */
  get turns(): number {
    return this.turned;
  }

  change(changed: Partial<CustodyState>, writer: StoreWriter): CustodyState {
    const next = { ...this.current, ...changed };
    this.become(next);
    writer.put(extendKey(this.prefix, "custody"), () => pack(next));
    return next;
  }

  private become(next: CustodyState): void {
    const { hidden } = this;
    const { version } = this.current;
    this.current = next;
    // A read that began before would show the rest of what was hidden.
    if (next.version !== version || (hidden !== undefined && this.hidden === undefined)) this.turned += 1;
    this.known = undefined;
  }

  /** What lies here, but is another shard's: no longer this one's, or not yet. */
  get hidden(): KeySlice | undefined {
    const { leaving, arriving } = this.current;
    if (leaving?.state === "fenced") return leaving.slice;
    return arriving?.slice;
  }

  isHidden(key: string): boolean {
    const { hidden } = this;
    if (hidden === undefined) return false;
    if (this.known?.key !== key) this.known = { key, isHidden: isInSlice(hidden, key) };
    return this.known.isHidden;
  }

  /**
   * Whether what was asked by a map with this version of the shard can be answered. `isOwn`: it is about keys alone
   * that were this shard's before and after its slice went; such a request need not wait for the map to change.
   */
  answers(version: number, isOwn: () => boolean): boolean {
    const { leaving, version: current } = this.current;
    if (version === current) return true;
    return leaving?.state === "fenced" && version === current - 1 && isOwn();
  }

  /** A memory of the slice was written or removed by the entry at `index`: what was read of it is old. */
  touched(id: string, key: string, index: number, writer: StoreWriter): void {
    const { leaving } = this.current;
    if (leaving?.state !== "leaving" || !isInSlice(leaving.slice, key)) return;
    const number = this.noted.index === index ? this.noted.number + 1 : 0;
    this.noted = { index, number };
    writer.put(extendKey(this.prefix, "changed", index, number), () => Buffer.from(id));
  }

  /** The shard has, or is given, a memory of its own under an id that comes with the slice. */
  clashing(id: string, writer: StoreWriter): void {
    const { arriving } = this.current;
    const clashes = arriving?.clashes ?? [];
    if (arriving === null || clashes.length === CLASHES_NAMED_MAX || clashes.includes(id)) return;
    this.change({ arriving: { ...arriving, clashes: [...clashes, id] } }, writer);
  }

  /** Ids that changed after the cursor, oldest first. */
  *changedAfter(after: readonly [number, number] | undefined): Iterable<{
    readonly at: readonly [number, number];
    readonly id: string;
  }> {
    const all = extendKey(this.prefix, "changed");
    const start = after === undefined ? all : Buffer.concat([extendKey(all, ...after), Buffer.of(0)]);
    for (const { key, value } of this.store.range({ start, end: prefixEnd(all) })) {
      const [index, number] = decodeKey(key, all.length) as [number, number];
      yield { at: [index, number], id: value.toString() };
    }
  }

  /** Forgets some of the ids that changed; true when none is left. */
  forgetChanged(countMax: number, writer: StoreWriter): boolean {
    const all = extendKey(this.prefix, "changed");
    const keys: Key[] = [];
    for (const key of this.store.keys({ start: all, end: prefixEnd(all) })) {
      if (keys.length === countMax) break;
      keys.push(key);
    }
    for (const key of keys) writer.remove(key);
    return keys.length < countMax;
  }
}

/** Certainly not done: the shard's keys are not what the map said that the request was routed by. */
export function staleEpoch(): Mem0ctlError {
  return new Mem0ctlError("unavailable", "stale-epoch", "the shard's keys are being handed over", {
    why: "the request was routed by a shard map that does not hold any more, or not yet",
    hint: "nothing was done; try again in a moment",
  });
}

export const STALE_EPOCH = { ok: false, error: errorBody(staleEpoch()) } as const;
