// What is left in the state store of copies that this node was to give up, when a crash came before it was cleaned.

import { META_GROUP, type NodeId, type ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { decodeKey, encodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import { StoreCorruptError, type Store } from "../storage/store.ts";
import { unpack } from "../transport/frames.ts";
import { COPY, type CopyRecord } from "./records.ts";

/** Where everything of a copy lies. */
export function rangeOfCopy(shard: ShardId): { readonly start: Key; readonly end: Key } {
  const all = encodeKey("state", shard);
  return { start: all, end: prefixEnd(all) };
}

/**
 * Shards of which something is kept here, and no copy belongs here by a map that is no older than what is kept. A map
 * from disk may be: then a copy that was filled since is no remains.
 */
export function forgottenCopies(store: Store, map: ShardMap, self: NodeId): readonly ShardId[] {
  const forgotten: ShardId[] = [];
  const { start: states, end } = { start: encodeKey("state"), end: prefixEnd(encodeKey("state")) };
  let next: Key | undefined = states;
  while (next !== undefined) {
    const [key]: Iterable<Buffer> = store.keys({ start: next, end });
    if (key === undefined) break;
    const id = String(decodeKey(key, states.length)[0]);
    next = rangeOfCopy(id).end;
    const slice = map.shards.find((shard) => shard.id === id);
    const belongs =
      slice?.replicas.includes(self) === true || slice?.outgoing?.replicas.includes(self) === true;
    if (id !== META_GROUP && !belongs && isOlder(store, id, map.epoch)) forgotten.push(id);
  }
  return forgotten;
}

/** Whether what is kept of a copy is older than the map; what cannot be read is left to people. */
function isOlder(store: Store, shard: ShardId, epoch: number): boolean {
  try {
    const bytes = store.get(extendKey(encodeKey("state", shard, 1), COPY));
    if (bytes === undefined) return true;
    const { state, filledFor } = unpack(bytes) as CopyRecord;
    return state === "serving" && filledFor <= epoch;
  } catch (error) {
    if (!(error instanceof StoreCorruptError)) throw error;
    return false;
  }
}
