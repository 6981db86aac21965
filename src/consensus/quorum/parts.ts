// Copies whose keys are divided, or put together: what a copy of the shard that results knows follows from what the
// copies on its node knew, so no copy has to ask another. Taking the part of a slice keeps merging (versions.ts): the
// part of what two copies know together is what the two parts know together. So does renaming every actor alike. A part
// that leaves a shard is renamed, so that no two shards have an actor in common; the floors of two shards that become one
// then say nothing of each other's keys, and can simply be joined.

import { compareDots, covers, join, type VersionVector } from "./vectors.ts";
import { absent, type Item, type Version } from "./versions.ts";

/** What one copy gives to another: versions that it `keeps`, with `suffix` added to the names of actors. */
export interface PartRule<Value> {
  readonly keeps: (version: Version<Value>) => boolean;
  readonly suffix: string;
  /**
   * Other versions of a key go elsewhere. What one superseded may be among those, so nobody can tell any more that it may
   * go because nobody heard of it.
   */
  readonly divides: boolean;
}

export function renamed(vector: VersionVector, suffix: string): VersionVector {
  if (suffix === "") return vector;
  return vector.map(([actor, counter]) => [`${actor}${suffix}`, counter] as const).toSorted(compareDots);
}

/**
 * The part of an item; nothing where the floor, of the copy that it is taken from, remembers everything that is left.
 */
export function partOf<Value>(
  item: Item<Value>,
  floor: VersionVector,
  { keeps, suffix, divides }: PartRule<Value>,
): Item<Value> {
  const kept = item.versions.filter(keeps);
  if (kept.length === 0 && item.context.every((dot) => covers(floor, dot))) return absent();
  const versions = kept.map(({ shared, ...version }) => ({
    ...version,
    ...(shared === undefined || divides ? {} : { shared }),
    dot: [`${version.dot[0]}${suffix}`, version.dot[1]] as const,
  }));
  return {
    context: renamed(item.context, suffix),
    versions: versions.toSorted((a, b) => compareDots(a.dot, b.dot)),
  };
}

/** One key of two shards that have no actor in common. */
export function together<Value>(parts: readonly Item<Value>[]): Item<Value> {
  const [only, ...more] = parts.filter(({ context, versions }) => context.length + versions.length > 0);
  if (only === undefined) return absent();
  if (more.length === 0) return only;
  const all = [only, ...more];
  let context: VersionVector = [];
  for (const part of all) context = join(context, part.context);
  return {
    context,
    versions: all.flatMap(({ versions }) => versions).toSorted((a, b) => compareDots(a.dot, b.dot)),
  };
}
