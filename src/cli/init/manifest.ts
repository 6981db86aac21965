// A new manifest and what its settings mean, found by the same check that `validate` makes of files.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Meaning } from "../../model/manifest.ts";
import { openManifest, scaffoldClusterManifest } from "../../operations/manifest-file.ts";

export type ScaffoldOptions = Parameters<typeof scaffoldClusterManifest>[0];

/** @throws Mem0ctlError `manifest-invalid` (kind invalid) when the choices make no cluster. */
export async function newManifest(
  options: ScaffoldOptions,
): Promise<{ readonly text: string; readonly meaning: Meaning }> {
  const text = scaffoldClusterManifest(options);
  const directory = mkdtempSync(join(tmpdir(), "mem0ctl-init-"));
  try {
    const file = join(directory, "cluster.yaml");
    writeFileSync(file, text, { mode: 0o600 });
    const { meaning } = await openManifest(file);
    return { text, meaning };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
