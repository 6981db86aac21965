// From a running cluster to the options of a manifest for it.

import type { DiscoverOptions } from "../engines/discovered-cluster.ts";
import { discoverCluster } from "../engines/registry.ts";
import type { ScaffoldOptions } from "../manifest/scaffold.ts";

export interface DiscoverRequest extends Omit<DiscoverOptions, "password"> {
  readonly name: string;
  /** The environment variable that holds the password: read now, and named in the manifest. */
  readonly passwordEnv?: string;
}

/** @throws Mem0ctlError of the URL, of the server there, or of the environment variable. */
export async function discoveredManifest(url: string, request: DiscoverRequest): Promise<ScaffoldOptions> {
  const { name, passwordEnv, tls, timeoutMs, signal } = request;
  const { resolveSecret } = await import("../manifest/secrets.ts");
  const password =
    passwordEnv === undefined ? undefined : await resolveSecret({ env: passwordEnv }, "the password");
  const found = await discoverCluster(url, {
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  });
  const { engine, nodes, shards, replicas, user } = found;
  return {
    name,
    engine,
    nodes: nodes.length,
    nodeList: nodes,
    replication:
      replicas === 0
        ? { strategy: "none" }
        : replicas === 1
          ? { strategy: "single" }
          : { strategy: "multiple", replicas },
    // More nodes than shards and copies make: some shard has a copy more, or none at all.
    sharding: { strategy: "hash", ...(shards * (replicas + 1) <= nodes.length ? { shards } : {}) },
    security: {
      ...(user === undefined ? {} : { user }),
      ...(passwordEnv === undefined ? {} : { password: { env: passwordEnv } }),
      ...(tls === undefined ? {} : { tls }),
    },
  };
}
