// Starting, stopping and restarting a cluster. Running any of them twice is harmless.

import type { CallOptions, Engine, NodeAction } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest } from "../model/manifest.ts";
import type { ClusterView, Health, NodeView } from "../model/view.ts";
import type { HealthLimits } from "./health.ts";
import { clusterStatus } from "./status.ts";
import { watchFor } from "./wait.ts";

/** What these operations need of a manifest. */
export type ClusterNodes = Pick<Manifest, "name" | "nodes" | "limits">;

export interface UpResult {
  readonly actions: readonly NodeAction[];
  /** After the wait: healthy, or with the reasons why it is not at the deadline. */
  readonly view: ClusterView;
}

/**
 * Starts what the manifest spawns, connects to the rest, and waits until the cluster is healthy. At the
 * deadline it resolves all the same: `view.health` and `view.reasons` say what is missing.
 * @throws Mem0ctlError when a node could not be started: `port-taken`, `data-of-other-cluster`,
 *   `data-newer-format`, `data-locked`, `disk-full`, `node-died`…; nodes that did start keep running.
 */
export async function upCluster(
  engine: Engine,
  manifest: ClusterNodes,
  options: CallOptions,
): Promise<UpResult> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const actions = await engine.up(idsOf(manifest), options);
  const view = await untilHealthy(engine, manifest.limits, options, deadlineMs);
  return { actions, view };
}

/**
 * Starts one node that was added, and no other, and waits until the cluster is healthy; where it was not `before`, by
 * reason of other nodes, only until this one has its connections.
 * @throws as `upCluster`.
 */
export async function startAdded(
  engine: Engine,
  manifest: ClusterNodes,
  node: NodeId,
  before: Health,
  options: CallOptions,
): Promise<UpResult> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const actions = await engine.up([node], options);
  const isConnected = ({ nodes }: ClusterView): boolean =>
    nodes.some(
      ({ id, state, error, waiting, cutOffFrom }) =>
        id === node && state === "up" && (error ?? waiting ?? cutOffFrom) === undefined,
    );
  const { view } = await watchFor(
    engine,
    (seen) => seen.health === "healthy" || (before !== "healthy" && isConnected(seen)),
    { ...options, limits: manifest.limits, timeoutMs: Math.max(1, deadlineMs - performance.now()) },
  );
  return { actions, view };
}

/** Stops what `up` spawned; `nodes` empty means all. Resolves when the processes have ended. */
export async function downCluster(
  engine: Engine,
  manifest: ClusterNodes,
  nodes: readonly NodeId[],
  options: CallOptions,
): Promise<readonly NodeAction[]> {
  return engine.down(chosen(manifest, nodes), options);
}

/** Whether what is wrong with the cluster, if anything, is wrong with this node alone. */
function isOwnTrouble({ health, nodes, shards, leader, leaderless }: ClusterView, id: NodeId): boolean {
  if (health === "healthy") return true;
  const isSound = (node: NodeView): boolean =>
    (node.state === "up" || node.state === "draining") &&
    ![node.error, node.waiting, node.refusal, node.writeRefusal, node.damaged, node.ownAddress].some(
      (trouble) => trouble !== undefined,
    ) &&
    (node.cutOffFrom ?? []).every((other) => other === id);
  return (
    nodes.every((node) => node.id === id || isSound(node)) &&
    shards.every(({ replicas }) =>
      replicas.every(({ node, state }) => node === id || state === "replicating"),
    ) &&
    (leader !== null || leaderless === true)
  );
}

/** How long a node may take to say that it is up, before a restart treats it as down. */
const LOOK_MS = 2000;

/**
 * Restarts nodes (`nodes` empty: all), first those that are down, then the others one at a time, each only while the
 * cluster is healthy but for that node, so that a shard loses its quorum on the way only where it has none without one
 * node. A cluster that does not become healthy stops the restart: the nodes that are still up stay up.
 */
export async function restartNodes(
  engine: Engine,
  manifest: ClusterNodes,
  nodes: readonly NodeId[],
  options: CallOptions,
): Promise<UpResult> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const ids = chosen(manifest, nodes);
  const left = (): CallOptions => ({
    ...options,
    timeoutMs: Math.max(1, deadlineMs - performance.now()),
  });
  const before = await clusterStatus(engine, manifest.limits, {
    ...options,
    // Not cut short by a small deadline: a node that had no time to answer is not down.
    timeoutMs: LOOK_MS,
  });
  const isUp = (id: NodeId): boolean => before.nodes.some((node) => node.id === id && node.pid !== null);
  const actions: NodeAction[] = [];

  const down = ids.filter((id) => !isUp(id));
  if (down.length > 0) {
    // A process may hang without answering: it is stopped before it is started.
    await engine.down(down, left());
    actions.push(...(await engine.up(down, left())));
  }
  const up = ids.filter(isUp);
  for (const [index, id] of up.entries()) {
    if (actions.length > 0 || !isOwnTrouble(before, id)) {
      const view = await untilHealthy(engine, manifest.limits, left(), deadlineMs);
      if (view.health !== "healthy") return { actions, view };
    }
    options.onProgress?.({ node: id, done: index, total: up.length, message: `restarting ${id}` });
    const [stopped] = await engine.down([id], left());
    if (stopped?.outcome === "not-managed") {
      actions.push(stopped);
      continue;
    }
    actions.push(...(await engine.up([id], left())));
  }
  return { actions, view: await untilHealthy(engine, manifest.limits, left(), deadlineMs) };
}

async function untilHealthy(
  engine: Engine,
  limits: HealthLimits,
  options: CallOptions,
  deadlineMs: number,
): Promise<ClusterView> {
  const timeoutMs = Math.max(1, deadlineMs - performance.now());
  const { view } = await watchFor(engine, "healthy", { ...options, limits, timeoutMs });
  return view;
}

function idsOf(manifest: ClusterNodes): readonly NodeId[] {
  return manifest.nodes.map((node) => node.id);
}

function chosen(manifest: ClusterNodes, nodes: readonly NodeId[]): readonly NodeId[] {
  const known = idsOf(manifest);
  if (nodes.length === 0) return known;
  for (const id of nodes) {
    if (!known.includes(id)) throw unknownNode(id, known);
  }
  return [...new Set(nodes)];
}

/** One message for every command that names a node. */
export function unknownNode(id: NodeId, known: readonly NodeId[]): Mem0ctlError {
  return new Mem0ctlError("not-found", "unknown-node", `there is no node ${JSON.stringify(id)}`, {
    why: `the cluster has ${known.slice(0, 12).join(", ")}${known.length > 12 ? ", …" : ""}`,
    hint: "see them with `mem0ctl nodes list`",
  });
}
