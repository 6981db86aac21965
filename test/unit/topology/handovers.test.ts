import { expect, it } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { HandoverStep } from "../../../src/model/plan.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import {
  isHandedOver,
  mapAfterHandover,
  mapHandedOver,
  mapHandingOver,
  mapWithoutHandover,
  middleSlot,
  nextShardId,
} from "../../../src/topology/handovers.ts";
import { mapAfterStep } from "../../../src/topology/steps.ts";
import { checkShardMap, initialShardMap, shardOfKey } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "./manifest.ts";

const hash = initialShardMap(manifestOf({ nodes: 3, shards: 2, copies: 3 }));
const range: ShardMap = {
  ...initialShardMap(manifestOf({ nodes: 3, shards: 3, copies: 3 })),
  strategy: "range",
  shards: ["", "g", "n"].map((start, at) => ({
    id: String(at),
    slots: [],
    start,
    end: ["g", "n", null][at] ?? null,
    replicas: ["node-1", "node-2", "node-3"],
    arbiters: [],
  })),
};
const directory: ShardMap = { ...hash, strategy: "directory", directory: { acme: "1" } };

const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error instanceof Mem0ctlError ? `${error.code}: ${error.why ?? ""}` : error;
  }
};

const KEYS = Array.from({ length: 500 }, (_, at) => `${String.fromCharCode(97 + (at % 26))}${at}`);
const owners = (map: ShardMap): string[] => [...KEYS, "acme"].map((key) => shardOfKey(map, key).id);

it.each<[string, ShardMap, HandoverStep]>([
  ["hash, split", hash, { kind: "split", shard: "1", at: "12288", into: "2" }],
  ["hash, merge", hash, { kind: "merge", shard: "0", into: "1" }],
  ["range, split", range, { kind: "split", shard: "1", at: "j", into: "3" }],
  ["range, merge with the one after it", range, { kind: "merge", shard: "1", into: "2" }],
  ["range, merge with the one before it", range, { kind: "merge", shard: "2", into: "1" }],
  ["directory, split", directory, { kind: "split", shard: "1", at: "9000", into: "2" }],
  ["directory, merge", directory, { kind: "merge", shard: "1", into: "0" }],
  ["directory, pin", directory, { kind: "pin", key: "b1", shard: "1" }],
  ["directory, unpin", { ...directory, directory: { acme: "0" } }, { kind: "unpin", key: "acme" }],
])("%s: a sound map before, in and after it, and keys go at the one change only", (_, map, step) => {
  const begun = mapHandingOver(map, step);
  expect(checkShardMap(begun)).toEqual([]);
  expect(owners(begun)).toEqual(owners(map));
  expect(mapHandingOver(begun, step)).toBe(begun);
  expect(isHandedOver(begun, step)).toBe(false);
  expect(mapWithoutHandover(begun).shards).toEqual(map.shards);

  const handed = mapHandedOver(begun);
  expect(checkShardMap(handed)).toEqual([]);
  expect(handed.epoch).toBe(begun.epoch + 1);
  const { from = "", to = "" } = begun.handover ?? {};
  for (const [at, owner] of owners(handed).entries()) {
    expect([owners(map)[at], to]).toContain(owner);
  }
  const versions = handed.shards.flatMap(({ id, version }) => (id === from || id === to ? [version] : []));
  expect(versions).toEqual(step.kind === "merge" ? [1] : [1, 1]);

  const after = mapWithoutHandover(handed);
  expect(after.handover).toBeUndefined();
  expect(owners(after)).toEqual(owners(handed));
  expect(isHandedOver(after, step)).toBe(true);
  expect(mapHandingOver(after, step)).toBe(after);
  expect(mapAfterHandover(map, step)).toEqual(after);
});

