// What the replicas of shards were seen to hold: a line for each shard, and every memory that differs.

import type { ShardVerification } from "../model/node-api.ts";
import { safeText } from "./safe.ts";
import { type Column, renderTable } from "./table.ts";
import { hang, runs } from "./text.ts";
import type { Theme } from "./theme.ts";
import { UNKNOWN } from "./words.ts";

const DIFFERENCES_SHOWN_MAX = 20;

interface Difference {
  readonly shard: string;
  readonly id: string;
  readonly parts: string;
  readonly odd: string;
}

export function renderVerification(shards: readonly ShardVerification[], theme: Theme): string {
  const isSame = ({ differing, replicas }: ShardVerification): boolean =>
    differing === 0 && replicas.every(({ error }) => error === undefined);
  const same = shards.filter(isSame).map(({ shard }) => shard);
  const columns: Column<ShardVerification>[] = [
    { title: "SHARD", text: ({ shard }) => shard, align: "right" },
    {
      title: "REPLICAS",
      text: ({ replicas }) => safeText(replicas.map(replicaWords).join(", ")),
      widthMin: 24,
      linesMax: 6,
    },
    { title: "DIFFER", text: ({ differing }) => String(differing), align: "right" },
  ];
  const parts: string[] = [];
  if (same.length > 0) {
    const memories = shards
      .filter(isSame)
      .reduce((sum, { replicas }) => sum + (replicas[0]?.memories ?? 0), 0);
    parts.push(
      theme.good(
        `the replicas of ${same.length === 1 ? "shard" : "shards"} ${runs(same)} hold the same: ${memories} memories`,
      ),
    );
  }
  const others = shards.filter((shard) => !isSame(shard));
  if (others.length > 0) parts.push(renderTable(theme, columns, others));
  const unread = others.filter(({ replicas }) => replicas.some(({ error }) => error !== undefined));
  if (unread.length > 0) parts.push(theme.bad(hang("", notCompared(unread), theme.proseWidth)));
  const differences = others.flatMap(({ shard, differences: each }) =>
    each.map(({ id, parts: which, copies }): Difference => {
      const odd = copies.filter(({ isOdd }) => isOdd).map(({ node }) => node);
      return { shard, id, parts: which.join(", "), odd: odd.length === 0 ? UNKNOWN : odd.join(", ") };
    }),
  );
  if (differences.length > 0) {
    const found: Column<Difference>[] = [
      { title: "SHARD", text: ({ shard }) => shard, align: "right" },
      { title: "MEMORY", text: ({ id }) => safeText(id), widthMin: 12 },
      { title: "WHAT DIFFERS", text: ({ parts: which }) => which },
      { title: "AGAINST THE OTHERS", text: ({ odd }) => safeText(odd) },
    ];
    parts.push(renderTable(theme, found, differences.slice(0, DIFFERENCES_SHOWN_MAX)));
  }
  return `${parts.join("\n\n")}\n`;
}

/** Which, why, and what can be done. */
function notCompared(shards: readonly ShardVerification[]): string {
  const isStale = shards.some(({ replicas }) => replicas.some(({ code }) => code === "too-stale"));
  const which = `${shards.length === 1 ? "shard" : "shards"} ${runs(shards.map(({ shard }) => shard))}`;
  return [
    `not all replicas of ${which} could be compared: nobody can say whether they hold the same.`,
    ...(isStale
      ? ["A replica learns from its leader how old its state can be, and no leader said so in time."]
      : []),
    "`mem0ctl status` says what is missing; repeat the command then, under load with a longer --timeout.",
  ].join(" ");
}

function replicaWords({ node, memories, error }: ShardVerification["replicas"][number]): string {
  return error === undefined ? `${node} ${memories ?? 0}` : `${node}: ${error}`;
}
