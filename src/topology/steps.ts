// What one step of a plan makes of a shard map. The map that the step was made for and the one that it has
// led to are both told from the map alone, so that a step can be begun again by whoever finds it.

import { Mem0ctlError } from "../model/errors.ts";
import { META_GROUP, type NodeId, type ShardId } from "../model/ids.ts";
import type { ClusterStep } from "../model/operation.ts";
import { stepWords } from "../model/operation.ts";
import type { ShardMap, ShardSlice } from "../model/shard-map.ts";
import { mapAfterHandover } from "./handovers.ts";
import { mapWithoutNode, planLeave, withOutgoing } from "./membership.ts";
import { placeMetaVoters } from "./placement.ts";
import { shardById } from "./shard-map.ts";

/** What changes the replicas of one shard. */
export type ReplicaStep = Extract<
  ClusterStep,
  { readonly kind: "add-replica" | "remove-replica" | "move-replica" }
>;

export function isReplicaStep(step: ClusterStep): step is ReplicaStep {
  return step.kind === "add-replica" || step.kind === "remove-replica" || step.kind === "move-replica";
}

/**
 * The map that wants what the step does; the very same map where it does already. `leaderless`: the shards
 * change by way of two sets (quorum protocol).
 * @throws Mem0ctlError `step-outdated` (conflict) when the map is neither before nor after the step;
 *   `shard-moving` (conflict) while a leaderless shard is still changing.
 */
export function mapAfterStep(map: ShardMap, step: ClusterStep, leaderless: boolean): ShardMap {
  switch (step.kind) {
    case "transfer-leader":
      return step.to === undefined ? map : withLeaderFirst(map, step.group, step.to);
    case "remove-node":
      return withoutVotes(map, step.node);
    case "split":
    case "merge":
    case "pin":
    case "unpin":
      return mapAfterHandover(map, step, leaderless);
    default: {
      const changed = withReplicas(map, step);
      return leaderless && changed !== map ? withOutgoing(map, changed) : changed;
    }
  }
}

/**
 * The map as it was before the step, for one that is given up; the very same map where nothing is to be undone. A
 * leaderless shard that has changed already keeps what it has: only while both its sets are in force may
 * either be the one that stays.
 */
export function mapUndoingStep(map: ShardMap, step: ReplicaStep, leaderless: boolean): ShardMap {
  const shard = shardById(map, step.shard);
  if (shard === undefined || step.kind === "remove-replica" || !holds(shard, step.to)) return map;
  if (leaderless) {
    if (shard.outgoing === undefined) return map;
    // While both sets are in force every acknowledged write met its level in the one of before, too: it lacks nothing.
    const { outgoing, ...rest } = shard;
    return withShard(map, { ...rest, replicas: outgoing.replicas });
  }
  if (step.kind === "add-replica") return withShard(map, without(shard, step.to, map));
  return holds(shard, step.from) ? map : withShard(map, exchanged(shard, step.to, step.from));
}

/** Whether the map has what the step is to bring. */
export function isWanted(map: ShardMap, step: ReplicaStep): boolean {
  const shard = shardById(map, step.shard);
  if (shard === undefined) return false;
  return step.kind === "remove-replica" ? !holds(shard, step.from) : holds(shard, step.to);
}

function withReplicas(map: ShardMap, step: ReplicaStep): ShardMap {
  const shard = shardById(map, step.shard);
  if (shard === undefined) throw outdated(step, `there is no shard ${step.shard}`);
  // Its members found its group together: with others in their place there would be two groups of one name.
  if (shard.founding === true) throw outdated(step, `shard ${step.shard} is only being made`);
  const hasFrom = step.kind !== "add-replica" && holds(shard, step.from);
  const hasTo = step.kind !== "remove-replica" && holds(shard, step.to);
  switch (step.kind) {
    case "add-replica":
      if (hasTo) return map;
      requireTarget(map, step, step.to, false);
      return withShard(map, withArbiters({ ...shard, replicas: [...shard.replicas, step.to] }, map));
    case "remove-replica":
      if (!hasFrom) return map;
      if (shard.replicas.length === 1 && shard.replicas.includes(step.from)) {
        throw outdated(step, `${step.from} holds the only copy`);
      }
      return withShard(map, without(shard, step.from, map));
    case "move-replica":
      if (hasTo && (!hasFrom || step.from === step.to)) return map;
      if (hasTo || !hasFrom) {
        throw outdated(step, hasTo ? `${step.to} holds it too` : `${step.from} does not hold it any more`);
      }
      requireTarget(map, step, step.to, shard.arbiters.includes(step.from));
      return withShard(map, exchanged(shard, step.from, step.to));
  }
}

function holds(shard: ShardSlice, node: NodeId): boolean {
  return shard.replicas.includes(node) || shard.arbiters.includes(node);
}

function withShard(map: ShardMap, changed: ShardSlice): ShardMap {
  const shards = map.shards.map((shard) => (shard.id === changed.id ? changed : shard));
  return { ...map, epoch: map.epoch + 1, shards };
}

/** The new node takes the place in the order of preference as well. */
function exchanged(shard: ShardSlice, from: NodeId, to: NodeId): ShardSlice {
  const swap = (id: NodeId): NodeId => (id === from ? to : id);
  return { ...shard, replicas: shard.replicas.map(swap), arbiters: shard.arbiters.map(swap) };
}

