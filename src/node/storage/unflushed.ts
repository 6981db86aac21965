// What was written and is not on disk yet, in the order in which it was written. To write costs no look at what is
// there, and leaves no object for a key: bytes behind bytes. By name it is found only once somebody reads.

import { Register, type StoreValue } from "./store.ts";
import type { Key } from "./key.ts";

/** A value or what makes it; undefined for a removed record. */
export type Written = StoreValue | undefined;

const UNMADE_BYTES = 64;
const KEYS_BYTES_FIRST = 1024;

/** A key's bytes as Latin-1, which sort as the key does. */
export function nameOf(key: Key): string {
  return key.toString("latin1");
}

export function keyOf(name: string): Key {
  return Buffer.from(name, "latin1");
}

export function payloadOf(written: StoreValue): Buffer {
  const payload = typeof written === "function" ? written() : written;
  if (typeof payload === "string") return Buffer.from(payload);
  return payload instanceof Buffer
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}

/** Roughly, of one that is not made yet. */
function bytesOf(written: Written): number {
  return typeof written === "function" ? UNMADE_BYTES : (written?.length ?? 0);
}

/** As a map from names to what was last written under them, and as a list of all that was written. */
export class Unflushed {
  /** Of keys and values. */
  bytes = 0;
  private keyBytes: Buffer = Buffer.allocUnsafeSlow(KEYS_BYTES_FIRST);
  /** Where each key ends in `keyBytes`. */
  private readonly ends: number[] = [];
  private readonly values: Written[] = [];
  /** Where the last value of each name is, of the first `indexed` values. */
  private readonly index = new Map<string, number>();
  private indexed = 0;
  /** Before the transaction at hand: how much there was, and what lay in the registers that it wrote. */
  private before = { length: 0, bytes: 0 };
  private registered: {
    readonly register: Register;
    readonly place: Register["place"];
    readonly value: Written;
  }[] = [];

  /** What was last written under each name, as if written now. */
  static of(written: ReadonlyMap<string, Written>): Unflushed {
    const unflushed = new Unflushed();
    for (const [name, value] of written) unflushed.add(keyOf(name), value);
    return unflushed;
  }

  /** How often was written, but for what registers wrote again. */
  get length(): number {
    return this.values.length;
  }

  begin(): void {
    this.before = { length: this.values.length, bytes: this.bytes };
    if (this.registered.length > 0) this.registered = [];
  }

  /** Nothing was written since `begin`. */
  undo(): void {
    const { length, bytes } = this.before;
    for (const { register, place, value } of this.registered.toReversed()) {
      register.place = place;
      if (place?.among === this) this.values[place.at] = value;
    }
    this.registered = [];
    this.values.length = length;
    this.ends.length = length;
    this.bytes = bytes;
    if (this.indexed > length) {
      this.index.clear();
      this.indexed = 0;
    }
  }

  write(to: Key | Register, value: Written): void {
    if (to instanceof Register) this.register(to, value);
    else this.add(to, value);
  }

  private register(register: Register, value: Written): void {
    const { place } = register;
    if (place?.among === this) {
      const old = this.values[place.at];
      this.registered.push({ register, place, value: old });
      this.values[place.at] = value;
      this.bytes += bytesOf(value) - bytesOf(old);
    } else {
      this.registered.push({ register, place, value: undefined });
      register.place = { among: this, at: this.values.length };
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
    this.values.push(value);
    this.bytes += key.length + bytesOf(value);
  }

  /** The key that was written at `at`: a view, for as long as nothing else is written. */
  keyAt(at: number): Key {
    return this.keyBytes.subarray(this.ends[at - 1] ?? 0, this.ends[at]);
  }

  valueAt(at: number): Written {
    return this.values[at];
  }

  has(name: string): boolean {
    return this.byName().has(name);
  }

  /** Undefined for what was removed, and for what is not here. */
  get(name: string): Written {
    const at = this.byName().get(name);
    return at === undefined ? undefined : this.values[at];
  }

  keys(): Iterable<string> {
    return this.byName().keys();
  }

  /** The last of each name. */
  *[Symbol.iterator](): Generator<[name: string, value: Written]> {
    for (const [name, at] of this.byName()) yield [name, this.values[at]];
  }

  private byName(): ReadonlyMap<string, number> {
    for (; this.indexed < this.values.length; this.indexed += 1) {
      const at = this.indexed;
      this.index.set(this.keyBytes.toString("latin1", this.ends[at - 1] ?? 0, this.ends[at]), at);
    }
    return this.index;
  }
}
