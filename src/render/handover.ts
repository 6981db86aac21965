// What a split, a merge or a pin will do: which shard has which keys before and after, and how much is copied.

import { stepWords } from "../model/operation.ts";
import { formatBytes } from "../model/units.ts";
import type { HandoverPlan, ShardChange, ShardSizes } from "../model/plan.ts";
import { safeText } from "./safe.ts";
import { renderTable, type Column } from "./table.ts";
import type { Theme } from "./theme.ts";
import { UNKNOWN } from "./words.ts";

export function renderHandoverPlan({ step, moved, shards, epoch }: HandoverPlan, theme: Theme): string {
  const columns: Column<ShardChange>[] = [
    { title: "SHARD", text: (row) => row.shard, align: "right" },
    { title: "KEYS NOW", text: (row) => safeText(row.keysBefore ?? UNKNOWN), widthMin: 12, linesMax: 3 },
    { title: "KEYS AFTER", text: (row) => safeText(row.keysAfter ?? UNKNOWN), widthMin: 12, linesMax: 3 },
    { title: "MEMORIES", text: (row) => change(row, ({ memories }) => String(memories)), align: "right" },
    { title: "SIZE", text: (row) => change(row, ({ bytes }) => formatBytes(bytes)), align: "right" },
  ];
  const copied = `${moved.memories} ${moved.memories === 1 ? "memory is" : "memories are"} copied, ${formatBytes(moved.bytes)}, while clients write`;
  return `${theme.bold(safeText(stepWords(step)))}  ${theme.dim(`at epoch ${epoch}`)}\n${copied}\n\n${renderTable(theme, columns, shards)}\n`;
}

function change({ before, after }: ShardChange, words: (sizes: ShardSizes) => string): string {
  const [was, is] = [before, after].map((sizes) => (sizes === null ? UNKNOWN : words(sizes)));
  return was === is ? (is ?? UNKNOWN) : `${was} > ${is}`;
}
