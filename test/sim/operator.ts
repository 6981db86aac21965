// An operator who has the cluster move its replicas about: what is asked for is drawn from the map that a node
// has, and may well be impossible by the time it is begun. Never less than the cluster's copies are asked for: a
// disk of this run may lose what is on it.

import type { NodeId } from "../../src/model/ids.ts";
import type { ClusterStep, OperationRequest } from "../../src/model/operation.ts";
import type { ShardMap, ShardSlice } from "../../src/model/shard-map.ts";
import type { Chance } from "./chance.ts";

const STEPS_MAX = 4;

/** undefined where the map has nothing that could be moved. */
export function drawOperation(chance: Chance, map: ShardMap, copies: number): OperationRequest | undefined {
  if (map.shards.length === 0) return undefined;
  const steps: ClusterStep[] = [];
  for (let count = 1 + chance.below(STEPS_MAX); count > 0; count -= 1) {
    const step = drawStep(chance, map, chance.pick(map.shards), copies);
    // A second step for a shard would be drawn from what the first one changes.
    const isNew = step !== undefined && !steps.some((other) => groupOf(other) === groupOf(step));
    if (isNew) steps.push(step);
  }
  if (steps.length === 0) return undefined;
  const first = chance.below(steps.length);
  const waves = chance.hits(0.5) ? [steps] : [steps.slice(0, first), steps.slice(first)];
  return {
    name: "moves of the simulator",
    startedBy: "operator",
    waves,
    concurrency: 1 + chance.below(3),
    bytesPerSecondMax: chance.pick([null, null, 2000, 20_000]),
    epoch: chance.hits(0.5) ? map.epoch : null,
  };
}

function drawStep(chance: Chance, map: ShardMap, shard: ShardSlice, copies: number): ClusterStep | undefined {
  const { replicas, arbiters } = shard;
  const free = map.nodes
    .filter(({ id, role, draining }) => role !== "arbiter" && !draining && !replicas.includes(id))
    .map(({ id }) => id);
  const from = chance.pick(replicas);
  const choice = chance.next();
  if (choice < 0.15) return { kind: "transfer-leader", group: shard.id, to: from };
  if (choice < 0.4 && replicas.length > copies) return { kind: "remove-replica", shard: shard.id, from };
  if (free.length === 0) return otherArbiter(chance, map, shard, arbiters[0]);
  const to = chance.pick(free);
  if (choice < 0.55) return { kind: "add-replica", shard: shard.id, to, bytes: 0 };
  return { kind: "move-replica", shard: shard.id, from, to, bytes: 0 };
}

function otherArbiter(
  chance: Chance,
  map: ShardMap,
  { id, arbiters }: ShardSlice,
  from: NodeId | undefined,
): ClusterStep | undefined {
  const free = map.nodes.filter((node) => node.role === "arbiter" && !arbiters.includes(node.id));
  if (from === undefined || free.length === 0) return undefined;
  return { kind: "move-replica", shard: id, from, to: chance.pick(free).id, bytes: 0 };
}

function groupOf(step: ClusterStep): string {
  return "shard" in step ? step.shard : "group" in step ? step.group : step.node;
}
