// What a copy knows of one key: the versions that nobody has superseded, and the context, all dots that it
// has seen of the key. Dotted version vector sets (Almeida, Baquero, Gonçalves et al. 2014): a new version
// supersedes what its writer had seen and nothing else, so two writers that did not know of each other
// leave two versions, kept apart until someone who has seen both writes again (4).
//
// Merging copies is commutative, associative and idempotent. A copy also has a floor: of each actor it has
// seen every dot up to there, on whatever key (the clock's base of Gonçalves, Almeida, Baquero, Fonte:
// "Concise server-wide causality management", 2015). A version under the floor that the copy does not hold
// was superseded or deleted there. So a tombstone can be forgotten without letting an old value return,
// however late the message that carries it (10).

import { compareDots, covers, join, NOTHING, sameDot, type Dot, type VersionVector } from "./vectors.ts";

/**
 * Earlier writes that a version names, itself first: enough to know a write that is sent again. One that was held up
 * on a path, while it was done at another coordinator, comes after all that were made of the key meanwhile.
 */
const WRITES_NAMED_MAX = 64;

/** One value, or a deletion, as one coordinator wrote it. Never changed: equal dots, equal versions. */
export interface Version<Value> {
  readonly dot: Dot;
  /** When it was written, capped (resolve.ts); decides between concurrent versions and nothing else. */
  readonly atMs: number;
  /** The client's write that made it, then those that it had seen, newest first. */
  readonly writes: readonly string[];
  /** null: a tombstone. */
  readonly value: Value | null;
  /** Of a tombstone: the shard key of what was deleted, which says to whom it goes when keys are divided. */
  readonly key?: string;
  /**
   * It was to be acknowledged by more copies than its coordinator's, and so was all that it superseded, or others have that:
   * when no other copy ever heard of it, nothing that was acknowledged goes with it.
   */
  readonly shared?: true;
}

export interface Item<Value> {
  readonly context: VersionVector;
  /** By dot. More than one: siblings. */
  readonly versions: readonly Version<Value>[];
}

/** A copy's answer about one key: what it holds, and what it has seen of everything. */
export interface Held<Value> {
  readonly item: Item<Value>;
  readonly floor: VersionVector;
}

const ABSENT: Item<never> = { context: NOTHING, versions: [] };

export function absent<Value>(): Item<Value> {
  return ABSENT;
}

/** Both copies' knowledge of a key. `floor` of a side: see the head of this file. */
export function merge<Value>(
  a: Item<Value>,
  b: Item<Value>,
  floors: { readonly a: VersionVector; readonly b: VersionVector } = { a: NOTHING, b: NOTHING },
): Item<Value> {
  const context = join(a.context, b.context);
  const kept = (version: Version<Value>, other: Item<Value>, floor: VersionVector): boolean =>
    has(other, version.dot) || !(covers(other.context, version.dot) || covers(floor, version.dot));
  const fromA = a.versions.filter((version) => kept(version, b, floors.b));
  const fromB = b.versions.filter((version) => !has(a, version.dot) && kept(version, a, floors.a));
  if (fromB.length === 0 && fromA.length === a.versions.length && context === a.context) return a;
  return { context, versions: buried(sorted([...fromA, ...fromB])) };
}

/**
 * Without the versions whose write a deletion names: a write that two coordinators did, of which the deletion had seen the
 * other version. It goes here, because the deletion may be forgotten before a copy hears of it (10).
 */
function buried<Value>(versions: readonly Version<Value>[]): readonly Version<Value>[] {
  const deletions = versions.filter(({ value }) => value === null);
  if (deletions.length === 0 || versions.length === deletions.length) return versions;
  return versions.filter(
    ({ value, writes }) =>
      value === null ||
      !deletions.some(
        (deletion) =>
          // Where each names the other, both were done twice, and neither was first.
          deletion.writes.includes(writes[0] ?? "") && !writes.includes(deletion.writes[0] ?? ""),
      ),
  );
}

/**
 * Of what a copy holds of a key, the live versions that nobody acknowledged, as far as another copy can tell: it never heard
 * of them. None where that one still holds what they superseded: here it counts as gone already, and would be so there.
 */
export function unheardOf(held: Item<unknown>, { item, floor }: Held<unknown>): readonly Dot[] {
  if (item.versions.some(({ dot }) => covers(held.context, dot) && !has(held, dot))) return [];
  return held.versions
    .filter(({ dot, value, shared }) => {
      const isKnown = covers(item.context, dot) || covers(floor, dot);
      return value !== null && shared === true && !isKnown;
    })
    .map(({ dot }) => dot);
}

/** All answers about a key in one item. */
export function mergeHeld<Value>(answers: readonly Held<Value>[]): Held<Value> {
  let merged: Held<Value> = { item: absent(), floor: NOTHING };
  for (const { item, floor } of answers) {
    merged = {
      item: merge(merged.item, item, { a: merged.floor, b: floor }),
      floor: join(merged.floor, floor),
    };
  }
  return merged;
}

/**
 * The item after a write at its coordinator. `seen` is what the writer had read of the key: that and only
 * that is superseded, while versions which reached the coordinator since stay beside the new one.
 */
export function written<Value>(
  local: Item<Value>,
  seen: Item<Value>,
  version: Omit<Version<Value>, "writes"> & { readonly write: string },
): Item<Value> {
  const { write, ...rest } = version;
  const named = seen.versions.toSorted((a, b) => b.atMs - a.atMs).flatMap(({ writes }) => writes);
  const writes = [...new Set([write, ...named])].slice(0, WRITES_NAMED_MAX);
  const concurrent = local.versions.filter(({ dot }) => !covers(seen.context, dot));
  return {
    context: join(join(local.context, seen.context), [version.dot]),
    versions: sorted([...concurrent, { ...rest, writes }]),
  };
}

/** The version in which a write that may have been sent before was done, if it was. */
export function doneBy<Value>(item: Item<Value>, write: string): Version<Value> | undefined {
  return item.versions.find(({ writes }) => writes.includes(write));
}

/** Equal knowledge of the key. */
export function sameItem(a: Item<unknown>, b: Item<unknown>): boolean {
  return (
    a.context.length === b.context.length &&
    a.versions.length === b.versions.length &&
    a.context.every((dot, at) => sameDot(dot, b.context[at] ?? ["", 0])) &&
    a.versions.every(({ dot }, at) => sameDot(dot, b.versions[at]?.dot ?? ["", 0]))
  );
}

/** Nothing is held and the floor remembers everything: the record of the key can go. */
export function isForgettable(item: Item<unknown>, floor: VersionVector): boolean {
  return item.versions.length === 0 && item.context.every((dot) => covers(floor, dot));
}

function has(item: Item<unknown>, dot: Dot): boolean {
  return item.versions.some((version) => sameDot(version.dot, dot));
}

function sorted<Value>(versions: readonly Version<Value>[]): readonly Version<Value>[] {
  return versions.toSorted((a, b) => compareDots(a.dot, b.dot));
}
