// The manifest against the live cluster: what is different, what each difference costs and risks to change, and the
// plan that makes the cluster as the manifest says. What cannot be changed while it runs says how to get there.

import type { CallOptions, Engine, EngineView } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import { stepWords, type OperationReport } from "../model/operation.ts";
import type {
  ClusterPlan,
  ManifestChange,
  ManifestPlan,
  Plan,
  PlannedNode,
  PlannedState,
  Step,
} from "../model/plan.ts";
import type { MapNode, ShardMap } from "../model/shard-map.ts";
import { formatBytes } from "../model/units.ts";
import { hasHandedOver } from "../topology/handovers.ts";
import { planRebalance } from "../topology/rebalance.ts";
import { stateChanges } from "../topology/state-changes.ts";
import { mapNodeOf } from "./membership.ts";
import { settingChanges } from "./manifest-settings.ts";
import { runOperation } from "./operation.ts";
import type { Manner } from "./operation.ts";
import { forCluster, lookAtShards, plannedState, refuseHard } from "./rebalance.ts";
import type { OwnShardsPlan } from "./slot-manifest.ts";
import { restartNodes, type ClusterNodes } from "./up.ts";

/** Far beyond any share: only hard rules move copies, and balance is another command's. */
const ANY_BALANCE = 1e6;
const ANOTHER_CLUSTER =
  "make a cluster with the new manifest under another name, then `mem0ctl migrate --from OLD --to NEW`";

/** @throws Mem0ctlError `nothing-answered` (unavailable) when no node tells its shard map. */
export async function planManifest(
  engine: Engine,
  manifest: Manifest,
  call: CallOptions,
): Promise<ManifestPlan> {
  const [{ map, live }, view] = await Promise.all([engine.shardMap(call), engine.view(call)]);
  if (!live) {
    throw new Mem0ctlError("unavailable", "nothing-answered", "no node answered", {
      why: "a plan compares the manifest with a cluster that runs",
      hint: "start it with `mem0ctl up`: a first start needs no plan",
    });
  }
  if (engine.slotTable === undefined) return compared(manifest, map, view);
  const [{ planOwnShards }, table] = await Promise.all([
    import("./slot-manifest.ts"),
    engine.slotTable({ contents: false }, call),
  ]);
  return ofOwnShards(manifest, map, view, planOwnShards(manifest, map, view, table));
}

/** Of a cluster that keeps neither roles nor zones nor weights: only the manifest has them. */
function ofOwnShards(manifest: Manifest, map: ShardMap, view: EngineView, own: OwnShardsPlan): ManifestPlan {
  const { joining, leaving } = membersOf(manifest, map);
  const state = plannedState(map, view);
  const { waves, predicted, lowerBound, problems } = own;
  const gap = lowerBound.moves === 0 ? 0 : predicted.moves / lowerBound.moves - 1;
  const plan: Plan = {
    apiVersion: "mem0ctl/v1",
    kind: "Plan",
    by: "shards",
    threshold: 0,
    waves,
    predicted,
    lowerBound,
    gap,
    optimal: predicted.moves === lowerBound.moves,
    balanced: true,
    nodes: [],
    problems,
    state,
  };
  return {
    apiVersion: "mem0ctl/v1",
    kind: "ManifestPlan",
    cluster: view.cluster,
    changes: [
      ...joining.map(joins),
      ...own.changes,
      ...leaving.map((node) => leaves(node, state, "its copy is deleted")),
    ],
    joins: joining.map(({ id }) => id),
    nodes: joining.map(mapNodeOf),
    leaves: leaving.map(({ id }) => id),
    restarts: [],
    plan: forCluster(plan, view),
    epoch: map.epoch,
  };
}

function membersOf(
  manifest: Manifest,
  map: ShardMap,
): { readonly joining: readonly NodeSpec[]; readonly leaving: readonly MapNode[] } {
  const wanted = new Set(manifest.nodes.map(({ id }) => id));
  const known = new Set(map.nodes.map(({ id }) => id));
  return {
    joining: manifest.nodes.filter(({ id }) => !known.has(id)),
    leaving: map.nodes.filter(({ id }) => !wanted.has(id)),
  };
}

