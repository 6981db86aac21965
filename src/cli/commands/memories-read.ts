// `mem0ctl memories search|get|list|history|stats`: looking, never changing.

import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, integerOption, jsonObjectOption, newCommand, usageError } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { readLevel, withReadLevel } from "../consistency.ts";
import type { MemoryCall, ReadLevelOptions } from "../consistency.ts";
import { filtersOf, scopeOf, withScope } from "../scope.ts";
import type { ScopeOptions } from "../scope.ts";

type JsonObject = Readonly<Record<string, unknown>>;

interface SearchOptions extends ScopeOptions, ReadLevelOptions {
  readonly filter?: JsonObject;
  readonly topK: number;
  readonly threshold?: number;
}

interface ListOptions extends ScopeOptions, ReadLevelOptions {
  readonly filter?: JsonObject;
  readonly page: number;
  readonly pageSize: number;
}

const FILTER_EXAMPLE = '{"metadata":{"topic":"food"}}';
const FILTER_HELP = `mem0's filter language as JSON: ${FILTER_EXAMPLE}`;

export function readingCommands(action: Action): Command[] {
  const search = withReadLevel(
    withScope(newCommand("search", "Find the memories that are closest to a text")),
  )
    .argument("<query>", "what to look for")
    .option("-k, --top-k <count>", "how many at most", integerOption(1, 1000), 10)
    .addOption(
      new Option("--threshold <score>", "only those at least this similar, -1 to 1").argParser(scoreOption),
    )
    .option("--filter <json>", FILTER_HELP, jsonObjectOption(FILTER_EXAMPLE))
    .addHelpText(
      "after",
      examples(
        ['mem0ctl memories search "what does she drink" --user alice', ""],
        ["mem0ctl memories search tea --user alice -k 3 -o json", ""],
      ),
    )
    .action(action<SearchOptions>(searchMemories));
  const get = withReadLevel(newCommand("get", "Show one memory"))
    .argument("<id>", "which memory")
    .addHelpText("after", examples(["mem0ctl memories get ID -o json", "with its metadata"]))
    .action(action<ReadLevelOptions>(getMemory));
  const list = withReadLevel(withScope(newCommand("list", "List memories, newest first, page by page")))
    .option("--filter <json>", FILTER_HELP, jsonObjectOption(FILTER_EXAMPLE))
    .option("--page <number>", "which page", integerOption(1, 1_000_000), 1)
    .option("--page-size <count>", "how many on a page", integerOption(1, 1000), 50)
    .addHelpText(
      "after",
      examples(
        ["mem0ctl memories list --user alice", ""],
        ['mem0ctl memories list --filter \'{"created_at":{"gte":"2025-01-01"}}\'', ""],
      ),
    )
    .action(action<ListOptions>(listMemories));
  const history = withReadLevel(newCommand("history", "Show how a memory came to be what it is"))
    .argument("<id>", "which memory")
    .addHelpText("after", examples(["mem0ctl memories history ID", "every text it had"]))
    .action(action<ReadLevelOptions>(showHistory));
  const stats = withReadLevel(newCommand("stats", "Count memories, bytes, users, agents, runs and apps"))
    .addHelpText(
      "after",
      examples(["mem0ctl memories stats", "totals"], ["mem0ctl memories stats -o wide", "by shard"]),
    )
    .action(action<ReadLevelOptions>(showStats));
  return [search, get, list, history, stats];
}

function scoreOption(text: string): number {
  const score = text.trim() === "" ? Number.NaN : Number(text);
  if (!(score >= -1 && score <= 1)) throw new InvalidArgumentError("A number from -1 to 1 is needed.");
  return score;
}

function callOf(context: Context, options: ReadLevelOptions): MemoryCall {
  const timeoutMs = context.timeoutMs(LOOK_TIMEOUT_MS);
  return { timeoutMs, signal: context.io.signal, ...readLevel(options) };
}

async function searchMemories(
  context: Context,
  options: SearchOptions,
  words: readonly string[],
): Promise<undefined> {
  if (Object.keys(scopeOf(options)).length === 0 && options.filter === undefined) {
    throw usageError(
      context.command,
      "scope-missing",
      "whose memories are searched?",
      'give --user, --agent, --run or --app; --user "*" searches those of all users',
      "a search without one would go through the memories of everybody",
    );
  }
  await withCluster(context, async ({ engine }) => {
    const { topK, threshold } = options;
    const results = await engine.memories.search(
      {
        query: words[0] ?? "",
        filters: filtersOf(options, options.filter),
        topK,
        ...(threshold === undefined ? {} : { threshold }),
      },
      callOf(context, options),
    );
    await context.print({ apiVersion: "mem0ctl/v1", kind: "Memories", results }, async (_, theme, wide) => {
      const { renderMemories } = await import("../../render/memories.ts");
      return renderMemories(results, theme, { wide });
    });
  });
  return undefined;
}

async function getMemory(
  context: Context,
  options: ReadLevelOptions,
  words: readonly string[],
): Promise<undefined> {
  await withCluster(context, async ({ engine }) => {
    const memory = await engine.memories.get(words[0] ?? "", callOf(context, options));
    await context.print({ apiVersion: "mem0ctl/v1", kind: "Memory", ...memory }, async (_, theme) => {
      const { renderMemory } = await import("../../render/memories.ts");
      return renderMemory(memory, theme);
    });
  });
  return undefined;
}

async function listMemories(context: Context, options: ListOptions): Promise<undefined> {
  await withCluster(context, async ({ engine }) => {
    const { page, pageSize } = options;
    const found = await engine.memories.list(
      { filters: filtersOf(options, options.filter), page, pageSize },
      callOf(context, options),
    );
    const document = { apiVersion: "mem0ctl/v1", kind: "Memories", page, pageSize, ...found };
    await context.print(document, async (_, theme, wide) => {
      const { renderMemories } = await import("../../render/memories.ts");
      return renderMemories(found.results, theme, { wide });
    });
    const pages = Math.max(1, Math.ceil(found.count / pageSize));
    if (pages > 1) await context.say(`page ${page} of ${pages}; ${found.count} memories in all`);
  });
  return undefined;
}

async function showHistory(
  context: Context,
  options: ReadLevelOptions,
  words: readonly string[],
): Promise<undefined> {
  await withCluster(context, async ({ engine }) => {
    const id = words[0] ?? "";
    const events = await engine.memories.history(id, callOf(context, options));
    await context.print({ apiVersion: "mem0ctl/v1", kind: "MemoryHistory", id, events }, async (_, theme) => {
      const { renderHistory } = await import("../../render/memories.ts");
      return renderHistory(events, theme);
    });
  });
  return undefined;
}

async function showStats(context: Context, options: ReadLevelOptions): Promise<undefined> {
  await withCluster(context, async ({ engine }) => {
    const stats = await engine.memories.stats(callOf(context, options));
    await context.print(
      { apiVersion: "mem0ctl/v1", kind: "MemoryStats", ...stats },
      async (_, theme, wide) => {
        const { renderMemoryStats } = await import("../../render/memories.ts");
        return renderMemoryStats(stats, theme, { wide });
      },
    );
  });
  return undefined;
}
