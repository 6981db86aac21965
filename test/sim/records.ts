// Records in the order of their keys, as a simulated state store has them, with a digest of each group's state
// that is kept up to date by every write: equal states have equal digests, whatever order made them.

import { crc32 } from "node:zlib";
import type { GroupId } from "../../src/model/ids.ts";
import { nameOf, type Key } from "../../src/node/storage/key.ts";

export interface Stored {
  readonly key: Key;
  readonly value: Buffer;
  readonly digest: number;
  /** A flipped bit: reading it fails. */
  readonly isDamaged?: boolean;
}

/** `state <group> <generation>` at the beginning of a key; the rest is what all replicas have in common. */
export interface StatePlace {
  readonly prefix: string;
  readonly group: GroupId;
  readonly generation: number;
  readonly rest: string;
}

export function placeOf(name: string): StatePlace | undefined {
  if (!name.startsWith("\u0001state\u0000\u0001")) return undefined;
  const end = name.indexOf("\u0000", 8);
  const group = name.slice(8, end);
  // The generation is a number of nine bytes, and small.
  const generation = name.charCodeAt(end + 9);
  return { prefix: name.slice(0, end + 10), group, generation, rest: name.slice(end + 10) };
}

export class Records {
  readonly #records: Map<string, Stored>;
  readonly #names: string[];
  readonly #digests: Map<string, number>;

  constructor(from?: Records) {
    this.#records = new Map(from === undefined ? [] : from.#records);
    this.#names = from === undefined ? [] : [...from.#names];
    this.#digests = new Map(from === undefined ? [] : from.#digests);
  }

  get size(): number {
    return this.#names.length;
  }

  get(name: string): Stored | undefined {
    return this.#records.get(name);
  }

  put(name: string, key: Key, value: Uint8Array): void {
    const place = placeOf(name);
    const digest = place === undefined ? 0 : crc32(value, crc32(place.rest));
    if (place !== undefined) this.#mix(place.prefix, digest ^ (this.#records.get(name)?.digest ?? 0));
    if (!this.#records.has(name)) this.#names.splice(this.#at(name), 0, name);
    this.#records.set(name, { key: Buffer.from(key), value: Buffer.from(value), digest });
  }

  remove(name: string): void {
    const known = this.#records.get(name);
    if (known === undefined) return;
    const place = placeOf(name);
    if (place !== undefined) this.#mix(place.prefix, known.digest);
    this.#records.delete(name);
    this.#names.splice(this.#at(name), 1);
  }

  /** Puts back what `get` gave before. */
  restore(name: string, before: Stored | undefined): void {
    if (before === undefined) this.remove(name);
    else this.put(name, before.key, before.value);
  }

  damage(name: string): void {
    const known = this.#records.get(name);
    if (known !== undefined) this.#records.set(name, { ...known, isDamaged: true });
  }

  /** Whether there is any record below a prefix. */
  isBelow(prefix: Key): boolean {
    return this.#names[this.#at(nameOf(prefix))]?.startsWith(nameOf(prefix)) === true;
  }

  /** Of all records below a state's prefix. */
  digestOf(prefix: string): number {
    return this.#digests.get(prefix) ?? 0;
  }

  /** Names from `start` up to, without, `end`. */
  between(start: string, end: string): readonly string[] {
    return this.#names.slice(this.#at(start), this.#at(end));
  }

  all(): readonly string[] {
    return this.#names;
  }

  #mix(prefix: string, digest: number): void {
    this.#digests.set(prefix, (this.#digests.get(prefix) ?? 0) ^ digest);
  }

  /** Where `name` is, or would be. */
  #at(name: string): number {
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#names[middle] ?? "") < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
