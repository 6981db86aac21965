// `mem0ctl up`: starts what the manifest spawns, connects to the rest, and waits until it is healthy.

import type { Command } from "commander";
import { withCluster } from "../cluster.ts";
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
          `Nodes run on after the command ends; \`mem0ctl down\` stops them. Nodes that the manifest does not let this machine spawn (manage: connect) are only connected to.\nExit codes: 0 healthy, 3 degraded and 4 unavailable when the time is up; the reasons are printed.`,
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
    return printStarted(context, result);
  });
}
