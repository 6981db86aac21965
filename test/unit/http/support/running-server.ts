// A listening server on a free port of loopback over memories kept in this process, and a client for it.

import { createHash } from "node:crypto";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { ConsistencyTerms } from "../../../../src/model/consistency.ts";
import { Mem0ctlError } from "../../../../src/model/errors.ts";
import type { LimitsSpec, TokenRole } from "../../../../src/model/manifest.ts";
import {
  stepsOf,
  stepWords,
  type OperationReport,
  type OperationRequest,
} from "../../../../src/model/operation.ts";
import type { ShardMap } from "../../../../src/model/shard-map.ts";
import { createHttpServer, type HttpServerOptions, type PeerUpgrade } from "../../../../src/http/server.ts";
import type { MemoryService } from "../../../../src/memory/service.ts";
import { nodeRoutes } from "../../../../src/node/http/routes.ts";
import type { AdminService } from "../../../../src/node/service.ts";
import { PEER_PROTOCOL } from "../../../../src/node/transport/network.ts";
import { DIMENSIONS, inProcessMemories, type InProcessMemories } from "./memory-service.ts";

export const TOKENS: Readonly<Record<TokenRole, string>> = {
  read: "read-token-0123456789abcdef0123456789abcdef",
  write: "write-token-0123456789abcdef0123456789abcdef",
  admin: "admin-token-0123456789abcdef0123456789abcdef",
};

export const TOKEN_DIGESTS = (["read", "write", "admin"] as const).map((role) => ({
  name: role,
  role,
  sha256: createHash("sha256").update(TOKENS[role]).digest("hex"),
}));

export const LIMITS: LimitsSpec = {
  maxLagMs: 5_000,
  bodyBytesMax: 262_144,
  batchMax: 100,
  connectionsMax: 100,
};

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: unknown;
}

export interface RunningServer {
  readonly port: number;
  readonly memories: InProcessMemories;
  readonly admin: AdminService & { readonly calls: readonly string[] };
  readonly send: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Answer>;
  readonly close: () => Promise<void>;
}

/** A raft cluster of three copies. */
export const LEVELS: ConsistencyTerms = {
  protocol: "raft",
  copies: 3,
  defaults: { read: "linearizable", write: "quorum" },
};

export interface ServerOverrides extends Partial<Omit<HttpServerOptions, "routes" | "peers">> {
  readonly memories?: MemoryService;
  readonly admin?: AdminService;
  readonly onPeerUpgrade?: PeerUpgrade["onUpgrade"];
}

export async function runServer(overrides: ServerOverrides = {}): Promise<RunningServer> {
  const memories = inProcessMemories();
  const admin = adminOfOneNode();
  const { limits = LIMITS } = overrides;
  const server = createHttpServer({
    routes: nodeRoutes({ dimensions: DIMENSIONS, batchMax: limits.batchMax }, () => ({
      memories: overrides.memories ?? memories,
      admin: overrides.admin ?? admin,
    })),
    tokens: [],
    limits,
    consistency: LEVELS,
    logger: false,
    peers: {
      protocol: PEER_PROTOCOL,
      onUpgrade: overrides.onPeerUpgrade ?? ((_request, socket) => void socket.destroy()),
    },
    requestTimeoutMs: 10_000,
    ...overrides,
  });
  const { port } = await server.listen("127.0.0.1", 0);
  return {
    port,
    memories,
    admin,
    send: async (method, path, body, headers) => send(port, method, path, body, headers),
    close: async () => server.close(),
  };
}

/** A string body is sent as it is, anything else as JSON. */
export async function send(
  port: number,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const payload =
    body === undefined || Buffer.isBuffer(body) || typeof body === "string" ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: "127.0.0.1",
        port,
        method,
        path,
        agent: false,
        headers: {
          ...(payload === undefined
            ? {}
            : { "content-type": "application/json", "content-length": Buffer.byteLength(payload) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: response.headers["content-type"]?.includes("json") === true ? JSON.parse(text) : undefined,
          });
        });
      },
    );
    request.on("error", reject);
    request.end(payload);
  });
}

