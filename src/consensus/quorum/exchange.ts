// Anti-entropy between two copies, seen from the one that asks: which ranges differ, which leaves in them,
// which keys in those, and what has to go which way (11). It works through the differences in portions, so
// that its host can rest between them. When everything that differed has been merged on both sides, each
// holds what the other held at the beginning, and takes over the other's floor of then.

import type { Digest } from "./digest-tree.ts";
import { differences, leavesOfRange } from "./digest-tree.ts";
import type { VersionVector } from "./vectors.ts";

/** What a copy says of itself when an exchange begins. */
export interface Opening {
  /** Its floor, with its own counter: everything on it then. */
  readonly floor: VersionVector;
  /** What it has forgotten without some copy (tombstones.ts). */
  readonly forgotten: VersionVector;
  readonly root: Digest;
}

/** One key in a leaf and its digest. */
export type Listed = readonly [key: string, digest: Digest];

/** What the host asks the other copy next. */
export type Question =
  | { readonly kind: "leaves"; readonly ranges: readonly number[] }
  | { readonly kind: "keys"; readonly leaves: readonly number[] }
  | { readonly kind: "items"; readonly keys: readonly string[] };

export interface Portions {
  readonly ranges: number;
  readonly leaves: number;
  readonly keys: number;
}

export class Exchange {
  private readonly portions: Portions;
  private readonly ranges: number[];
  private readonly leaves: number[] = [];
  private readonly keys: string[] = [];
  private differing = 0;

  /** Ranges that differ, by the digests of both sides; none when the roots are equal. */
  constructor(own: readonly Digest[], other: readonly Digest[], portions: Portions) {
    this.portions = portions;
    this.ranges = [...differences(own, other)];
  }

  /** undefined when everything that differed has been asked for. */
  next(): Question | undefined {
    const { portions } = this;
    if (this.keys.length > 0) return { kind: "items", keys: this.keys.splice(0, portions.keys) };
    if (this.leaves.length > 0) return { kind: "keys", leaves: this.leaves.splice(0, portions.leaves) };
    if (this.ranges.length > 0) return { kind: "leaves", ranges: this.ranges.splice(0, portions.ranges) };
    return undefined;
  }

  /** The leaves of one range, as both sides have them. */
  leavesCompared(range: number, own: readonly Digest[], other: readonly Digest[]): void {
    const { first } = leavesOfRange(range);
    for (const at of differences(own, other)) this.leaves.push(first + at);
  }

  /** The keys of one leaf, as both sides have them. */
  keysCompared(own: readonly Listed[], other: readonly Listed[]): void {
    const mine = new Map(own);
    const theirs = new Map(other);
    for (const key of new Set([...mine.keys(), ...theirs.keys()])) {
      if (mine.get(key) === theirs.get(key)) continue;
      this.keys.push(key);
      this.differing += 1;
    }
  }

  /** Keys found to differ so far. */
  get found(): number {
    return this.differing;
  }
}
