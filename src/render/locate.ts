// Where a key lives.

import type { NodeId, ShardId } from "../model/ids.ts";
import type { Ballot } from "../model/view.ts";
import { renderFields } from "./table.ts";
import type { Theme } from "./theme.ts";
import { ballotText } from "./words.ts";

/** The operations' KeyLocation. */
export interface Location {
  readonly key: string;
  readonly slot: number | null;
  readonly shard: ShardId;
  readonly range: string;
  readonly pinned: boolean;
  readonly leader: NodeId | null;
  readonly term: number | null;
  readonly ballot?: Ballot;
  readonly leaderless?: true;
  readonly replicas: readonly NodeId[];
  readonly arbiters: readonly NodeId[];
  readonly epoch: number;
  readonly live: boolean;
}

function leading({ leader, term, ballot, leaderless, live }: Location): readonly [string, string] {
  if (leaderless === true) return ["leader", "none: leaderless by design, any node coordinates"];
  const title = ballot === undefined ? "leader" : "proposer";
  if (!live) return [title, "unknown: no node answered"];
  if (leader === null) return [title, "none known"];
  if (ballot !== undefined) return [title, `${leader}, ballot ${ballotText(ballot)}`];
  return [title, `${leader}${term === null ? "" : `, term ${term}`}`];
}

/** Key, slot, shard, leader and replicas, one a line. */
export function renderLocation(location: Location, theme: Theme): string {
  const { key, slot, shard, range, pinned, replicas, arbiters, epoch, live } = location;
  const fields: (readonly [string, string])[] = [
    ["key", key],
    ...(slot === null ? [] : [["slot", String(slot)] as const]),
    ["shard", `${shard} (${range})${pinned ? ", pinned by the directory" : ""}`],
    leading(location),
    ["replicas", replicas.join(", ")],
    ...(arbiters.length === 0 ? [] : [["arbiter", arbiters.join(", ")] as const]),
    ["map", live ? `epoch ${epoch}` : "of a new cluster, from the manifest"],
  ];
  return `${renderFields(theme, fields)}\n`;
}