function compared(manifest: Manifest, map: ShardMap, view: EngineView): ManifestPlan {
  const wanted = new Map(manifest.nodes.map((spec) => [spec.id, mapNodeOf(spec)]));
  const { joining, leaving } = membersOf(manifest, map);
  const changing = map.nodes.flatMap((node) => {
    const spec = wanted.get(node.id);
    return spec === undefined || sameNode(node, spec)
      ? []
      : [{ from: node, to: { ...spec, draining: node.draining } }];
  });
  const state = plannedState(map, view);
  const copies = manifest.replication.replicas + 1;
  const plan = forCluster(
    planRebalance(stateWanted(state, wanted, leaving, copies), {
      by: "shards",
      threshold: ANY_BALANCE,
      leaders: leaving.length > 0 || changing.length > 0,
    }),
    view,
  );
  const changes = [
    ...joining.map(joins),
    ...changing.flatMap(({ from, to }) => changesOf(from, to)),
    ...copiesChange(state, copies, plan),
    ...leaving.map((node) => leaves(node, state)),
    ...notLive(manifest, map, view),
  ];
  const settings = settingChanges(manifest, view);
  const live = changes.filter(({ live: can }) => can);
  return {
    apiVersion: "mem0ctl/v1",
    kind: "ManifestPlan",
    cluster: view.cluster,
    changes: [...changes, ...settings.changes],
    joins: joining.map(({ id }) => id),
    nodes: [...joining.map(mapNodeOf), ...changing.map(({ to }) => to)],
    leaves: leaving.map(({ id }) => id),
    restarts: settings.restarts,
    // Copies are as they are where nothing that can be changed is different.
    plan: live.length === 0 ? { ...plan, waves: [] } : plan,
    epoch: map.epoch,
  };
}

function sameNode(a: MapNode, b: MapNode): boolean {
  return a.address === b.address && a.role === b.role && a.zone === b.zone && a.weight === b.weight;
}

/** The cluster once its nodes are those of the manifest, with every copy still where it is. */
function stateWanted(
  state: PlannedState,
  wanted: ReadonlyMap<NodeId, MapNode>,
  leaving: readonly MapNode[],
  copies: number,
): PlannedState {
  const draining = new Map(state.nodes.map(({ id, draining: is }) => [id, is]));
  const nodes = [...wanted.values()].map(({ id, role, zone, weight }): PlannedNode => ({
    id,
    role,
    zone,
    weight,
    draining: draining.get(id) ?? false,
  }));
  const going = leaving.map(({ id, role, zone, weight }): PlannedNode => ({
    id,
    role,
    zone,
    weight,
    draining: true,
  }));
  return {
    ...state,
    nodes: [...nodes, ...going],
    shards: state.shards.map((shard) => ({ ...shard, copies })),
  };
}

// --- one line for each difference ----------------------------------------------------------------

function joins({ id, address, role, zone, manage }: NodeSpec): ManifestChange {
  return {
    action: "add",
    subject: `node ${id}`,
    message: `${id} joins at ${address} as ${role} in zone ${zone}`,
    cost: manage === "spawn" ? "a process is started here" : "it has to run with this manifest",
    risk: "none: it holds nothing until `mem0ctl shards rebalance`",
    live: true,
  };
}

function changesOf(from: MapNode, to: MapNode): ManifestChange[] {
  if (from.address !== to.address) {
    return [
      {
        action: "change",
        subject: `node ${from.id}`,
        message: `the address of ${from.id} is ${from.address} and should be ${to.address}`,
        cost: "",
        risk: "",
        live: false,
        hint: "peers know a node by its address: put the old one back; or add a node under another id, then remove this one",
      },
    ];
  }
  const fields = (["role", "zone", "weight"] as const).filter((field) => from[field] !== to[field]);
  const holdsRole = from.role === "arbiter" || to.role === "arbiter";
  return fields.map((field): ManifestChange => {
    const change = {
      action: "change",
      subject: `node ${from.id}`,
      message: `the ${field} of ${from.id} is ${from[field]} and should be ${to[field]}`,
    } as const;
    if (field === "role" && holdsRole) {
      const hint =
        "an arbiter keeps no data: add a node of the new role under another id, then remove this one";
      return { ...change, cost: "", risk: "", live: false, hint };
    }
    const cost = {
      role: "leaders are handed over",
      zone: "copies move where a zone has too many",
      weight: "none now; its share changes for `mem0ctl shards rebalance`",
    }[field];
    return { ...change, cost, risk: "none: one change of the shard map", live: true };
  });
}

