// Digests of what a copy holds, as a tree over ranges of keys (Merkle 1987, as Dynamo and Cassandra use it for
// anti-entropy): a root, ranges, and leaves in each range. A key lies in the leaf that its hash says. A
// node's digest is the exclusive or of the digests below it, so a write changes one path and nothing is ever
// computed anew; two copies that differ find the leaves in which they do in two questions (11).

import type { Item } from "./versions.ts";

const RANGES = 64;
const LEAVES_PER_RANGE = 64;
const LEAVES = RANGES * LEAVES_PER_RANGE;

/** 64 bits as 16 hex digits; "" for a key of which nothing is held. */
export type Digest = string;

const EMPTY = "0000000000000000";

/** Which leaf a key lies in. */
export function leafOf(key: string): number {
  return hash(key)[0] >>> 20;
}

/** The digest of what a copy knows of a key. Values need not go in: a dot names one value. */
export function digestOf(key: string, item: Item<unknown>): Digest {
  if (item.context.length === 0 && item.versions.length === 0) return "";
  const context = item.context.map(([actor, counter]) => `${actor}:${counter}`).join(",");
  const versions = item.versions.map(({ dot: [actor, counter] }) => `${actor}:${counter}`).join(",");
  const [high, low] = hash(`${key}\n${context}\n${versions}`);
  return hex(high, low);
}

export class DigestTree {
  private readonly leaves = new Uint32Array(2 * LEAVES);
  private readonly ranges = new Uint32Array(2 * RANGES);
  private readonly top = new Uint32Array(2);

  /** A key's digest changed; "" before or after for a key that comes or goes. */
  change(key: string, before: Digest, after: Digest): void {
    if (before === after) return;
    const leaf = leafOf(key);
    for (const digest of [before, after]) {
      if (digest === "") continue;
      const high = Number.parseInt(digest.slice(0, 8), 16);
      const low = Number.parseInt(digest.slice(8), 16);
      toggle(this.leaves, leaf, high, low);
      toggle(this.ranges, Math.floor(leaf / LEAVES_PER_RANGE), high, low);
      toggle(this.top, 0, high, low);
    }
  }

  get root(): Digest {
    return read(this.top, 0);
  }

  rangeDigests(): readonly Digest[] {
    return Array.from({ length: RANGES }, (_, range) => read(this.ranges, range));
  }

  leafDigests(range: number): readonly Digest[] {
    return Array.from({ length: LEAVES_PER_RANGE }, (_, at) =>
      read(this.leaves, range * LEAVES_PER_RANGE + at),
    );
  }

  /** Every key forgotten. */
  clear(): void {
    for (const level of [this.leaves, this.ranges, this.top]) level.fill(0);
  }
}

/** Where two lists of digests differ. */
export function differences(a: readonly Digest[], b: readonly Digest[]): readonly number[] {
  return a.flatMap((digest, at) => (digest === (b[at] ?? EMPTY) ? [] : [at]));
}

export function leavesOfRange(range: number): { readonly first: number; readonly count: number } {
  return { first: range * LEAVES_PER_RANGE, count: LEAVES_PER_RANGE };
}

function toggle(level: Uint32Array, at: number, high: number, low: number): void {
  level[2 * at] = (level[2 * at] ?? 0) ^ high;
  level[2 * at + 1] = (level[2 * at + 1] ?? 0) ^ low;
}

function read(level: Uint32Array, at: number): Digest {
  return hex(level[2 * at] ?? 0, level[2 * at + 1] ?? 0);
}

function hex(high: number, low: number): Digest {
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}

/** Two lanes of multiply and rotate, mixed at the end as MurmurHash3 does: 64 bits, no secret, no attacker. */
function hash(text: string): readonly [number, number] {
  let a = 0x9747b28c;
  let b = 0x3c6ef372;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    a = Math.imul(a ^ unit, 0xcc9e2d51);
    a = (a << 15) | (a >>> 17);
    b = Math.imul(b ^ unit, 0x1b873593);
    b = (b << 13) | (b >>> 19);
  }
  return [mixed(a ^ b ^ text.length), mixed(Math.imul(b, 5) + a)];
}

function mixed(value: number): number {
  let mix = value;
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}
