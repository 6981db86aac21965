// The shard map: made from a manifest, asked for the shard of a key, and checked. A map is never changed;
// what changes it (topology/membership.ts) returns a new one with a higher epoch.

import { Mem0ctlError } from "../model/errors.ts";
import type { ShardId, ShardingStrategy } from "../model/ids.ts";
import type { Manifest } from "../model/manifest.ts";
import { slotsText } from "../model/shard-map.ts";
import type { ShardMap, ShardSlice, SlotRange } from "../model/shard-map.ts";
import { placeMetaVoters, placeReplicas } from "./placement.ts";
import { SLOTS, slotOf } from "./slots.ts";

const ENCODER = new TextEncoder();

/**
 * The map of a new cluster: epoch 1, the same on every node that has the same manifest. Throws
 * `too-few-nodes` when there are fewer data nodes than copies.
 */
export function initialShardMap(
  manifest: Pick<Manifest, "nodes" | "replication" | "sharding"> & Partial<Pick<Manifest, "consensus">>,
): ShardMap {
  const { nodes, replication, sharding } = manifest;
  // An arbiter breaks a tie between votes, and the quorum protocol has none: copies count.
  const hasVotes = manifest.consensus?.protocol !== "quorum";
  const placements = placeReplicas({ nodes, shards: sharding.shards, copies: replication.replicas + 1 });
  const shards = placements.map((placement, index): ShardSlice => {
    const range = sharding.strategy === "range";
    return {
      id: String(index),
      slots: range ? [] : [evenSlots(index, sharding.shards)],
      start: range && index > 0 ? (sharding.ranges[index - 1] ?? "") : "",
      end: range ? (sharding.ranges[index] ?? null) : null,
      replicas: placement.replicas,
      arbiters: hasVotes ? placement.arbiters : [],
    };
  });
  return {
    epoch: 1,
    strategy: sharding.strategy,
    key: sharding.key,
    directory: sharding.strategy === "directory" ? sharding.directory : {},
    shards,
    nodes: nodes.map(({ id, address, role, zone, weight }) => ({
      id,
      address,
      role,
      zone,
      weight,
      draining: false,
    })),
    metaVoters: placeMetaVoters(nodes),
  };
}

function evenSlots(index: number, shards: number): SlotRange {
  return {
    from: Math.floor((index * SLOTS) / shards),
    to: Math.floor(((index + 1) * SLOTS) / shards) - 1,
  };
}

/**
 * The shard that a key belongs to: the one that it is pinned to, else the one whose slots or keys hold
 * it. Throws `no-shard-for-key` (failed) only on a map that `checkShardMap` refuses.
 */
export function shardOfKey(map: ShardMap, key: string): ShardSlice {
  const pinned = Object.hasOwn(map.directory, key) ? map.directory[key] : undefined;
  const found = pinned === undefined ? sliceOfKey(map, key) : map.shards.find((shard) => shard.id === pinned);
  if (found !== undefined) return found;
  throw new Mem0ctlError("failed", "no-shard-for-key", "the shard map has no shard for this key", {
    why: "its slices leave a gap",
    hint: "this is a defect of the map, not of the key; see what has which part with `mem0ctl shards list`",
    data: { epoch: map.epoch },
  });
}

function sliceOfKey(map: ShardMap, key: string): ShardSlice | undefined {
  if (map.strategy === "range") {
    const ordered = rangesOf(map);
    const index = lastAtOrBefore(ordered, (shard) => keyCompare(shard.start, key));
    const shard = ordered[index];
    return shard === undefined || (shard.end !== null && keyCompare(key, shard.end) >= 0) ? undefined : shard;
  }
  const slot = slotOf(key);
  const ordered = slotsOf(map);
  const range = ordered[lastAtOrBefore(ordered, (candidate) => candidate.from - slot)];
  return range === undefined || slot > range.to ? undefined : range.shard;
}

