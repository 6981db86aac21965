// `mem0ctl memories add|update|delete`: one memory, or all of a scope.

import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { Mem0ctlError } from "../../model/errors.ts";
import { withCluster } from "../cluster.ts";
import { examples, jsonObjectOption, newCommand, usageError } from "../command.ts";
import type { Action } from "../command.ts";
import { confirm, refuseUnlessConfirmable } from "../confirm.ts";
import type { Context } from "../context.ts";
import { withWriteLevel, writeLevel } from "../consistency.ts";
import type { MemoryCall, WriteLevelOptions } from "../consistency.ts";
import { textFromStdin } from "../input.ts";
import { scopeOf, scopeSentence, withScope } from "../scope.ts";
import type { ScopeOptions } from "../scope.ts";

const WRITE_TIMEOUT_MS = 10_000;
const METADATA_EXAMPLE = '{"topic":"food"}';

type JsonObject = Readonly<Record<string, unknown>>;

interface AddOptions extends ScopeOptions, WriteLevelOptions {
  readonly metadata?: JsonObject;
}

interface UpdateOptions extends WriteLevelOptions {
  readonly text?: string;
  readonly metadata?: JsonObject;
  readonly ifHash?: string;
}

interface DeleteOptions extends ScopeOptions, WriteLevelOptions {
  readonly all?: true;
}

export function writingCommands(action: Action): Command[] {
  const add = withWriteLevel(withScope(newCommand("add", "Store a text as a memory, as it is given")))
    .argument("<text>", "what to remember; - reads it from standard input")
    .option(
      "--metadata <json>",
      `a JSON object kept with it: ${METADATA_EXAMPLE}`,
      jsonObjectOption(METADATA_EXAMPLE),
    )
    .addHelpText(
      "after",
      examples(
        ['mem0ctl memories add "Likes jasmine tea" --user alice', ""],
        ['mem0ctl memories add - --user alice --metadata \'{"topic":"food"}\' < note.txt', ""],
      ),
    )
    .action(action<AddOptions>(addMemory));
  const update = withWriteLevel(newCommand("update", "Change the text or the metadata of a memory"))
    .argument("<id>", "which memory")
    .option("--text <text>", "its new text; the old one stays in its history")
    .option("--metadata <json>", "its new metadata, a JSON object", jsonObjectOption(METADATA_EXAMPLE))
    .addOption(
      new Option("--if-hash <hash>", "only while its text has this hash (see get); else exit 6").argParser(
        hashOption,
      ),
    )
    .addHelpText(
      "after",
      examples(
        ['mem0ctl memories update ID --text "Prefers green tea"', ""],
        ['mem0ctl memories update ID --text "Green tea" --if-hash HASH', "unless somebody else was first"],
      ),
    )
    .action(action<UpdateOptions>(updateMemory));
  const remove = withWriteLevel(
    withScope(newCommand("delete", "Delete a memory, or all of a user, agent, run or app")),
  )
    .argument("[id]", "which memory")
    .option("--all", "all memories of the scope that --user, --agent, --run and --app give")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl memories delete ID", "one memory"],
        ["mem0ctl memories delete --all --user alice", "says how many, and asks"],
        ["mem0ctl memories delete --all --user alice --yes", "for scripts"],
      ),
    )
    .action(action<DeleteOptions>(deleteMemories));
  return [add, update, remove];
}

function callOf(context: Context, options: WriteLevelOptions): MemoryCall {
  const timeoutMs = context.timeoutMs(WRITE_TIMEOUT_MS);
  return { timeoutMs, signal: context.io.signal, ...writeLevel(options) };
}

function hashOption(text: string): string {
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  throw new InvalidArgumentError("A hash is 32 hexadecimal digits, as `mem0ctl memories get ID` shows it.");
}

