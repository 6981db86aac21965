// What was written and is not on disk yet, in the order in which it was written. To write costs no look at what is
// there, and leaves no object for a key: bytes behind bytes. By name it is found only once somebody reads.

import { nameOf, type Key } from "./key.ts";
import { Register, type StoreValue } from "./store.ts";

/** A value or what makes it; undefined for a removed record. */
export type Written = StoreValue | undefined;

const UNMADE_BYTES = 64;
const KEYS_BYTES_FIRST = 1024;

/** Roughly, of one that is not made yet. */
function bytesOf(written: Written): number {
  return typeof written === "function" ? UNMADE_BYTES : (written?.length ?? 0);
}

/** Stands for a value that a later one of the same name has replaced. */
const REPLACED: unique symbol = Symbol("replaced");

type Item = Written | typeof REPLACED;

/** As a map from names to what was last written under them, and as a list of what was written. */
export class Unflushed {
  /** Of keys and values, without those that are known to be replaced. */
  bytes = 0;
  private keyBytes: Buffer = Buffer.allocUnsafeSlow(KEYS_BYTES_FIRST);
  /** Where each key ends in `keyBytes`. */
  private readonly ends: number[] = [];
  private readonly items: Item[] = [];
  /** Where the last item of each name is, of the first `indexed` items. */
  private readonly index = new Map<string, number>();
  private indexed = 0;
  /** Says of a register's place that it is here. Not this object: registers live on, and would keep all of this. */
  private readonly token: object = {};
  /** Of the transaction at hand: where it began, what lay in the registers that it wrote, what reads found replaced by it. */
  private began = 0;
  private registered: {
    readonly register: Register;
    readonly place: Register["place"];
    readonly item: Item;
  }[] = [];
  private replaced: { readonly at: number; readonly item: Item }[] = [];

  /** Of the list, those among it that others have replaced. */
  get length(): number {
    return this.items.length;
  }

  /** A transaction begins, which ends with `end` or with `undo`. */
  begin(): void {
    this.began = this.items.length;
  }

  end(): void {
    this.began = this.items.length;
    if (this.registered.length > 0) this.registered = [];
    if (this.replaced.length > 0) this.replaced = [];
  }

  /** Nothing was written since `begin`. */
  undo(): void {
    const { began } = this;
    for (const { at, item } of this.replaced.toReversed()) this.exchange(at, item);
    for (const { register, place, item } of this.registered.toReversed()) {
      if (place?.among === this.token) this.exchange(place.at, item);
      register.place = place;
    }
    for (let at = began; at < this.items.length; at += 1) this.exchange(at, REPLACED);
    this.items.length = began;
    this.ends.length = began;
    if (this.indexed > began) {
      this.index.clear();
      this.indexed = 0;
    }
    this.end();
  }

  write(to: Key | Register, value: Written): void {
    if (to instanceof Register) this.register(to, value);
    else this.add(to, value);
  }

  /** What was written after all of this. */
  append(later: Unflushed): void {
    for (const { key, value } of later.inOrder()) this.add(key, value);
    this.end();
  }

  private register(register: Register, value: Written): void {
    const { place } = register;
    if (place?.among === this.token) {
      this.registered.push({ register, place, item: this.items[place.at] });
      this.exchange(place.at, value);
    } else {
      this.registered.push({ register, place, item: undefined });
      register.place = { among: this.token, at: this.items.length };
      this.add(register.key, value);
    }
  }

  private add(key: Key, value: Written): void {
    const start = this.ends.at(-1) ?? 0;
    const end = start + key.length;
    if (end > this.keyBytes.length) {
      const { keyBytes } = this;
      this.keyBytes = Buffer.allocUnsafeSlow(2 * end);
      keyBytes.copy(this.keyBytes, 0, 0, start);
    }
    this.keyBytes.set(key, start);
    this.ends.push(end);
    this.items.push(value);
    this.bytes += key.length + bytesOf(value);
  }

  private exchange(at: number, item: Item): void {
    this.bytes += this.bytesAt(at, item) - this.bytesAt(at, this.items[at]);
    this.items[at] = item;
  }

  private bytesAt(at: number, item: Item): number {
    if (item === REPLACED) return 0;
    return (this.ends[at] ?? 0) - (this.ends[at - 1] ?? 0) + bytesOf(item);
  }

  /** As it was written, without what is known to be replaced. A key is a view, for as long as nothing else is written. */
  *inOrder(): Generator<{ readonly key: Key; readonly value: Written }> {
    for (const [at, value] of this.items.entries()) {
      if (value !== REPLACED) yield { key: this.keyAt(at), value };
    }
  }

  /** How many names there are; `bytes` counts nothing twice after it was asked. */
  countNames(): number {
    return this.byName().size;
  }

  has(name: string): boolean {
    return this.byName().has(name);
  }

  /** Undefined for what was removed, and for what is not here. */
  get(name: string): Written {
    const at = this.byName().get(name);
    return at === undefined ? undefined : this.valueAt(at);
  }

  keys(): Iterable<string> {
    return this.byName().keys();
  }

  /** The last of each name. */
  *[Symbol.iterator](): Generator<[name: string, value: Written]> {
    for (const [name, at] of this.byName()) yield [name, this.valueAt(at)];
  }

  private keyAt(at: number): Key {
    return this.keyBytes.subarray(this.ends[at - 1] ?? 0, this.ends[at]);
  }

  private valueAt(at: number): Written {
    const item = this.items[at];
    return item === REPLACED ? undefined : item;
  }

  private byName(): ReadonlyMap<string, number> {
    for (; this.indexed < this.items.length; this.indexed += 1) {
      const at = this.indexed;
      const name = nameOf(this.keyAt(at));
      const before = this.index.get(name);
      this.index.set(name, at);
      if (before === undefined || this.items[before] === REPLACED) continue;
      // Of a transaction that fails nothing is replaced.
      if (at >= this.began) this.replaced.push({ at: before, item: this.items[before] });
      this.exchange(before, REPLACED);
    }
    return this.index;
  }
}