/** Index of the last item whose `compare` is <= 0, -1 when none is; `compare` must rise. */
function lastAtOrBefore<Item>(items: readonly Item[], compare: (item: Item) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const item = items[middle];
    if (item !== undefined && compare(item) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// A map is immutable, so what is derived from it is kept beside it: routing asks for every request.
const slotIndexes = new WeakMap<ShardMap, readonly (SlotRange & { readonly shard: ShardSlice })[]>();
const rangeIndexes = new WeakMap<ShardMap, readonly ShardSlice[]>();

function slotsOf(map: ShardMap): readonly (SlotRange & { readonly shard: ShardSlice })[] {
  const known = slotIndexes.get(map);
  if (known !== undefined) return known;
  const ordered = map.shards
    .flatMap((shard) => shard.slots.map(({ from, to }) => ({ from, to, shard })))
    .sort((a, b) => a.from - b.from);
  slotIndexes.set(map, ordered);
  return ordered;
}

function rangesOf(map: ShardMap): readonly ShardSlice[] {
  const known = rangeIndexes.get(map);
  if (known !== undefined) return known;
  // One that has no keys yet lies where they will be: between its neighbours, and in nobody's way.
  const ordered = map.shards
    .filter((shard) => !isEmptyRange(shard))
    .sort((a, b) => keyCompare(a.start, b.start));
  rangeIndexes.set(map, ordered);
  return ordered;
}

function isEmptyRange({ start, end }: ShardSlice): boolean {
  return end !== null && start === end;
}

const idIndexes = new WeakMap<ShardMap["shards"], ReadonlyMap<ShardId, ShardSlice>>();

/** Every node asks this of all its shards several times a second: a map is gone through once. */
export function shardById({ shards }: ShardMap, id: ShardId): ShardSlice | undefined {
  let index = idIndexes.get(shards);
  if (index === undefined) {
    index = new Map(shards.map((shard) => [shard.id, shard]));
    idIndexes.set(shards, index);
  }
  return index.get(id);
}

/** What a shard owns, for people: `slots 0-1023`, `keys [g, n)`, `keys before g`, `keys from n`, `all keys`. */
export function sliceLabel(slice: ShardSlice, strategy: ShardingStrategy): string {
  if (strategy === "range") {
    if (isEmptyRange(slice)) return "no keys";
    if (slice.end === null) return slice.start === "" ? "all keys" : `keys from ${slice.start}`;
    return slice.start === "" ? `keys before ${slice.end}` : `keys [${slice.start}, ${slice.end})`;
  }
  if (slice.slots.length === 0) return "no slots";
  const ranges = slotsText(slice.slots);
  return `${/^\d+$/.test(ranges) ? "slot" : "slots"} ${ranges}`;
}

/** Compares keys by their UTF-8 bytes: negative, 0 or positive. A lone surrogate counts as U+FFFD. */
export function keyCompare(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index += 1) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    // Only from U+D800 on does the order of UTF-16 units differ from that of UTF-8 bytes.
    return left < 0xd800 && right < 0xd800
      ? left - right
      : bytesCompare(ENCODER.encode(a), ENCODER.encode(b));
  }
  return a.length - b.length;
}

function bytesCompare(a: Uint8Array, b: Uint8Array): number {
  const differs = a.findIndex((byte, index) => byte !== b[index]);
  return differs < 0 ? a.length - b.length : (a[differs] ?? 0) - (b[differs] ?? -1);
}

/** Every rule of a shard map that does not hold, as sentences; empty for a sound map. */
export function checkShardMap(map: ShardMap): string[] {
  return [...checkGroups(map), ...(map.strategy === "range" ? checkRanges(map) : checkSlots(map))];
}

