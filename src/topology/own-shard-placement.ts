// Placement where a node holds a replica of one shard only (Redis Cluster): the nodes are dealt out to the
// shards, and in each shard one of them leads. Pure and deterministic, whatever the order of the nodes.

import type { NodeId } from "../model/ids.ts";
import type { SlotRange } from "../model/shard-map.ts";
import { assignEvenly } from "./balance.ts";
import type { PlacementNode } from "./placement.ts";
import { SLOTS } from "./slots.ts";

export interface OwnShard {
  /** Its nodes, the preferred leader first. */
  readonly replicas: readonly NodeId[];
  /** The share of the slots that the weight of its leader asks for. */
  readonly slots: SlotRange;
}

/**
 * Deals the nodes, ordered by zone, to the shards in turn: the nodes of one zone follow each other, so they
 * go to different shards, and only a zone with more nodes than there are shards puts two into one. No
 * placement can do better. Primaries are preferred as leaders; where there is a choice, leaders are spread
 * evenly over the zones, so that the loss of one takes as few of them as can be.
 *
 * Shards are numbered by the first of their nodes in the order of ids.
 */
export function placeOwnShards(nodes: readonly PlacementNode[], shards: number): OwnShard[] {
  const dataNodes = nodes.filter(({ role }) => role !== "arbiter").toSorted(byId);
  const zones = new Map<string, PlacementNode[]>();
  for (const node of dataNodes) {
    const members = zones.get(node.zone);
    if (members === undefined) zones.set(node.zone, [node]);
    else members.push(node);
  }
  // Dealt by zone; within that by id. Primaries first in each zone, so that they spread over the shards.
  const ordered = [...zones.values()].flatMap((members) => [
    ...members.filter(({ role }) => role === "primary"),
    ...members.filter(({ role }) => role !== "primary"),
  ]);
  const groups: PlacementNode[][] = Array.from({ length: Math.min(shards, ordered.length) }, () => []);
  for (const [index, node] of ordered.entries()) groups[index % groups.length]?.push(node);
  const sorted = groups.toSorted((one, other) => byId(firstOf(one), firstOf(other)));
  const leaders = leadersOf(sorted);
  const replicas = sorted.map((group, index) => {
    const leader = leaders[index];
    const rest = group.filter((node) => node !== leader).toSorted(byId);
    const heirs = [
      ...rest.filter(({ role }) => role === "primary"),
      ...rest.filter(({ role }) => role !== "primary"),
    ];
    return leader === undefined ? heirs : [leader, ...heirs];
  });
  const weights = replicas.map(([leader]) => leader?.weight ?? 1);
  return slotShares(weights).map((slots, index) => ({
    replicas: (replicas[index] ?? []).map(({ id }) => id),
    slots,
  }));
}

/** One of each group: a primary where it has one, and no zone leads more than it must. */
function leadersOf(groups: readonly (readonly PlacementNode[])[]): PlacementNode[] {
  const candidates = groups.map((group) => {
    const primaries = group.filter(({ role }) => role === "primary");
    return primaries.length > 0 ? primaries : group;
  });
  const zones = new Set(candidates.flat().map(({ zone }) => zone));
  const chosen = assignEvenly(
    candidates.map((group) => [...new Set(group.map(({ zone }) => zone))]),
    new Map([...zones].map((zone) => [zone, { weight: 1, load: 0 }])),
  );
  return candidates.map((group, index) => {
    const near = group.filter(({ zone }) => zone === chosen[index]);
    const heaviest = Math.max(...near.map(({ weight }) => weight));
    return firstOf(near.filter(({ weight }) => weight === heaviest));
  });
}

/** Contiguous ranges in proportion to the weights, each of at least one slot. */
function slotShares(weights: readonly number[]): SlotRange[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let before = 0;
  let from = 0;
  return weights.map((weight, index) => {
    before += weight;
    const left = weights.length - index - 1;
    const end = Math.max(from + 1, Math.min(SLOTS - left, Math.round((before / total) * SLOTS)));
    const range = { from, to: end - 1 };
    from = end;
    return range;
  });
}

function firstOf(group: readonly PlacementNode[]): PlacementNode {
  const [first] = group;
  if (first === undefined) throw new RangeError("a shard without nodes");
  return group.reduce((least, node) => (byId(node, least) < 0 ? node : least), first);
}

/** `node-2` before `node-10`: people number their nodes. */
function byId(one: { readonly id: NodeId }, other: { readonly id: NodeId }): number {
  return one.id.length - other.id.length || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
}
