// Where replicas, arbiters and the voters of the metadata group go when a cluster is made, and what
// takes their place when a node leaves. Pure and deterministic: every node computes the same from the
// same manifest, whatever the order in which it lists the nodes.

import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { MapNode } from "../model/shard-map.ts";
import { assignEvenly } from "./balance.ts";

/** What placement needs to know of a node. */
export type PlacementNode = Pick<MapNode, "id" | "role" | "zone" | "weight">;

export interface GroupPlacement {
  /** Data replicas, preferred leader first, then the order in which the others should take over. */
  readonly replicas: readonly NodeId[];
  readonly arbiters: readonly NodeId[];
}

/** Most voters of the metadata group: more would slow every change and gain little. */
const META_VOTERS_MAX = 5;

/**
 * Places `copies` data replicas of each of `shards` shards.
 *
 * - Copies are on distinct nodes and on as many zones as there are; where zones are fewer than copies,
 *   no zone has more than its even share unless the others are full.
 * - Within that, replicas per weight are as even as they can be: nodes of equal weight differ by at most 1
 *   where zones are of equal size.
 * - Of the nodes left to choose from, those that share the fewest shards with each other go together, so
 *   that the load of a lost node falls on all others.
 * - Preferred leaders are balanced by weight over the primaries of each shard; a secondary is first only
 *   where the shard has no primary.
 * - An even number of copies takes in an arbiter where there is one, best in a zone of its own.
 *
 * Throws `too-few-nodes` (invalid) when there are fewer data nodes than copies.
 */
export function placeReplicas(request: {
  readonly nodes: readonly PlacementNode[];
  readonly shards: number;
  readonly copies: number;
}): GroupPlacement[] {
  const { shards, copies } = request;
  const nodes = byId(request.nodes);
  const dataNodes = nodes.filter((node) => node.role !== "arbiter");
  if (copies > dataNodes.length) {
    throw new Mem0ctlError(
      "invalid",
      "too-few-nodes",
      `${copies} copies need ${copies} data nodes; there ${dataNodes.length === 1 ? "is" : "are"} ${dataNodes.length}`,
      { hint: "add nodes with role primary or secondary, or ask for fewer replicas" },
    );
  }
  const groups = spread(dataNodes, shards, copies);
  const replicas = orderByLeadership(groups, dataNodes);
  const arbiters = chooseArbiters(replicas, nodes);
  return replicas.map((group, shard) => ({ replicas: group, arbiters: arbiters[shard] ?? [] }));
}

/**
 * The voters of the metadata group: every node while there are at most `META_VOTERS_MAX`, otherwise that
 * many, data nodes before arbiters, spread over zones. `current` voters that are still there stay, so
 * that a join changes as little as it can. Sorted by id. With four nodes three vote: the fourth vote would raise
 * the quorum and survive no more losses. With two nodes both vote: one vote alone would be one copy.
 */
export function placeMetaVoters(nodes: readonly PlacementNode[], current: readonly NodeId[] = []): NodeId[] {
  const left = byId(nodes);
  const fits = Math.min(left.length, META_VOTERS_MAX);
  const wanted = fits > 2 && fits % 2 === 0 ? fits - 1 : fits;
  const chosen: PlacementNode[] = [];
  while (chosen.length < wanted) {
    const zones = countBy(chosen, (node) => node.zone);
    const best = left.reduce((champion, node) => {
      const order =
        Number(current.includes(node.id)) - Number(current.includes(champion.id)) ||
        Number(node.role !== "arbiter") - Number(champion.role !== "arbiter") ||
        (zones.get(champion.zone) ?? 0) - (zones.get(node.zone) ?? 0) ||
        Number(node.role === "primary") - Number(champion.role === "primary");
      return order > 0 ? node : champion;
    });
    chosen.push(best);
    left.splice(left.indexOf(best), 1);
  }
  return byId(chosen).map((node) => node.id);
}

