// With how little any plan must do: a lower bound on bytes for shards of different sizes, and, where all
// placements can be looked at, the least itself.

import { bytesMoved, loadsOf, violationOf } from "./sized-moves.ts";
import type { SizedNode, SizedProblem, SizedShard } from "./sized-moves.ts";

/**
 * Bytes that every plan moves which leaves nodes outside of their bounds by no more than `violation`
 * together. What a node has too much must go, the shards with the most value for a byte first, in parts if that
 * were possible; what nodes lack must come; and a copy that breaks a hard rule must go wherever it is. The
 * largest of the three. Where nothing may be left over, a shard that is larger than the room of any node makes the one
 * that takes it give away the rest. Zones of which every shard has a fixed number of copies cannot help each other, so
 * there each zone counts for itself.
 */
export function bytesLowerBound(problem: SizedProblem, violation: number): number {
  const { nodes, shards } = problem;
  const loads = loadsOf(
    problem,
    shards.map(({ holders }) => holders),
  );
  const held: number[][] = nodes.map(() => []);
  for (const [shard, { holders }] of shards.entries()) for (const node of holders) held[node]?.push(shard);
  const perByte = (shard: number): number => {
    const { value = 0, bytes = 0 } = shards[shard] ?? {};
    return bytes > 0 ? value / bytes : Infinity;
  };
  const best = Math.max(0, ...[...shards.keys()].map(perByte));
  const rigid = rigidZones(problem);
  // Who is over its bound by a rounding error sends nothing for it.
  const slack = ROUNDING * nodes.length * Math.max(1, ...nodes.map(({ most }) => finite(most)));
  const groups = new Map<number, { over: number; under: number }>();
  /** Of the open node that has most of it below its bound; in a rigid zone only that zone's can take anything. */
  const roomIn = (group: number): number =>
    nodes.reduce((most, node, index) => {
      const isThere = node.open && (group === -1 || node.zone === group);
      return isThere ? Math.max(most, node.most - (loads[index] ?? 0)) : most;
    }, 0);
  for (const [index, node] of nodes.entries()) {
    const group = rigid.has(node.zone) ? node.zone : -1;
    const sums = groups.get(group) ?? { over: 0, under: 0 };
    groups.set(group, sums);
    // A copy that is one too many goes without being moved.
    const free = (held[index] ?? []).reduce((sum, shard) => {
      const spec = shards[shard];
      return spec !== undefined && spec.holders.length > spec.copies ? sum + spec.value : sum;
    }, 0);
    const over = Math.max(0, (loads[index] ?? 0) - node.most - free - slack);
    const inParts = cheapestBytes(held[index] ?? [], shards, over, perByte);
    // Where nothing may be left over, whole shards have to go.
    sums.over +=
      violation > slack || free > 0
        ? inParts
        : Math.max(
            inParts,
            wholeBytes(held[index] ?? [], shards, over),
            bytesWithRoom(held[index] ?? [], shards, over, roomIn(group)),
          );
    const under = Math.max(0, node.least - (loads[index] ?? 0));
    if (under > 0) sums.under += best === Infinity ? 0 : under / best;
  }
  const allowed = best === Infinity || best === 0 ? 0 : violation / best;
  const balance = [...groups.values()].reduce((sum, { over, under }) => sum + Math.max(over, under), 0);
  const forced = shards.reduce((sum, shard) => sum + shard.bytes * forcedMoves(problem, shard), 0);
  return Math.max(0, balance - allowed, forced);
}

const ROUNDING = 1e-9;

function finite(bound: number): number {
  return Number.isFinite(bound) ? bound : 0;
}

/** Fewest bytes that carry `value` off a node, where the last shard may be cut. */
function cheapestBytes(
  held: readonly number[],
  shards: readonly SizedShard[],
  value: number,
  perByte: (shard: number) => number,
): number {
  if (value <= 0) return 0;
  let left = value;
  let bytes = 0;
  for (const shard of [...held].sort((a, b) => perByte(b) - perByte(a))) {
    const spec = shards[shard];
    if (spec === undefined || spec.value === 0) continue;
    const part = Math.min(1, left / spec.value);
    bytes += part * spec.bytes;
    left -= part * spec.value;
    if (left <= 0) break;
  }
  return bytes;
}

/** Bytes of the shards, the smallest first; undefined where one does not count what it weighs. */
function weights(held: readonly number[], shards: readonly SizedShard[]): readonly number[] | undefined {
  const sizes: number[] = [];
  for (const shard of held) {
    const spec = shards[shard];
    if (spec === undefined || spec.value !== spec.bytes) return undefined;
    sizes.push(spec.bytes);
  }
  return sizes.sort((a, b) => a - b);
}