function copiesChange(state: PlannedState, copies: number, plan: ClusterPlan): ManifestChange[] {
  const off = state.shards.filter(({ replicas }) => replicas.length !== copies);
  const [first] = off;
  if (first === undefined) return [];
  const steps = plan.waves.flat();
  const added = steps.filter(({ kind }) => kind === "add-replica").length;
  const removed = steps.filter(({ kind }) => kind === "remove-replica").length;
  const bytes = steps.reduce((sum, step) => sum + (step.kind === "add-replica" ? step.bytes : 0), 0);
  const counts = [...new Set(off.map(({ replicas }) => replicas.length))].sort((a, b) => a - b).join(" or ");
  return [
    {
      action: "change",
      subject: "copies",
      message: `${off.length === state.shards.length ? "shards have" : `${off.length} shards have`} ${counts} copies and should have ${copies}`,
      cost: [
        ...(added > 0 ? [`${added} copies are made, ${formatBytes(bytes)}`] : []),
        ...(removed > 0 ? [`${removed} copies are deleted`] : []),
      ].join("; "),
      risk: removed > 0 ? "fewer nodes may be lost afterwards" : "none: copies are made before they count",
      live: true,
    },
  ];
}

function leaves({ id }: MapNode, { shards }: PlannedState, cost?: string): ManifestChange {
  const held = shards.filter(({ replicas }) => replicas.includes(id));
  const bytes = held.reduce((sum, shard) => sum + shard.bytes, 0);
  const moved = `${held.length === 1 ? "1 copy moves" : `${held.length} copies move`}, ${formatBytes(bytes)}`;
  return {
    action: "remove",
    subject: `node ${id}`,
    message: `${id} leaves the cluster`,
    cost: held.length === 0 ? "none: it holds nothing" : (cost ?? moved),
    risk: "its process and its data stay where they are: stop it when it has left",
    live: true,
  };
}

/**
 * What the running cluster has otherwise than the manifest says and cannot take over while it runs, each with the way
 * there: of `planManifest`'s changes those that a start cannot bring either. Empty where nothing answers, and of engines
 * that only the manifest tells what they are.
 */
export async function fixedDifferences(
  engine: Engine,
  manifest: Manifest,
  call: CallOptions,
): Promise<readonly ManifestChange[]> {
  if (engine.slotTable !== undefined) return [];
  const [{ map, live }, view] = await Promise.all([engine.shardMap(call), engine.view(call)]);
  // Nodes that have not been told the map yet tell one without shards.
  if (!live || map.shards.length === 0) return [];
  const settings = settingChanges(manifest, view).changes.filter((change) => !change.live);
  return [...notLive(manifest, map, view), ...settings];
}

/** What is fixed when a cluster is founded. */
function notLive(manifest: Manifest, map: ShardMap, view: EngineView): ManifestChange[] {
  const { sharding, consensus } = manifest;
  const founded = (
    subject: string,
    is: string | number,
    should: string | number,
    hint = ANOTHER_CLUSTER,
  ): ManifestChange[] =>
    is === should
      ? []
      : [
          {
            action: "change",
            subject,
            message: `${subject} is ${is} and should be ${should}`,
            cost: "",
            risk: "",
            live: false,
            hint,
          },
        ];
  if (map.strategy !== sharding.strategy)
    return founded("the sharding strategy", map.strategy, sharding.strategy);
  const fixed = [
    ...founded("the protocol", view.protocol, consensus.protocol),
    ...founded("the shard key", map.key, sharding.key),
  ];
  // Since then it goes by its own map: the manifest is what it was founded with, and nothing to go back to.
  if (hasHandedOver(map)) return fixed;
  const bounds = map.shards
    .map(({ start }) => start)
    .filter((start) => start !== "")
    .sort();
  const pins = (directory: Readonly<Record<string, string>>): string =>
    Object.entries(directory)
      .map(([key, shard]) => `${key} > ${shard}`)
      .sort()
      .join(", ") || "none";
  return [
    ...fixed,
    ...(map.strategy === "range"
      ? founded(
          "the list of split points",
          bounds.join(", ") || "empty",
          [...sharding.ranges].sort().join(", ") || "empty",
        )
      : founded("the number of shards", map.shards.length, sharding.shards)),
    ...(map.strategy === "directory"
      ? founded("the list of pins", pins(map.directory), pins(sharding.directory))
      : []),
  ];
}

/**
 * Makes the cluster as the plan says: nodes join and change, copies move, nodes leave, others are restarted. It can be
 * repeated: what was done is no longer different. Null when no copy had to move and no node to leave.
 * @throws Mem0ctlError `not-live`, `no-plan`, `cluster-changed` (conflict), `restarts-wait` (invalid; nothing was
 *   changed), `not-healthy` (degraded) where a restart stopped half-way, and as `runOperation`.
 */
