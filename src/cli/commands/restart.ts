// `mem0ctl restart`: nodes that are down are started, the others restarted one at a time.

import type { Command } from "commander";
import { withCluster } from "../cluster.ts";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import type { ExitCode } from "../exit.ts";
import { printStarted } from "./started.ts";

const RESTART_TIMEOUT_MS = 120_000;

export function restartCommand(action: Action): Command {
  return newCommand("restart", "Restart nodes one at a time, each while the others are healthy")
    .argument("[node...]", "only these nodes (default: all)")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl restart node-2", "bring back a node that died"],
        ["mem0ctl restart", "all of them, each only when the cluster is healthy again"],
      ) +
        notes(
          "A shard goes on where a quorum of its copies is left without the node that restarts: with one copy, or with two and no arbiter, it answers nothing meanwhile. `mem0ctl validate` tells how many nodes can be lost.\nExit codes: 0 healthy, 3 degraded and 4 unavailable when the time is up; the reasons are printed.",
        ),
    )
    .action(action(restart));
}

async function restart(context: Context, _options: object, nodes: readonly string[]): Promise<ExitCode> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { restartNodes } = await import("../../operations/up.ts");
    const result = await context.withProgress((onProgress) =>
      restartNodes(engine, manifest, nodes, {
        timeoutMs: context.timeoutMs(RESTART_TIMEOUT_MS),
        signal: context.io.signal,
        onProgress,
      }),
    );
    const exit = await printStarted(context, result);
    if (result.actions.length === 0) {
      await context.say(
        "nothing was restarted: no node is taken down while another one is missing; `mem0ctl down NODE` does it all the same",
      );
    }
    return exit;
  });
}
