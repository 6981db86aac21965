// What a node asks of the map for each of its shards, several times a second, costs no more where there are many others.

import { expect, it } from "vitest";
import { leaderRank, wantedMembership } from "../../../src/node/cluster/reconcile.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";

it("a look at every shard goes through the map a few times, and not once for each shard", () => {
  const map = initialShardMap(manifestOf({ nodes: 3, shards: 1000, copies: 3 }));
  let reads = 0;
  const shards = map.shards.map((shard) => ({
    ...shard,
    get id() {
      reads += 1;
      return shard.id;
    },
  }));
  const watched = { ...map, shards };
  for (const { id } of map.shards) {
    expect(leaderRank(watched, id, "node-1")).toBeLessThan(3);
    expect(wantedMembership(watched, id)?.voters).toHaveLength(3);
  }
  expect(reads).toBeLessThanOrEqual(10 * shards.length);
});
