// `mem0ctl shards move`: one replica, or some slots, by hand.

import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { parseSlots } from "../../model/slot-choice.ts";
import type { SlotChoice } from "../../model/slot-choice.ts";
import { withCluster } from "../cluster.ts";
import { examples, newCommand, notes, usageError } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf, printOperation, watched } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";
import type { CopyResult } from "../../operations/moves.ts";

interface MoveOptions extends MannerOptions {
  readonly from?: string;
  readonly to: string;
  readonly slots?: SlotChoice;
}

export function moveCommand(action: Action): Command {
  const move = newCommand("move", "Move one replica of a shard, or some of its slots, while clients write")
    .argument("<shard>", "which shard")
    .addOption(new Option("--from <node>", "the node that gives its replica away"))
    .addOption(new Option("--to <node>", "the node that gets it, or the slots").makeOptionMandatory())
    .addOption(
      new Option("--slots <which>", "slots only: how many, or which, as in 0-99 or 5-5,7-9")
        .argParser(slotsOption)
        .conflicts("from"),
    );
  for (const flag of mannerFlags()) move.addOption(flag);
  return move
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards move 3 --from node-1 --to node-4", "copies it, then takes the old one away"],
        ["mem0ctl shards move 3 --from node-1 --to node-4 --throttle 20MiB/s", "leaves room for clients"],
        ["mem0ctl shards move 0 --slots 100 --to node-4", "the last 100 slots of shard 0"],
        ["mem0ctl shards move 0 --slots 42-42 --to node-4", "slot 42, where one is hot"],
      ) +
        notes(
          "The cluster carries it out by itself: Ctrl-C, or the end of any node, loses nothing. Watch it with `mem0ctl shards rebalance --watch`, end it with `--cancel`.\nSlots move between leaders, one by one, where an engine shards by slots alone (redis): there each step is executed from here, and the same command again goes on where one stopped.",
        ),
    )
    .action(action<MoveOptions>(move_));
}

function slotsOption(given: string): SlotChoice {
  const choice = parseSlots(given);
  if (typeof choice !== "string") return choice;
  throw new InvalidArgumentError(choice);
}

async function move_(context: Context, options: MoveOptions, words: readonly string[]): Promise<ExitCode> {
  const [shard = ""] = words;
  const { from, to, slots } = options;
  return withCluster(context, async ({ engine }) => {
    const { operation, nothingToDo } = await watched(context, async (call): Promise<CopyResult> => {
      if (slots !== undefined) {
        const { moveShardSlots } = await import("../../operations/slot-moves.ts");
        const moved = await moveShardSlots(engine, { shard, slots, to }, mannerOf(options), call);
        return {
          operation: moved,
          ...(moved === null ? { nothingToDo: `${to} has these slots already` } : {}),
        };
      }
      if (from === undefined) {
        const hint = "give --from with the node that holds the replica, or --slots to move slots";
        throw usageError(context.command, "missing-option", "whose replica moves is not said", hint);
      }
      const { runCopyStep } = await import("../../operations/moves.ts");
      const step = { kind: "move-replica", shard, from, to } as const;
      return runCopyStep(engine, step, mannerOf(options), call);
    });
    await printOperation(context, operation, nothingToDo);
    return EXIT.done;
  });
}
