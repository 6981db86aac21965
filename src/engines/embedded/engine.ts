// The embedded engine from outside its nodes: spawns them, asks them over HTTP, merges what they say.
// It keeps no state between two calls but open connections: the cluster's own state is the only one.
// What starts and stops processes is loaded when it is called for: most commands only look.

import { resolve } from "node:path";

import { ENGINE_CAPABILITIES } from "../../manifest/capabilities.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { groupName } from "../../model/ids.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Manifest, NodeSpec } from "../../model/manifest.ts";
import { LOG_FILE } from "../../model/pid-file.ts";
import type { Step } from "../../model/plan.ts";
import { initialShardMap } from "../../topology/shard-map.ts";
import type { CallOptions, Engine, NodeAction } from "../engine.ts";
import { describeStart, describeStop, forEachNode, specOfNode } from "../local/every-node.ts";
import { shardMap, transferResult } from "./answers.ts";
import { memoryOperations } from "../memory-routes.ts";
import { carryOut, operationControl } from "./operations.ts";
import { ClusterNodes } from "./nodes.ts";
import { buildView, newestMap, sortAnswers } from "./view.ts";

export interface EmbeddedEngineOptions {
  /** Spawned nodes read it: any path, made absolute here. */
  readonly manifestFile: string;
  /** Overrides MEM0CTL_TOKEN and the manifest's own token reference. */
  readonly token?: string;
  /** The node's program; default: `dist/node/main.js` of this build. */
  readonly program?: string;
}

export function createEmbeddedEngine(manifest: Manifest, options: EmbeddedEngineOptions): Engine {
  const nodes = new ClusterNodes(manifest, options.token);
  const manifestFile = resolve(options.manifestFile);
  const specOf = (id: NodeId): NodeSpec => specOfNode(manifest, id);

  return {
    capabilities: ENGINE_CAPABILITIES.embedded,
    memories: memoryOperations(nodes),
    operations: operationControl(nodes),

    async up(ids, callOptions) {
      const specs = ids.map(specOf);
      const { nodeProgram } = await import("./node-program.ts");
      const { startNode } = await import("./start.ts");
      const program = specs.some(({ manage }) => manage === "spawn")
        ? (options.program ?? nodeProgram())
        : "";
      const deadlineMs = performance.now() + callOptions.timeoutMs;
      const start = { manifest, manifestFile, program, nodes, deadlineMs, signal: callOptions.signal };
      return forEachNode(specs, callOptions, (spec) => startNode(spec, start), describeStart);
    },

    async down(ids, callOptions) {
      const stop = (spec: NodeSpec): Promise<NodeAction> => stopSpawned(spec, manifest, nodes, callOptions);
      return forEachNode(ids.map(specOf), callOptions, stop, describeStop);
    },

    async view(callOptions) {
      return buildView(manifest, await nodes.askAll(callOptions));
    },

    async shardMap(callOptions) {
      const { reports } = sortAnswers(manifest, await nodes.askAll(callOptions));
      const map = newestMap(reports);
      return map === undefined ? { map: initialShardMap(manifest), live: false } : { map, live: true };
    },

    execute(step, callOptions) {
      return executeStep(nodes, step, callOptions);
    },

    // Running operations are in the metadata group, whose leader goes on with them.
    settle() {
      return Promise.resolve([]);
    },

    logFile(id) {
      return resolve(specOf(id).dataDir, LOG_FILE);
    },

    close() {
      return nodes.close();
    },
  };
}

async function executeStep(nodes: ClusterNodes, step: Step, options: CallOptions): Promise<string> {
  const post = { method: "POST", write: true } as const;
  switch (step.kind) {
    case "add-node": {
      const request = { ...post, path: "/v1/cluster/join", body: { node: step.node } };
      const { epoch } = await nodes.request(request, shardMap, options);
      return `${step.node.id} is a member as of epoch ${epoch}`;
    }
    case "remove-node": {
      const request = { ...post, path: "/v1/cluster/leave", body: { node: step.node } };
      const { epoch } = await nodes.request(request, shardMap, options);
      return `${step.node} is no member as of epoch ${epoch}`;
    }
    case "transfer-leader": {
      const { group, to } = step;
      const body = { group, ...(to === undefined ? {} : { to }) };
      const request = { ...post, path: "/v1/cluster/transfer", body };
      const result = await nodes.request(request, transferResult, options);
      const what = groupName(group);
      return `${what} went from ${result.from} to ${result.to} in term ${result.term}`;
    }
    case "add-replica":
    case "remove-replica":
    case "move-replica":
    case "split":
    case "merge":
    case "pin":
    case "unpin":
      return carryOut(nodes, step, options);
    default:
      throw new Mem0ctlError("invalid", "step-not-possible", `${step.kind} is not possible here`, {
        why: "the embedded engine takes no such step",
        hint: "see what the engine can do with `mem0ctl validate`",
      });
  }
}

async function stopSpawned(
  spec: NodeSpec,
  manifest: Manifest,
  nodes: ClusterNodes,
  options: CallOptions,
): Promise<NodeAction> {
  const node = spec.id;
  if (spec.manage === "connect") return { node, outcome: "not-managed", pid: null };
  const { stopNode } = await import("../local/processes.ts");
  const { isNodeProcess } = await import("./node-program.ts");
  const { outcome, pid } = await stopNode(spec.dataDir, node, manifest.name, isNodeProcess);
  if (outcome === "foreground") return { node, outcome: "not-managed", pid };
  if (outcome === "stopped") return { node, outcome, pid };
  // Nothing that may be signalled was found, but it may run all the same, its pid file lost.
  const timeoutMs = Math.min(1000, options.timeoutMs);
  const report = await nodes.report(spec, { timeoutMs }).catch(() => undefined);
  if (report?.cluster === manifest.name && report.id === node) {
    return { node, outcome: "not-managed", pid: report.pid };
  }
  return { node, outcome, pid: null };
}
