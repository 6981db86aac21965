// How far every replica is behind its leader, and the totals. Leaders, which are never behind, only in
// `wide`.

import { formatBytes, formatDuration } from "../model/units.ts";
import type { ClusterView, ReplicaView, ShardView } from "../model/view.ts";
import { safeText } from "./safe.ts";
import { type Column, renderTable } from "./table.ts";
import type { Theme } from "./theme.ts";
import {
  UNKNOWN,
  amount,
  copyCounts,
  isLeaderless,
  known,
  number,
  replicatedCounts,
  stateStyle,
  stateText,
  unknownLags,
} from "./words.ts";

type LagShown = Pick<ClusterView, "shards" | "replication" | "protocol">;

interface Row extends ReplicaView {
  readonly shard: ShardView;
}

export function renderReplicaLag(
  view: LagShown,
  theme: Theme,
  { wide = false }: { readonly wide?: boolean } = {},
): string {
  const all: readonly Row[] = view.shards.flatMap((shard) =>
    shard.replicas.map((replica) => ({ ...replica, shard })),
  );
  const rows = wide ? all : all.filter((row) => row.role !== "leader");
  if (rows.length === 0)
    return `${totals(view, all, theme)}\nno replicas besides the leaders: nothing can lag\n`;
  const calm = (row: Row) =>
    row.lagMs === 0 && (row.lagEntries ?? row.lagBytes) === 0 ? theme.dim : undefined;
  const inCopies = isLeaderless(view);
  const columns: Column<Row>[] = [
    { title: "SHARD", text: (row) => row.shard.id, align: "right" },
    { title: "REPLICA", text: (row) => row.node, widthMin: 12 },
    inCopies
      ? { title: "COPY", text: (row) => row.copy ?? UNKNOWN, dropRank: 2 }
      : { title: "ROLE", text: (row) => row.role, dropRank: 2 },
    {
      title: "STATE",
      text: (row) => stateText(theme, row.state),
      style: (row) => stateStyle(theme, row.state),
    },
    ...(inCopies ? copyColumns(theme, calm) : logColumns(view, theme, calm)),
    { title: "LAG", text: (row) => known(row.lagMs, formatDuration), align: "right", style: calm },
  ];
  return `${totals(view, all, theme)}\n\n${renderTable(theme, columns, rows, { fit: !wide })}\n`;
}

function logColumns(
  { protocol, replication }: LagShown,
  theme: Theme,
  calm: Column<Row>["style"],
): Column<Row>[] {
  const style = calm === undefined ? {} : { style: calm };
  return [
    {
      title: protocol === "paxos" ? "PROPOSER" : "LEADER",
      text: (row) => row.shard.leader ?? UNKNOWN,
      dropRank: 1,
    },
    ...(replication.unit === "bytes"
      ? []
      : [
          {
            title: "ENTRIES",
            text: (row: Row) => number(theme, row.lagEntries),
            align: "right" as const,
            ...style,
          },
        ]),
    { title: "BYTES", text: (row) => known(row.lagBytes, formatBytes), align: "right", ...style },
  ];
}

/** A leaderless copy is behind by what others keep for it, and by what comparing found. */
function copyColumns(theme: Theme, calm: Column<Row>["style"]): Column<Row>[] {
  const style = calm === undefined ? {} : { style: calm };
  return [
    { title: "WRITES", text: (row) => number(theme, row.lagEntries), align: "right", ...style },
    { title: "HINTS", text: (row) => number(theme, row.hints ?? null), align: "right", ...style },
    { title: "DIVERGENT", text: (row) => number(theme, row.divergentKeys ?? null), align: "right", ...style },
  ];
}

/** `48 replicas: 46 replicating, 2 down; largest lag 1.2 s: shard 3 on node-3`. */
function totals(view: LagShown, rows: readonly Row[], theme: Theme): string {
  const states = (["replicating", "probing", "snapshot", "down"] as const)
    .map((state) => ({ state, count: rows.filter((row) => row.state === state).length }))
    .filter(({ count }) => count > 0)
    .map(({ state, count }) => `${number(theme, count)} ${state}`);
  const worst = rows.reduce<Row | undefined>(
    (most, row) => ((row.lagMs ?? 0) > (most?.lagMs ?? 0) ? row : most),
    undefined,
  );
  const unknown = unknownLags(view.shards);
  const noneBehind = unknown === 0 ? "none is behind" : `the lag of ${number(theme, unknown)} is unknown`;
  const lag =
    worst === undefined
      ? noneBehind
      : `largest lag ${formatDuration(worst.lagMs ?? 0)}: shard ${safeText(worst.shard.id)} on ${safeText(worst.node)}`;
  const counts = isLeaderless(view)
    ? copyCounts(view.replication, theme).join(", ")
    : replicatedCounts(view.replication, theme).join(", ");
  return `${amount(theme, rows.length, "replica", "replicas")}: ${states.join(", ")}; ${lag}\n${counts}`;
}
