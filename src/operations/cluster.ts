// From a manifest to an engine that can be talked to: what every command but `validate` begins with.

import type { Engine } from "../engines/engine.ts";
import { openEngine } from "../engines/registry.ts";
import { openManifest } from "./manifest-file.ts";
import type { OpenedManifest, OpenOptions } from "./manifest-file.ts";

export interface OpenCluster extends OpenedManifest {
  readonly engine: Engine;
}

/**
 * Reads the manifest and opens its engine; nothing is asked of any node yet. The caller closes
 * `engine`, so that the process can end.
 * @param options.starting when nodes will be started: see OpenOptions.
 * @param options.token overrides MEM0CTL_TOKEN and the manifest's own token reference.
 * @throws Mem0ctlError `manifest-invalid`.
 */
export async function openCluster(
  path: string,
  options: OpenOptions & { readonly token?: string } = {},
): Promise<OpenCluster> {
  const opened = await openManifest(path, options);
  const { token } = options;
  const engine = await openEngine(opened.manifest, {
    manifestFile: path,
    ...(token === undefined ? {} : { token }),
  });
  return { ...opened, engine };
}