/**
 * The same in whole shards: one that is large enough, or two that are together, or three or more, which are no less
 * than the three smallest. Told only where a shard counts what it weighs.
 */
function wholeBytes(held: readonly number[], shards: readonly SizedShard[], value: number): number {
  const sizes = weights(held, shards);
  if (value <= 0 || sizes === undefined) return 0;
  const needed = value * (1 - ROUNDING);
  let least = sizes.find((size) => size >= needed) ?? Infinity;
  let large = sizes.length - 1;
  for (const [small, size] of sizes.entries()) {
    while (large > small && size + (sizes[large - 1] ?? 0) >= needed && large - 1 > small) large -= 1;
    const pair = size + (sizes[large] ?? 0);
    if (large > small && pair >= needed) least = Math.min(least, pair);
  }
  const three = (sizes[0] ?? 0) + (sizes[1] ?? 0) + (sizes[2] ?? 0);
  return Math.min(least, sizes.length < 3 ? Infinity : Math.max(value, three));
}

/**
 * Fewest bytes that move for `value` to leave a node, where no node has more than `room` below its bound:
 * who takes a larger shard gives away the difference at least, who takes two gives away no less. Told only where a
 * shard counts what it weighs. The larger of two bounds: with the last shard cut, and with large ones whole.
 */
function bytesWithRoom(
  held: readonly number[],
  shards: readonly SizedShard[],
  value: number,
  room: number,
): number {
  const sizes = weights(held, shards);
  if (value <= 0 || sizes === undefined) return 0;
  let left = value;
  let bytes = 0;
  // The smallest cost least for a byte.
  for (const size of sizes) {
    const part = size === 0 ? 0 : Math.min(1, left / size);
    bytes += part * (size + Math.max(0, size - room));
    left -= part * size;
    if (left <= 0) break;
  }
  return Math.max(bytes, bytesWithWhole(sizes, value, room));
}

/** Large shards of one node of which every set is looked at, at most. */
const LARGE_MAX = 12;

/**
 * The same over every set of shards larger than `room` that may leave, those within it cut as one likes. The node may
 * itself take a large one, and then sends as much more; of that, all but `room` is what its taker was to give away.
 */
function bytesWithWhole(sizes: readonly number[], value: number, room: number): number {
  const large = sizes.filter((size) => size > room);
  if (large.length > LARGE_MAX) return 0;
  const small = sizes.reduce((sum, size) => (size > room ? sum : sum + size), 0);
  const needed = value * (1 - ROUNDING);
  let least = Infinity;
  const look = (start: number, sum: number, givenAway: number): void => {
    if (sum + small >= needed)
      least = Math.min(least, givenAway + Math.max(value, Math.min(sum, value + room)));
    for (const [offset, size] of large.slice(start).entries())
      look(start + offset + 1, sum + size, givenAway + size - room);
  };
  look(0, 0, 0);
  return least === Infinity ? 0 : least;
}

/** Zones of which every shard has a fixed number of copies, and has it now: nothing comes to them or leaves them. */
function rigidZones({ bounds, shards, nodes, zones }: SizedProblem): Set<number> {
  const rigid = new Set<number>();
  for (let zone = 0; zone < zones; zone += 1) {
    if ([...bounds.values()].every(({ least, most }) => least[zone] === most[zone])) rigid.add(zone);
  }
  for (const { holders, copies } of shards) {
    const { least = [] } = bounds.get(copies) ?? {};
    for (const zone of rigid) {
      const there = holders.filter((node) => nodes[node]?.zone === zone).length;
      if (there !== least[zone]) rigid.delete(zone);
    }
  }
  return rigid;
}

/** Copies of a shard that must come to a node without one, because of zones and of nodes that shall be empty. */
function forcedMoves({ nodes, bounds, zones }: SizedProblem, { holders, copies }: SizedShard): number {
  const { least = [], most = [] } = bounds.get(copies) ?? {};
  const kept = Array.from({ length: zones }, (_, zone) => {
    const there = holders.filter((node) => nodes[node]?.zone === zone && nodes[node]?.open === true).length;
    return Math.min(there, most[zone] ?? 0);
  });
  const missing = least.reduce((sum, count, zone) => sum + Math.max(0, count - (kept[zone] ?? 0)), 0);
  const staying = kept.reduce((sum, count) => sum + count, 0);
  return Math.max(missing, copies - staying, 0);
}

/** Placements that are looked at, at most: some tenths of a second. */
const PLACEMENTS_MAX = 250_000;

/**
 * Of all placements that keep the hard rules the one closest to the bounds, and of those the one that moves the
 * fewest bytes; undefined where there are too many to look at. Depth first; a branch ends where it can no longer
 * be better than `known`.
 */