export async function applyManifest(
  engine: Engine,
  manifest: ClusterNodes,
  planned: ManifestPlan,
  manner: Manner,
  call: CallOptions,
): Promise<OperationReport<Step> | null> {
  requireApplicable(planned);
  if (manner.detached && planned.restarts.length > 0) {
    throw new Mem0ctlError(
      "invalid",
      "restarts-wait",
      "nodes are restarted from here, so it cannot go on alone",
      {
        why: `${planned.restarts.join(", ")} were started with other settings`,
        hint: "leave --no-wait out",
      },
    );
  }
  const before = await lookAtShards(engine, call);
  requireSameShards(planned, before.state);
  const start = async (): Promise<void> => {
    if (planned.joins.length > 0) await engine.up(planned.joins, call);
  };
  if (engine.capabilities.joins === "after-start") await start();
  // Where it can be, in the cluster first: a node that nobody knows would found one of its own.
  for (const node of planned.nodes) await engine.execute({ kind: "add-node", node }, call);
  if (engine.capabilities.joins === "before-start") await start();
  const waves: readonly (readonly Step[])[] = [
    ...planned.plan.waves,
    ...planned.leaves.map((node): Step[] => [{ kind: "remove-node", node }]),
  ];
  let operation: OperationReport<Step> | null = null;
  if (waves.length > 0) {
    const { state } = await lookAtShards(engine, call);
    operation = await runOperation(engine, { name: "apply", waves, epoch: state.epoch }, manner, call);
  }
  if (planned.restarts.length > 0) await restartAll(engine, manifest, planned.restarts, call);
  return operation;
}

async function restartAll(
  engine: Engine,
  manifest: ClusterNodes,
  nodes: readonly NodeId[],
  call: CallOptions,
): Promise<void> {
  const { view } = await restartNodes(engine, manifest, nodes, call);
  if (view.health === "healthy") return;
  throw new Mem0ctlError(
    "degraded",
    "not-healthy",
    "the cluster did not become healthy while nodes were restarted",
    {
      why: view.reasons.map(({ message }) => message).join("; "),
      hint: "look at `mem0ctl status`; then `mem0ctl apply` goes on with those that are left",
    },
  );
}

/** @throws Mem0ctlError `not-live`, `no-plan` (conflict). */
export function requireApplicable({ changes, plan }: ManifestPlan): void {
  const [fixed] = changes.filter(({ live }) => !live);
  if (fixed !== undefined) {
    throw new Mem0ctlError(
      "conflict",
      "not-live",
      "the manifest asks for what cannot be changed while it runs",
      {
        why: fixed.message,
        ...(fixed.hint === undefined ? {} : { hint: fixed.hint }),
        data: { changes },
      },
    );
  }
  refuseHard(plan);
}

/**
 * Whether a plan that was saved is still what the manifest asks of the cluster; how many bytes each step copies may
 * have changed meanwhile.
 * @throws Mem0ctlError `other-cluster`, `plan-outdated` (conflict) with what is different now.
 */
export function requireSamePlan(saved: ManifestPlan, now: ManifestPlan): void {
  if (saved.cluster !== now.cluster) {
    throw new Mem0ctlError("conflict", "other-cluster", `the plan is for the cluster ${saved.cluster}`, {
      why: `the manifest is of ${now.cluster}`,
      hint: "give the manifest of that cluster with -f",
    });
  }
  const changes = [
    ...stateChanges(saved.plan.state, now.plan.state),
    ...onlyIn(linesOf(saved), linesOf(now)).map((line) => `no longer needed: ${line}`),
    ...onlyIn(linesOf(now), linesOf(saved)).map((line) => `not in the plan: ${line}`),
  ];
  if (changes.length === 0) return;
  throw new Mem0ctlError(
    "conflict",
    "plan-outdated",
    "the cluster or its manifest changed since the plan was made",
    {
      why: changes.slice(0, 3).join("; "),
      hint: "plan again: `mem0ctl plan --out FILE`",
      data: { changes },
    },
  );
}

/** What a plan is about to do, in words. */
function linesOf({ changes, plan }: ManifestPlan): string[] {
  return [...changes.map(({ message }) => message), ...plan.waves.flat().map(stepWords)];
}

function onlyIn(some: readonly string[], others: readonly string[]): string[] {
  return some.filter((line) => !others.includes(line));
}

function requireSameShards({ plan }: ManifestPlan, now: PlannedState): void {
  const changes = stateChanges({ ...plan.state, nodes: now.nodes }, now);
  if (changes.length === 0) return;
  throw new Mem0ctlError("conflict", "cluster-changed", "the cluster changed since the plan was made", {
    why: changes.slice(0, 3).join("; "),
    hint: "plan again: `mem0ctl plan`",
    data: { changes },
  });
}
