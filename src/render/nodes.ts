// Nodes as a table, and what `up` and `down` did with each. A node that does not answer is a row like any
// other, and says why below the table.

import { groupName, type NodeId } from "../model/ids.ts";
import { formatBytes, formatDuration } from "../model/units.ts";
import type { ClusterView, NodeView } from "../model/view.ts";
import { safeText } from "./safe.ts";
import { type Column, renderTable } from "./table.ts";
import { hang } from "./text.ts";
import type { Theme } from "./theme.ts";
import { countsKeys, isLeaderless, known, number, stateStyle, stateText } from "./words.ts";

type NodesShown = Pick<ClusterView, "nodes" | "protocol">;

interface NodesOptions {
  readonly wide?: boolean;
}

/** The table of all nodes; below it, why some are not up. */
export function renderNodes(view: NodesShown, theme: Theme, options: NodesOptions = {}): string {
  const table = nodesTable(view, theme, options);
  const troubles = view.nodes.flatMap((node) => troubleOf(node, theme));
  return troubles.length === 0 ? `${table}\n` : `${table}\n\n${troubles.join("\n")}\n`;
}

/** Only the table, without a final line end; `wide` has every column and is never cut. */
export function nodesTable(view: NodesShown, theme: Theme, { wide = false }: NodesOptions): string {
  const columns: Column<NodeView>[] = [
    { title: "NODE", text: (node) => node.id, widthMin: 12 },
    {
      title: "STATE",
      text: (node) => stateText(theme, node.state),
      style: (node) => stateStyle(theme, node.state),
    },
    { title: "ROLE", text: (node) => node.role },
    { title: "ZONE", text: (node) => node.zone, dropRank: 2, widthMin: 6 },
    { title: "ADDRESS", text: (node) => node.address, dropRank: 3 },
    ...(isLeaderless(view)
      ? []
      : [
          {
            title: view.protocol === "paxos" ? "PROPOSES" : "LEADS",
            text: (node: NodeView) => number(theme, node.leads),
            align: "right" as const,
          },
        ]),
    { title: "REPLICAS", text: (node) => number(theme, node.replicas), align: "right" },
    countsKeys(view.nodes)
      ? { title: "KEYS", text: (node) => number(theme, node.keys ?? null), align: "right", dropRank: 1 }
      : { title: "MEMORIES", text: (node) => number(theme, node.memories), align: "right", dropRank: 1 },
  ];
  if (wide) {
    columns.push(
      { title: "SIZE", text: (node) => known(node.bytes, formatBytes), align: "right" },
      { title: "HEARTBEAT", text: (node) => known(node.lastHeartbeatMs, formatDuration), align: "right" },
      { title: "UPTIME", text: (node) => known(node.uptimeMs, formatDuration), align: "right" },
      { title: "PID", text: (node) => known(node.pid, String), align: "right" },
      { title: "VERSION", text: (node) => known(node.version, String) },
    );
  }
  return renderTable(theme, columns, view.nodes, { fit: !wide });
}

function troubleOf(node: NodeView, theme: Theme): string[] {
  const heard =
    node.lastHeartbeatMs === null
      ? "never heard of"
      : `last heard of ${formatDuration(node.lastHeartbeatMs)} ago`;
  const lines: string[] = [];
  if (node.state === "down" || node.state === "suspect") lines.push(`${node.error ?? "no answer"}; ${heard}`);
  if (node.state === "up" && node.error !== undefined) lines.push(node.error);
  if (node.cutOffFrom !== undefined) lines.push(`no connection from ${node.cutOffFrom.join(", ")}`);
  for (const { group, why } of node.damaged ?? []) lines.push(`${groupName(group)} is damaged: ${why}`);
  if (node.writeRefusal !== undefined) lines.push(`refuses writes: ${node.writeRefusal}`);
  if (node.refusal !== undefined) lines.push(`refused by ${node.refusal.by.join(", ")}: ${node.refusal.why}`);
  return lines.map((line) => hang(`${safeText(node.id)}: `, safeText(line), theme.proseWidth));
}

/** What was done with one node; the engine's NodeAction. */
export interface NodeOutcome {
  readonly node: NodeId;
  readonly outcome:
    | "spawned"
    | "already-running"
    | "connected"
    | "stopped"
    | "was-not-running"
    | "not-managed";
  readonly pid: number | null;
}

const OUTCOMES: Readonly<Record<NodeOutcome["outcome"], string>> = {
  spawned: "started",
  "already-running": "was already running",
  connected: "connected; not managed from here",
  stopped: "stopped",
  "was-not-running": "was not running",
  "not-managed": "not managed from here, left as it is",
};

/** One line for each node: `node-1  started, pid 4711`. */
export function renderActions(actions: readonly NodeOutcome[], theme: Theme): string {
  const width = Math.max(0, ...actions.map(({ node }) => safeText(node).length));
  return actions
    .map(({ node, outcome, pid }) => {
      const word = outcome === "spawned" || outcome === "stopped" ? theme.good : theme.dim;
      return `${safeText(node).padEnd(width)}  ${word(OUTCOMES[outcome])}${pid === null ? "" : `, pid ${pid}`}\n`;
    })
    .join("");
}
