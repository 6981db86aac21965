// A small cluster to talk about: a manifest with free choice of ports and folders, the reports that its
// nodes would give, and real HTTP servers that give them.

import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { META_GROUP } from "../../../src/model/ids.ts";
import type { GroupId, NodeId } from "../../../src/model/ids.ts";
import type { Manifest, NodeSpec } from "../../../src/model/manifest.ts";
import type { GroupReport, NodeReport, PeerReport, ProgressReport } from "../../../src/model/node-api.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";

export interface ManifestChoices {
  readonly ports?: readonly number[];
  readonly dataDir?: string;
  readonly shards?: number;
  readonly replicas?: number;
  readonly manage?: NodeSpec["manage"];
}

/** Three nodes in three zones unless said otherwise; every shard on `replicas + 1` of them. */
export function manifestOf(choices: ManifestChoices = {}): Manifest {
  const { ports = [7001, 7002, 7003], dataDir = "/nowhere", shards = 3, replicas = 2 } = choices;
  return {
    apiVersion: "mem0ctl/v1",
    kind: "Cluster",
    name: "demo",
    engine: "embedded",
    dataDir,
    nodes: ports.map((port, index) => ({
      id: `node-${index + 1}`,
      address: `127.0.0.1:${port}`,
      host: "127.0.0.1",
      port,
      role: "primary",
      zone: `zone-${index + 1}`,
      weight: 1,
      manage: choices.manage ?? "spawn",
      dataDir: `${dataDir}/node-${index + 1}`,
    })),
    replication: { strategy: "multiple", replicas },
    sharding: { strategy: "hash", shards, key: "user", ranges: [], directory: {} },
    consensus: {
      protocol: "raft",
      heartbeatIntervalMs: 100,
      electionTimeoutMs: 1000,
      consistency: { read: "linearizable", write: "quorum" },
    },
    embedding: {
      provider: "lexical",
      dimensions: 4,
      url: undefined,
      model: undefined,
      apiKey: undefined,
    },
    limits: { maxLagMs: 5000, bodyBytesMax: 4 * 1024 * 1024, batchMax: 1000, connectionsMax: 1000 },
    security: { tokens: [], tls: undefined },
  };
}

export interface Scene {
  /** Leader of each group; default: the shard's preferred one, node-1 for `meta`. */
  readonly leaders?: Readonly<Record<GroupId, NodeId>>;
  readonly term?: number;
  /** Nodes that are gone: no report is made for them, and the others have not heard of them for this long. */
  readonly goneMs?: Readonly<Record<NodeId, number>>;
  /** What the leaders say of a replica, instead of that it is up to date. */
  readonly progress?: Readonly<Record<NodeId, Partial<ProgressReport>>>;
  readonly map?: ShardMap;
}

/** The reports of a cluster that agrees with itself: 100 entries and 10 memories in every shard. */
export function reportsOf(manifest: Manifest, scene: Scene = {}): NodeReport[] {
  const { leaders = {}, term = 3, goneMs = {}, map = initialShardMap(manifest) } = scene;
  const leaderOf = (group: GroupId): NodeId | null =>
    leaders[group] ?? map.shards.find(({ id }) => id === group)?.replicas[0] ?? map.metaVoters[0] ?? null;
  const members = new Map<GroupId, readonly NodeId[]>([
    [META_GROUP, map.metaVoters],
    ...map.shards.map((slice): [GroupId, readonly NodeId[]] => [
      slice.id,
      [...slice.replicas, ...slice.arbiters],
    ]),
  ]);
  const groupOf = (group: GroupId, node: NodeId): GroupReport => {
    const leader = leaderOf(group);
    const leads = leader === node;
    const followers = (members.get(group) ?? []).filter((id) => id !== node);
    return {
      id: group,
      role: leads ? "leader" : "follower",
      leader,
      term,
      commitIndex: 100,
      appliedIndex: 100,
      lastIndex: 100,
      memories: group === META_GROUP ? 0 : 10,
      bytes: group === META_GROUP ? 0 : 4000,
      writes: group === META_GROUP ? 0 : 90,
      ...(leads
        ? { progress: followers.map((id): ProgressReport => ({ ...upToDate(id), ...progressOf(id) })) }
        : {}),
    };
  };
  const progressOf = (id: NodeId): Partial<ProgressReport> => ({
    ...(goneMs[id] === undefined ? {} : { state: "down", lagEntries: 5, lagBytes: 500, lagMs: goneMs[id] }),
    ...scene.progress?.[id],
  });
  return map.nodes
    .filter(({ id }) => goneMs[id] === undefined)
    .map((node, index) => ({
      cluster: manifest.name,
      clusterId: "c0ffee",
      id: node.id,
      uid: `uid of ${node.id}`,
      address: node.address,
      role: node.role,
      zone: node.zone,
      pid: 1000 + index,
      version: "0.1.0",
      uptimeMs: 60_000,
      protocol: manifest.consensus.protocol,
      writeRefusal: null,
      map,
      peers: map.nodes
        .filter(({ id }) => id !== node.id)
        .map(({ id }): PeerReport => {
          const gone = goneMs[id];
          return { id, state: gone === undefined ? "up" : "down", lastHeartbeatMs: gone ?? 40 };
        }),
      groups: [...members]
        .filter(([, ids]) => ids.includes(node.id))
        .map(([group]) => groupOf(group, node.id)),
      leaders: Object.fromEntries(
        [...members.keys()].map((group) => [group, { leader: leaderOf(group), term }]),
      ),
    }));
}

function upToDate(node: NodeId): ProgressReport {
  return { node, role: "follower", state: "replicating", lagEntries: 0, lagBytes: 0, lagMs: 0 };
}

export interface RunningServer {
  readonly port: number;
  /** `METHOD /path` of every request, in order. */
  readonly seen: string[];
  close(): Promise<void>;
}

export type Answer = (
  request: IncomingMessage,
  response: ServerResponse,
  body: string,
) => void | Promise<void>;

/** A real HTTP server on a free port of 127.0.0.1, or on `port`. */
export async function serve(answer: Answer, port = 0): Promise<RunningServer> {
  const seen: string[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seen.push(`${request.method} ${request.url}`);
      void answer(request, response, Buffer.concat(chunks).toString("utf8"));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  // An address of a listening TCP server is never a string or null.
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** A port that was free a moment ago: connections to it are refused. */
export async function refusedPort(): Promise<number> {
  const server = await serve(() => undefined);
  await server.close();
  return server.port;
}
