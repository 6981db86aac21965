// `mem0ctl wait`: returns when the cluster is as a script needs it, or says what is still missing.

import { Option } from "commander";
import type { Command } from "commander";
import { withCluster } from "../cluster.ts";
import { durationOption, examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";

type Goal = "healthy" | "available" | "down";
const GOALS: readonly Goal[] = ["healthy", "available", "down"];
const WAIT_TIMEOUT_MS = 60_000;

interface WaitOptions {
  readonly for: Goal;
  readonly maxLag?: number;
}

export function waitCommand(action: Action): Command {
  return newCommand("wait", "Wait until the cluster is healthy, available or down")
    .addOption(new Option("--for <goal>", "what to wait for").choices(GOALS).default("healthy"))
    .addOption(
      new Option(
        "--max-lag <duration>",
        "lag above which it is not healthy (default: limits.maxLag)",
      ).argParser(durationOption),
    )
    .addHelpText(
      "after",
      examples(
        ["mem0ctl wait --for healthy --timeout 60s", "gate a deployment"],
        ["mem0ctl wait --for available", "every shard takes writes; copies may be missing"],
        ["mem0ctl wait --for down", "no node answers any more"],
      ) + notes("Exit codes: 0 reached, 5 timed out (default --timeout 60s); what is missing is printed."),
    )
    .action(action<WaitOptions>(wait));
}

async function wait(context: Context, options: WaitOptions): Promise<undefined> {
  await withCluster(context, async ({ engine, manifest }) => {
    const { waitFor } = await import("../../operations/wait.ts");
    const view = await context.withProgress((onProgress) =>
      waitFor(engine, options.for, {
        limits: { maxLagMs: options.maxLag ?? manifest.limits.maxLagMs },
        timeoutMs: context.timeoutMs(WAIT_TIMEOUT_MS),
        signal: context.io.signal,
        onProgress,
      }),
    );
    await context.print(view, async (reached, theme, wide) => {
      const { renderStatus } = await import("../../render/status.ts");
      return renderStatus(reached, theme, { wide });
    });
  });
  return undefined;
}