function without(shard: ShardSlice, node: NodeId, map: ShardMap): ShardSlice {
  const others = (ids: readonly NodeId[]): readonly NodeId[] => ids.filter((id) => id !== node);
  const left = { ...shard, replicas: others(shard.replicas), arbiters: others(shard.arbiters) };
  // An arbiter that is taken away on purpose is not brought back by the rule.
  return shard.arbiters.includes(node) ? left : withArbiters(left, map);
}

/**
 * An arbiter breaks ties: an even number of copies takes one in where there is one, an odd number lets it go.
 * Leaderless shards have none, and neither has a cluster without arbiters.
 */
function withArbiters(shard: ShardSlice, map: ShardMap): ShardSlice {
  if (shard.replicas.length % 2 === 1) return { ...shard, arbiters: [] };
  if (shard.arbiters.length > 0 || map.shards.every(({ arbiters }) => arbiters.length === 0)) return shard;
  const load = (id: NodeId): number => map.shards.filter(({ arbiters }) => arbiters.includes(id)).length;
  const [arbiter] = map.nodes
    .filter(({ role, draining }) => role === "arbiter" && !draining)
    .toSorted((a, b) => load(a.id) - load(b.id) || (a.id < b.id ? -1 : 1));
  return arbiter === undefined ? shard : { ...shard, arbiters: [arbiter.id] };
}

function requireTarget(map: ShardMap, step: ClusterStep, id: NodeId, isArbiter: boolean): void {
  const node = map.nodes.find((other) => other.id === id);
  if (node === undefined) throw outdated(step, `${id} is not a node of the cluster`);
  if ((node.role === "arbiter") !== isArbiter) {
    throw outdated(step, isArbiter ? `${id} is no arbiter` : `${id} is an arbiter and holds no data`);
  }
  if (node.draining) throw outdated(step, `${id} is being drained`);
}

/** Preferred leader of a group; the very same map where it is that already, or cannot be. */
export function withLeaderFirst(map: ShardMap, group: string, leader: NodeId): ShardMap {
  const shard = shardById(map, group);
  const order = group === META_GROUP ? map.metaVoters : (shard?.replicas ?? []);
  if (order[0] === leader || !order.includes(leader)) return map;
  const reordered = [leader, ...order.filter((id) => id !== leader)];
  if (shard === undefined) return { ...map, epoch: map.epoch + 1, metaVoters: reordered };
  return withShard(map, { ...shard, replicas: reordered });
}

/** First its vote in the metadata group goes, then the node: whoever is not in the map is not talked to any more. */
function withoutVotes(map: ShardMap, node: NodeId): ShardMap {
  if (!map.nodes.some(({ id }) => id === node)) return map;
  const held = map.shards.find((shard) => holds(shard, node) || shard.outgoing?.replicas.includes(node));
  if (held !== undefined) {
    throw outdated({ kind: "remove-node", node }, `it still holds a replica of shard ${held.id}`);
  }
  if (!map.metaVoters.includes(node)) return map;
  const staying = map.nodes.filter(
    ({ id, draining }) => id !== node && (!draining || map.metaVoters.includes(id)),
  );
  const nodes = map.nodes.map((other) => (other.id === node ? { ...other, draining: true } : other));
  const voters = map.metaVoters.filter((voter) => voter !== node);
  return { ...map, epoch: map.epoch + 1, nodes, metaVoters: placeMetaVoters(staying, voters) };
}

/**
 * What empties a node: its places go to others; arbiters that nobody can take over from are given up.
 * `bytesOf` is the size of one copy of a shard. Throws as `planLeave` does.
 */
export function leavingSteps(
  map: ShardMap,
  node: NodeId,
  bytesOf: (shard: ShardId) => number,
): readonly ReplicaStep[] {
  return planLeave(map, node).map(({ shard, to }): ReplicaStep =>
    to === null
      ? { kind: "remove-replica", shard, from: node }
      : { kind: "move-replica", shard, from: node, to, bytes: bytesOf(shard) },
  );
}

/** The map without a node that has no place in it any more. */
export function mapWithoutMember(map: ShardMap, node: NodeId): ShardMap {
  return map.nodes.some(({ id }) => id === node) ? mapWithoutNode(map, node, []) : map;
}

/** The map with the mark that keeps new replicas off a node; the very same map where it is so already. */
export function mapWithDraining(map: ShardMap, node: NodeId, draining: boolean): ShardMap {
  const known = map.nodes.find(({ id }) => id === node);
  if (known === undefined) {
    throw new Mem0ctlError("not-found", "unknown-node", `${node} is not a node of this cluster`, {
      why: `its nodes are ${map.nodes.map(({ id }) => id).join(", ")}`,
      hint: "see them with `mem0ctl nodes list`",
    });
  }
  if (known.draining === draining) return map;
  const nodes = map.nodes.map((other) => (other.id === node ? { ...other, draining } : other));
  return { ...map, epoch: map.epoch + 1, nodes };
}

function outdated(step: ClusterStep, why: string): Mem0ctlError {
  return new Mem0ctlError("conflict", "step-outdated", `cannot ${stepWords(step)}`, {
    why,
    hint: "see who holds what with `mem0ctl shards list`; a plan that was made for another state has to be made anew",
  });
}
