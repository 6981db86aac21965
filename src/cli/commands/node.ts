// `mem0ctl node run`: one embedded node in the foreground, for systemd and containers. It is the same
// program that `up` spawns, imported by path: nothing of the node is bundled into the CLI.

import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { examples, newCommand, newGroup, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { nodeEntry } from "../package-root.ts";

interface RunOptions {
  readonly node: string;
}

export function nodeCommand(action: Action): Command {
  const run = newCommand("run", "Run one node here until SIGTERM or Ctrl-C")
    .requiredOption("--node <node>", "which node of the manifest")
    .addHelpText(
      "after",
      examples(["mem0ctl node run --node node-1 -f /etc/mem0ctl/cluster.yaml", "under systemd"]) +
        notes("Its log goes to standard output. It stops cleanly on SIGTERM."),
    )
    .action(action<RunOptions>(runInForeground));
  return newGroup("node", "Run a node in the foreground", [run]);
}

async function runInForeground(context: Context, options: RunOptions): Promise<ExitCode> {
  const { openManifest } = await import("../../operations/manifest-file.ts");
  const { unknownNode } = await import("../../operations/up.ts");
  const { manifest } = await openManifest(context.file);
  const ids = manifest.nodes.map(({ id }) => id);
  if (!ids.includes(options.node)) throw unknownNode(options.node, ids);
  const runNode = runNodeOf(await context.io.importModule(pathToFileURL(nodeEntry()).href));
  context.io.handOver();
  const ended = await runNode(["--manifest", context.file, "--node", options.node]);
  return ended === 0 || ended === undefined ? EXIT.done : EXIT.failed;
}

/** What was imported by path is of no known type until it is looked at. */
function runNodeOf(module: unknown): (argv: readonly string[]) => Promise<unknown> {
  if (typeof module === "object" && module !== null && "runNode" in module) {
    const { runNode } = module;
    if (typeof runNode === "function") return async (argv) => Reflect.apply(runNode, undefined, [argv]);
  }
  throw new TypeError("the node's entry exports no runNode");
}