/** A value inside an answer, by its path: `at(json, "error", "data", "field")`. */
export function at(json: unknown, ...path: readonly (string | number)[]): unknown {
  let value = json;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value;
}

const MAP: ShardMap = {
  epoch: 1,
  strategy: "hash",
  key: "user",
  directory: {},
  shards: [
    {
      id: "0",
      slots: [{ from: 0, to: 16383 }],
      start: "",
      end: null,
      replicas: ["node-1"],
      arbiters: [],
    },
  ],
  nodes: [
    { id: "node-1", address: "127.0.0.1:7001", role: "primary", zone: "a", weight: 1, draining: false },
  ],
  metaVoters: ["node-1"],
};

function adminOfOneNode(): AdminService & { readonly calls: readonly string[] } {
  const calls: string[] = [];
  let operation: OperationReport | null = null;
  return {
    calls,
    report: () => ({
      cluster: "demo",
      clusterId: "c-1",
      id: "node-1",
      uid: "u-1",
      address: "127.0.0.1:7001",
      role: "primary",
      zone: "a",
      pid: 1,
      version: "0.1.0",
      uptimeMs: 5,
      protocol: "raft",
      writeRefusal: null,
      map: MAP,
      peers: [{ id: "node-2", state: "down", lastHeartbeatMs: null, error: "connection refused" }],
      groups: [
        {
          id: "0",
          role: "leader",
          leader: "node-1",
          term: 1,
          commitIndex: 1,
          appliedIndex: 1,
          lastIndex: 1,
          memories: 0,
          bytes: 0,
          writes: 0,
          progress: [
            { node: "node-2", role: "follower", state: "down", lagEntries: 1, lagBytes: 10, lagMs: 5 },
          ],
        },
      ],
      leaders: { "0": { leader: "node-1", term: 1 } },
    }),
    map: () => MAP,
    transfer: async (request) => {
      calls.push(`transfer ${request.group} ${request.to ?? "any"}`);
      return { group: request.group, from: "node-1", to: request.to ?? "node-2", term: 2 };
    },
    join: async (node) => {
      calls.push(`join ${node.id}`);
      return { ...MAP, epoch: 2, nodes: [...MAP.nodes, node] };
    },
    admit: async (node, uid) => {
      calls.push(`admit ${node}`);
      return uid;
    },
    leave: async (node) => {
      calls.push(`leave ${node}`);
      return { ...MAP, epoch: 2 };
    },
    drain: async ({ node, draining }) => {
      calls.push(`drain ${node} ${draining}`);
      return { ...MAP, epoch: 2 };
    },
    operation: async () => operation,
    checkHandover: async (step) => void calls.push(`check ${stepWords(step)}`),
    beginOperation: async (request) => {
      calls.push(`begin ${request.name}`);
      operation = operationOf(request);
      return operation;
    },
    cancelOperation: async () => {
      if (operation === null) throw new Mem0ctlError("conflict", "no-operation", "no operation is running");
      return operation;
    },
    cut: async ({ shard, at = "m" }) => ({
      shard,
      at,
      goes: { memories: 1, bytes: 10 },
      stays: { memories: 2, bytes: 20 },
    }),
    verify: async (shard) => ({
      shard,
      replicas: [
        { node: "node-1", memories: 1, digest: "00" },
        { node: "node-2", memories: null, digest: null, error: "no answer" },
      ],
      differences: [{ id: "m", parts: ["text"], copies: [{ node: "node-1", present: true, isOdd: false }] }],
      differing: 1,
    }),
    repair: async ({ shard, node }) => {
      calls.push(`repair ${shard} ${node}`);
    },
    stop: async () => {
      calls.push("stop");
    },
  };
}

function operationOf(request: OperationRequest): OperationReport {
  const steps = stepsOf(request).map(() => "waiting" as const);
  return {
    plan: { ...request, id: "o-1", startedMs: 1 },
    progress: { revision: 1, state: "running", why: null, steps, failures: {}, bytes: 0, endedMs: null },
    copying: [],
  };
}
