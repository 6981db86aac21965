// `shards rebalance` and `leader balance` up to the plan: what the planner is told of a live cluster, and what has
// changed since a plan was made. What a plan is carried out by is operation.ts.

import { setTimeout as pause } from "node:timers/promises";

import type { CallOptions, Engine, EngineView } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { ClusterPlan, Plan, PlanProblem, PlannedState, RebalanceStep } from "../model/plan.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { explained } from "../topology/explain.ts";
import { outcomeOf } from "../topology/outcome.ts";
import { planLeaders, planRebalance } from "../topology/rebalance.ts";
import type { RebalanceOptions } from "../topology/rebalance.ts";
import { unknownShard } from "./leader.ts";
import { noLoad, sampleSlotLoad } from "./slot-load.ts";
import type { SlotLoad } from "./slot-load.ts";
import { slotPlan, slotPlanState, withoutUncopied } from "./slot-rebalance.ts";

/** What a plan is shown with: the cluster as it is. */
export interface PlannedCluster {
  readonly plan: ClusterPlan;
  readonly view: EngineView;
}

/** @throws Mem0ctlError `nothing-answered` (unavailable) when no node tells its shard map. */
export async function planClusterRebalance(
  engine: Engine,
  options: RebalanceOptions,
  call: CallOptions,
): Promise<PlannedCluster> {
  if (engine.slotTable !== undefined) {
    return planClusterSlots(engine, engine.slotTable.bind(engine), options, call);
  }
  const { state, view } = await (options.by === "load"
    ? lookAtLoad(engine, call)
    : lookAtCluster(engine, call));
  return { view, plan: forCluster(planRebalance(state, options), view) };
}

async function planClusterSlots(
  engine: Engine,
  slotTable: NonNullable<Engine["slotTable"]>,
  options: RebalanceOptions,
  call: CallOptions,
): Promise<PlannedCluster> {
  const looked = async (): Promise<Pick<SlotLoad, "table"> & Partial<SlotLoad>> => {
    if (options.by !== "load") return { table: await slotTable({ contents: options.by !== "shards" }, call) };
    return sampleSlotLoad(engine, LOAD_SAMPLE_MS, call);
  };
  const [{ table, loadOf, problems: ofLoad = [] }, view] = await Promise.all([looked(), engine.view(call)]);
  if (table.owners.length === 0) throw nothingAnswered();
  const { table: takers, problems: ofCopies } = withoutUncopied(table, view);
  const plan = slotPlan(takers, options, [], loadOf);
  return { view, plan: forCluster({ ...plan, problems: [...plan.problems, ...ofCopies, ...ofLoad] }, view) };
}

/** How long writes are counted for a plan by load. */
const LOAD_SAMPLE_MS = 2000;

/** The cluster with the writes per second of each shard. @throws also `no-load` (conflict) when there are none. */
async function lookAtLoad(
  engine: Engine,
  call: CallOptions,
): Promise<{ readonly state: PlannedState; readonly view: EngineView }> {
  const before = await engine.view(call);
  const sinceMs = performance.now();
  await pause(LOAD_SAMPLE_MS, undefined, call.signal === undefined ? {} : { signal: call.signal });
  const { state, view } = await lookAtShards(engine, call);
  const seconds = (performance.now() - sinceMs) / 1000;
  const writesOf = ({ shards }: EngineView): Map<ShardId, number | undefined> =>
    new Map(shards.map(({ id, writes }) => [id, writes]));
  const [first, last] = [writesOf(before), writesOf(view)];
  const shards = state.shards.map((shard) => {
    const now = last.get(shard.id) ?? 0;
    return { ...shard, load: Math.max(0, now - (first.get(shard.id) ?? now)) / seconds };
  });
  if (shards.some(({ load }) => load > 0)) return { view, state: { ...state, shards } };
  throw noLoad("written", LOAD_SAMPLE_MS);
}

/** Leaders by weight; no copy moves. @throws as `planClusterRebalance`; `leaderless-by-design` (invalid). */
export async function planLeaderBalance(engine: Engine, call: CallOptions): Promise<PlannedCluster> {
  const { state, view } = await lookAtShards(engine, call);
  if (view.shards.every(({ leaderless }) => leaderless === true)) {
    throw new Mem0ctlError("invalid", "leaderless-by-design", "the shards of this cluster have no leaders", {
      why: "in the quorum protocol any node coordinates reads and writes",
      hint: "to make what nodes hold even, see `mem0ctl shards rebalance --dry-run`",
    });
  }
  return { view, plan: forCluster(planLeaders(state), view) };
}

/** What a plan is made from, or compared with. @throws as `planClusterRebalance`. */
export async function lookAtCluster(
  engine: Engine,
  call: CallOptions,
): Promise<{ readonly state: PlannedState; readonly view: EngineView }> {
  if (engine.slotTable !== undefined) {
    const [table, view] = await Promise.all([engine.slotTable({ contents: false }, call), engine.view(call)]);
    if (table.owners.length === 0) throw nothingAnswered();
    return { state: slotPlanState(withoutUncopied(table, view).table), view };
  }
  return lookAtShards(engine, call);
}

