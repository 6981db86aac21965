// Where a key lives: its slot, its shard, and who leads and holds that shard. The arithmetic is the same
// one that the nodes route by, so the answer is right offline too; only who leads needs a live cluster.

import type { CallOptions, Engine } from "../engines/engine.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { Ballot } from "../model/view.ts";
import { shardOfKey, sliceLabel } from "../topology/shard-map.ts";
import { slotOf } from "../topology/slots.ts";

export interface KeyLocation {
  readonly key: string;
  /** null with range sharding, which has no slots. */
  readonly slot: number | null;
  readonly shard: ShardId;
  /** `slots 0-1023`, `keys [g, n)`. */
  readonly range: string;
  /** A directory entry put the key there, not its hash. */
  readonly pinned: boolean;
  /** null when no live leader is known. */
  readonly leader: NodeId | null;
  /** null when the cluster did not answer. */
  readonly term: number | null;
  /** Paxos: the highest ballot that was promised. */
  readonly ballot?: Ballot;
  /** Quorum protocol: there is no leader by design. */
  readonly leaderless?: true;
  /** Data replicas, preferred leader first. */
  readonly replicas: readonly NodeId[];
  readonly arbiters: readonly NodeId[];
  readonly epoch: number;
  /** false: nothing answered, and this is the manifest's initial map. */
  readonly live: boolean;
}

export async function locateKey(engine: Engine, key: string, options: CallOptions): Promise<KeyLocation> {
  const [{ map, live }, view] = await Promise.all([engine.shardMap(options), engine.view(options)]);
  const slice = shardOfKey(map, key);
  const shard = live ? view.shards.find((candidate) => candidate.id === slice.id) : undefined;
  return {
    key,
    slot: map.strategy === "range" ? null : slotOf(key),
    shard: slice.id,
    range: sliceLabel(slice, map.strategy),
    pinned: map.strategy === "directory" && Object.hasOwn(map.directory, key),
    leader: shard?.leader ?? null,
    term: shard?.term ?? null,
    ...(shard?.ballot === undefined ? {} : { ballot: shard.ballot }),
    ...(view.protocol === "quorum" ? { leaderless: true } : {}),
    replicas: slice.replicas,
    arbiters: slice.arbiters,
    epoch: map.epoch,
    live,
  };
}
