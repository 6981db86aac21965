// The words, glyphs and styles that several pictures share: health, states, numbers, what is unknown.

import type { Ballot, ClusterView, Health, NodeState, ReplicaState, ShardState } from "../model/view.ts";
import { formatBytes, formatDuration } from "../model/units.ts";
import type { Style, Theme } from "./theme.ts";

export const UNKNOWN = "-";

type Tone = "good" | "warn" | "bad";

const HEALTH_TONE: Readonly<Record<Health, Tone>> = { healthy: "good", degraded: "warn", unavailable: "bad" };

const STATE_TONE: Readonly<Record<NodeState | ShardState | ReplicaState, Tone>> = {
  up: "good",
  suspect: "warn",
  draining: "warn",
  ok: "good",
  "under-replicated": "warn",
  moving: "warn",
  leaderless: "bad",
  replicating: "good",
  probing: "warn",
  snapshot: "warn",
  down: "bad",
};

export function healthStyle(theme: Theme, health: Health): Style {
  return theme[HEALTH_TONE[health]];
}

export function healthSymbol(theme: Theme, health: Health): string {
  return theme.symbols[HEALTH_TONE[health]];
}

/** A state as a table shows it: with its glyph on a terminal, the bare word on a pipe. */
export function stateText(theme: Theme, state: keyof typeof STATE_TONE): string {
  return theme.terminal ? `${theme.symbols[STATE_TONE[state]]} ${state}` : state;
}

export function stateStyle(theme: Theme, state: keyof typeof STATE_TONE): Style {
  return theme[STATE_TONE[state]];
}

/** `4,120` on a terminal, `4120` for scripts, `-` when unknown. */
export function number(theme: Theme, value: number | null): string {
  if (value === null) return UNKNOWN;
  return theme.terminal ? String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",") : String(value);
}

/** `1 key`, `1,204 keys`. */
export function amount(theme: Theme, count: number, one: string, many: string): string {
  return `${number(theme, count)} ${count === 1 ? one : many}`;
}

/** What leaderless copies lack: `6 hints pending, 0 keys diverge, 16 copies down`. */
export function copyCounts(
  { hints = 0, divergentKeys = 0, failed }: ClusterView["replication"],
  theme: Theme,
): string[] {
  return [
    amount(theme, hints, "hint pending", "hints pending"),
    amount(theme, divergentKeys, "key diverges", "keys diverge"),
    amount(theme, failed, "copy down", "copies down"),
  ];
}

/** `4,120 entries replicated, 0 pending, 0 failed`; in bytes where the engine counts those. */
export function replicatedCounts(
  { unit, totalReplicated, pending, failed }: ClusterView["replication"],
  theme: Theme,
): string[] {
  return unit === "bytes"
    ? [
        `${formatBytes(totalReplicated)} replicated`,
        `${formatBytes(pending)} pending`,
        `${number(theme, failed)} failed`,
      ]
    : [
        `${number(theme, totalReplicated)} entries replicated`,
        `${number(theme, pending)} pending`,
        `${number(theme, failed)} failed`,
      ];
}

/** `lag 1.2 s`, the largest that is known; nobody who knows none is said to be close. */
export function lagText({ shards, replication }: Pick<ClusterView, "shards" | "replication">): string {
  const unknown = replication.lagMs === 0 && unknownLags(shards) > 0;
  return unknown ? "lag unknown" : `lag ${formatDuration(replication.lagMs)}`;
}

/** Replicas of which nobody knows how far behind they are, as in shards without a leader. */
export function unknownLags(shards: ClusterView["shards"]): number {
  return shards.flatMap(({ replicas }) => replicas.filter(({ lagMs }) => lagMs === null)).length;
}

/** Whether what is counted is keys: an engine that does not know which of them are memories. */
export function countsKeys(items: readonly { readonly keys?: number | null }[]): boolean {
  return items.some(({ keys }) => keys !== undefined);
}

/** `3:node-1`: a ballot, its round first, by which ballots are compared. */
export function ballotText({ round, proposer }: Ballot): string {
  return proposer === "" ? String(round) : `${round}:${proposer}`;
}

/** Whether the shards are leaderless by design, so that nothing is said of leaders that are not there. */
export function isLeaderless({ protocol }: Pick<ClusterView, "protocol">): boolean {
  return protocol === "quorum";
}

/** What `format` makes of the value, `-` when it is unknown. */
export function known<Value>(value: Value | null, format: (value: Value) => string): string {
  return value === null ? UNKNOWN : format(value);
}
