// The one place that knows which engines there are.

import type { Manifest } from "../model/manifest.ts";
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