/** The cluster by its shards and who holds them. @throws as `planClusterRebalance`. */
export async function lookAtShards(
  engine: Engine,
  call: CallOptions,
): Promise<{ readonly state: PlannedState; readonly view: EngineView }> {
  const [{ map, live }, view] = await Promise.all([engine.shardMap(call), engine.view(call)]);
  if (!live) throw nothingAnswered();
  return { state: plannedState(map, view), view };
}

function nothingAnswered(): Mem0ctlError {
  return new Mem0ctlError("unavailable", "nothing-answered", "no node answered", {
    why: "what moves is planned from what the cluster has, not from the manifest",
    hint: "start the cluster with `mem0ctl up`, or see `mem0ctl status`",
  });
}

/** Sizes are of one copy; those that nobody knows count nothing. */
export function plannedState(map: ShardMap, view: EngineView): PlannedState {
  const seen = new Map(view.shards.map((shard) => [shard.id, shard]));
  return {
    epoch: map.epoch,
    nodes: map.nodes.map(({ id, role, zone, weight, draining }) => ({ id, role, zone, weight, draining })),
    shards: map.shards.map(({ id, replicas }) => {
      const { leaderless = false, bytes = null, memories = null } = seen.get(id) ?? {};
      // Who should lead: who does so now may be about to hand over.
      const leader = leaderless ? null : (replicas[0] ?? null);
      return {
        id,
        replicas,
        leader,
        copies: replicas.length,
        bytes: bytes ?? 0,
        memories: memories ?? 0,
        load: 0,
      };
    }),
  };
}

export function forCluster(plan: Plan, view: EngineView): ClusterPlan {
  const { apiVersion, kind, problems, ...rest } = plan;
  return { apiVersion, kind, cluster: view.cluster, ...rest, problems: [...problems, ...absent(plan, view)] };
}

/** Steps that wait for a node that does not answer. */
function absent({ waves }: Plan, view: EngineView): PlanProblem[] {
  const touched = new Set(waves.flat().flatMap(nodesOf));
  const down = view.nodes.filter(({ id, state }) => state === "down" && touched.has(id)).map(({ id }) => id);
  if (down.length === 0) return [];
  return [
    {
      code: "node-down",
      severity: "soft",
      message: `${down.join(", ")} ${down.length === 1 ? "does" : "do"} not answer, and steps of this plan need ${down.length === 1 ? "it" : "them"}`,
      hint: "start it, or drain it and plan again",
    },
  ];
}

function nodesOf(step: RebalanceStep): NodeId[] {
  return [
    ...("from" in step ? [step.from] : []),
    ...("to" in step && step.to !== undefined ? [step.to] : []),
  ];
}

export interface ShardExplanation {
  readonly shard: ShardId;
  /** Sentences: what happens to each of its copies, and why. */
  readonly reasons: readonly string[];
}

/** @throws Mem0ctlError `unknown-shard` (not-found). */
export function explainShard(plan: Plan, shard: ShardId): ShardExplanation {
  if (!plan.state.shards.some(({ id }) => id === shard)) throw unknownShard(shard, plan.state.shards.length);
  return { shard, reasons: explained(plan, shard) };
}

/** The view as it will look when the plan is done, for a picture of it. */
export function viewAfter(view: EngineView, plan: Plan): EngineView {
  const after = new Map(plan.nodes.map((change) => [change.node, change.after]));
  const outcomes = outcomeOf(plan);
  return {
    ...view,
    nodes: view.nodes.map((node) => {
      const { leads = node.leads, replicas = node.replicas } = after.get(node.id) ?? {};
      return { ...node, leads, replicas };
    }),
    shards: view.shards.map((shard) => {
      const outcome = outcomes.get(shard.id);
      if (outcome === undefined) return shard;
      const others = shard.replicas.filter(({ role }) => role === "arbiter");
      const known = new Map(shard.replicas.map((replica) => [replica.node, replica]));
      const replicas = outcome.replicas.map((node) => ({
        ...(known.get(node) ?? { node, state: "replicating" as const, lagEntries: 0, lagBytes: 0, lagMs: 0 }),
        role: node === outcome.leader ? ("leader" as const) : ("follower" as const),
      }));
      return { ...shard, state: "ok" as const, leader: outcome.leader, replicas: [...replicas, ...others] };
    }),
  };
}

/** @throws Mem0ctlError `no-plan` (conflict) when a hard rule cannot be kept. */
export function refuseHard({ problems }: Plan): void {
  const hard = problems.find(({ severity }) => severity === "hard");
  if (hard === undefined) return;
  throw new Mem0ctlError("conflict", "no-plan", "there is no plan that keeps the rules", {
    why: hard.message,
    hint: hard.hint,
    data: { problems },
  });
}
