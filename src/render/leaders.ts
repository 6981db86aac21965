// Who leads: the cluster, and how its shards are shared out among the nodes.

import type { GroupId, NodeId } from "../model/ids.ts";
import type { Ballot } from "../model/view.ts";
import { safeText } from "./safe.ts";
import { type Column, renderTable } from "./table.ts";
import { hang, runs } from "./text.ts";
import type { Theme } from "./theme.ts";
import { UNKNOWN } from "./words.ts";

/** The operations' LeadersView. */
export interface Leaders {
  readonly cluster: string;
  /** The metadata group, `meta`, and every shard. */
  readonly groups: readonly {
    readonly group: GroupId;
    readonly leader: NodeId | null;
    readonly term: number;
    readonly ballot?: Ballot;
    readonly leaderless?: true;
  }[];
  readonly nodes: readonly { readonly node: NodeId; readonly leads: number }[];
}

interface Row {
  readonly node: NodeId;
  readonly leads: number;
  readonly shards: string;
  readonly terms: string;
}

/**
 * The cluster leader, then for each node which shards it leads, and in which terms; with paxos it proposes,
 * in which rounds of ballots.
 */
export function renderLeaders({ cluster, groups, nodes }: Leaders, theme: Theme): string {
  const meta = groups.find(({ group }) => group === "meta");
  const shards = groups.filter(({ group, leaderless }) => group !== "meta" && leaderless !== true);
  const leaderless = groups.filter(({ group, leaderless: by }) => group !== "meta" && by === true).length;
  const led = meta?.leader ?? null;
  const byDesign = meta?.leaderless === true;
  const whoLeads = byDesign
    ? "its shards have leaders, the cluster has none by design"
    : led === null
      ? theme.bad("no cluster leader")
      : `cluster leader ${theme.bold(safeText(led))}`;
  const first = `${theme.bold(safeText(cluster))}  ${whoLeads}, term ${meta?.term ?? 0}`;
  if (leaderless > 0) {
    const why = `${leaderless} shards are leaderless by design: any node coordinates their reads and writes`;
    return `${first}\n\n${hang("", why, theme.proseWidth)}\n`;
  }
  const isPaxos = shards.some(({ ballot }) => ballot !== undefined);
  const rows = nodes.map(({ node, leads }): Row => {
    const own = shards.filter(({ leader }) => leader === node);
    const terms = own.map(({ term, ballot }) => ballot?.round ?? term);
    const [low, high] = [Math.min(...terms), Math.max(...terms)];
    return {
      node,
      leads,
      shards: own.length === 0 ? UNKNOWN : runs(own.map(({ group }) => group)),
      terms: own.length === 0 ? UNKNOWN : low === high ? `${low}` : `${low}-${high}`,
    };
  });
  const columns: Column<Row>[] = [
    { title: "NODE", text: (row) => row.node, widthMin: 12 },
    { title: isPaxos ? "PROPOSES" : "LEADS", text: (row) => String(row.leads), align: "right" },
    { title: isPaxos ? "ROUNDS" : "TERMS", text: (row) => row.terms, align: "right" },
    { title: "SHARDS", text: (row) => row.shards, widthMin: 20, linesMax: 8 },
  ];
  const orphans = shards.filter(({ leader }) => leader === null).map(({ group }) => group);
  const without =
    orphans.length === 0
      ? ""
      : `\n\n${theme.bad(hang("without a leader: ", runs(orphans), theme.proseWidth))}`;
  return `${first}\n\n${renderTable(theme, columns, rows)}${without}\n`;
}