function checkGroups(map: ShardMap): string[] {
  const problems: string[] = [];
  const roles = new Map(map.nodes.map((node) => [node.id, node.role]));
  const ids = new Set(map.shards.map((shard) => shard.id));
  if (!Number.isSafeInteger(map.epoch) || map.epoch < 1) problems.push(`epoch ${map.epoch} is not 1 or more`);
  if (map.shards.length === 0) problems.push("there is no shard");
  if (ids.size !== map.shards.length) problems.push("two shards share an id");
  if (roles.size !== map.nodes.length) problems.push("two nodes share an id");
  for (const shard of map.shards) {
    const members = [...shard.replicas, ...shard.arbiters];
    if (shard.founders !== undefined && members.toSorted().join() !== shard.founders.join())
      problems.push(`shard ${shard.id} is being made by others than ${shard.founders.join(", ")}`);
    if (shard.replicas.length === 0) problems.push(`shard ${shard.id} has no replica`);
    if (new Set(members).size !== members.length) problems.push(`shard ${shard.id} has a node twice`);
    for (const id of [...members, ...(shard.outgoing?.replicas ?? [])].filter(
      (member) => !roles.has(member),
    )) {
      problems.push(`shard ${shard.id} is on ${id}, which is not a node`);
    }
    for (const id of shard.replicas.filter((member) => roles.get(member) === "arbiter")) {
      problems.push(`shard ${shard.id} has data on the arbiter ${id}`);
    }
    for (const id of shard.arbiters.filter(
      (member) => roles.has(member) && roles.get(member) !== "arbiter",
    )) {
      problems.push(`shard ${shard.id} has ${id} as an arbiter, which is not one`);
    }
  }
  const { handover } = map;
  // Copies of a leaderless shard that was merged away are still read.
  const isGone = handover?.isWhole === true && handover.phase === "dropping";
  for (const id of handover === undefined ? [] : [...(isGone ? [] : [handover.from]), handover.to]) {
    if (!ids.has(id)) problems.push(`keys are handed over by shard ${id}, which is not there`);
  }
  for (const [key, shard] of Object.entries(map.directory)) {
    if (!ids.has(shard))
      problems.push(`the key ${JSON.stringify(key)} is pinned to shard ${shard}, which is not there`);
  }
  if (map.metaVoters.length === 0) problems.push("the metadata group has no voter");
  if (new Set(map.metaVoters).size !== map.metaVoters.length)
    problems.push("a metadata voter is listed twice");
  for (const id of map.metaVoters.filter((voter) => !roles.has(voter))) {
    problems.push(`the metadata voter ${id} is not a node`);
  }
  return problems;
}

function checkSlots(map: ShardMap): string[] {
  const problems: string[] = [];
  let next = 0;
  for (const { from, to, shard } of slotsOf(map)) {
    if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to >= SLOTS || from > to) {
      problems.push(`shard ${shard.id} has the slots ${from}-${to}, which is no range of 0-${SLOTS - 1}`);
    }
    if (from > next) problems.push(`slots ${next}-${from - 1} belong to no shard`);
    if (from < next)
      problems.push(`slots ${from}-${Math.min(next - 1, to)} belong to shard ${shard.id} and another`);
    next = Math.max(next, to + 1);
  }
  if (next < SLOTS) problems.push(`slots ${next}-${SLOTS - 1} belong to no shard`);
  return problems;
}

function checkRanges(map: ShardMap): string[] {
  const problems: string[] = [];
  const show = (key: string): string => JSON.stringify(key);
  let end: string | null = "";
  for (const shard of rangesOf(map)) {
    if (end === null)
      problems.push(`shard ${shard.id} begins at ${show(shard.start)}, which belongs to another`);
    else if (keyCompare(shard.start, end) > 0) {
      problems.push(`keys from ${show(end)} to ${show(shard.start)} belong to no shard`);
    } else if (keyCompare(shard.start, end) < 0) {
      problems.push(`keys from ${show(shard.start)} to ${show(end)} belong to shard ${shard.id} and another`);
    }
    if (shard.end !== null && keyCompare(shard.start, shard.end) >= 0) {
      problems.push(`shard ${shard.id} ends at ${show(shard.end)}, not after its start`);
    }
    if (end !== null) end = shard.end === null || keyCompare(shard.end, end) > 0 ? shard.end : end;
  }
  if (end !== null) problems.push(`keys from ${show(end)} belong to no shard`);
  return problems;
}