/**
 * Reorders each group's replicas: preferred leader first, then the order of succession. Primaries come
 * before secondaries; leaders are even by weight; so are the first successors of each leader's shards, so
 * that several nodes take over what a lost one led.
 */
export function orderByLeadership(
  groups: readonly (readonly NodeId[])[],
  nodes: readonly PlacementNode[],
  leadsElsewhere: ReadonlyMap<NodeId, number> = new Map(),
): NodeId[][] {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const isPrimary = (id: NodeId): boolean => known.get(id)?.role === "primary";
  // Turned by one from shard to shard, so that ties do not always fall to the same node of a pair.
  const preferred = (group: readonly NodeId[], shard: number): NodeId[] =>
    turned(group.some(isPrimary) ? group.filter(isPrimary) : group, shard);
  const leaders = assignEvenly(
    groups.map(preferred),
    new Map(nodes.map(({ id, weight }) => [id, { weight, load: leadsElsewhere.get(id) ?? 0 }])),
  );
  const heirs = new Map<number, NodeId>();
  for (const leader of new Set(leaders)) {
    const led = [...groups.keys()].filter(
      (shard) => leaders[shard] === leader && (groups[shard]?.length ?? 0) > 1,
    );
    const options = led.map((shard) =>
      preferred(
        (groups[shard] ?? []).filter((id) => id !== leader),
        shard,
      ),
    );
    const chosen = assignEvenly(options, new Map(nodes.map(({ id, weight }) => [id, { weight, load: 0 }])));
    for (const [index, shard] of led.entries()) heirs.set(shard, chosen[index] ?? "");
  }
  return groups.map((group, shard) => {
    const first = [leaders[shard], heirs.get(shard)].filter((id) => id !== undefined);
    const rest = turned(
      group.filter((id) => !first.includes(id)),
      shard,
    );
    return [...first, ...rest.filter(isPrimary), ...rest.filter((id) => !isPrimary(id))];
  });
}

// --- spreading ---------------------------------------------------------------------------------

interface Zone {
  readonly members: readonly number[];
  /** Copies of every shard that the zone surely has; some shards have one more there. */
  readonly base: number;
  /** Shards that still get one more copy here. */
  extra: number;
}

/**
 * Which nodes hold each shard. First how many replicas each node gets: that is resource allocation under
 * nested bounds (node within zone within cluster) with a convex cost, for which giving one unit at a
 * time to the cheapest place that has room is optimal (Federgruen, Groenevelt 1986). Then which
 * shards: taking for each shard in turn the nodes with the most replicas still to place always works
 * out (Ryser's construction of a 0-1 matrix with given sums).
 */
