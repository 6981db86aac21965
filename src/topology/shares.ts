// What every node should hold: how many copies of a shard a zone takes, and how a total is shared out by
// weight under what nodes and zones can take.

/** Copies of one shard that each zone takes: every zone at least `least`, at most `most`. */
export interface ZoneBounds {
  readonly least: readonly number[];
  readonly most: readonly number[];
}

/**
 * Zones filled like connected vessels: as many zones as there are, and none has more than its even part while
 * another has room. `sizes`: nodes in each zone.
 */
export function zoneBounds(sizes: readonly number[], copies: number): ZoneBounds {
  const held = (level: number): number => sizes.reduce((sum, size) => sum + Math.min(size, level), 0);
  let level = 0;
  while (level < copies && held(level + 1) <= copies) level += 1;
  const least = sizes.map((size) => Math.min(size, level));
  const isFull = held(level) >= copies;
  return {
    least,
    most: sizes.map((size, zone) => (isFull || size <= level ? (least[zone] ?? 0) : level + 1)),
  };
}

/** Places of the nodes of each zone, in one pass: there may be as many zones as nodes. */
export function membersByZone(nodes: readonly { readonly zone: number }[], zones: number): number[][] {
  const members: number[][] = Array.from({ length: zones }, () => []);
  for (const [index, { zone }] of nodes.entries()) members[zone]?.push(index);
  return members;
}

export interface Taker {
  readonly zone: number;
  readonly weight: number;
  /** Most that it can take. */
  readonly most: number;
}

/**
 * Each node's share of `total`: in proportion to weight, as far as bounds of nodes and of zones allow; where
 * one cannot take its part, the others of its zone share it, then those of other zones. This is the minimum
 * of the sum of share^2 / weight under nested bounds: one level for all zones that are not at a bound.
 */
export function fairShares(
  takers: readonly Taker[],
  zones: readonly { readonly least: number; readonly most: number }[],
  total: number,
): number[] {
  const members = membersByZone(takers, zones.length);
  const clamped = (zone: number, level: number): number => {
    const { least, most } = zones[zone] ?? { least: 0, most: 0 };
    const free = (members[zone] ?? []).reduce((sum, index) => sum + filled(takers[index], level), 0);
    return Math.min(most, Math.max(least, free));
  };
  let low = 0;
  let high = total / Math.min(...takers.map(({ weight }) => weight), 1);
  for (let turn = 0; turn < 100; turn += 1) {
    const middle = (low + high) / 2;
    const sum = zones.reduce((all, _, zone) => all + clamped(zone, middle), 0);
    if (sum < total) low = middle;
    else high = middle;
  }
  // The level is known closely; which zones are at a bound is known with it, and the rest is exact.
  const shares = takers.map(() => 0);
  const free: number[] = [];
  let left = total;
  for (const [zone, { least, most }] of zones.entries()) {
    const inside = members[zone] ?? [];
    const wanted = inside.reduce((sum, index) => sum + filled(takers[index], high), 0);
    const bound = wanted <= least * (1 + EPSILON) ? least : wanted >= most * (1 - EPSILON) ? most : undefined;
    if (bound === undefined) free.push(...inside);
    else {
      left -= bound;
      pour(takers, inside, bound, shares);
    }
  }
  pour(takers, free, left, shares);
  return shares.map(snapped);
}

const EPSILON = 1e-9;

function filled(taker: Taker | undefined, level: number): number {
  return taker === undefined ? 0 : Math.min(taker.most, taker.weight * level);
}

/** Shares `amount` out by weight; who is full stays full, and the others take its part. */
function pour(takers: readonly Taker[], among: readonly number[], amount: number, shares: number[]): void {
  let open = [...among];
  let left = amount;
  for (;;) {
    const weight = open.reduce((sum, index) => sum + (takers[index]?.weight ?? 0), 0);
    const level = weight === 0 ? 0 : Math.max(0, left) / weight;
    const full = open.filter((index) => {
      const taker = takers[index];
      return taker !== undefined && taker.weight * level > taker.most;
    });
    if (full.length === 0) {
      for (const index of open) shares[index] = (takers[index]?.weight ?? 0) * level;
      return;
    }
    for (const index of full) {
      shares[index] = takers[index]?.most ?? 0;
      left -= takers[index]?.most ?? 0;
    }
    const isFull = new Set(full);
    open = open.filter((index) => !isFull.has(index));
  }
}

/** Sums of fractions miss whole numbers by a hair, and then a share of 3 would be rounded up to 4. */
function snapped(share: number): number {
  const whole = Math.round(share);
  return Math.abs(share - whole) <= EPSILON * Math.max(1, whole) ? whole : share;
}
