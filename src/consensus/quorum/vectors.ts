// Version vectors and dots. A dot names one write: the copy that coordinated it and that copy's counter. A
// vector says what was seen: of each actor every dot up to a counter. An actor is one life of one copy of a
// shard; a copy that lost something goes on under a new name, because its counter would otherwise claim
// what it no longer has.
//
// Vectors are sorted arrays of pairs: they have a handful of entries, go over the wire as they are, and two
// that are equal are equal byte by byte.

export type Actor = string;

export type Dot = readonly [actor: Actor, counter: number];

/** Sorted by actor; counters are 1 or more. */
export type VersionVector = readonly Dot[];

export const NOTHING: VersionVector = [];

/** How many dots of the actor the vector has seen; 0 when none. */
function counterOf(vector: VersionVector, actor: Actor): number {
  for (const [known, counter] of vector) if (known === actor) return counter;
  return 0;
}

/** Whether the vector has seen the dot. */
export function covers(vector: VersionVector, [actor, counter]: Dot): boolean {
  return counterOf(vector, actor) >= counter;
}

/** Whether `wide` has seen all that `narrow` has. */
export function includes(wide: VersionVector, narrow: VersionVector): boolean {
  return narrow.every((dot) => covers(wide, dot));
}

/** What either has seen: the least upper bound. */
export function join(a: VersionVector, b: VersionVector): VersionVector {
  if (includes(a, b)) return a;
  if (includes(b, a)) return b;
  const joined = new Map(a);
  for (const [actor, counter] of b) joined.set(actor, Math.max(counter, joined.get(actor) ?? 0));
  return [...joined].sort(([left], [right]) => (left < right ? -1 : 1));
}

export function sameDot(a: Dot, b: Dot): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

/** A total order, the same everywhere. */
export function compareDots(a: Dot, b: Dot): number {
  return a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1;
}
