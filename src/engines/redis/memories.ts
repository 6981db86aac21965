// Memories over this engine: the service that keeps them in the servers, for a gateway to serve, and the
// memory operations as calls of mem0's routes in this process, so that a command is read, refused and
// answered as it would be by a node.

import { randomUUID } from "node:crypto";

import { callRoute } from "../../http/in-process.ts";
import { bindRoutes, type BoundRoute } from "../../http/route.ts";
import { SERVICE_ROUTES } from "../../http/routes.ts";
import { resolveSecret } from "../../manifest/secrets.ts";
import { createEmbedder, type Embedder } from "../../memory/embedder.ts";
import { consistencyTerms, resolveConsistency, type ConsistencyTerms } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { Manifest } from "../../model/manifest.ts";
import { SLOTS } from "../../topology/slots.ts";
import type { CallOptions, GatewayServices, MemoryOperations } from "../engine.ts";
import { memoryOperations } from "../memory-routes.ts";
import type { Endpoint } from "../node-failure.ts";
import { createRedisMemoryService } from "./memory/service.ts";
import { MemoryStore } from "./memory/store.ts";
import type { RedisNodes } from "./nodes.ts";
import { SlotCommands, type LookOptions, type SlotPlaces } from "./slot-commands.ts";
import { topologyOf, type RedisTopology } from "./topology.ts";

export interface RedisMemories {
  readonly gateway: GatewayServices;
  readonly operations: MemoryOperations;
  close(): Promise<void>;
}

export function redisMemories(manifest: Manifest, nodes: RedisNodes): RedisMemories {
  const look = async (options: LookOptions): Promise<RedisTopology> =>
    topologyOf(manifest, await nodes.askAll(options));
  const slots = new SlotCommands({
    look: async (options) => placesIn(await look(options), nodes),
    endpointAt: (host, port) => nodes.endpointAt(host, port),
    connect: (endpoint) => nodes.dial(endpoint),
  });
  let embedder: Promise<Embedder> | undefined;
  const service = createRedisMemoryService({
    store: new MemoryStore(slots),
    embedder: () => (embedder ??= embedderOf(manifest)),
    dimensions: manifest.embedding.dimensions,
    key: manifest.sharding.key,
    copies: manifest.replication.replicas + 1,
    shards: async ({ deadlineMs }) =>
      (await look({ timeoutMs: Math.max(1, deadlineMs - performance.now()) })).groups,
  });
  const terms = consistencyTerms(manifest, "redis-cluster");
  const { dimensions } = manifest.embedding;
  const routes = bindRoutes(SERVICE_ROUTES, {
    memories: service,
    bounds: { dimensions, batchMax: manifest.limits.batchMax },
  });
  return {
    gateway: { memories: service, consistency: terms },
    operations: operationsOver(terms, routes),
    close: async () => {
      slots.close();
      await (await embedder)?.close();
    },
  };
}

function operationsOver(terms: ConsistencyTerms, routes: readonly BoundRoute[]): MemoryOperations {
  return memoryOperations({
    protocol: terms.protocol,
    request: async ({ method, path, body }, decode, options) => {
      const context = {
        deadlineMs: performance.now() + options.timeoutMs,
        requestId: randomUUID(),
        consistency: resolveConsistency(options.consistency ?? {}, terms),
      };
      return decode(await untilAborted(callRoute(routes, { method, path, body }, context), options), "");
    },
  });
}

/** Whoever interrupts a call no longer waits for it; what it has sent goes on. */
async function untilAborted<Value>(work: Promise<Value>, { signal }: CallOptions): Promise<Value> {
  if (signal === undefined) return work;
  let interrupt: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    interrupt = () => reject(new Mem0ctlError("failed", "interrupted", "interrupted"));
    if (signal.aborted) interrupt();
    signal.addEventListener("abort", interrupt, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (interrupt !== undefined) signal.removeEventListener("abort", interrupt);
  }
}

function placesIn({ groups }: RedisTopology, nodes: RedisNodes): SlotPlaces {
  const owners: (Endpoint | undefined)[] = Array.from({ length: SLOTS });
  const replicas = new Map<Endpoint["id"], readonly Endpoint[]>();
  for (const { primary, replicas: others, slots } of groups) {
    const endpoint = nodes.endpointAt(primary.host, primary.port);
    const answering = others.filter(({ report }) => report !== undefined);
    replicas.set(
      endpoint.id,
      answering.map(({ host, port }) => nodes.endpointAt(host, port)),
    );
    for (const { from, to } of slots) owners.fill(endpoint, from, to + 1);
  }
  return { owners, replicasOf: ({ id }) => replicas.get(id) ?? [] };
}

async function embedderOf({ embedding }: Manifest): Promise<Embedder> {
  const { apiKey } = embedding;
  return createEmbedder(
    embedding,
    apiKey === undefined ? undefined : await resolveSecret(apiKey, "the embedding API key"),
  );
}