export function leastBytesMoved(
  problem: SizedProblem,
  known: readonly (readonly number[])[],
): number[][] | undefined {
  const { nodes, shards } = problem;
  const open = nodes.filter((node) => node.open).length;
  if (shards.reduce((product, { copies }) => product * subsets(open, copies), 1) > PLACEMENTS_MAX)
    return undefined;
  const choices = shards.map((shard) => choicesOf(problem, shard));
  const order = [...shards.keys()].sort((a, b) => (shards[b]?.value ?? 0) - (shards[a]?.value ?? 0) || a - b);
  const tolerance = ROUNDING * Math.max(1, ...nodes.map(({ most }) => finite(most)));
  let best = known.map((holders) => [...holders]);
  let bestViolation = violationOf(nodes, loadsOf(problem, best));
  let bestBytes = bytesMoved(problem, best);
  if (breaksRules(problem, best)) [bestViolation, bestBytes] = [Infinity, Infinity];
  const loads = nodes.map(() => 0);
  const onDisk = nodes.map(() => 0);
  const chosen: (readonly number[])[] = [];

  const descend = (depth: number, bytes: number, valueLeft: number): void => {
    const over = nodes.reduce((sum, { most }, node) => sum + Math.max(0, (loads[node] ?? 0) - most), 0);
    const lacking = nodes.reduce((sum, { least }, node) => sum + Math.max(0, least - (loads[node] ?? 0)), 0);
    const violation = over + Math.max(0, lacking - valueLeft);
    if (violation > bestViolation + tolerance) return;
    if (violation >= bestViolation - tolerance && bytes >= bestBytes) return;
    const shard = order[depth];
    if (shard === undefined) {
      if (nodes.some(({ room }, node) => (onDisk[node] ?? 0) > room)) return;
      bestViolation = violation;
      bestBytes = bytes;
      best = shards.map((_, index) => [...(chosen[order.indexOf(index)] ?? [])]);
      return;
    }
    const spec = shards[shard];
    if (spec === undefined) return;
    for (const { holders, moved } of choices[shard] ?? []) {
      chosen[depth] = holders;
      for (const node of holders) {
        loads[node] = (loads[node] ?? 0) + spec.value;
        onDisk[node] = (onDisk[node] ?? 0) + spec.bytes;
      }
      descend(depth + 1, bytes + moved * spec.bytes, valueLeft - spec.value * spec.copies);
      for (const node of holders) {
        loads[node] = (loads[node] ?? 0) - spec.value;
        onDisk[node] = (onDisk[node] ?? 0) - spec.bytes;
      }
    }
  };
  descend(
    0,
    0,
    shards.reduce((sum, { value, copies }) => sum + value * copies, 0),
  );
  return bestViolation === Infinity ? undefined : best;
}

/** How many sets of `size` there are among `from`. */
function subsets(from: number, size: number): number {
  let count = 1;
  for (let each = 0; each < size; each += 1) count = (count * (from - each)) / (each + 1);
  return count;
}

interface Choice {
  readonly holders: readonly number[];
  readonly moved: number;
}

/** Every set of nodes that may hold a shard, those first that change least. */
function choicesOf(problem: SizedProblem, shard: SizedShard): Choice[] {
  const open = [...problem.nodes.keys()].filter((node) => problem.nodes[node]?.open === true);
  const inOrder = [
    ...shard.holders.filter((node) => open.includes(node)),
    ...open.filter((node) => !shard.holders.includes(node)),
  ];
  const found: Choice[] = [];
  const extend = (start: number, chosen: readonly number[]): void => {
    if (chosen.length === shard.copies) {
      if (keepsZones(problem, shard, chosen))
        found.push({ holders: chosen, moved: chosen.filter((node) => !shard.holders.includes(node)).length });
      return;
    }
    for (const [offset, node] of inOrder.slice(start).entries())
      extend(start + offset + 1, [...chosen, node]);
  };
  extend(0, []);
  return found.sort((a, b) => a.moved - b.moved);
}

function keepsZones(
  { nodes, bounds }: SizedProblem,
  { copies }: SizedShard,
  holders: readonly number[],
): boolean {
  const { least = [], most = [] } = bounds.get(copies) ?? {};
  return least.every((count, zone) => {
    const there = holders.filter((node) => nodes[node]?.zone === zone).length;
    return there >= count && there <= (most[zone] ?? 0);
  });
}

function breaksRules(problem: SizedProblem, placement: readonly (readonly number[])[]): boolean {
  const isOpen = (node: number): boolean => (problem.nodes[node] as SizedNode | undefined)?.open === true;
  return placement.some((holders, index) => {
    const shard = problem.shards[index];
    if (shard === undefined || holders.length !== shard.copies) return true;
    return !holders.every(isOpen) || !keepsZones(problem, shard, holders);
  });
}
