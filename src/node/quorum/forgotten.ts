// Which copies lie in the state store, and which of them are left from before: of shards that this node was to give up,
// or of earlier versions of a shard, when a crash came before they were cleaned away.

import { META_GROUP, type NodeId, type ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { shardById } from "../../topology/shard-map.ts";
import { decodeKey, encodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import { StoreCorruptError, type Store } from "../storage/store.ts";
import { unpack } from "../transport/frames.ts";
import { COPY, type CopyRecord } from "./records.ts";

/** A copy of the shard as it is between two handovers of keys. */
export interface CopyName {
  readonly shard: ShardId;
  readonly version: number;
}

/** Each version of a shard lies apart: the next one is made while this one serves. */
export function prefixOfCopy({ shard, version }: CopyName): Key {
  return encodeKey("state", shard, 1 + version);
}

/** Where everything of a copy lies. */
export function rangeOfCopy(name: CopyName): { readonly start: Key; readonly end: Key } {
  const all = prefixOfCopy(name);
  return { start: all, end: prefixEnd(all) };
}

/** Whether the copy was begun or has been made: without a record it is what is left of one, or not whole yet. */
export function hasRecord(store: Store, name: CopyName): boolean {
  try {
    return store.get(extendKey(prefixOfCopy(name), COPY)) !== undefined;
  } catch (error) {
    if (!(error instanceof StoreCorruptError)) throw error;
    return true;
  }
}

/** Whether anything is there of a copy, whole or not. */
export function liesOnDisk(store: Store, name: CopyName): boolean {
  const [key]: Iterable<Buffer> = store.keys(rangeOfCopy(name));
  return key !== undefined;
}

/** Whether there is a copy of a later version here: then the map is from before, and nothing older serves any more. */
export function hasLater(store: Store, { shard, version }: CopyName): boolean {
  for (const name of copiesOnDisk(store, encodeKey("state", shard))) {
    if (name.version > version && hasRecord(store, name)) return true;
  }
  return false;
}

function* copiesOnDisk(store: Store, under: Key = encodeKey("state")): Iterable<CopyName> {
  const states = encodeKey("state");
  const end = prefixEnd(under);
  let next: Key | undefined = under;
  while (next !== undefined) {
    const [key]: Iterable<Buffer> = store.keys({ start: next, end });
    if (key === undefined) return;
    const [shard, generation] = decodeKey(key, states.length);
    const name = { shard: String(shard), version: Number(generation) - 1 };
    next = rangeOfCopy(name).end;
    if (name.shard !== META_GROUP) yield name;
  }
}

/**
 * Copies that do not belong here by a map that is no older than they are. A map from disk may be: then a copy that was
 * filled, or made, since is no remains.
 */
export function forgottenCopies(
  store: Store,
  map: ShardMap,
  self: NodeId,
  isNeeded: (name: CopyName) => boolean,
): readonly CopyName[] {
  return [...copiesOnDisk(store)].filter((name) => {
    const slice = shardById(map, name.shard);
    const isMember =
      slice?.replicas.includes(self) === true || slice?.outgoing?.replicas.includes(self) === true;
    if (isNeeded(name)) return false;
    if (!isMember) return isOlder(store, name, map.epoch);
    const wanted = slice.version ?? 0;
    return name.version < wanted || (name.version > wanted && !hasRecord(store, name));
  });
}

/** Whether what is kept of a copy is older than the map; what cannot be read is left to people. */
function isOlder(store: Store, name: CopyName, epoch: number): boolean {
  try {
    const bytes = store.get(extendKey(prefixOfCopy(name), COPY));
    if (bytes === undefined) return true;
    const { state, filledFor } = unpack(bytes) as CopyRecord;
    return state === "serving" && filledFor <= epoch;
  } catch (error) {
    if (!(error instanceof StoreCorruptError)) throw error;
    return false;
  }
}
