// Memories for people: lists, search results, one memory whole, its history, what an import
// did, and how many there are. Their texts come from anywhere and are shown on one line each.

import type { MemoryEvent, MemoryRecord, MemoryStats } from "../model/node-api.ts";
import { formatBytes } from "../model/units.ts";
import { safeText } from "./safe.ts";
import { type Column, renderFields, renderTable } from "./table.ts";
import { counted } from "./text.ts";
import type { Theme } from "./theme.ts";
import { UNKNOWN, number } from "./words.ts";

/** A memory as a node answers it; search results have a score. */
export type ShownMemory = Omit<MemoryRecord, "embedding" | "history"> & {
  readonly hash?: string;
  readonly score?: number;
};

/**
 * A table with the scores when there are any; `wide` adds categories, metadata and times. `count` is how
 * many there are in all, for a page of them.
 */
export function renderMemories(
  memories: readonly ShownMemory[],
  theme: Theme,
  options: { readonly wide?: boolean; readonly count?: number } = {},
): string {
  if (memories.length === 0) return "no memories\n";
  const scored = memories.some((memory) => memory.score !== undefined);
  const columns: Column<ShownMemory>[] = [
    ...(scored
      ? [
          {
            title: "SCORE",
            align: "right" as const,
            text: (memory: ShownMemory) => memory.score?.toFixed(3) ?? UNKNOWN,
          },
        ]
      : []),
    { title: "ID", text: (memory) => memory.id, style: () => theme.dim },
    { title: "SCOPE", text: scopeOf, dropRank: 1 },
    { title: "MEMORY", text: (memory) => memory.memory, widthMin: 28, linesMax: 3 },
  ];
  if (options.wide === true) {
    // A table that goes on below repeats its first column, which has to say which memory it is.
    columns.sort((a, b) => Number(b.title === "ID") - Number(a.title === "ID"));
    columns.splice(
      -1,
      0,
      { title: "CREATED", text: (memory) => memory.created_at },
      { title: "UPDATED", text: (memory) => memory.updated_at },
      { title: "CATEGORIES", text: (memory) => memory.categories?.join(",") || UNKNOWN },
      { title: "METADATA", text: (memory) => metadataOf(memory) },
    );
  }
  const table = renderTable(theme, columns, memories, { fit: options.wide !== true });
  const count = options.count ?? memories.length;
  if (count <= memories.length || !theme.terminal) return `${table}\n`;
  return `${table}\n\n${theme.dim(`${number(theme, memories.length)} of ${number(theme, count)} memories`)}\n`;
}

/** One memory with all its fields, the vector excepted. */
export function renderMemory(memory: ShownMemory, theme: Theme): string {
  const fields: (readonly [string, string])[] = [
    ["id", memory.id],
    ["memory", memory.memory],
    ["scope", scopeOf(memory)],
    ["categories", memory.categories?.join(", ") || UNKNOWN],
    ["metadata", metadataOf(memory)],
    ["created", memory.created_at],
    ["updated", memory.updated_at],
    ...(memory.hash === undefined ? [] : [["hash", memory.hash] as const]),
  ];
  return `${renderFields(theme, fields)}\n`;
}

/** What happened to a memory, oldest first. */
export function renderHistory(events: readonly MemoryEvent[], theme: Theme): string {
  if (events.length === 0) return "no history\n";
  const columns: Column<MemoryEvent>[] = [
    { title: "WHEN", text: (event) => event.created_at },
    { title: "EVENT", text: (event) => event.event },
    {
      title: "MEMORY",
      text: (event) => event.new_memory ?? event.old_memory ?? UNKNOWN,
      widthMin: 24,
      linesMax: 3,
    },
  ];
  return `${renderTable(theme, columns, events)}\n`;
}

