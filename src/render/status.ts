// The state of a cluster on one screen: a line that says it all, why it is not healthy, the nodes, and
// the totals of shards and replication. `wide` adds every shard and every claim
// that nodes disagree about.

import type { OperationSummary } from "../model/operation.ts";
import type { ClusterView, Reason, ShardState } from "../model/view.ts";
import { nodesTable } from "./nodes.ts";
import { safeText } from "./safe.ts";
import { shardsTable } from "./shards-list.ts";
import { type Column, renderTable } from "./table.ts";
import { displayWidth, hang } from "./text.ts";
import type { Style, Theme } from "./theme.ts";
import {
  copyCounts,
  healthStyle,
  healthSymbol,
  isLeaderless,
  lagText,
  number,
  replicatedCounts,
} from "./words.ts";

export function renderStatus(
  view: ClusterView,
  theme: Theme,
  options: { readonly wide?: boolean } = {},
): string {
  const parts = [
    summary(view, theme),
    ...(view.reasons.length === 0
      ? []
      : [view.reasons.map((reason) => reasonLines(reason, view, theme)).join("\n")]),
    nodesTable(view, theme, options),
    totals(view, theme),
    ...(options.wide === true ? [shardsTable(view, theme, options), ...disagreements(view, theme)] : []),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Name, engine, health, leader, term, epoch, nodes: wrapped between items, never within one. */
function summary(view: ClusterView, theme: Theme): string {
  const health = `${healthSymbol(theme, view.health)} ${view.health}`;
  const allUp = view.healthyNodes === view.totalNodes;
  return items(
    [
      [safeText(view.cluster), theme.bold],
      [health, healthStyle(theme, view.health)],
      [view.engine],
      ...clusterLeader(view, theme),
      [`term ${view.term}`],
      [`epoch ${view.epoch}`],
      [`nodes ${view.healthyNodes}/${view.totalNodes} up`, allUp ? undefined : theme.warn],
    ],
    theme.proseWidth,
  );
}

/** Nothing where the cluster as such has none by design. */
function clusterLeader(
  view: ClusterView,
  theme: Theme,
): readonly (readonly [text: string, style?: Style | undefined])[] {
  if (view.leaderless === true) return [];
  const name = view.leader === null ? "none" : safeText(view.leader);
  const title = isLeaderless(view) ? "cluster leader" : "leader";
  return [[`${title} ${name}`, view.leader === null ? theme.bad : undefined]];
}

function items(
  words: readonly (readonly [text: string, style?: Style | undefined])[],
  width: number,
): string {
  const lines: string[] = [];
  let line = "";
  let used = 0;
  for (const [text, style] of words) {
    const styled = style?.(text) ?? text;
    const needed = displayWidth(text) + (line === "" ? 0 : 2);
    if (line !== "" && used + needed > width) {
      lines.push(line);
      [line, used] = [`  ${styled}`, displayWidth(text) + 2];
    } else {
      line += line === "" ? styled : `  ${styled}`;
      used += needed;
    }
  }
  return [...lines, line].join("\n");
}

function reasonLines(reason: Reason, view: ClusterView, theme: Theme): string {
  const style = healthStyle(theme, view.health);
  const symbol = `${healthSymbol(theme, view.health)} `;
  const message = hang(symbol, safeText(reason.message), theme.proseWidth);
  const hint = hang("  ", safeText(reason.hint), theme.proseWidth);
  return `${style(message.slice(0, symbol.length))}${message.slice(symbol.length)}\n${theme.dim(hint)}`;
}

const STATE_ORDER: readonly ShardState[] = ["ok", "moving", "under-replicated", "leaderless", "down"];
const SHARD_WORDS: Readonly<Record<ShardState, string>> = {
  ok: "ok",
  moving: "moving",
  "under-replicated": "under-replicated",
  leaderless: "without a leader",
  down: "down",
};

/** A leaderless shard is down when fewer copies answer than R or W. */
function shardWord(state: ShardState, view: ClusterView): string {
  return state === "down" && isLeaderless(view) ? "below R or W" : SHARD_WORDS[state];
}

function totals(view: ClusterView, theme: Theme): string {
  const states = STATE_ORDER.map((state) => ({
    state,
    count: view.shards.filter((shard) => shard.state === state).length,
  })).filter(({ count }) => count > 0);
  const shards = [
    `${number(theme, view.totalShards)} by ${view.sharding}`,
    `${view.copies} ${view.copies === 1 ? "copy" : "copies"} each`,
    ...protocolWords(view),
    ...states.map(({ state, count }) => `${number(theme, count)} ${shardWord(state, view)}`),
  ];
  return [
    listed("shards       ", shards, theme),
    ...(view.protocol === "paxos" ? [listed("proposers    ", proposers(view), theme)] : []),
    listed("replication  ", replicationCounts(view, theme), theme),
    ...(view.operation === undefined ? [] : [operationLine(view.operation, theme)]),
  ].join("\n");
}

/** What the cluster carries out, how far it is, and why it waits. */
function operationLine(operation: OperationSummary, theme: Theme): string {
  const { name, state, why, steps, done, failed, running } = operation;
  const parts = [`${done} of ${steps} steps done`, ...(failed > 0 ? [`${failed} failed`] : [])];
  const [current] = running;
  const what = why === null ? current : why;
  const words = `${name}, ${state}: ${[...parts, ...(what === undefined ? [] : [what])].join(", ")}`;
  const line = hang("operation    ", safeText(words), theme.proseWidth);
  return state === "paused" ? theme.warn(line) : line;
}

/** Parts behind a title, broken between them and never within one. */
function listed(title: string, parts: readonly string[], theme: Theme): string {
  const [first = "", ...rest] = parts;
  const lines = [first];
  for (const part of rest) {
    const line = lines.at(-1) ?? "";
    // The comma that ends a line needs room, too.
    if (displayWidth(title) + displayWidth(line) + displayWidth(part) + 3 > theme.proseWidth) {
      lines[lines.length - 1] = `${line},`;
      lines.push(part);
    } else {
      lines[lines.length - 1] = `${line}, ${part}`;
    }
  }
  return title + lines.join(`\n${" ".repeat(displayWidth(title))}`);
}

/** `raft`; `quorum, R 2 W 2, leaderless by design`. */
function protocolWords({ protocol, levels }: ClusterView): string[] {
  if (levels === undefined) return [protocol];
  return [protocol, `R ${levels.read} W ${levels.write}`, "leaderless by design"];
}

function replicationCounts(view: ClusterView, theme: Theme): string[] {
  const lag = lagText(view);
  if (isLeaderless(view)) return [...copyCounts(view.replication, theme), lag];
  return [...replicatedCounts(view.replication, theme), lag];
}

/** Who proposes how many shards, and in which rounds: `node-1 6 (rounds 2-3), node-2 10 (round 2)`. */
function proposers({ nodes, shards }: ClusterView): string[] {
  const found = nodes.flatMap(({ id }) => {
    const rounds = shards.flatMap(({ leader, term, ballot }) =>
      leader === id ? [ballot?.round ?? term] : [],
    );
    if (rounds.length === 0) return [];
    const [low, high] = [Math.min(...rounds), Math.max(...rounds)];
    return [`${safeText(id)} ${rounds.length} (${low === high ? `round ${low}` : `rounds ${low}-${high}`})`];
  });
  return found.length === 0 ? ["none"] : found;
}

/** What each node claims where claims differ. */
function disagreements(view: ClusterView, theme: Theme): string[] {
  const claims = view.disagreements.flatMap(({ group, claims }) =>
    claims.map((claim) => ({ group, ...claim })),
  );
  if (claims.length === 0) return [];
  const columns: Column<(typeof claims)[number]>[] = [
    { title: "DISPUTED", text: ({ group }) => (group === "meta" ? "cluster leader" : `shard ${group}`) },
    { title: "NODE", text: ({ node }) => node },
    { title: "SAYS", text: ({ leader }) => leader ?? "no leader" },
    { title: "TERM", text: ({ term }) => String(term), align: "right" },
  ];
  return [renderTable(theme, columns, claims, { fit: false })];
}
