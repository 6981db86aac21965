// Hinted handoff, the rules of it: a coordinator notes for whom a write did not arrive, and brings it when
// the copy is back. A hint names the key, not the value: what is brought is what the key holds then, so an
// old hint cannot carry an old value. Hints are best effort: they are bounded and expire, and whoever loses
// them loses no acknowledged write, because none counts towards W (6, 7); anti-entropy finds what they do
// not bring. They expire well before tombstones may be forgotten (8).

import type { NodeId } from "../../model/ids.ts";

export interface HintLimits {
  readonly hintsMax: number;
  readonly bytesMax: number;
  readonly ageMsMax: number;
}

export interface Hint {
  readonly target: NodeId;
  readonly key: string;
  readonly sinceMs: number;
}

/** Bytes that a hint takes on disk besides its names, roughly. */
const OVERHEAD_BYTES = 32;

/** The hints of one shard at one node: what is kept, and what goes to keep them bounded. */
export class HintBook {
  private readonly limits: HintLimits;
  /** By target, then key; oldest first, because a hint that is noted again keeps its place and its age. */
  private readonly byTarget = new Map<NodeId, Map<string, number>>();
  private hints = 0;
  private size = 0;

  constructor(limits: HintLimits) {
    this.limits = limits;
  }

  get count(): number {
    return this.hints;
  }

  get bytes(): number {
    return this.size;
  }

  countFor(target: NodeId): number {
    return this.byTarget.get(target)?.size ?? 0;
  }

  /** Since when the target has missed something; undefined when nothing is noted. */
  oldestFor(target: NodeId): number | undefined {
    for (const sinceMs of this.byTarget.get(target)?.values() ?? []) return sinceMs;
    return undefined;
  }

  /** When a hint was noted; 0 for none. */
  sinceOf(target: NodeId, key: string): number {
    return this.byTarget.get(target)?.get(key) ?? 0;
  }

  targets(): readonly NodeId[] {
    return [...this.byTarget.keys()];
  }

  /** False when there is no room: the write is then anti-entropy's to bring. */
  note({ target, key, sinceMs }: Hint): boolean {
    const known = this.byTarget.get(target);
    if (known?.has(key) === true) return true;
    const bytes = sizeOf(target, key);
    if (this.hints >= this.limits.hintsMax || this.size + bytes > this.limits.bytesMax) return false;
    if (known === undefined) this.byTarget.set(target, new Map([[key, sinceMs]]));
    else known.set(key, sinceMs);
    this.hints += 1;
    this.size += bytes;
    return true;
  }

  drop(target: NodeId, key: string): boolean {
    const known = this.byTarget.get(target);
    if (known?.delete(key) !== true) return false;
    if (known.size === 0) this.byTarget.delete(target);
    this.hints -= 1;
    this.size -= sizeOf(target, key);
    return true;
  }

  /** The oldest keys for a target. */
  next(target: NodeId, count: number): readonly string[] {
    const keys: string[] = [];
    for (const key of this.byTarget.get(target)?.keys() ?? []) {
      if (keys.length === count) break;
      keys.push(key);
    }
    return keys;
  }

  /** Those that are too old, or for a node that is no copy any more; they are to be dropped. */
  expired(nowMs: number, isCopy: (node: NodeId) => boolean): readonly Hint[] {
    const all: Hint[] = [];
    for (const [target, keys] of this.byTarget) {
      const gone = !isCopy(target);
      for (const [key, sinceMs] of keys) {
        // A clock that was set back must not keep a hint for ever.
        const isOld = nowMs - sinceMs > this.limits.ageMsMax || sinceMs - nowMs > this.limits.ageMsMax;
        if (gone || isOld) all.push({ target, key, sinceMs });
      }
    }
    return all;
  }
}

function sizeOf(target: NodeId, key: string): number {
  return target.length + key.length + OVERHEAD_BYTES;
}
