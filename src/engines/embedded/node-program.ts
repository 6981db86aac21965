// The program of an embedded node: where it is, how it is started, how its process is recognised.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Recognise } from "../local/process-identity.ts";
import type { NodeCommand } from "../local/processes.ts";

/**
 * The node's program, `node/main.js` of the build that this code belongs to: from a bundle in `dist` it
 * is near by, from the sources it is in the `dist` beside them.
 * @throws Mem0ctlError `not-built`.
 */
export function nodeProgram(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    for (const candidate of [join(folder, "node", "main.js"), join(folder, "dist", "node", "main.js")]) {
      if (existsSync(candidate)) return candidate;
    }
    const parent = dirname(folder);
    if (parent === folder) break;
    folder = parent;
  }
  throw new Mem0ctlError("failed", "not-built", "the node program is missing", {
    why: "there is no dist/node/main.js beside this program",
    hint: "build it with `npm run build`, or install mem0ctl again",
  });
}

/**
 * Room for the short-lived objects of many requests, which then die young instead of being moved; no whole
 * collection before heap and buffers are five times what the last one left, for the log and what waits for
 * its flush turn over all the time; and one helper thread for V8: several nodes share a small machine.
 * The V8 of Node 20 compiles a function well only after it has run for long, and a write passes through many: with a
 * third of that patience the first ten thousand writes or so take 8 % less processor time. Later Nodes do not know the
 * flag, and refuse to start with it.
 */
const NODE_FLAGS = [
  "--max-semi-space-size=32",
  "--heap-growing-percent=400",
  "--v8-pool-size=1",
  ...(process.versions.v8.startsWith("11.3.") ? ["--interrupt-budget=24000"] : []),
];

export function nodeCommand(program: string, manifestFile: string, node: NodeId): NodeCommand {
  return {
    program: process.execPath,
    args: [...NODE_FLAGS, program, "--manifest", manifestFile, "--node", node],
  };
}

export const isNodeProcess: Recognise = (command, { node }) => {
  const words = command.split(/[\0\s]+/);
  return words.some((word) => word.replaceAll("\\", "/").endsWith("node/main.js")) && words.includes(node);
};
