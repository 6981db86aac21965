// The slot map of a cluster in the form that keys are located by.

import type { Manifest } from "../../model/manifest.ts";
import type { MapNode, ShardMap } from "../../model/shard-map.ts";
import { placeOwnShards } from "../../topology/own-shard-placement.ts";
import type { RedisTopology } from "./topology.ts";

export function mapOf(manifest: Manifest, { groups, members, epoch }: RedisTopology): ShardMap {
  return {
    epoch,
    strategy: "hash",
    key: manifest.sharding.key,
    directory: {},
    shards: groups.map(({ id, slots, primary, replicas }) => ({
      id,
      slots,
      start: "",
      end: null,
      replicas: [primary, ...replicas].map((member) => member.id),
      arbiters: [],
    })),
    nodes: members.filter(({ redisId }) => redisId !== undefined).map(mapNode),
    metaVoters: [],
  };
}

/** What `up` would make of the manifest. */
export function initialMap(manifest: Manifest): ShardMap {
  const { nodes, sharding } = manifest;
  return {
    epoch: 0,
    strategy: "hash",
    key: sharding.key,
    directory: {},
    shards: placeOwnShards(nodes, sharding.shards).map(({ replicas, slots }, index) => ({
      id: String(index),
      slots: [slots],
      start: "",
      end: null,
      replicas,
      arbiters: [],
    })),
    nodes: nodes.map(mapNode),
    metaVoters: [],
  };
}

function mapNode({
  id,
  address,
  role,
  zone,
  weight,
  draining = false,
}: Omit<MapNode, "draining"> & { readonly draining?: boolean }): MapNode {
  return { id, address, role, zone, weight, draining };
}
