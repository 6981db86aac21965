// `mem0ctl status`: the one view of the cluster, once or again and again, with an exit code to gate on.

import { Option } from "commander";
import type { Command } from "commander";
import type { ClusterView } from "../../model/view.ts";
import { durationOption, examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import type { Context, Rendering } from "../context.ts";
import { EXIT, exitCodeOfHealth } from "../exit.ts";
import type { ExitCode } from "../exit.ts";

interface StatusOptions {
  readonly watch?: true;
  readonly failOn: "degraded" | "unavailable";
  readonly maxLag?: number;
}

const WATCH_INTERVAL_MS = 1000;
// Redrawing over the old picture does not flicker; clearing before each one would.
const CLEAR = "\u001b[2J";
const HOME = "\u001b[H";
const REST_OF_LINE = "\u001b[K\n";
const REST_OF_SCREEN = "\u001b[J";

export function statusCommand(action: Action): Command {
  return newCommand("status", "Show nodes, leaders and replication, and why if not healthy")
    .option("-w, --watch", "look again every second until Ctrl-C")
    .addOption(
      new Option("--fail-on <health>", "exit 3 when degraded, or only 4 when unavailable")
        .choices(["degraded", "unavailable"])
        .default("degraded"),
    )
    .addOption(
      new Option("--max-lag <duration>", "lag above which it is degraded (default: limits.maxLag)").argParser(
        durationOption,
      ),
    )
    .addHelpText(
      "after",
      examples(
        ["mem0ctl status", "how it is"],
        ["mem0ctl status -o wide", "with every shard"],
        ["mem0ctl status -o json --max-lag 500ms", "a gate for CI: exit 0, 3 or 4"],
        ["mem0ctl status --fail-on unavailable", "a degraded cluster is good enough"],
        ["mem0ctl status --watch", "keep looking"],
      ) + notes("Exit codes: 0 healthy, 3 degraded, 4 unavailable."),
    )
    .action(action<StatusOptions>(status));
}

async function status(context: Context, options: StatusOptions): Promise<ExitCode> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { clusterStatus } = await import("../../operations/status.ts");
    const limits = { maxLagMs: options.maxLag ?? manifest.limits.maxLagMs };
    const { signal } = context.io;
    const look = (): Promise<ClusterView> =>
      clusterStatus(engine, limits, { timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS), signal });
    if (options.watch === true) {
      await watch(context, look);
      return EXIT.done;
    }
    const view = await look();
    await context.print(view, rendering);
    return exitCodeOfHealth(view.health, options.failOn);
  });
}

const rendering: Rendering<ClusterView> = async (view, theme, wide) => {
  const { renderStatus } = await import("../../render/status.ts");
  return renderStatus(view, theme, { wide });
};

/** On a terminal the picture is redrawn in place; on a pipe each look is a document after the last one. */
async function watch(context: Context, look: () => Promise<ClusterView>): Promise<void> {
  const { signal, stdout } = context.io;
  const redraw = stdout.isTTY === true;
  if (redraw) await context.printText(CLEAR);
  while (!signal.aborted) {
    let text: string;
    try {
      text = await context.rendered(await look(), rendering);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    const document = context.format === "yaml" ? `---\n${text}` : text;
    const picture = `${HOME}${text.replaceAll("\n", REST_OF_LINE)}${REST_OF_SCREEN}`;
    if (!(await context.printText(redraw ? picture : document))) return;
    await pause(signal);
  }
}

function pause(signal: AbortSignal): Promise<void> {
  // A signal that has fired already fires no more.
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, WATCH_INTERVAL_MS);
    signal.addEventListener("abort", done, { once: true });
  });
}
