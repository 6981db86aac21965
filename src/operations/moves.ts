// What an admin does with single replicas and with nodes: each is an operation of few steps, made from the map that
// the cluster has now.

import type { CallOptions, Engine, EngineView, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { ClusterStep, OperationReport } from "../model/operation.ts";
import type { AddReplica, MoveReplica, RemoveReplica, Step } from "../model/plan.ts";
import type { ShardMap, ShardSlice } from "../model/shard-map.ts";
import { leavingSteps } from "../topology/steps.ts";
import { isRunning, requireNoneRunning, runOperation, type Manner } from "./operation.ts";
import { unknownNode } from "./up.ts";

interface Moving {
  readonly map: ShardMap;
  readonly view: EngineView;
  /** Bytes of one copy of each shard, as far as they are known. */
  readonly bytesOf: (shard: ShardId) => number;
}

/** The live map, and how large its shards are. @throws Mem0ctlError `nothing-answered` (unavailable) */
async function look(engine: Engine, options: CallOptions): Promise<Moving> {
  const [{ map, live }, view] = await Promise.all([engine.shardMap(options), engine.view(options)]);
  if (!live) {
    throw new Mem0ctlError("unavailable", "nothing-answered", "no node answered", {
      hint: "start the cluster with `mem0ctl up`, or see `mem0ctl status`",
    });
  }
  const sizes = new Map(view.shards.map(({ id, bytes }) => [id, bytes ?? 0]));
  return { map, view, bytesOf: (shard) => sizes.get(shard) ?? 0 };
}

/** What is asked for one copy of a shard; what it weighs is looked up. */
export type CopyStep = Omit<MoveReplica, "bytes"> | Omit<AddReplica, "bytes"> | RemoveReplica;

const COPY_WORDS: Readonly<Record<CopyStep["kind"], string>> = {
  "move-replica": "move shard",
  "add-replica": "add a replica of shard",
  "remove-replica": "remove a replica of shard",
};

export interface CopyResult {
  readonly operation: OperationReport<Step> | null;
  /** Why nothing changed: it was so before. That is no failure, and there may be an operation all the same. */
  readonly nothingToDo?: string;
}

/** @throws Mem0ctlError `unknown-shard`, `unknown-node` (not-found), and as `runOperation` does. */
export async function runCopyStep(
  engine: Engine,
  step: CopyStep,
  manner: Manner,
  options: CallOptions,
): Promise<CopyResult> {
  const { kind, shard } = step;
  const { map, view, bytesOf } = await look(engine, options);
  const slice = requireShard(map, shard);
  requireNodes(map, [...("from" in step ? [step.from] : []), ...("to" in step ? [step.to] : [])]);
  if (engine.slotTable !== undefined) (await import("./slot-nodes.ts")).requirePossible(view, step);
  const planned = kind === "remove-replica" ? step : { ...step, bytes: bytesOf(shard) };
  const name = `${COPY_WORDS[kind]} ${shard}`;
  // Executed from here, a copy that moves to where it is would be emptied in the end.
  const isNowhere = engine.slotTable !== undefined && kind === "move-replica" && step.from === step.to;
  const waves = isNowhere ? [] : [[planned]];
  const nothingToDo = whyNothing(slice, step);
  const operation = await runOperation(engine, { name, waves, epoch: map.epoch }, manner, options);
  return { operation, ...(nothingToDo === undefined ? {} : { nothingToDo }) };
}

/** undefined where the step changes something, or cannot be done. */
function whyNothing({ id, replicas, arbiters }: ShardSlice, step: CopyStep): string | undefined {
  const holds = (node: NodeId): boolean => replicas.includes(node) || arbiters.includes(node);
  if (step.kind === "remove-replica") {
    return holds(step.from) ? undefined : `${step.from} holds no replica of shard ${id}`;
  }
  const hasOther = step.kind === "move-replica" && step.from !== step.to && holds(step.from);
  return holds(step.to) && !hasOther ? `${step.to} holds a replica of shard ${id} already` : undefined;
}

/**
 * Keeps new replicas off a node and moves away what it holds; it stays a member. Null when it held nothing.
 * @throws Mem0ctlError `too-few-nodes` (conflict) when others cannot hold it all, `operation-running` (conflict): nothing
 *   is changed then.
 */
export async function drainNode(
  engine: Engine,
  node: NodeId,
  manner: Manner,
  options: CallOptions,
): Promise<OperationReport<Step> | null> {
  if (engine.slotTable !== undefined) {
    const { drainingWaves } = await import("./slot-nodes.ts");
    const { runFromHere } = await import("./carry-out.ts");
    const makeWaves = (table: SlotTable): Promise<readonly (readonly Step[])[]> =>
      drainingWaves(engine, table, node, options);
    return runFromHere(engine, `drain ${node}`, makeWaves, manner, options);
  }
  const { map, bytesOf } = await look(engine, options);
  requireNodes(map, [node]);
  // Refused before anything is changed; planned once nothing can be put there any more.
  if (leavingSteps(map, node, bytesOf).length > 0) await requireNoneRunning(engine, options);
  await engine.operations?.drain(node, true, options);
  try {
    const { map: draining } = await look(engine, options);
    const steps = leavingSteps(draining, node, bytesOf);
    if (steps.length === 0) return null;
    const request = { name: `drain ${node}`, waves: [steps], epoch: null };
    return await runOperation(engine, request, manner, options);
  } catch (error) {
    const wasDraining = map.nodes.some(({ id, draining }) => id === node && draining);
    if (!wasDraining && isRefused(error) && !empties(error, node)) {
      // Whether or not that can be done now, why it was refused is what the person has to know.
      await engine.operations?.drain(node, false, options).catch(() => undefined);
    }
    throw error;
  }
}

const REFUSED: ReadonlySet<string> = new Set([
  "operation-running",
  "map-changed",
  "step-outdated",
  "too-few-nodes",
]);

/** Nothing was begun, for something else came first: a drain that is refused keeps nothing off the node. */
function isRefused(error: unknown): error is Mem0ctlError {
  return error instanceof Mem0ctlError && REFUSED.has(error.code);
}

/** Whether the operation that came first empties the node itself: the mark is that one's. */
function empties({ code, data }: Mem0ctlError, node: NodeId): boolean {
  return code === "operation-running" && [`drain ${node}`, `remove ${node}`].includes(String(data?.["name"]));
}

/**
 * Whether it can be drained: before that is noted anywhere, of engines that keep it in the manifest.
 * @throws Mem0ctlError `unknown-node` (not-found), `too-few-nodes` (conflict), `not-of-this-engine` for a manner that leaves
 *   it to the cluster.
 */
export async function requireDrainable(
  engine: Engine,
  node: NodeId,
  { detached }: Manner,
  options: CallOptions,
): Promise<void> {
  const { drainingWaves } = await import("./slot-nodes.ts");
  const { liveTable, notDetached } = await import("./carry-out.ts");
  if (detached) throw notDetached(engine);
  await drainingWaves(engine, await liveTable(engine, options), node, options);
}

/**
 * Lets a node have replicas again. What was moved away stays there until a rebalance.
 * @returns whether its drain is still moving replicas away: that is an operation of its own, and goes on.
 */
export async function undrainNode(engine: Engine, node: NodeId, options: CallOptions): Promise<boolean> {
  const { map } = await look(engine, options);
  requireNodes(map, [node]);
  await engine.operations?.drain(node, false, options);
  return engine.operations !== undefined && (await isRunning(engine, `drain ${node}`, options));
}

/**
 * Moves away what a node holds and takes it out of the cluster.
 * @param request.force gives up copies that no other node can take; never the only one.
 * @throws Mem0ctlError `too-few-nodes`, `only-copy` (conflict): nothing is changed then.
 */
export async function removeNode(
  engine: Engine,
  request: { readonly node: NodeId; readonly force: boolean },
  manner: Manner,
  options: CallOptions,
): Promise<OperationReport<Step> | null> {
  const { node, force } = request;
  if (engine.slotTable !== undefined) {
    const { leavingWaves } = await import("./slot-nodes.ts");
    const { runFromHere } = await import("./carry-out.ts");
    const makeWaves = async (table: SlotTable): Promise<readonly (readonly Step[])[]> => [
      ...(await leavingWaves(engine, table, node, force, options)),
      [{ kind: "remove-node", node }],
    ];
    return runFromHere(engine, `remove ${node}`, makeWaves, manner, options);
  }
  const { map, bytesOf } = await look(engine, options);
  // Repeated after it was done: what is left to do is the caller's.
  if (!map.nodes.some(({ id }) => id === node)) return null;
  const steps = stepsToRemove(map, node, bytesOf, force);
  const waves: readonly (readonly ClusterStep[])[] = [
    ...(steps.length === 0 ? [] : [steps]),
    [{ kind: "remove-node", node }],
  ];
  return runOperation(engine, { name: `remove ${node}`, waves, epoch: map.epoch }, manner, options);
}

function stepsToRemove(
  map: ShardMap,
  node: NodeId,
  bytesOf: Moving["bytesOf"],
  force: boolean,
): readonly ClusterStep[] {
  try {
    return leavingSteps(map, node, bytesOf);
  } catch (error) {
    if (!force || !(error instanceof Mem0ctlError) || error.code !== "too-few-nodes") throw error;
    return givingUp(map, node);
  }
}

/** Every copy goes without another one in its place. */
function givingUp(map: ShardMap, node: NodeId): readonly ClusterStep[] {
  const held = map.shards.filter(({ replicas, arbiters }) => [...replicas, ...arbiters].includes(node));
  const only = held.filter(({ replicas }) => replicas.length === 1 && replicas.includes(node));
  if (only.length > 0) {
    throw new Mem0ctlError("conflict", "only-copy", `${node} holds the only copy of ${only.length} shards`, {
      why: `without it their memories are lost: shard ${only.map(({ id }) => id).join(", ")}`,
      hint: "add a node that can take them first: `mem0ctl nodes add`",
    });
  }
  return held.map(({ id }) => ({ kind: "remove-replica", shard: id, from: node }));
}

function requireShard(map: ShardMap, id: ShardId): ShardSlice {
  const known = map.shards.find((shard) => shard.id === id);
  if (known !== undefined) return known;
  throw new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${JSON.stringify(id)}`, {
    why: `the cluster has ${map.shards.length} shards`,
    hint: "see them with `mem0ctl shards list`",
  });
}

function requireNodes(map: ShardMap, ids: readonly NodeId[]): void {
  const known = map.nodes.map(({ id }) => id);
  for (const id of ids) if (!known.includes(id)) throw unknownNode(id, known);
}