it("a pinned key stays with its shard when that one is split, and goes with it when it is merged", () => {
  const halved = mapAfterHandover(directory, { kind: "split", shard: "1", at: "9000", into: "2" });
  expect(shardOfKey(halved, "acme").id).toBe("1");
  const merged = mapAfterHandover(directory, { kind: "merge", shard: "1", into: "0" });
  expect(merged.directory).toEqual({ acme: "0" });
});

it("no number is given twice, and what was merged away is found under its heir", () => {
  const split = mapAfterHandover(hash, { kind: "split", shard: "1", at: "12288", into: "2" });
  const merged = mapAfterHandover(split, { kind: "merge", shard: "2", into: "1" });
  expect(nextShardId(merged)).toBe("3");
  const again = mapAfterHandover(merged, { kind: "merge", shard: "1", into: "0" });
  expect(again.heirs).toEqual({ 2: "0", 1: "0" });
  expect(again.shards.map(({ slots }) => slots)).toEqual([[{ from: 0, to: 16_383 }]]);
});

it.each<[ShardMap, HandoverStep, string]>([
  [hash, { kind: "split", shard: "7", at: "1", into: "2" }, "step-outdated: there is no shard 7"],
  [
    hash,
    { kind: "split", shard: "1", at: "12288", into: "9" },
    "step-outdated: the next shard that is made is 2",
  ],
  [
    hash,
    { kind: "split", shard: "1", at: "8192", into: "2" },
    "step-outdated: 8192 is no slot that leaves both",
  ],
  [hash, { kind: "split", shard: "1", at: "m", into: "2" }, 'step-impossible: "m" is no slot'],
  [range, { kind: "split", shard: "1", at: "g", into: "3" }, "step-outdated: g is no key inside of shard 1"],
  [range, { kind: "split", shard: "1", at: "n", into: "3" }, "step-outdated: n is no key inside of shard 1"],
  [range, { kind: "merge", shard: "0", into: "2" }, "step-outdated: they are no neighbours"],
  [range, { kind: "merge", shard: "0", into: "0" }, "step-impossible: they are one shard"],
  [
    range,
    { kind: "pin", key: "a", shard: "0" },
    "step-impossible: keys are pinned with directory sharding only",
  ],
  [directory, { kind: "pin", key: "a", shard: "9" }, "step-outdated: there is no shard 9"],
])("what the map does not allow is refused (%#)", (map, step, said) => {
  expect(codeOf(() => mapHandingOver(map, step))).toContain(said);
});

it("the members of a shard that is only being made are not changed: each of them founds its group", () => {
  const begun = mapHandingOver(hash, { kind: "split", shard: "1", at: "12288", into: "2" });
  const [from = ""] = begun.shards[2]?.replicas ?? [];
  for (const step of [
    { kind: "remove-replica", shard: "2", from },
    { kind: "move-replica", shard: "2", from, to: "node-4", bytes: 0 },
    { kind: "add-replica", shard: "2", to: "node-4", bytes: 0 },
  ] as const) {
    expect(codeOf(() => mapAfterStep(begun, step, false))).toContain("shard 2 is only being made");
  }
  const others = begun.shards.map((shard) => (shard.id === "2" ? { ...shard, replicas: [from] } : shard));
  expect(checkShardMap({ ...begun, shards: others })).toContainEqual(
    expect.stringContaining("is being made by"),
  );
});

it("one handover runs at a time", () => {
  const begun = mapHandingOver(hash, { kind: "split", shard: "1", at: "12288", into: "2" });
  const other: HandoverStep = { kind: "merge", shard: "0", into: "1" };
  expect(codeOf(() => mapHandingOver(begun, other))).toContain("handover-running");
});

it("slots are halved, whatever ranges they are in; one slot has no middle", () => {
  expect(middleSlot([{ from: 0, to: 99 }])).toBe(50);
  expect(
    middleSlot([
      { from: 100, to: 101 },
      { from: 0, to: 1 },
      { from: 500, to: 501 },
    ]),
  ).toBe(101);
  expect(middleSlot([{ from: 7, to: 7 }])).toBeUndefined();
});