/** Totals and how evenly they are spread; `wide` adds memories and bytes by shard. */
export function renderMemoryStats(
  stats: MemoryStats,
  theme: Theme,
  options: { readonly wide?: boolean } = {},
): string {
  const { users, agents, runs, apps } = stats.entities;
  const share = (memories: number): string =>
    stats.memories === 0 ? UNKNOWN : `${((memories / stats.memories) * 100).toFixed(1)} %`;
  const byMemories = stats.shards.toSorted((a, b) => b.memories - a.memories);
  const spread = ([name, shard]: readonly [string, ShardStats | undefined]) =>
    shard === undefined
      ? []
      : [[name, `shard ${shard.id}: ${number(theme, shard.memories)} (${share(shard.memories)})`] as const];
  const totals = renderFields(theme, [
    ["memories", number(theme, stats.memories)],
    ["size", formatBytes(stats.bytes)],
    [
      "scopes",
      [counted(users, "user"), counted(agents, "agent"), counted(runs, "run"), counted(apps, "app")].join(
        ", ",
      ),
    ],
    ["shards", number(theme, stats.shards.length)],
    ...spread(["fullest", byMemories[0]]),
    ...spread(["emptiest", byMemories.at(-1)]),
  ]);
  if (options.wide !== true) return `${totals}\n`;
  const columns: Column<ShardStats>[] = [
    { title: "SHARD", text: (shard) => shard.id, align: "right" },
    { title: "MEMORIES", text: (shard) => number(theme, shard.memories), align: "right" },
    { title: "SHARE", text: (shard) => share(shard.memories), align: "right" },
    { title: "SIZE", text: (shard) => formatBytes(shard.bytes), align: "right" },
  ];
  return `${totals}\n\n${renderTable(theme, columns, stats.shards)}\n`;
}

type ShardStats = MemoryStats["shards"][number];

export interface ImportReport {
  readonly lines: number;
  readonly imported: number;
  readonly skipped: number;
  /** The first of the skipped lines. */
  readonly refused: readonly { readonly line: number; readonly field: string; readonly message: string }[];
}

/** How many lines were imported, and which were not and why. */
export function renderImport(report: ImportReport, theme: Theme): string {
  const summary = `imported ${number(theme, report.imported)} of ${number(theme, report.lines)} ${report.lines === 1 ? "memory" : "memories"}`;
  if (report.skipped === 0) return `${summary}\n`;
  const refused = report.refused.map(({ line, field, message }) =>
    safeText(`line ${line}: ${field === "" ? "" : `${field}: `}${message}`),
  );
  const more = report.skipped - refused.length;
  if (more > 0) refused.push(`and ${counted(more, "more line")}`);
  return `${summary}; skipped ${number(theme, report.skipped)}:\n${refused.map((line) => `  ${line}\n`).join("")}`;
}

export interface MigrationReport {
  readonly from: string;
  readonly to: string;
  readonly memories: number;
  readonly copied: number;
  readonly others: number;
  readonly contentHash: string;
}

/** What was copied, and by what it is known that nothing is missing. */
export function renderMigration(report: MigrationReport, theme: Theme): string {
  const { memories, copied, others } = report;
  const lines = [
    `${counted(memories, "memory", "memories")} of ${safeText(report.from)} ${memories === 1 ? "is" : "are"} in ${safeText(report.to)}: ${number(theme, copied)} copied now, ${number(theme, memories - copied)} there before`,
    `content compared, the same on both sides: sha256 ${report.contentHash}`,
    ...(others === 0
      ? []
      : [`${counted(others, "other memory", "other memories")} of ${safeText(report.to)} left as they are`]),
  ];
  return `${lines.join("\n")}\n`;
}

/** `user alice, run 7`: the fields of the scope that are set. */
function scopeOf(memory: ShownMemory): string {
  const fields = [
    ["user", memory.user_id],
    ["agent", memory.agent_id],
    ["run", memory.run_id],
    ["app", memory.app_id],
  ] as const;
  return (
    fields
      .filter(([, id]) => id !== undefined)
      .map(([name, id]) => `${name} ${id}`)
      .join(", ") || UNKNOWN
  );
}

function metadataOf(memory: ShownMemory): string {
  return memory.metadata === undefined || Object.keys(memory.metadata).length === 0
    ? UNKNOWN
    : JSON.stringify(memory.metadata);
}
