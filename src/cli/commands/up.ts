// `mem0ctl up`: starts what the manifest spawns, connects to the rest, and waits until it is healthy.

import type { Command } from "commander";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import type { ExitCode } from "../exit.ts";
import { printStarted } from "./started.ts";

const UP_TIMEOUT_MS = 60_000;

export function upCommand(action: Action): Command {
  return newCommand("up", "Start the cluster and wait until it is healthy")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl up", "start the nodes of ./cluster.yaml; harmless when they run"],
        ["mem0ctl up -f prod.yaml --timeout 2m", "be patient"],
      ) +
        notes(
          `Nodes run on after the command ends; \`mem0ctl down\` stops them. Nodes that the manifest does not let this machine spawn (manage: connect) are only connected to. What the manifest has otherwise than a cluster that runs, and that is fixed, is only warned of; \`mem0ctl plan\` shows every difference.\nExit codes: 0 healthy, 3 degraded and 4 unavailable when the time is up; the reasons are printed.`,
        ),
    )
    .action(action(up));
}

async function up(context: Context): Promise<ExitCode> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { upCluster } = await import("../../operations/up.ts");
    const result = await context.withProgress((onProgress) =>
      upCluster(engine, manifest, {
        timeoutMs: context.timeoutMs(UP_TIMEOUT_MS),
        signal: context.io.signal,
        onProgress,
      }),
    );
    const { fixedDifferences } = await import("../../operations/manifest-plan.ts");
    const { renderWarning } = await import("../../render/error.ts");
    const look = { timeoutMs: LOOK_TIMEOUT_MS, signal: context.io.signal };
    const theme = await context.theme("stderr");
    // Nodes that run already were not asked to start with this manifest, which they would refuse.
    for (const { message, hint } of await fixedDifferences(engine, manifest, look)) {
      await context.say(renderWarning({ message, hint }, theme));
    }
    return printStarted(context, result);
  });
}
