// `mem0ctl shards move`, and the operation that runs: shown, watched and cancelled by `mem0ctl shards rebalance`.

import { Option } from "commander";
import type { Command } from "commander";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, notes, usageError } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf, printOperation, watched } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";

interface MoveOptions extends MannerOptions {
  readonly from: string;
  readonly to: string;
}

interface RebalanceOptions {
  readonly status?: true;
  readonly watch?: true;
  readonly cancel?: true;
}

export function moveCommand(action: Action): Command {
  const move = newCommand("move", "Move one replica of a shard to another node, while clients write")
    .argument("<shard>", "which shard")
    .addOption(new Option("--from <node>", "the node that gives it away").makeOptionMandatory())
    .addOption(new Option("--to <node>", "the node that gets it").makeOptionMandatory());
  for (const flag of mannerFlags()) move.addOption(flag);
  return move
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards move 3 --from node-1 --to node-4", "copies it, then takes the old one away"],
        ["mem0ctl shards move 3 --from node-1 --to node-4 --throttle 20MiB/s", "leaves room for clients"],
      ) +
        notes(
          "The cluster carries it out by itself: Ctrl-C, or the end of any node, loses nothing. Watch it with `mem0ctl shards rebalance --watch`, end it with `--cancel`.",
        ),
    )
    .action(action<MoveOptions>(move_));
}

export function rebalanceCommand(action: Action): Command {
  return newCommand("rebalance", "Watch or end the operation that the cluster carries out")
    .addOption(new Option("--status", "show the operation that runs, or ran last"))
    .addOption(new Option("--watch", "follow the operation that runs to its end").conflicts("status"))
    .addOption(new Option("--cancel", "end it: what has not begun never does").conflicts(["status", "watch"]))
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards rebalance --status", "every step and how far it is"],
        ["mem0ctl shards rebalance --watch", "until it ends; from any machine"],
        ["mem0ctl shards rebalance --cancel", "what was done stays"],
      ),
    )
    .action(action<RebalanceOptions>(rebalance));
}

async function move_(context: Context, options: MoveOptions, words: readonly string[]): Promise<ExitCode> {
  const [shard = ""] = words;
  const { from, to } = options;
  return withCluster(context, async ({ engine }) => {
    const { moveShard } = await import("../../operations/moves.ts");
    const operation = await watched(context, (call) =>
      moveShard(engine, { shard, from, to }, mannerOf(options), call),
    );
    await printOperation(context, operation);
    return EXIT.done;
  });
}

async function rebalance(context: Context, options: RebalanceOptions): Promise<ExitCode> {
  if (options.status === undefined && options.watch === undefined && options.cancel === undefined) {
    throw usageError(context.command, "missing-option", "one of --status, --watch and --cancel is needed");
  }
  return withCluster(context, async ({ engine }) => {
    const operations = await import("../../operations/operation.ts");
    const call = { timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS), signal: context.io.signal };
    if (options.watch === true) {
      await printOperation(
        context,
        await watched(context, (watching) => operations.followOperation(engine, watching)),
      );
    } else if (options.cancel === true) {
      await printOperation(context, await operations.cancelOperation(engine, call));
    } else {
      await printOperation(context, await operations.currentOperation(engine, call));
    }
    return EXIT.done;
  });
}
