// How a shard map changes when a node joins or leaves. Questions never change a map: the plan of a leave
// is data, and the functions that make a new map return it with the next epoch.

import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { MapNode, ShardMap, ShardSlice } from "../model/shard-map.ts";
import { assignEvenly } from "./balance.ts";
import { shardMoving } from "./handovers.ts";
import { orderByLeadership, placeMetaVoters } from "./placement.ts";

/** A place in a shard's group that a leaving node gives up. */
export interface Reassignment {
  readonly shard: ShardId;
  readonly kind: "replica" | "arbiter";
  readonly from: NodeId;
  /** null only for an arbiter that no other can replace: the group goes on without one. */
  readonly to: NodeId | null;
}

/** The map with one more node, which holds nothing yet. Throws `node-exists` (conflict). */
export function mapWithNode(map: ShardMap, node: MapNode): ShardMap {
  const same = map.nodes.find((other) => other.id === node.id || other.address === node.address);
  if (same !== undefined) {
    throw new Mem0ctlError(
      "conflict",
      "node-exists",
      `${same.id} at ${same.address} is in the cluster already`,
      {
        hint: "give the new node an id and an address of its own",
      },
    );
  }
  const nodes = [...map.nodes, node];
  // One that is on its way out gets no new vote: it may be gone for good, and the group would wait for it.
  const staying = nodes.filter(({ id, draining }) => !draining || map.metaVoters.includes(id));
  return { ...map, epoch: map.epoch + 1, nodes, metaVoters: placeMetaVoters(staying, map.metaVoters) };
}

/**
 * The map in which a member has another role, zone or weight; the very same map where it has them already. No copy
 * moves. Throws `unknown-node` (not-found), `address-fixed` or `role-fixed` (conflict): peers know a node by its
 * address, and what an arbiter keeps is no data.
 */
export function mapWithNodeChanged(map: ShardMap, node: Omit<MapNode, "draining">): ShardMap {
  const known = requireNode(map, node.id);
  const { role, zone, weight } = node;
  if (known.address !== node.address) {
    throw new Mem0ctlError("conflict", "address-fixed", `${node.id} is a member at ${known.address}`, {
      hint: "add a node with the new address under another id, then remove this one",
    });
  }
  if (known.role !== role && (known.role === "arbiter" || role === "arbiter")) {
    throw new Mem0ctlError("conflict", "role-fixed", `${node.id} is a member as ${known.role}`, {
      why: "an arbiter keeps no data, and what keeps data is no arbiter",
      hint: "add a node of the new role under another id, then remove this one",
    });
  }
  if (known.role === role && known.zone === zone && known.weight === weight) return map;
  const nodes = map.nodes.map((other) => (other.id === node.id ? { ...other, role, zone, weight } : other));
  return { ...map, epoch: map.epoch + 1, nodes };
}

/**
 * Who takes over each place that a node has: spread over zones first, then balanced by weight. Draining
 * nodes and arbiters take no data. Throws `unknown-node` (not-found), or `too-few-nodes` (conflict) when
 * some shard would be left with fewer copies than it has.
 */
export function planLeave(map: ShardMap, leaving: NodeId): Reassignment[] {
  requireNode(map, leaving);
  const staying = map.nodes.filter((node) => node.id !== leaving && !node.draining);
  return [
    ...replaceReplicas(
      map,
      leaving,
      staying.filter((node) => node.role !== "arbiter"),
    ),
    ...replaceArbiters(
      map,
      leaving,
      staying.filter((node) => node.role === "arbiter"),
    ),
  ];
}

function replaceReplicas(map: ShardMap, leaving: NodeId, staying: readonly MapNode[]): Reassignment[] {
  const affected = map.shards.filter((shard) => shard.replicas.includes(leaving));
  const zoneOf = new Map(map.nodes.map((node) => [node.id, node.zone]));
  const candidates = affected.map((shard) => {
    const kept = shard.replicas.filter((id) => id !== leaving);
    const free = staying.filter((node) => !kept.includes(node.id));
    if (free.length === 0) {
      throw new Mem0ctlError(
        "conflict",
        "too-few-nodes",
        `${leaving} cannot leave: ${shard.replicas.length} copies need ${shard.replicas.length} data nodes besides it, and there ${staying.length === 1 ? "is" : "are"} ${staying.length}`,
        {
          why: `no node could take its copy of shard ${shard.id}`,
          hint: "add a data node first, or lower the number of replicas",
          data: { shard: shard.id },
        },
      );
    }
    const copiesIn = (zone: string): number => kept.filter((id) => zoneOf.get(id) === zone).length;
    const fewest = Math.min(...free.map((node) => copiesIn(node.zone)));
    return free.filter((node) => copiesIn(node.zone) === fewest).map((node) => node.id);
  });
  const held = countPlaces(map.shards, (shard) => shard.replicas);
  const chosen = assignEvenly(
    candidates,
    new Map(staying.map(({ id, weight }) => [id, { weight, load: held.get(id) ?? 0 }])),
  );
  return affected.map((shard, index) => ({
    shard: shard.id,
    kind: "replica",
    from: leaving,
    to: chosen[index] ?? null,
  }));
}

