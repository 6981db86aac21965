// Where a key lives.

import type { NodeId, ShardId } from "../model/ids.ts";
import { renderFields } from "./table.ts";
import type { Theme } from "./theme.ts";

/** The operations' KeyLocation. */
export interface Location {
  readonly key: string;
  readonly slot: number | null;
  readonly shard: ShardId;
  readonly range: string;
  readonly pinned: boolean;
  readonly leader: NodeId | null;
  readonly term: number | null;
  readonly replicas: readonly NodeId[];
  readonly arbiters: readonly NodeId[];
  readonly epoch: number;
  readonly live: boolean;
}

/** Key, slot, shard, leader and replicas, one a line. */
export function renderLocation(location: Location, theme: Theme): string {
  const { key, slot, shard, range, pinned, leader, term, replicas, arbiters, epoch, live } = location;
  const leading = leader === null ? "none known" : `${leader}${term === null ? "" : `, term ${term}`}`;
  const fields: (readonly [string, string])[] = [
    ["key", key],
    ...(slot === null ? [] : [["slot", String(slot)] as const]),
    ["shard", `${shard} (${range})${pinned ? ", pinned by the directory" : ""}`],
    ["leader", live ? leading : "unknown: no node answered"],
    ["replicas", replicas.join(", ")],
    ...(arbiters.length === 0 ? [] : [["arbiter", arbiters.join(", ")] as const]),
    ["map", live ? `epoch ${epoch}` : "of a new cluster, from the manifest"],
  ];
  return `${renderFields(theme, fields)}\n`;
}
