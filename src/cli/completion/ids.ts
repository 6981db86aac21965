// `mem0ctl __complete nodes|shards|groups [words…]`: ids from the manifest, one a line, for the completion
// scripts. It is fast (no commander, no engine, no network) and never fails: where there is no usable
// manifest there is nothing to complete.

import { inDirectory } from "../context.ts";
import type { CliIo } from "../io.ts";

export async function completeIds(words: readonly string[], io: CliIo): Promise<string> {
  const [kind, ...line] = words;
  const { validateManifestFile } = await import("../../operations/manifest-file.ts");
  const file = fileOnLine(line) ?? (io.env["MEM0CTL_MANIFEST"] || "cluster.yaml");
  const { manifest } = await validateManifestFile(inDirectory(io.cwd, file));
  if (manifest === undefined) return "";
  const shards = Array.from({ length: manifest.sharding.shards }, (_, shard) => String(shard));
  const ids =
    kind === "nodes"
      ? manifest.nodes.map(({ id }) => id)
      : kind === "shards"
        ? shards
        : kind === "groups"
          ? ["meta", ...shards]
          : [];
  return ids.map((id) => `${id}\n`).join("");
}

/** The manifest that the half-typed line names. `logs -f` follows, so there only `--file` counts. */
function fileOnLine(words: readonly string[]): string | undefined {
  const logs = words.indexOf("logs");
  for (const [index, word] of words.entries()) {
    if (word.startsWith("--file=")) return word.slice("--file=".length);
    const short = word === "-f" && (logs === -1 || index < logs);
    if ((word === "--file" || short) && words[index + 1] !== undefined) return words[index + 1];
  }
  return undefined;
}
