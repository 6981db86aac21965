// A handover of keys of leaderless shards, when a node has met an id in both shards under different keys.

import { afterEach, beforeEach, expect, it } from "vitest";
import type { HandoverStep } from "../../../src/model/plan.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { runShardQuery } from "../../../src/node/cluster/shard-queries.ts";
import type { MemoryMachine } from "../../../src/node/memories/memory-machine.ts";
import { LeaderlessHandovers } from "../../../src/node/moves/leaderless-handovers.ts";
import type { SuccessionReport } from "../../../src/node/quorum/successions.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { initialShardMap, shardOfKey } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";
import { put, remove, ShardStates } from "./shard-states.ts";

const first = initialShardMap(manifestOf({ nodes: 3, shards: 2, copies: 3 }));
const keyOf = (shard: string): string =>
  Array.from({ length: 40 }, (_, at) => `user-${at}`).find((key) => shardOfKey(first, key).id === shard) ??
  "";
const STEP: HandoverStep = { kind: "merge", shard: "1", into: "0" };

let states: ShardStates;
let giver: MemoryMachine;
let taker: MemoryMachine;
let map: ShardMap;
/** What the last node says; the others are ready. */
let late: SuccessionReport;
let handovers: LeaderlessHandovers;

beforeEach(async () => {
  states = new ShardStates();
  [taker, giver] = [await states.begin("0"), await states.begin("1")];
  map = first;
  late = { state: "copying", bytes: 0, hasClashes: true };
  handovers = new LeaderlessHandovers({
    self: "node-1",
    clock: systemClock,
    isUp: () => true,
    successionAt: (node) => Promise.resolve(node === "node-3" ? late : { state: "ready", bytes: 0 }),
    readShard: (shard, query) => runShardQuery(shard === "0" ? taker : giver, "user", query),
    changeMap: (change) => {
      map = change(map);
      return Promise.resolve(map);
    },
  });
  await states.write(giver, put("twin", keyOf("1")));
  await states.write(taker, put("twin", keyOf("0")));
});
afterEach(() => states.close());

it("is given up where the shards have it, and says which", async () => {
  await expect(handovers.advance(STEP, "running", () => undefined)).rejects.toMatchObject({
    code: "step-outdated",
    kind: "conflict",
    data: { ids: ["twin"] },
  });
  expect(map.handover).toBeUndefined();
  expect(map.shards).toEqual(first.shards);
});

it("waits where only a copy that lags has it still", async () => {
  await states.write(taker, remove("twin"));
  expect(await handovers.advance(STEP, "running", () => undefined)).toBe("running");
  expect(map.handover?.phase).toBe("copying");
  late = { state: "ready", bytes: 0 };
  await handovers.advance(STEP, "running", () => undefined);
  expect(map.handover?.phase).toBe("dropping");
});
