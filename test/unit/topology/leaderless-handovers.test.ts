// Which steps hand keys of leaderless shards over, whose copies have to be on the same nodes for that.

import { describe, expect, it } from "vitest";
import { stepWords } from "../../../src/model/operation.ts";
import type { HandoverStep } from "../../../src/model/plan.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { mapAfterStep } from "../../../src/topology/steps.ts";
import { leaderlessWaves } from "../../../src/topology/leaderless-handovers.ts";
import { withoutOutgoing } from "../../../src/topology/membership.ts";
import { checkShardMap, initialShardMap, shardOfKey } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "./manifest.ts";

const base = initialShardMap(manifestOf({ nodes: 5, shards: 3, copies: 3 }));

function mapOn(
  replicas: readonly (readonly string[])[],
  strategy: ShardMap["strategy"] = "directory",
): ShardMap {
  const shards = base.shards.map((shard, at) => ({ ...shard, replicas: replicas[at] ?? shard.replicas }));
  return { ...base, strategy, shards };
}

const apart = mapOn([
  ["node-1", "node-2", "node-3"],
  ["node-3", "node-4", "node-5"],
  ["node-2", "node-1", "node-3"],
]);
const key = ["a", "b", "c", "d", "e"].find((one) => shardOfKey(apart, one).id === "0") ?? "";

const words = (map: ShardMap, step: HandoverStep): readonly string[] =>
  leaderlessWaves(map, step).map((wave) => wave.map(stepWords).join(", "));

/** The map when all of it is done. */
function after(map: ShardMap, step: HandoverStep): ShardMap {
  let done = map;
  for (const one of leaderlessWaves(map, step).flat()) {
    const changed = mapAfterStep(done, one, true);
    done = withoutOutgoing(
      changed,
      changed.shards.map(({ id }) => id),
    );
    expect(checkShardMap(done)).toEqual([]);
  }
  return done;
}

describe("handing keys of leaderless shards over", () => {
  it("is one step where the copies are on the same nodes, in whatever order", () => {
    expect(leaderlessWaves(apart, { kind: "merge", shard: "2", into: "0" })).toHaveLength(1);
    expect(leaderlessWaves(apart, { kind: "pin", key, shard: "2" })).toHaveLength(1);
  });

  it("brings copies that are elsewhere to those of the taker first, one after the other", () => {
    const step: HandoverStep = { kind: "merge", shard: "0", into: "1" };
    expect(words(apart, step)).toEqual([
      "move shard 0 from node-1 to node-4, move shard 0 from node-2 to node-5",
      "merge shard 0 into 1",
    ]);
    expect(after(apart, step).shards.map(({ id }) => id)).toEqual(["1", "2"]);
  });

  it("makes a key a shard of its own on its way to other nodes, and lets it go by its hash again", () => {
    const step: HandoverStep = { kind: "pin", key, shard: "1" };
    expect(
      leaderlessWaves(apart, step)
        .flat()
        .map(({ kind }) => kind),
    ).toEqual(["pin", "move-replica", "move-replica", "merge"]);
    const pinned = after(apart, step);
    expect([shardOfKey(pinned, key).id, pinned.directory]).toEqual(["1", { [key]: "1" }]);
    const back = after(pinned, { kind: "unpin", key });
    expect([shardOfKey(back, key).id, back.directory]).toEqual(["0", {}]);
    expect(back.shards.map(({ id }) => id)).toEqual(["0", "1", "2"]);
  });

  it("goes on with a key that was left as a shard of its own", () => {
    const step: HandoverStep = { kind: "pin", key, shard: "1" };
    const [begun] = leaderlessWaves(apart, step).flat();
    if (begun === undefined) throw new Error("it has a first step");
    const left = mapAfterStep(apart, begun, true);
    expect(
      leaderlessWaves(left, step)
        .flat()
        .map(({ kind }) => kind),
    ).toEqual(["move-replica", "move-replica", "merge"]);
    expect(after(left, step).directory).toEqual({ [key]: "1" });
  });

  it("is refused where the shards have different numbers of copies", () => {
    const map = mapOn([
      ["node-1", "node-2", "node-3", "node-4"],
      ["node-1", "node-2", "node-3"],
    ]);
    expect(() => leaderlessWaves(map, { kind: "merge", shard: "0", into: "1" })).toThrow(
      expect.objectContaining({ kind: "conflict", code: "copies-differ" }),
    );
  });
});
