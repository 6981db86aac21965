// Nodes that go, of engines whose nodes hold one shard each: its slots move to the other leaders, and the copies that
// are left over then find another shard.

import type { CallOptions, Engine, EngineView, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Step } from "../model/plan.ts";
import type { ShardView } from "../model/view.ts";
import { slotPlan } from "./slot-rebalance.ts";
import { unknownNode } from "./up.ts";

/**
 * The steps after which the node holds nothing, in waves.
 * @param force gives up a copy that no other node can take.
 * @throws Mem0ctlError `unknown-node` (not-found), `too-few-nodes` (conflict).
 */
export async function leavingWaves(
  engine: Engine,
  table: SlotTable,
  node: NodeId,
  force: boolean,
  options: CallOptions,
): Promise<readonly (readonly Step[])[]> {
  const view = await engine.view(options);
  if (!view.nodes.some(({ id }) => id === node)) {
    throw unknownNode(
      node,
      view.nodes.map(({ id }) => id),
    );
  }
  const shard = view.shards.find(({ replicas }) => replicas.some((replica) => replica.node === node));
  if (shard === undefined) return [];
  if (shard.leader !== node) return force ? [] : [[replacement(view, shard, node)]];
  return leaderLeaves(view, table, shard, node);
}

/** Another shard's spare copy takes the place of the one that goes. */
function replacement(view: EngineView, shard: ShardView, node: NodeId): Step {
  const zoneOf = new Map(view.nodes.map(({ id, zone }) => [id, zone]));
  const staying = new Set(
    shard.replicas.filter((replica) => replica.node !== node).map((replica) => zoneOf.get(replica.node)),
  );
  const spare = view.shards
    .filter((other) => other !== shard && (other.replicas.length > view.copies || other.slots === 0))
    .flatMap((other) =>
      other.replicas.filter(({ role, state }) => role === "follower" && state === "replicating"),
    )
    .map((replica) => replica.node)
    .toSorted(
      (one, other) => Number(staying.has(zoneOf.get(one))) - Number(staying.has(zoneOf.get(other))),
    )[0];
  if (spare !== undefined)
    return { kind: "add-replica", shard: shard.id, to: spare, bytes: shard.bytes ?? 0 };
  throw new Mem0ctlError(
    "conflict",
    "too-few-nodes",
    `without ${node} shard ${shard.id} has too few copies`,
    {
      why: `it shall have ${view.copies}, and no other node has one to spare`,
      hint: "add a node first: `mem0ctl nodes add`; or remove this one with --force and its name",
    },
  );
}

function leaderLeaves(
  view: EngineView,
  table: SlotTable,
  shard: ShardView,
  node: NodeId,
): readonly (readonly Step[])[] {
  const plan = slotPlan(table, { by: "shards" }, [node]);
  const hard = plan.problems.find(({ severity }) => severity === "hard");
  if (hard !== undefined) {
    throw new Mem0ctlError("conflict", "too-few-nodes", `${node} cannot give its slots away`, {
      why: hard.message,
      hint: hard.hint,
    });
  }
  // Only what is its own: draining a node is no rebalance of the others.
  const moves = plan.waves
    .map((wave) => wave.filter((step) => step.kind === "move-slots" && step.from === node))
    .filter((wave) => wave.length > 0);
  const free = shard.replicas.flatMap((replica) => (replica.node === node ? [] : [replica.node]));
  return [...moves, ...followers(view, shard, free)];
}

/** Copies of a shard that will own nothing follow the leaders that have the fewest, in other zones where they can. */
function followers(
  view: EngineView,
  shard: ShardView,
  free: readonly NodeId[],
): readonly (readonly Step[])[] {
  const zoneOf = new Map(view.nodes.map(({ id, zone }) => [id, zone]));
  const others = view.shards
    .filter((other) => other !== shard && (other.slots ?? 0) > 0)
    .map(({ id, replicas, bytes }) => ({
      id,
      bytes: bytes ?? 0,
      nodes: replicas.map((replica) => replica.node),
    }));
  const steps = free.flatMap((to): Step[] => {
    const sharesZone = ({ nodes }: (typeof others)[number]): boolean =>
      nodes.some((node) => zoneOf.get(node) === zoneOf.get(to));
    const [best] = others.toSorted(
      (one, other) =>
        one.nodes.length - other.nodes.length || Number(sharesZone(one)) - Number(sharesZone(other)),
    );
    if (best === undefined) return [];
    best.nodes.push(to);
    return [{ kind: "add-replica", shard: best.id, to, bytes: best.bytes }];
  });
  return steps.length === 0 ? [] : [steps];
}
