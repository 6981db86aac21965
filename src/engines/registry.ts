// The one place that knows which engines there are.

import { Mem0ctlError } from "../model/errors.ts";
import type { Manifest } from "../model/manifest.ts";
import type { DiscoverOptions, DiscoveredCluster } from "./discovered-cluster.ts";
import type { Engine } from "./engine.ts";

export interface OpenEngineOptions {
  /** Path of the manifest: spawned nodes are given it. */
  readonly manifestFile: string;
  /** Overrides MEM0CTL_TOKEN and the manifest's own token reference. */
  readonly token?: string;
}

/** The engine that the manifest names. An engine's code is loaded only when it is the one. */
export async function openEngine(manifest: Manifest, options: OpenEngineOptions): Promise<Engine> {
  if (manifest.engine === "embedded") {
    const { createEmbeddedEngine } = await import("./embedded/engine.ts");
    return createEmbeddedEngine(manifest, options);
  }
  const { createRedisEngine } = await import("./redis/engine.ts");
  return createRedisEngine(manifest);
}

/**
 * What runs at a URL, by its scheme: `redis://host:port`, `rediss://host:port`.
 * @throws Mem0ctlError `invalid-url` (invalid), and what the engine finds.
 */
export async function discoverCluster(url: string, options: DiscoverOptions): Promise<DiscoveredCluster> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.hostname !== "" && (parsed?.protocol === "redis:" || parsed?.protocol === "rediss:")) {
    const { discoverRedis } = await import("./redis/discovery.ts");
    return discoverRedis(parsed, options);
  }
  throw new Mem0ctlError("invalid", "invalid-url", "this is not the URL of a cluster", {
    why: "it has to say what runs there: redis://HOST:PORT, or rediss://HOST:PORT with TLS",
    hint: "for example --from redis://10.0.0.1:6379",
  });
}