function replaceArbiters(map: ShardMap, leaving: NodeId, staying: readonly MapNode[]): Reassignment[] {
  const held = countPlaces(map.shards, (shard) => shard.arbiters);
  return map.shards
    .filter((shard) => shard.arbiters.includes(leaving))
    .map((shard) => {
      const free = staying.filter((node) => !shard.arbiters.includes(node.id));
      const load = (node: MapNode): number => (held.get(node.id) ?? 0) / node.weight;
      const to =
        free.length === 0 ? null : free.reduce((best, node) => (load(node) < load(best) ? node : best));
      if (to !== null) held.set(to.id, (held.get(to.id) ?? 0) + 1);
      return { shard: shard.id, kind: "arbiter", from: leaving, to: to?.id ?? null };
    });
}

/**
 * The map after a node has left. `reassignments` must cover every place that it had (`planLeave` gives
 * them). Shards whose preferred leader it was get a new one, balanced by weight. Throws `unknown-node`
 * (not-found), or `node-in-use` (conflict) when a place is not covered.
 */
export function mapWithoutNode(
  map: ShardMap,
  leaving: NodeId,
  reassignments: readonly Reassignment[],
): ShardMap {
  requireNode(map, leaving);
  const nodes = map.nodes.filter((node) => node.id !== leaving);
  const staying = nodes.filter(({ id, draining }) => !draining || map.metaVoters.includes(id));
  const replacement = new Map(
    reassignments.filter((one) => one.from === leaving).map((one) => [`${one.kind} ${one.shard}`, one.to]),
  );
  const replaced = map.shards.map((shard): ShardSlice => {
    const swap = (kind: Reassignment["kind"]) => (id: NodeId) => {
      if (id !== leaving) return [id];
      const to = replacement.get(`${kind} ${shard.id}`);
      if (to === undefined || (to === null && kind === "replica")) {
        throw new Mem0ctlError(
          "conflict",
          "node-in-use",
          `${leaving} still has a place in shard ${shard.id}`,
          {
            hint: "plan the leave again",
          },
        );
      }
      return to === null ? [] : [to];
    };
    return {
      ...shard,
      replicas: shard.replicas.flatMap(swap("replica")),
      arbiters: shard.arbiters.flatMap(swap("arbiter")),
    };
  });
  return {
    ...map,
    epoch: map.epoch + 1,
    nodes,
    shards: withNewLeaders(replaced, nodes, (index) => map.shards[index]?.replicas[0] === leaving),
    metaVoters: placeMetaVoters(
      staying,
      map.metaVoters.filter((voter) => voter !== leaving),
    ),
  };
}

/**
 * The quorum protocol's way from one set of replicas to the next: where `after` has others than `before`, those
 * before stay beside them until the new ones hold everything. Throws `shard-moving` (conflict) when the
 * replicas of such a shard are still on their way from an earlier change.
 */
export function withOutgoing(before: ShardMap, after: ShardMap): ShardMap {
  const known = new Map(before.shards.map((shard) => [shard.id, shard]));
  const shards = after.shards.map((shard): ShardSlice => {
    const old = known.get(shard.id);
    const same =
      old === undefined ||
      (old.replicas.length === shard.replicas.length &&
        old.replicas.every((id) => shard.replicas.includes(id)));
    if (same) return shard;
    const { handover } = before;
    const isHandedOver = handover?.phase === "copying" && [handover.from, handover.to].includes(shard.id);
    if (old.outgoing !== undefined || isHandedOver) throw shardMoving(shard.id);
    return { ...shard, outgoing: { replicas: old.replicas, since: after.epoch } };
  });
  return { ...after, shards };
}

/** The map once the new replicas of these shards hold everything. */
export function withoutOutgoing(map: ShardMap, shards: readonly ShardId[]): ShardMap {
  return {
    ...map,
    epoch: map.epoch + 1,
    shards: map.shards.map((shard) => {
      if (!shards.includes(shard.id)) return shard;
      const { outgoing: _, ...rest } = shard;
      return rest;
    }),
  };
}

function withNewLeaders(
  shards: readonly ShardSlice[],
  nodes: readonly MapNode[],
  needsLeader: (index: number) => boolean,
): ShardSlice[] {
  const leads = countPlaces(
    shards.filter((_, index) => !needsLeader(index)),
    (shard) => shard.replicas.slice(0, 1),
  );
  const open = shards.filter((_, index) => needsLeader(index));
  const ordered = orderByLeadership(
    open.map((shard) => shard.replicas),
    nodes,
    leads,
  );
  const replicasOf = new Map(open.map((shard, index) => [shard.id, ordered[index] ?? shard.replicas]));
  return shards.map((shard) => ({ ...shard, replicas: replicasOf.get(shard.id) ?? shard.replicas }));
}

function requireNode(map: ShardMap, id: NodeId): MapNode {
  const known = map.nodes.find((node) => node.id === id);
  if (known !== undefined) return known;
  throw new Mem0ctlError("not-found", "unknown-node", `${id} is not a node of this cluster`, {
    why: `its nodes are ${map.nodes.map((node) => node.id).join(", ")}`,
    hint: "see them with `mem0ctl nodes list`",
  });
}

function countPlaces(
  shards: readonly ShardSlice[],
  places: (shard: ShardSlice) => readonly NodeId[],
): Map<NodeId, number> {
  const counts = new Map<NodeId, number>();
  for (const shard of shards) {
    for (const id of places(shard)) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}