function spread(nodes: readonly PlacementNode[], shards: number, copies: number): NodeId[][] {
  const remaining: number[] = nodes.map(() => 0);
  const zones = zonesOf(nodes, copies);
  const sureTotal = zones.reduce((sum, zone) => sum + zone.base, 0);
  const extrasPerShard = copies - sureTotal;
  const zoneOf = new Map(zones.flatMap((zone) => zone.members.map((member) => [member, zone] as const)));
  const placed = new Map<Zone, number>();
  let extrasLeft = extrasPerShard * shards;

  for (let unit = 0; unit < copies * shards; unit += 1) {
    let best = -1;
    let bestCost = Infinity;
    for (const [index, node] of nodes.entries()) {
      const zone = zoneOf.get(index);
      const count = remaining[index] ?? 0;
      if (zone === undefined || count >= shards) continue;
      const sure = (placed.get(zone) ?? 0) < zone.base * shards;
      if (!sure && (extrasLeft === 0 || zone.extra >= shards || zone.members.length === zone.base)) continue;
      const cost = (count + 1) / node.weight;
      if (cost < bestCost) [best, bestCost] = [index, cost];
    }
    const zone = zoneOf.get(best);
    if (zone === undefined) break;
    const count = placed.get(zone) ?? 0;
    if (count >= zone.base * shards) {
      zone.extra += 1;
      extrasLeft -= 1;
    }
    placed.set(zone, count + 1);
    remaining[best] = (remaining[best] ?? 0) + 1;
  }

  const together = new Map<string, number>();
  return Array.from({ length: shards }, () => {
    const group: number[] = [];
    const place = (zone: Zone): void => {
      const next = bestOf(zone);
      remaining[next] = (remaining[next] ?? 0) - 1;
      for (const other of group) {
        increment(together, pair(next, other));
        increment(together, pair(other, next));
      }
      group.push(next);
    };
    const shared = (index: number): number =>
      group.reduce((sum, other) => sum + (together.get(pair(index, other)) ?? 0), 0);
    const bestOf = (zone: Zone): number =>
      zone.members
        .filter((index) => !group.includes(index))
        .reduce((champion, index) => {
          const order =
            (remaining[index] ?? 0) - (remaining[champion] ?? 0) || shared(champion) - shared(index);
          return order > 0 ? index : champion;
        });

    for (const zone of zones) for (let turn = 0; turn < zone.base; turn += 1) place(zone);
    const open = zones.filter((zone) => zone.extra > 0);
    for (let turn = 0; turn < extrasPerShard; turn += 1) {
      const most = Math.max(...open.map((zone) => zone.extra));
      const next = open
        .filter((zone) => zone.extra === most)
        .reduce((champion, zone) => (shared(bestOf(zone)) < shared(bestOf(champion)) ? zone : champion));
      place(next);
      next.extra -= 1;
      open.splice(open.indexOf(next), 1);
    }
    return group.map((index) => nodes[index]?.id ?? "");
  });
}

/** Zones with the copies of each shard that every one of them surely holds: filled like connected vessels. */
function zonesOf(nodes: readonly PlacementNode[], copies: number): Zone[] {
  const members = new Map<string, number[]>();
  for (const [index, node] of nodes.entries()) {
    const list = members.get(node.zone);
    if (list === undefined) members.set(node.zone, [index]);
    else list.push(index);
  }
  const held = (level: number): number =>
    [...members.values()].reduce((sum, list) => sum + Math.min(list.length, level), 0);
  let level = 0;
  while (level < copies && held(level + 1) <= copies) level += 1;
  return [...members.values()].map((list) => ({
    members: list,
    base: Math.min(list.length, level),
    extra: 0,
  }));
}

/** One arbiter for each group of an even number of copies: away from its zones, then the least used. */
function chooseArbiters(groups: readonly (readonly NodeId[])[], nodes: readonly PlacementNode[]): NodeId[][] {
  const arbiters = nodes.filter((node) => node.role === "arbiter");
  const zoneOf = new Map(nodes.map((node) => [node.id, node.zone]));
  const even = groups.map((group) => group.length > 0 && group.length % 2 === 0);
  if (arbiters.length === 0) return groups.map(() => []);
  const candidates = groups
    .filter((_, shard) => even[shard])
    .map((group) => {
      const taken = new Set(group.map((id) => zoneOf.get(id)));
      const apart = arbiters.filter((arbiter) => !taken.has(arbiter.zone));
      return (apart.length > 0 ? apart : arbiters).map((arbiter) => arbiter.id);
    });
  const chosen = assignEvenly(
    candidates,
    new Map(arbiters.map(({ id, weight }) => [id, { weight, load: 0 }])),
  );
  let next = 0;
  return even.map((takesOne) => (takesOne ? chosen.slice(next, ++next) : []));
}

// --- small things ------------------------------------------------------------------------------

function byId(nodes: readonly PlacementNode[]): PlacementNode[] {
  return [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function turned<Item>(items: readonly Item[], by: number): Item[] {
  const start = by % Math.max(1, items.length);
  return [...items.slice(start), ...items.slice(0, start)];
}

function pair(a: number | string, b: number | string): string {
  return `${a} ${b}`;
}

function increment<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function countBy<Item, Key>(items: readonly Item[], key: (item: Item) => Key): Map<Key, number> {
  const counts = new Map<Key, number>();
  for (const item of items) increment(counts, key(item));
  return counts;
}
