// Where replicas, arbiters and the voters of the metadata group go when a cluster is made, and what
// takes their place when a node leaves. Pure and deterministic: every node computes the same from the
// same manifest, whatever the order in which it lists the nodes.

import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { MapNode } from "../model/shard-map.ts";
import { assignEvenly } from "./balance.ts";
import { zoneBounds } from "./shares.ts";

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
  const capacities = new Map(nodes.map(({ id, weight }) => [id, { weight, load: 0 }]));
  const ledBy = new Map<NodeId, number[]>();
  for (const [shard, leader] of leaders.entries()) {
    const led = ledBy.get(leader) ?? [];
    ledBy.set(leader, led);
    if ((groups[shard]?.length ?? 0) > 1) led.push(shard);
  }
  for (const [leader, led] of ledBy) {
    const options = led.map((shard) =>
      preferred(
        (groups[shard] ?? []).filter((id) => id !== leader),
        shard,
      ),
    );
    const chosen = assignEvenly(options, capacities);
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
  const zones = zonesOf(nodes, copies);
  const remaining = replicasPerNode(nodes, zones, shards, copies);
  const extrasPerShard = copies - zones.reduce((sum, zone) => sum + zone.base, 0);
  // Nodes that each node shares a shard with, once for every shard; and, while a shard is placed, how many
  // shards each node shares with those that are chosen.
  const partners: number[][] = nodes.map(() => []);
  const shared = new Int32Array(nodes.length);

  return Array.from({ length: shards }, () => {
    const group: number[] = [];
    const place = (zone: Zone): void => {
      const next = bestOf(zone);
      remaining[next] = (remaining[next] ?? 0) - 1;
      for (const partner of partners[next] ?? []) shared[partner] = (shared[partner] ?? 0) + 1;
      group.push(next);
    };
    const bestOf = (zone: Zone): number => {
      let champion = -1;
      for (const index of zone.members) {
        if (group.includes(index)) continue;
        const order =
          champion === -1
            ? 1
            : (remaining[index] ?? 0) - (remaining[champion] ?? 0) ||
              (shared[champion] ?? 0) - (shared[index] ?? 0);
        if (order > 0) champion = index;
      }
      return champion;
    };

    for (const zone of zones) for (let turn = 0; turn < zone.base; turn += 1) place(zone);
    const open = zones.filter((zone) => zone.extra > 0);
    for (let turn = 0; turn < extrasPerShard; turn += 1) {
      let next: Zone | undefined;
      let fewest = Infinity;
      for (const zone of open) {
        if (next !== undefined && zone.extra < next.extra) continue;
        const sharing = shared[bestOf(zone)] ?? 0;
        if (next !== undefined && zone.extra === next.extra && sharing >= fewest) continue;
        [next, fewest] = [zone, sharing];
      }
      if (next === undefined) break;
      place(next);
      next.extra -= 1;
      open.splice(open.indexOf(next), 1);
    }
    for (const index of group) for (const partner of partners[index] ?? []) shared[partner] = 0;
    for (const index of group) partners[index]?.push(...group.filter((other) => other !== index));
    return group.map((index) => nodes[index]?.id ?? "");
  });
}

/** The first half of spreading; it leaves in `extra` how many shards have one more copy in each zone. */
function replicasPerNode(
  nodes: readonly PlacementNode[],
  zones: readonly Zone[],
  shards: number,
  copies: number,
): number[] {
  const counts: number[] = nodes.map(() => 0);
  const zoneOf: Zone[] = [];
  for (const zone of zones) for (const member of zone.members) zoneOf[member] = zone;
  const placed = new Map<Zone, number>();
  let extrasLeft = (copies - zones.reduce((sum, zone) => sum + zone.base, 0)) * shards;
  const hasRoom = (index: number): boolean => {
    const zone = zoneOf[index];
    if (zone === undefined || (counts[index] ?? 0) >= shards) return false;
    if ((placed.get(zone) ?? 0) < zone.base * shards) return true;
    return extrasLeft > 0 && zone.extra < shards && zone.members.length > zone.base;
  };
  // The cheapest first, of equals the earlier node. What has no room now will never have any again.
  const costs = nodes.map(({ weight }) => 1 / weight);
  const cheaper = (a: number, b: number): boolean =>
    (costs[a] ?? 0) < (costs[b] ?? 0) || (costs[a] === costs[b] && a < b);
  const heap = [...nodes.keys()].sort((a, b) => (cheaper(a, b) ? -1 : 1));
  while (heap.length > 0) {
    const best = heap[0] ?? 0;
    const zone = zoneOf[best];
    if (zone === undefined || !hasRoom(best)) {
      const last = heap.pop() ?? 0;
      if (heap.length > 0) heap[0] = last;
    } else {
      const count = placed.get(zone) ?? 0;
      if (count >= zone.base * shards) {
        zone.extra += 1;
        extrasLeft -= 1;
      }
      placed.set(zone, count + 1);
      counts[best] = (counts[best] ?? 0) + 1;
      costs[best] = ((counts[best] ?? 0) + 1) / (nodes[best]?.weight ?? 1);
    }
    sink(heap, cheaper);
  }
  return counts;
}

/** Restores the order of a binary heap of which only the first may be out of place. */
function sink(heap: number[], before: (a: number, b: number) => boolean): void {
  for (let at = 0; ;) {
    let first = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      const [a, b] = [heap[child], heap[first]];
      if (a !== undefined && b !== undefined && before(a, b)) first = child;
    }
    if (first === at) return;
    [heap[at], heap[first]] = [heap[first] ?? 0, heap[at] ?? 0];
    at = first;
  }
}

/** Zones with the copies of each shard that every one of them surely holds: filled like connected vessels. */
function zonesOf(nodes: readonly PlacementNode[], copies: number): Zone[] {
  const members = new Map<string, number[]>();
  for (const [index, node] of nodes.entries()) {
    const list = members.get(node.zone);
    if (list === undefined) members.set(node.zone, [index]);
    else list.push(index);
  }
  const lists = [...members.values()];
  const { least } = zoneBounds(
    lists.map(({ length }) => length),
    copies,
  );
  return lists.map((list, zone) => ({ members: list, base: least[zone] ?? 0, extra: 0 }));
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

function countBy<Item, Key>(items: readonly Item[], key: (item: Item) => Key): Map<Key, number> {
  const counts = new Map<Key, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
