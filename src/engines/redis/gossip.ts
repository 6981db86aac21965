// What a server says of its cluster, parsed: CLUSTER NODES and INFO, which are text made for people.
// Source: Redis' documentation of CLUSTER NODES, "Serialization format". Pure.

import type { SlotRange } from "../../model/shard-map.ts";
import { ProtocolError } from "./reply-values.ts";

/** One line of CLUSTER NODES: one node as another one, or itself, sees it. */
export interface GossipNode {
  /** 40 hex digits, for the life of the node's data directory. */
  readonly redisId: string;
  /** "" while nobody knows it. */
  readonly host: string;
  readonly port: number;
  /** Where the other nodes talk to it. */
  readonly busPort: number;
  readonly flags: ReadonlySet<string>;
  /** Whose replica it is. */
  readonly primary: string | null;
  /** Unix time in ms; 0 when there was none. */
  readonly pongReceivedMs: number;
  readonly epoch: number;
  readonly linkUp: boolean;
  /** Redis 7.2 and Valkey: the same for all nodes of a shard. */
  readonly shardId: string | undefined;
  readonly slots: readonly SlotRange[];
  /** Open slots; only a node itself tells its own. */
  readonly migrating: readonly OpenSlot[];
  readonly importing: readonly OpenSlot[];
}

export interface OpenSlot {
  readonly slot: number;
  /** The node at the other end. */
  readonly peer: string;
}

/** @throws ProtocolError. */
export function parseClusterNodes(text: string): GossipNode[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map(parseLine);
}

function parseLine(line: string): GossipNode {
  const [redisId, address, flags, primary, , pong, epoch, link, ...slots] = line.trim().split(" ");
  if (redisId === undefined || address === undefined || flags === undefined || link === undefined) {
    throw new ProtocolError("CLUSTER NODES has a line that cannot be read");
  }
  const [endpoint = "", ...rest] = address.split(",");
  const [place = "", busPort = ""] = endpoint.split("@");
  const colon = place.lastIndexOf(":");
  const shardId = rest.find((field) => field.startsWith("shard-id="))?.slice("shard-id=".length);
  const ranges: SlotRange[] = [];
  const migrating: OpenSlot[] = [];
  const importing: OpenSlot[] = [];
  for (const word of slots) {
    const open = /^\[(\d+)-([<>])-([0-9a-f]+)\]$/.exec(word);
    if (open !== null) {
      const list = open[2] === ">" ? migrating : importing;
      list.push({ slot: Number(open[1]), peer: open[3] ?? "" });
      continue;
    }
    const range = /^(\d+)(?:-(\d+))?$/.exec(word);
    if (range !== null) ranges.push({ from: Number(range[1]), to: Number(range[2] ?? range[1]) });
  }
  return {
    redisId,
    host: place.slice(0, Math.max(0, colon)),
    port: Number(place.slice(colon + 1)),
    busPort: Number(busPort),
    flags: new Set(flags.split(",")),
    primary: primary === undefined || primary === "-" ? null : primary,
    pongReceivedMs: Number(pong),
    epoch: Number(epoch),
    linkUp: link === "connected",
    shardId,
    slots: ranges,
    migrating,
    importing,
  };
}

/** `field:value` lines of INFO and CLUSTER INFO. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0 && !line.startsWith("#")) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** `ip=127.0.0.1,port=7004,state=online,offset=5040,lag=0`, and `keys=10,expires=0`. */
export function parseFields(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(",").map((field): [string, string] => {
      const equals = field.indexOf("=");
      return [field.slice(0, equals), field.slice(equals + 1)];
    }),
  );
}

/** A number of INFO; null where it is not there or none. */
export function infoNumber(info: ReadonlyMap<string, string>, name: string): number | null {
  const text = info.get(name);
  if (text === undefined || !/^-?\d+(\.\d+)?$/.test(text)) return null;
  return Number(text);
}
