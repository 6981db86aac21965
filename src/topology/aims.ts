// From a cluster's state to what its nodes should hold: bounds for each node in the measure that is made even, and
// for each shard in every zone; and which hard rules cannot be kept, with what would let them be.

import type { NodeId, ShardId } from "../model/ids.ts";
import type { Measure, PlanProblem, PlannedNode, PlannedShard, PlannedState } from "../model/plan.ts";
import { formatBytes } from "../model/units.ts";
import { fairShares, zoneBounds } from "./shares.ts";
import type { ZoneBounds } from "./shares.ts";
import type { SizedProblem } from "./sized-moves.ts";

/** A problem in numbers, and how its numbers are read. */
export interface Aims {
  /** Nodes by id. */
  readonly nodes: readonly PlannedNode[];
  /** The order of the problem's shards: small ones last, because the last are moved first. */
  readonly shards: readonly PlannedShard[];
  readonly problem: SizedProblem;
  /** What each node should hold. */
  readonly shares: readonly number[];
  /** All shards count alike and nothing but their number bounds a node: the fewest moves can be proven. */
  readonly uniform: boolean;
  /** Shards larger than any fair share; the nodes that hold them should hold nothing else. */
  readonly giants: readonly ShardId[];
  readonly problems: readonly PlanProblem[];
}

