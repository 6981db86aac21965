// Every shard in a row: what it owns, how it is, who leads and who follows.

import { formatBytes, formatDuration } from "../model/units.ts";
import type { ClusterView, ReplicaView, ShardView } from "../model/view.ts";
import { type Column, renderTable } from "./table.ts";
import type { Theme } from "./theme.ts";
import {
  countsKeys,
  UNKNOWN,
  ballotText,
  isLeaderless,
  known,
  number,
  stateStyle,
  stateText,
} from "./words.ts";

const SLOTS_PREFIX = /^slots? (?=\d)/;

type ShardsShown = Pick<ClusterView, "shards" | "protocol">;

interface ShardsOptions {
  readonly wide?: boolean;
}

export function renderShardsList(view: ShardsShown, theme: Theme, options: ShardsOptions = {}): string {
  return `${shardsTable(view, theme, options)}\n`;
}

/** Only the table, without a final line end; `wide` has every column and is never cut. */
export function shardsTable(view: ShardsShown, theme: Theme, { wide = false }: ShardsOptions): string {
  const { shards } = view;
  // The title says once what every cell would say again.
  const bySlots = shards.every((shard) => SLOTS_PREFIX.test(shard.range) || shard.slots === 0);
  const columns: Column<ShardView>[] = [
    { title: "SHARD", text: (shard) => shard.id, align: "right" },
    bySlots
      ? { title: "SLOTS", text: (shard) => shard.range.replace(SLOTS_PREFIX, ""), widthMin: 12 }
      : { title: "RANGE", text: (shard) => shard.range, widthMin: 14 },
    {
      title: "STATE",
      text: (shard) => stateText(theme, shard.state),
      style: (shard) => stateStyle(theme, shard.state),
    },
    ...(isLeaderless(view) ? copyColumns(theme) : leaderColumns(view, theme)),
    { title: "LAG", text: (shard) => known(lagMsOf(shard), formatDuration), align: "right", dropRank: 1 },
    countsKeys(shards)
      ? { title: "KEYS", text: (shard) => number(theme, shard.keys ?? null), align: "right", dropRank: 2 }
      : { title: "MEMORIES", text: (shard) => number(theme, shard.memories), align: "right", dropRank: 2 },
  ];
  if (wide) columns.push({ title: "SIZE", text: (shard) => known(shard.bytes, formatBytes), align: "right" });
  return renderTable(theme, columns, shards, { fit: !wide });
}

/** raft: LEADER and TERM; paxos: PROPOSER and BALLOT. */
function leaderColumns({ protocol }: ShardsShown, theme: Theme): Column<ShardView>[] {
  const isPaxos = protocol === "paxos";
  return [
    {
      title: isPaxos ? "PROPOSER" : "LEADER",
      text: (shard) => shard.leader ?? UNKNOWN,
      style: (shard) => (shard.leader === null ? theme.bad : undefined),
    },
    isPaxos
      ? {
          title: "BALLOT",
          text: (shard) => (shard.ballot === undefined ? String(shard.term) : ballotText(shard.ballot)),
          dropRank: 1,
        }
      : { title: "TERM", text: (shard) => String(shard.term), align: "right", dropRank: 3 },
    { title: "OTHERS", text: others, widthMin: 22 },
  ];
}

/** Of leaderless shards: all copies are alike, and what some of them lack is counted. */
function copyColumns(theme: Theme): Column<ShardView>[] {
  return [
    { title: "COPIES", text: others, widthMin: 22, linesMax: 3 },
    { title: "HINTS", text: (shard) => number(theme, hintsOf(shard)), align: "right" },
    { title: "DIVERGENT", text: (shard) => number(theme, divergentOf(shard)), align: "right", dropRank: 3 },
  ];
}

function hintsOf({ replicas }: ShardView): number {
  return replicas.reduce((sum, { hints }) => sum + (hints ?? 0), 0);
}

/** Two copies that differ both count the key. */
function divergentOf({ replicas }: ShardView): number {
  return Math.max(0, ...replicas.map(({ divergentKeys }) => divergentKeys ?? 0));
}

/** Members besides the leader; what is not plain following is said: `node-2, node-3 (down)`. */
function others(shard: ShardView): string {
  const members = shard.replicas.filter((replica) => replica.node !== shard.leader).map(memberText);
  return members.length === 0 ? UNKNOWN : members.join(", ");
}

function memberText({ node, role, state, copy }: ReplicaView): string {
  // How a copy is says more than that it is not up to date.
  const filling = copy === undefined || copy === "serving" || state === "down" ? undefined : copy;
  const remarks = [
    ...(filling === undefined && (role === "arbiter" || role === "learner") ? [role] : []),
    ...(state === "replicating" ? [] : [filling ?? state]),
  ];
  return remarks.length === 0 ? node : `${node} (${remarks.join(", ")})`;
}

/** The largest lag of its replicas; null when nobody knows any. */
function lagMsOf(shard: ShardView): number | null {
  const lags = shard.replicas.flatMap((replica) => (replica.lagMs === null ? [] : [replica.lagMs]));
  return lags.length === 0 ? null : Math.max(...lags);
}
