// A cluster to look at: three real HTTP servers with the node's own routes, that report what a scene says
// and keep memories in this process. No node process and no consensus: the CLI only ever sees HTTP.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeReport } from "../../../../src/model/node-api.ts";
import type { TokenDigest } from "../../../../src/http/access.ts";
import type { AdminService } from "../../../../src/node/service.ts";
import { manifestOf, reportsOf } from "../../engines/support.ts";
import type { Scene } from "../../engines/support.ts";
import { DIMENSIONS, inProcessMemories } from "../../http/support/memory-service.ts";
import type { InProcessMemories } from "../../http/support/memory-service.ts";
import { runServer } from "../../http/support/running-server.ts";
import { cleanUpAfterwards, temporaryDirectory } from "./program.ts";

export interface VisibleCluster {
  /** Holds cluster.yaml. */
  readonly cwd: string;
  readonly memories: InProcessMemories;
  /** What the nodes report from now on; nodes that are gone in the scene no longer answer. */
  show(scene: Scene): Promise<void>;
}

/** Open to every program of this machine unless there are tokens. */
export async function visibleCluster(tokens: readonly TokenDigest[] = []): Promise<VisibleCluster> {
  const cwd = temporaryDirectory();
  const kept = inProcessMemories();
  // It keeps everything in shard 0; the other shards of this cluster are empty.
  const memories: InProcessMemories = {
    ...kept,
    export: async (shard, ...page) =>
      shard === "0" ? kept.export(shard, ...page) : { records: [], cursor: null },
  };
  let reports: readonly NodeReport[] = [];
  const servers = await Promise.all(
    ["node-1", "node-2", "node-3"].map(async (id) => {
      const server = await runServer({ memories, tokens, admin: adminOf(() => reportOf(id)) });
      return { id, server };
    }),
  );
  const reportOf = (id: string): NodeReport => {
    const report = reports.find((candidate) => candidate.id === id);
    if (report === undefined) throw new Error(`the scene has no ${id}`);
    return report;
  };
  const ports = servers.map(({ server }) => server.port);
  const manifest = manifestOf({ ports, shards: 3 });
  reports = reportsOf(manifest);
  writeFileSync(
    join(cwd, "cluster.yaml"),
    [
      "apiVersion: mem0ctl/v1",
      "kind: Cluster",
      "metadata: { name: demo }",
      "spec:",
      "  nodes:",
      ...manifest.nodes.map(
        ({ id, address, zone }) =>
          `    - { id: ${id}, address: "${address}", role: primary, zone: ${zone}, manage: connect }`,
      ),
      "  replication: { strategy: multiple, replicas: 2 }",
      "  sharding: { strategy: hash, shards: 3, key: user }",
      `  embedding: { provider: lexical, dimensions: ${DIMENSIONS} }`,
      "",
    ].join("\n"),
  );
  const running = new Map(servers.map(({ id, server }) => [id, server]));
  const stop = async (id: string): Promise<void> => {
    await running.get(id)?.close();
    running.delete(id);
  };
  cleanUpAfterwards(() => Promise.all([...running.keys()].map(stop)));
  return {
    cwd,
    memories,
    async show(scene) {
      reports = reportsOf(manifest, scene);
      await Promise.all(Object.keys(scene.goneMs ?? {}).map(stop));
    },
  };
}

/** Only looks: what changes a cluster is tried on a real one. */
function adminOf(report: () => NodeReport): AdminService {
  const refused = (): never => {
    throw new Error("this cluster is only looked at");
  };
  return {
    report,
    map: () => report().map,
    transfer: refused,
    join: refused,
    admit: refused,
    leave: refused,
    drain: refused,
    operation: refused,
    beginOperation: refused,
    checkHandover: refused,
    cancelOperation: refused,
    verify: refused,
    cut: refused,
    repair: refused,
    stop: refused,
  };
}
