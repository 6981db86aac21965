// `mem0ctl shards move`: one replica, by hand.

import { Option } from "commander";
import type { Command } from "commander";
import { withCluster } from "../cluster.ts";
import { examples, newCommand, notes } from "../command.ts";
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

async function move_(context: Context, options: MoveOptions, words: readonly string[]): Promise<ExitCode> {
  const [shard = ""] = words;
  const { from, to } = options;
  return withCluster(context, async ({ engine }) => {
    const { runCopyStep } = await import("../../operations/moves.ts");
    const step = { kind: "move-replica", shard, from, to } as const;
    const operation = await watched(context, (call) => runCopyStep(engine, step, mannerOf(options), call));
    await printOperation(context, operation);
    return EXIT.done;
  });
}