async function addMemory(
  context: Context,
  options: AddOptions,
  words: readonly string[],
): Promise<undefined> {
  const scope = scopeOf(options);
  if (Object.keys(scope).length === 0) {
    throw usageError(
      context.command,
      "scope-missing",
      "whose memory is it?",
      "give --user, --agent, --run or --app",
      "a memory belongs to a user, an agent, a run or an app",
    );
  }
  const [word = ""] = words;
  const text = word === "-" ? await textFromStdin(context.io) : word;
  await withCluster(context, async ({ engine }) => {
    const { metadata } = options;
    const added = await engine.memories.add(
      { ...scope, texts: [text], ...(metadata === undefined ? {} : { metadata }) },
      callOf(context, options),
    );
    await context.print(
      { apiVersion: "mem0ctl/v1", kind: "Memories", results: added },
      async (_, theme, wide) => {
        const { renderMemories } = await import("../../render/memories.ts");
        return renderMemories(added, theme, { wide });
      },
    );
  });
  return undefined;
}

async function updateMemory(
  context: Context,
  options: UpdateOptions,
  words: readonly string[],
): Promise<undefined> {
  const { text, metadata, ifHash } = options;
  if (text === undefined && metadata === undefined) {
    throw usageError(
      context.command,
      "nothing-to-change",
      "nothing to change",
      "give --text or --metadata",
      "an update replaces the text, the metadata, or both",
    );
  }
  await withCluster(context, async ({ engine }) => {
    const memory = await engine.memories.update(
      words[0] ?? "",
      {
        ...(text === undefined ? {} : { text }),
        ...(metadata === undefined ? {} : { metadata }),
        ...(ifHash === undefined ? {} : { ifHash }),
      },
      callOf(context, options),
    );
    await context.print({ apiVersion: "mem0ctl/v1", kind: "Memory", ...memory }, async (_, theme, wide) => {
      const { renderMemories } = await import("../../render/memories.ts");
      return renderMemories([memory], theme, { wide });
    });
  });
  return undefined;
}

async function deleteMemories(
  context: Context,
  options: DeleteOptions,
  words: readonly string[],
): Promise<undefined> {
  const [id] = words;
  const scope = scopeOf(options);
  const scoped = Object.keys(scope).length > 0;
  if (id !== undefined && (options.all === true || scoped)) {
    throw usageError(
      context.command,
      "conflicting-option",
      "an id and a scope exclude each other",
      "give the id of one memory, or --all with --user, --agent, --run or --app",
      "the id names one memory, the scope all of somebody",
    );
  }
  if (id !== undefined) return deleteOne(context, options, id);
  if (options.all !== true || !scoped) {
    throw usageError(
      context.command,
      "missing-argument",
      scoped ? "deleting a whole scope needs --all" : "nothing to delete was named",
      "give the id of one memory, or --all with --user, --agent, --run or --app",
      "what is deleted cannot be brought back",
    );
  }
  return deleteScope(context, options);
}

async function deleteOne(context: Context, options: DeleteOptions, id: string): Promise<undefined> {
  await withCluster(context, async ({ engine }) => {
    const { safeText } = await import("../../render/safe.ts");
    await engine.memories.delete(id, callOf(context, options));
    const document = { apiVersion: "mem0ctl/v1", kind: "MemoriesDeleted", deleted: 1, id };
    await context.print(document, () => `deleted ${safeText(id)}`);
  });
  return undefined;
}

async function deleteScope(context: Context, options: DeleteOptions): Promise<undefined> {
  refuseUnlessConfirmable(context, `deleting all memories of ${scopeSentence(options)}`);
  await withCluster(context, async ({ engine, manifest }) => {
    const call = callOf(context, options);
    const { safeText } = await import("../../render/safe.ts");
    const scope = scopeOf(options);
    const whose = safeText(scopeSentence(options));
    // Counting is only for the question; the deletion takes what is there by then.
    const { count } = await engine.memories.list({ filters: { AND: [scope] }, page: 1, pageSize: 1 }, call);
    const what = `${count} ${count === 1 ? "memory" : "memories"} of ${whose} in cluster ${manifest.name} will be deleted`;
    if (!(await confirm(context, what, "Delete them?"))) {
      throw new Mem0ctlError("failed", "declined", "nothing was deleted", {
        why: "the answer was no",
        hint: "give --yes to delete without being asked",
      });
    }
    const deleted = await engine.memories.deleteAll(scope, call);
    const document = { apiVersion: "mem0ctl/v1", kind: "MemoriesDeleted", deleted, scope };
    await context.print(
      document,
      () => `deleted ${deleted} ${deleted === 1 ? "memory" : "memories"} of ${whose}`,
    );
  });
  return undefined;
}
