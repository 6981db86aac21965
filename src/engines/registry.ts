// The one place that knows which engines there are.

import { Mem0ctlError } from "../model/errors.ts";
import type { Manifest } from "../model/manifest.ts";
import type { Engine } from "./engine.ts";

export interface OpenEngineOptions {
  /** Path of the manifest: spawned nodes are given it. */
  readonly manifestFile: string;
  /** Overrides MEM0CTL_TOKEN and the manifest's own token reference. */
  readonly token?: string;
}

/**
 * The engine that the manifest names. An engine's code is loaded only when it is the one.
 * @throws Mem0ctlError `engine-not-available` (kind invalid).
 */
export async function openEngine(manifest: Manifest, options: OpenEngineOptions): Promise<Engine> {
  if (manifest.engine === "embedded") {
    const { createEmbeddedEngine } = await import("./embedded/engine.ts");
    return createEmbeddedEngine(manifest, options);
  }
  throw new Mem0ctlError(
    "invalid",
    "engine-not-available",
    `the engine ${manifest.engine} is not available in this version of mem0ctl`,
    { why: "this version runs the embedded engine only", hint: "set `spec.engine: embedded`" },
  );
}
