// Finds the files that belong to the program but are not bundled into it: the node's entry, which is
// started or imported by path so that the CLI never loads storage, and the demo's data.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Mem0ctlError } from "../model/errors.ts";

/** The nearest directory above this file with a package.json: the same from src, dist and its chunks. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, "package.json"))) {
    const above = dirname(directory);
    if (above === directory) throw new Error("mem0ctl is not in a package");
    directory = above;
  }
  return directory;
}

/** @throws Mem0ctlError `not-built` when the program was not built yet. */
export function nodeEntry(): string {
  return built(join(packageRoot(), "dist", "node", "main.js"));
}

/** @throws Mem0ctlError `not-built` when the program was not built yet. */
export function gatewayEntry(): string {
  return built(join(packageRoot(), "dist", "gateway", "main.js"));
}

/** @throws Mem0ctlError `not-built` when the program was not built yet. */
export function demoDataFile(): string {
  return built(join(packageRoot(), "dist", "cli", "demo", "memories.jsonl"));
}

function built(path: string): string {
  if (existsSync(path)) return path;
  throw new Mem0ctlError("failed", "not-built", "mem0ctl is not built", {
    why: `${path} is missing`,
    hint: "run `npm run build`, or install the package anew",
  });
}
