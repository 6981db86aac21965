// `mem0ctl memories import|export`: JSON Lines in and out, vectors and history included.

import type { Command } from "commander";
import { withCluster } from "../cluster.ts";
import { checkTarget, writeLinesAtomically } from "../atomic-file.ts";
import { examples, integerOption, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import { inDirectory } from "../context.ts";
import type { Context } from "../context.ts";
import { readLevel, withReadLevel, withWriteLevel, writeLevel } from "../consistency.ts";
import type { ReadLevelOptions, WriteLevelOptions } from "../consistency.ts";
import { linesOf } from "../input.ts";
import { write } from "../io.ts";

/** Of each request, not of the whole command: how long that takes depends on how much there is. */
const REQUEST_TIMEOUT_MS = 30_000;

interface ImportOptions extends WriteLevelOptions {
  readonly fromLine: number;
  readonly skipInvalid?: true;
}

interface ExportOptions extends ReadLevelOptions {
  readonly out?: string;
  readonly force?: true;
}

interface ExportCount {
  readonly memories: number;
  readonly expected: number;
}

export function bulkCommands(action: Action): Command[] {
  const importing = withWriteLevel(newCommand("import", "Import memories from JSON Lines"))
    .argument("<file>", "one memory on each line; - reads standard input")
    .option(
      "--from-line <number>",
      "begin at this line, to go on after a stop",
      integerOption(1, 999_999_999),
      1,
    )
    .option("--skip-invalid", "leave out lines that cannot be imported, and say which")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl memories import memories.jsonl", ""],
        ["zcat old.jsonl.gz | mem0ctl memories import -", ""],
        ["mem0ctl memories import memories.jsonl --from-line 7431", "after line 7431 was corrected"],
      ) +
        notes(
          'A line is an object with memory and one or more of user_id, agent_id, run_id, app_id, such as {"memory": "Likes tea", "user_id": "alice"}; id, metadata, categories, created_at, updated_at, embedding and history may be there, as `memories export` writes them. Without times it is a memory of now, and without an embedding the node makes one. Ids are kept, and a line without one has one that is made of what it says: the same line, imported again, is the same memory. --timeout is the deadline of each request.',
        ),
    )
    .action(action<ImportOptions>(importFile));
  const exporting = withReadLevel(newCommand("export", "Export every memory as JSON Lines"))
    .option("--out <file>", "write to this file, readable by you alone (default, and -: standard output)")
    .option("--force", "replace the file if it exists")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl memories export --out memories.jsonl", "the file appears only when it is complete"],
        ["mem0ctl memories export | gzip > memories.jsonl.gz", ""],
      ) +
        notes(
          "Importing the result elsewhere loses nothing: vectors, metadata and history are in it. --timeout is the deadline of each request.",
        ),
    )
    .action(action<ExportOptions>(exportAll));
  return [importing, exporting];
}

async function importFile(
  context: Context,
  options: ImportOptions,
  words: readonly string[],
): Promise<undefined> {
  const [name = ""] = words;
  await withCluster(context, async ({ engine, manifest }) => {
    const { importMemories } = await import("../../operations/memories.ts");
    const summary = await context.withProgress((onProgress) =>
      importMemories(engine, linesOf(context.io, name), {
        dimensions: manifest.embedding.dimensions,
        limits: manifest.limits,
        timeoutMs: context.timeoutMs(REQUEST_TIMEOUT_MS),
        signal: context.io.signal,
        ...writeLevel(options),
        onProgress,
        fromLine: options.fromLine,
        skipInvalid: options.skipInvalid === true,
      }),
    );
    const document = { apiVersion: "mem0ctl/v1", kind: "ImportSummary", ...summary };
    await context.print(document, async (_, theme) => {
      const { renderImport } = await import("../../render/memories.ts");
      return renderImport(summary, theme);
    });
  });
  return undefined;
}

async function exportAll(context: Context, options: ExportOptions): Promise<undefined> {
  const out = options.out === "-" ? undefined : options.out;
  const plan =
    out === undefined
      ? undefined
      : { path: inDirectory(context.io.cwd, out), overwrite: options.force === true, mode: 0o600 };
  if (plan !== undefined) checkTarget(plan);
  await withCluster(context, async ({ engine }) => {
    const { exportMemories } = await import("../../operations/memories.ts");
    const counted: ExportCount[] = [];
    await context.withProgress(async (onProgress) => {
      const lines = exportMemories(engine, {
        timeoutMs: context.timeoutMs(REQUEST_TIMEOUT_MS),
        signal: context.io.signal,
        ...readLevel(options),
        // On a terminal that shows the data a progress line would run into it.
        ...(plan === undefined && context.io.stdout.isTTY === true ? {} : { onProgress }),
        onSummary: (summary) => counted.push(summary),
      });
      if (plan !== undefined) return writeLinesAtomically(plan, lines);
      const shown = context.io.stdout.isTTY === true ? escapedForTerminal : asItIs;
      for await (const line of lines) {
        if (!(await write(context.io.stdout, `${shown(line)}\n`))) break;
      }
    });
    const [count] = counted;
    if (count === undefined) return;
    const changed =
      count.memories === count.expected ? "" : ` (${count.expected} were counted when it began)`;
    const { safeText } = await import("../../render/safe.ts");
    const where = out === undefined ? "" : ` to ${safeText(out)}`;
    const words = `exported ${count.memories} ${count.memories === 1 ? "memory" : "memories"}${changed}${where}`;
    if (out === undefined || context.format === "table" || context.format === "wide") {
      await context.say(words);
    } else {
      const document = { apiVersion: "mem0ctl/v1", kind: "ExportSummary", file: out, ...count };
      await context.print(document, () => words);
    }
  });
  return undefined;
}

const asItIs = (line: string): string => line;

/** A terminal would obey or hide these; in JSON they stand only inside strings, where an escape means the same. */
function escapedForTerminal(line: string): string {
  return line.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}
