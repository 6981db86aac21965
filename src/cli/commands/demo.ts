// `mem0ctl demo`: a cluster from nothing, filled, robbed of its leader and healed, told as it happens.

import type { Command } from "commander";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { demoDataFile } from "../package-root.ts";

interface DemoOptions {
  readonly keep?: true;
}

export function demoCommand(action: Action): Command {
  return newCommand("demo", "Show a cluster lose its leader and no memory, in under a minute")
    .option("--keep", "leave the cluster running at the end, and say where")
    .addHelpText(
      "after",
      examples(["mem0ctl demo", "three nodes, a few thousand memories, one kill -9"]) +
        notes(
          "Everything happens in a temporary directory on this machine. Exit code 0 only if all of it held.",
        ),
    )
    .action(action<DemoOptions>(demo));
}

async function demo(context: Context, options: DemoOptions): Promise<undefined> {
  const { runDemo } = await import("../../operations/demo.ts");
  const { renderStatus } = await import("../../render/status.ts");
  const { renderShardMap } = await import("../../render/shard-map.ts");
  const { renderReplicaLag } = await import("../../render/replica-lag.ts");
  const theme = await context.theme();
  const story = runDemo({
    keep: options.keep === true,
    // The story is this command's data. A terminal or pipe takes a line at once; order is what matters.
    say: (line) => void context.printText(`${line}\n`),
    dataFile: demoDataFile(),
    signal: context.io.signal,
    pictures: {
      status: (view) => renderStatus(view, theme),
      shardMap: (view) => renderShardMap(view, theme),
      lag: (view) => renderReplicaLag(view, theme),
    },
  });
  // A node may need all the time that it is given to stop, and the folder can go only after it.
  context.io.held.add(story);
  await story;
  // Resolves when all that was said before it has been taken.
  await context.printText("");
  return undefined;
}
