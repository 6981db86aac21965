// Brings one node to the point where it answers as itself: the handshake after spawning it, and every
// case in which spawning would be wrong because it runs already or something else has its port.

import { setTimeout as pause } from "node:timers/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import type { Manifest, NodeSpec } from "../../model/manifest.ts";
import type { NodeReport } from "../../model/node-api.ts";
import type { PidRecord } from "../../model/pid-file.ts";
import type { NodeAction } from "../engine.ts";
import { NodeFailure } from "../node-failure.ts";
import type { ClusterNodes } from "./nodes.ts";
import { nodeProcess, type NodeProcess } from "../local/process-identity.ts";
import { prepareDataDir, spawnNode } from "../local/processes.ts";
import type { SpawnedNode } from "../local/processes.ts";
import { portTaken, refuseElsewhere } from "../local/start-failure.ts";
import { isNodeProcess, nodeCommand } from "./node-program.ts";
import { startFailure } from "./start-failure.ts";

export interface StartContext {
  readonly manifest: Manifest;
  /** Absolute. */
  readonly manifestFile: string;
  readonly program: string;
  readonly nodes: ClusterNodes;
  /** By `performance.now()`. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

const POLL_MS = 50;
/** One question of the handshake; a healthy node answers in milliseconds. */
const QUESTION_MS_MAX = 1000;
/** A node that is only connected to is given this long; what is wrong then is the view's to say. */
const CONNECT_MS_MAX = 2000;

/**
 * @throws Mem0ctlError `port-taken`, `node-runs-elsewhere`, `wrong-cluster`, `node-start-timeout` (kind unknown-outcome), what
 *   `startFailure` and `spawnNode` make of a node that ended, or kind denied.
 */
export async function startNode(spec: NodeSpec, context: StartContext): Promise<NodeAction> {
  if (spec.manage === "connect") return connect(spec, context);
  for (;;) {
    const action = await startOrFollow(spec, context);
    if (action !== undefined) return action;
  }
}

/** undefined where its process was there, and has ended without an answer: somebody took it down. */
async function startOrFollow(spec: NodeSpec, context: StartContext): Promise<NodeAction | undefined> {
  const node = spec.id;
  const found = await nodeProcess(spec.dataDir, node, context.manifest.name, isNodeProcess);
  if (isRunning(found)) refuseElsewhere(spec, found.record);
  const answer = await ask(spec, context);
  if (isReport(answer)) return { node, outcome: "already-running", pid: answer.pid };
  if (isRunning(found)) {
    // It is starting, or hangs, or ends: a second process on its data would not help.
    const report = await untilItAnswersOrEnds(spec, context);
    return report === undefined ? undefined : { node, outcome: "already-running", pid: report.pid };
  }
  // Something has the port, but is not a node and not ours. A refused connection means that it is free.
  if (answer.code !== "connection-refused") throw await portTaken(spec);
  await prepareDataDir(spec);
  const command = nodeCommand(context.program, context.manifestFile, node);
  const spawned = await spawnNode(spec, context.manifest.name, command);
  const report = await untilItAnswers(spec, context, spawned);
  // Another `up` at the same time may have been the faster one.
  return { node, outcome: report.pid === spawned.pid ? "spawned" : "already-running", pid: report.pid };
}

function isRunning(found: NodeProcess): found is Extract<NodeProcess, { readonly record: PidRecord }> {
  return found.kind === "spawned" || found.kind === "foreground";
}

async function connect(spec: NodeSpec, context: StartContext): Promise<NodeAction> {
  const node = spec.id;
  const deadlineMs = Math.min(context.deadlineMs, performance.now() + CONNECT_MS_MAX);
  for (;;) {
    const answer = await ask(spec, context);
    if (isReport(answer)) return { node, outcome: "connected", pid: answer.pid };
    const isOver = (): boolean => performance.now() + POLL_MS >= deadlineMs;
    if (!isOver()) await pause(POLL_MS);
    // A pause may take longer; a question without time would only find that there was none.
    if (isOver()) return { node, outcome: "not-managed", pid: null, error: reasonOf(answer) };
  }
}

async function untilItAnswers(
  spec: NodeSpec,
  context: StartContext,
  spawned: SpawnedNode,
): Promise<NodeReport> {
  let failure: Mem0ctlError | undefined;
  for (;;) {
    const exit = spawned.exit();
    const answer = await ask(spec, context);
    if (isReport(answer)) return answer;
    if (failure === undefined && exit !== undefined) {
      failure = await startFailure(spec, spawned, exit);
      // Another `up` was faster: its node has the data and will answer.
      if (failure.code !== "data-locked") throw failure;
    }
    if (failure !== undefined && performance.now() + POLL_MS >= context.deadlineMs) throw failure;
    if (performance.now() + POLL_MS >= context.deadlineMs) throw startTimeout(spec, answer, spawned);
    await pause(POLL_MS);
  }
}

async function untilItAnswersOrEnds(spec: NodeSpec, context: StartContext): Promise<NodeReport | undefined> {
  for (;;) {
    const answer = await ask(spec, context);
    if (isReport(answer)) return answer;
    if (!isRunning(await nodeProcess(spec.dataDir, spec.id, context.manifest.name, isNodeProcess)))
      return undefined;
    if (performance.now() + POLL_MS >= context.deadlineMs) throw startTimeout(spec, answer, undefined);
    await pause(POLL_MS);
  }
}

/** The node's own report, or why there is none yet. What waiting cannot heal is thrown. */
async function ask(spec: NodeSpec, context: StartContext): Promise<NodeReport | Mem0ctlError> {
  const { manifest, nodes, signal } = context;
  const leftMs = context.deadlineMs - performance.now();
  const timeoutMs = Math.max(1, Math.min(QUESTION_MS_MAX, leftMs));
  let report: NodeReport;
  try {
    report = await nodes.report(spec, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (error instanceof NodeFailure && error.code === "not-a-node" && spec.manage === "spawn") {
      throw await portTaken(spec);
    }
    // A node that says it is not ready answers so by the HTTP API's own errors.
    if (error instanceof Mem0ctlError && (error.kind === "unavailable" || error.kind === "busy"))
      return error;
    throw error;
  }
  if (report.cluster === manifest.name && report.id === spec.id) return report;
  const place = spec.listen ?? spec;
  throw new Mem0ctlError(
    "conflict",
    "wrong-cluster",
    `${place.address} is ${report.id} of the cluster ${report.cluster}, not ${spec.id} of ${manifest.name}`,
    {
      why: `pid ${report.pid} has the port`,
      hint: "stop that cluster, or give this one other ports in the manifest",
      data: { node: spec.id, port: place.port, answers: { cluster: report.cluster, node: report.id } },
    },
  );
}

function isReport(answer: NodeReport | Mem0ctlError): answer is NodeReport {
  return !(answer instanceof Mem0ctlError);
}

function reasonOf(answer: Mem0ctlError): string {
  return answer instanceof NodeFailure ? answer.reason : answer.message;
}

function startTimeout(spec: NodeSpec, answer: Mem0ctlError, spawned: SpawnedNode | undefined): Mem0ctlError {
  return new Mem0ctlError("unknown-outcome", "node-start-timeout", `${spec.id} does not answer yet`, {
    why: `${spawned === undefined ? "its process runs" : `pid ${spawned.pid} was started`}, but: ${reasonOf(answer)}`,
    hint: `it may still come; its log: \`mem0ctl nodes logs ${spec.id}\`, or raise --timeout`,
    data: { node: spec.id, ...(spawned === undefined ? {} : { pid: spawned.pid }) },
  });
}
