// Nodes that go, of engines whose nodes hold one shard each: its slots move to the other leaders, and the copies that
// are left over then find another shard.

import type { CallOptions, Engine, EngineView, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { Step } from "../model/plan.ts";
import type { ShardView } from "../model/view.ts";
import type { CopyStep } from "./moves.ts";
import { slotPlan, withoutUncopied } from "./slot-rebalance.ts";
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
  const shard = holderOf(view, node);
  if (shard === undefined) return [];
  if (shard.leader !== node) {
    const enough = force || shard.replicas.length > view.copies;
    return enough ? [] : [[replacement(view, shard, node)]];
  }
  return leaderLeaves(view, table, shard, node);
}

/** The same, and it holds no copy either: it stays a member that holds nothing. @throws as `leavingWaves`. */
export async function drainingWaves(
  engine: Engine,
  table: SlotTable,
  node: NodeId,
  options: CallOptions,
): Promise<readonly (readonly Step[])[]> {
  const view = await engine.view(options);
  const waves = await leavingWaves(engine, table, node, false, options);
  const shard = holderOf(view, node);
  const holds = shard !== undefined && (shard.leader !== node || waves.length > 0);
  return holds ? [...waves, [{ kind: "remove-replica", shard: shard.id, from: node }]] : waves;
}

function holderOf(view: EngineView, node: NodeId): ShardView | undefined {
  return view.shards.find(({ replicas }) => replicas.some((replica) => replica.node === node));
}

/** @throws Mem0ctlError `not-a-replica` (invalid), `node-in-use` (conflict). */
export function requirePossible(view: EngineView, step: CopyStep): void {
  if ("from" in step) requireHolder(view, step.shard, step.from);
  if ("to" in step) requireSpare(view, step.shard, step.to);
}

function requireHolder(view: EngineView, shard: ShardId, node: NodeId): void {
  const held = holderOf(view, node);
  if (held?.id === shard) return;
  throw new Mem0ctlError("invalid", "not-a-replica", `${node} holds no replica of shard ${shard}`, {
    why: held === undefined ? "it holds nothing" : `it holds shard ${held.id}`,
    hint: "see who holds what with `mem0ctl shards map`",
  });
}

/**
 * A node holds one copy, so one that is given to it takes the place of the one that it has.
 * @throws Mem0ctlError `node-in-use` (conflict) where that would leave another shard too few.
 */
function requireSpare(view: EngineView, shard: ShardId, node: NodeId): void {
  const held = holderOf(view, node);
  if (held === undefined || held.id === shard) return;
  const left = held.replicas.length - 1;
  const leads = held.leader === node;
  if (held.slots === 0 ? !leads || left === 0 : !leads && left >= view.copies) return;
  throw new Mem0ctlError("conflict", "node-in-use", `${node} is needed where it is: a node holds one shard`, {
    why: leads
      ? `it leads shard ${held.id}`
      : `without it shard ${held.id} has ${left} of ${view.copies} copies`,
    hint: "name a node that holds nothing, or a copy too many; or add one: `mem0ctl nodes add`",
  });
}

/** Another shard's spare copy takes the place of the one that goes. */
function replacement(view: EngineView, shard: ShardView, node: NodeId): Step {
  const zoneOf = new Map(view.nodes.map(({ id, zone }) => [id, zone]));
  const staying = new Set(
    shard.replicas.filter((replica) => replica.node !== node).map((replica) => zoneOf.get(replica.node)),
  );
  const [spare] = spareNodes(view, shard).toSorted(
    (one, other) => Number(staying.has(zoneOf.get(one))) - Number(staying.has(zoneOf.get(other))),
  );
  if (spare !== undefined)
    return { kind: "add-replica", shard: shard.id, to: spare, bytes: shard.bytes ?? 0, holder: node };
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

/** Nodes that no shard but the given one would miss: copies above the number wanted, and who holds nothing. */
function spareNodes(view: EngineView, shard: ShardView): NodeId[] {
  const usable = new Set(view.nodes.filter(({ state }) => state === "up").map(({ id }) => id));
  return view.shards
    .filter((other) => other !== shard)
    .flatMap(({ slots, leader, replicas }) => {
      const followers = replicas.filter(({ role, state }) => role === "follower" && state === "replicating");
      if (slots !== 0) return followers.slice(0, Math.max(0, replicas.length - view.copies));
      // A leader without slots that others follow can only follow somebody else after they do.
      return followers.length > 0 || leader === null ? followers : [{ node: leader }];
    })
    .map(({ node }) => node)
    .filter((node) => usable.has(node));
}

function leaderLeaves(
  view: EngineView,
  table: SlotTable,
  shard: ShardView,
  node: NodeId,
): readonly (readonly Step[])[] {
  const plan = slotPlan(withoutUncopied(table, view).table, { by: "shards" }, [node]);
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
    const [holder] = best.nodes;
    best.nodes.push(to);
    return [
      {
        kind: "add-replica",
        shard: best.id,
        to,
        bytes: best.bytes,
        ...(holder === undefined ? {} : { holder }),
      },
    ];
  });
  return steps.length === 0 ? [] : [steps];
}
