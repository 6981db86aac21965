// Redis and Valkey Cluster behind the engine seam: servers that are spawned here, or that somebody else
// runs. Keeps no state between two calls but open connections: the cluster's own state is the only one.
// What starts and stops processes, and what changes a cluster, is loaded when it is called for.

import { resolve } from "node:path";

import { ENGINE_CAPABILITIES } from "../../manifest/capabilities.ts";
import type { Manifest, NodeSpec } from "../../model/manifest.ts";
import { LOG_FILE } from "../../model/pid-file.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import type { CallOptions, Engine, NodeAction } from "../engine.ts";
import { deferredMemories } from "../deferred-memories.ts";
import { describeStart, describeStop, forEachNode, specOfNode } from "../local/every-node.ts";
import type { RedisMemories } from "./memories.ts";
import { NodeFailure } from "../node-failure.ts";
import { RedisNodes } from "./nodes.ts";
import { initialMap, mapOf } from "./shard-map.ts";
import type { LiveCluster } from "./steps.ts";
import { numbersOf } from "../../topology/slot-ranges.ts";
import { topologyOf } from "./topology.ts";
import { viewOf } from "./view.ts";

export function createRedisEngine(manifest: Manifest): Engine {
  const nodes = new RedisNodes(manifest);
  let memories: Promise<RedisMemories> | undefined;
  const openMemories = (): Promise<RedisMemories> => {
    memories ??= import("./memories.ts").then(({ redisMemories }) => redisMemories(manifest, nodes));
    return memories;
  };
  const specOf = (id: string): NodeSpec => specOfNode(manifest, id);
  let live: Promise<LiveCluster> | undefined;
  const liveCluster = (): Promise<LiveCluster> => {
    live ??= Promise.all([import("./mover-presence.ts"), import("./atomic-moves.ts")]).then(
      ([{ moverPresence }, { Turns }]) => {
        return { manifest, nodes, presence: moverPresence(Date.now()), turns: new Turns() };
      },
    );
    return live;
  };

  return {
    capabilities: ENGINE_CAPABILITIES.redis,
    memories: deferredMemories(async () => (await openMemories()).operations),
    gateway: async () => (await openMemories()).gateway,

    async up(ids, options) {
      const specs = ids.map(specOf);
      const deadlineMs = performance.now() + options.timeoutMs;
      const { serverProgram, startServer } = await import("./server.ts");
      const program = specs.some(({ manage }) => manage === "spawn") ? await serverProgram() : "";
      const start = { manifest, program, nodes, deadlineMs, signal: options.signal };
      const actions = await forEachNode(specs, options, (spec) => startServer(spec, start), describeStart);
      const { formCluster } = await import("./forming.ts");
      const timeoutMs = Math.max(1, deadlineMs - performance.now());
      await formCluster(manifest, nodes, { ...options, timeoutMs });
      return actions;
    },

    async down(ids, options) {
      const stop = (spec: NodeSpec): Promise<NodeAction> => stopSpawned(spec, manifest, nodes, options);
      return forEachNode(ids.map(specOf), options, stop, describeStop);
    },

    async view(options) {
      return viewOf(manifest, topologyOf(manifest, await nodes.askAll(options)));
    },

    async shardMap(options): Promise<{ readonly map: ShardMap; readonly live: boolean }> {
      const topology = topologyOf(manifest, await nodes.askAll(options));
      return topology.groups.length === 0
        ? { map: initialMap(manifest), live: false }
        : { map: mapOf(manifest, topology), live: true };
    },

    async slotTable({ contents, work = false }, options) {
      const topology = topologyOf(manifest, await nodes.askAll(options));
      const owners = topology.groups.map(({ primary, slots }) => ({
        id: primary.id,
        weight: primary.weight,
        draining: primary.draining,
        slots,
      }));
      const table = { epoch: topology.epoch, owners };
      if (work) {
        const { workOfAll } = await import("./slot-work.ts");
        return { ...table, work: await workOfAll(owners, (id) => nodes.connection(id), options) };
      }
      if (!contents) return table;
      const { slotContents } = await import("./slot-sizes.ts");
      const parts = await Promise.all(
        owners.map(async ({ id, slots }) =>
          slotContents(await nodes.connection(id), numbersOf(slots), options),
        ),
      );
      return { ...table, contents: new Map(parts.flatMap((part) => [...part])) };
    },

    async execute(step, options) {
      const { executeStep } = await import("./steps.ts");
      return executeStep(await liveCluster(), step, options);
    },

    async settle(options) {
      const { settleCluster } = await import("./steps.ts");
      return settleCluster(await liveCluster(), options);
    },

    logFile(id) {
      return resolve(specOf(id).dataDir, LOG_FILE);
    },

    async close() {
      await (await memories)?.close();
      await nodes.close();
    },
  };
}

async function stopSpawned(
  spec: NodeSpec,
  manifest: Manifest,
  nodes: RedisNodes,
  options: CallOptions,
): Promise<NodeAction> {
  const node = spec.id;
  if (spec.manage === "connect") return { node, outcome: "not-managed", pid: null };
  const { stopNode } = await import("../local/processes.ts");
  const { isServerProcess } = await import("./server.ts");
  const { outcome, pid } = await stopNode(spec.dataDir, node, manifest.name, isServerProcess(spec));
  if (outcome === "foreground") return { node, outcome: "not-managed", pid };
  if (outcome === "stopped") return { node, outcome, pid };
  // Something may answer there all the same: it was not started from here, so it is not stopped from here.
  const timeoutMs = Math.min(1000, options.timeoutMs);
  const answers = await nodes.report(node, { timeoutMs }).then(
    () => true,
    (error: unknown) => error instanceof NodeFailure && error.code === "not-our-server",
  );
  return answers ? { node, outcome: "not-managed", pid: null } : { node, outcome, pid: null };
}