export function aimsOf(state: PlannedState, by: Measure, threshold: number): Aims {
  const nodes = [...state.nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
  const shards = [...state.shards].sort((a, b) => b.bytes - a.bytes || compareIds(a.id, b.id));
  const indexOf = new Map(nodes.map(({ id }, index) => [id, index]));
  const open = nodes.map(takesData);
  const zoneNames = [...new Set(nodes.map(({ zone }) => zone))].sort();
  const zoneIndex = new Map(zoneNames.map((zone, index) => [zone, index]));
  const zoneOf = nodes.map(({ zone }) => zoneIndex.get(zone) ?? 0);
  const sizes = zoneNames.map(() => 0);
  for (const [index, zone] of zoneOf.entries()) if (open[index]) sizes[zone] = (sizes[zone] ?? 0) + 1;
  const bounds = new Map<number, ZoneBounds>();
  for (const { copies } of shards) if (!bounds.has(copies)) bounds.set(copies, zoneBounds(sizes, copies));

  const sized = shards.map((shard) => ({
    holders: shard.replicas.flatMap((id) => indexOf.get(id) ?? []),
    copies: shard.copies,
    value: valueOf(shard, by),
    bytes: shard.bytes,
  }));
  const wanted = wantedShares(nodes, sized, zoneOf, open, zoneNames.length, bounds, by, threshold);
  const isCount = sized.every(({ value: each }) => each === sized[0]?.value);
  const sameBytes = shards.every(({ bytes }) => bytes === shards[0]?.bytes);
  const isBounded = nodes.some(({ capacityBytes }) => capacityBytes !== undefined);
  return {
    nodes,
    shards,
    shares: wanted.shares,
    giants: shards.flatMap(({ id }, index) => {
      const shard = sized[index];
      return shard !== undefined && wanted.giants.has(shard) ? [id] : [];
    }),
    uniform: isCount && wanted.giants.size === 0 && (!isBounded || sameBytes),
    problem: {
      nodes: nodes.map(({ capacityBytes }, index) => ({
        zone: zoneOf[index] ?? 0,
        ...boundsOfShare(wanted.shares[index] ?? 0, threshold, isCount ? (sized[0]?.value ?? 0) : 0),
        open: open[index] ?? false,
        room: capacityBytes ?? Infinity,
      })),
      zones: zoneNames.length,
      shards: sized,
      bounds,
    },
    problems: hardProblems(nodes, shards),
  };
}

function takesData({ role, draining }: PlannedNode): boolean {
  return role !== "arbiter" && !draining;
}

/** What one copy of a shard counts in a measure. */
function valueOf(shard: PlannedShard, by: Measure): number {
  return by === "shards" ? 1 : shard[by];
}

/** `unit`: what one of equal shards counts, 0 where they differ: then a share cannot be met but by whole shards. */
function boundsOfShare(
  share: number,
  threshold: number,
  unit: number,
): { readonly least: number; readonly most: number } {
  const least = Math.max(0, share * (1 - threshold));
  const most = share * (1 + threshold);
  if (unit === 0) return { least, most };
  const units = share / unit;
  const slack = 1e-9 * Math.max(1, units);
  return {
    least:
      unit * Math.max(0, Math.min(Math.floor(units + slack), Math.ceil(units * (1 - threshold) - slack))),
    most: unit * Math.max(Math.ceil(units - slack), Math.floor(units * (1 + threshold) + slack)),
  };
}

interface WantedShares {
  readonly shares: readonly number[];
  readonly giants: ReadonlySet<SizedProblem["shards"][number]>;
}

function wantedShares(
  nodes: readonly PlannedNode[],
  shards: SizedProblem["shards"],
  zoneOf: readonly number[],
  open: readonly boolean[],
  zones: number,
  bounds: ReadonlyMap<number, ZoneBounds>,
  by: Measure,
  threshold: number,
): WantedShares {
  const fixed = new Map<number, number>();
  const giants = new Set<SizedProblem["shards"][number]>();
  for (;;) {
    const rest = shards.filter((shard) => !giants.has(shard));
    const all = rest.reduce((sum, { value }) => sum + value, 0);
    const total = rest.reduce((sum, { value, copies }) => sum + value * copies, 0);
    const takers = nodes.map(({ weight, capacityBytes }, index) => ({
      zone: zoneOf[index] ?? 0,
      weight,
      most: !open[index] || fixed.has(index) ? 0 : Math.min(all, roomIn(capacityBytes, rest, by)),
    }));
    const byCopies = new Map<number, number>();
    for (const { value, copies } of rest) byCopies.set(copies, (byCopies.get(copies) ?? 0) + value);
    const zoneTotals = Array.from({ length: zones }, (_, zone) => {
      if (giants.size > 0) return { least: 0, most: Infinity };
      const sum = (of: "least" | "most"): number =>
        [...byCopies].reduce(
          (held, [copies, value]) => held + value * (bounds.get(copies)?.[of][zone] ?? 0),
          0,
        );
      return { least: sum("least"), most: sum("most") };
    });
    const fair = fairShares(takers, zoneTotals, total);
    const shares = nodes.map((_, index) => fixed.get(index) ?? fair[index] ?? 0);
    const largest = Math.max(0, ...fair) * (1 + threshold);
    const found = by === "shards" ? [] : rest.filter(({ value }) => value > largest * (1 + 1e-9));
    const free = nodes.filter((_, index) => open[index] && !fixed.has(index)).length;
    if (found.length === 0 || free === 0 || total === 0 || sameValue(shards)) return { shares, giants };
    for (const giant of found) {
      giants.add(giant);
      for (const node of homesOf(giant, nodes, open, fixed))
        fixed.set(node, (fixed.get(node) ?? 0) + giant.value);
    }
  }
}

function sameValue(shards: SizedProblem["shards"]): boolean {
  return shards.every(({ value }) => value === shards[0]?.value);
}

/** Where a giant stays or goes: its own nodes, then the strongest that have none yet. */
function homesOf(
  { holders, copies }: SizedProblem["shards"][number],
  nodes: readonly PlannedNode[],
  open: readonly boolean[],
  fixed: ReadonlyMap<number, number>,
): number[] {
  const usable = [...nodes.keys()].filter((node) => open[node]);
  const rank = (node: number): number => Number(holders.includes(node)) * 2 - Number(fixed.has(node));
  return usable
    .sort((a, b) => rank(b) - rank(a) || (nodes[b]?.weight ?? 0) - (nodes[a]?.weight ?? 0) || a - b)
    .slice(0, copies);
}

/** A bound in bytes, in the measure: exact by bytes, and where all shards are equal. */
function roomIn(capacityBytes: number | undefined, shards: SizedProblem["shards"], by: Measure): number {
  if (capacityBytes === undefined) return Infinity;
  if (by === "bytes") return capacityBytes;
  const [first] = shards;
  if (first === undefined || first.bytes === 0 || !shards.every(({ bytes }) => bytes === first.bytes))
    return Infinity;
  return Math.floor(capacityBytes / first.bytes) * first.value;
}

function hardProblems(nodes: readonly PlannedNode[], shards: readonly PlannedShard[]): PlanProblem[] {
  const problems: PlanProblem[] = [];
  const open = nodes.filter(takesData);
  const copies = Math.max(0, ...shards.map((shard) => shard.copies));
  const draining = nodes.filter((node) => node.draining && node.role !== "arbiter").map(({ id }) => id);
  if (copies > open.length) {
    const because = draining.length === 0 ? "" : `, because ${listed(draining)} shall end empty`;
    problems.push({
      code: "too-few-nodes",
      severity: "hard",
      message: `${copies} copies need ${copies} nodes that take data, and there ${open.length === 1 ? "is" : "are"} ${open.length}${because}`,
      hint: `add ${counted(copies - open.length, "data node")}${draining.length === 0 ? "" : ", undrain one,"} or ask for fewer copies`,
    });
  }
  const needed = shards.reduce((sum, shard) => sum + shard.bytes * shard.copies, 0);
  const room = open.reduce((sum, { capacityBytes }) => sum + (capacityBytes ?? Infinity), 0);
  if (problems.length === 0 && needed > room) {
    problems.push({
      code: "too-little-room",
      severity: "hard",
      message: `the copies take ${formatBytes(needed)}, and the nodes that take data have room for ${formatBytes(room)}`,
      hint: `add a node with room for ${formatBytes(needed - room)} or more, or ask for fewer copies`,
    });
  }
  return problems;
}

export function listed(ids: readonly NodeId[]): string {
  return ids.length < 2 ? ids.join("") : `${ids.slice(0, -1).join(", ")} and ${ids.at(-1) ?? ""}`;
}

function counted(count: number, what: string): string {
  return count === 1 ? `a ${what}` : `${count} ${what}s`;
}

/** Shards by number where they are numbers. */
function compareIds(a: string, b: string): number {
  return Number(a) - Number(b) || (a < b ? -1 : a > b ? 1 : 0);
}
