// `mem0ctl migrate`: everything that one cluster keeps, brought to another and compared.

import type { Command } from "commander";
import { examples, integerOption, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import { inDirectory } from "../context.ts";
import type { Context } from "../context.ts";

/** Of each request: how long the whole takes depends on how much there is. */
const REQUEST_TIMEOUT_MS = 30_000;

interface MigrateOptions {
  readonly from: string;
  readonly to: string;
  readonly rate?: number;
}

export function migrateCommand(action: Action): Command {
  return newCommand("migrate", "Copy every memory to another cluster, and prove that it is there")
    .requiredOption("--from <file>", "manifest of the cluster that has the memories")
    .requiredOption("--to <file>", "manifest of the cluster that is to have them")
    .option("--rate <number>", "copy at most this many memories per second", integerOption(1, 1_000_000))
    .addHelpText(
      "after",
      examples(
        ["mem0ctl migrate --from small.yaml --to redis.yaml", "from one engine to another"],
        ["mem0ctl migrate --from a.yaml --to b.yaml --rate 500", "beside live traffic"],
      ) +
        notes(
          "Vectors, metadata and histories go along; ids stay. Every memory is compared by a hash of its content until a whole pass finds nothing left to copy. Killed in the middle, it is run again and goes on. What only the target has is left alone. --timeout is the deadline of each request.",
        ),
    )
    .action(action<MigrateOptions>(run));
}

async function run(context: Context, options: MigrateOptions): Promise<undefined> {
  const { openCluster } = await import("../../operations/cluster.ts");
  const { migrate } = await import("../../operations/migrate.ts");
  const from = await openCluster(inDirectory(context.io.cwd, options.from));
  try {
    const to = await openCluster(inDirectory(context.io.cwd, options.to));
    try {
      const summary = await context.withProgress((onProgress) =>
        migrate(from, to, {
          timeoutMs: context.timeoutMs(REQUEST_TIMEOUT_MS),
          signal: context.io.signal,
          onProgress,
          ...(options.rate === undefined ? {} : { rateMax: options.rate }),
        }),
      );
      const names = { from: from.manifest.name, to: to.manifest.name };
      const document = { apiVersion: "mem0ctl/v1", kind: "MigrationSummary", ...names, ...summary };
      await context.print(document, async (_, theme) => {
        const { renderMigration } = await import("../../render/memories.ts");
        return renderMigration({ ...names, ...summary }, theme);
      });
    } finally {
      await to.engine.close();
    }
  } finally {
    await from.engine.close();
  }
  return undefined;
}
