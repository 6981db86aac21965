import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import {
  checkShardMap,
  initialShardMap,
  keyCompare,
  shardById,
  shardOfKey,
  sliceLabel,
} from "../../../src/topology/shard-map.ts";
import { SLOTS, slotOf } from "../../../src/topology/slots.ts";
import { manifestOf } from "./manifest.ts";

describe("the map of a new cluster", () => {
  test("hash: even slices of all slots, in order, epoch 1", () => {
    const map = initialShardMap(manifestOf({ nodes: 3, shards: 16, copies: 3 }));
    expect(map.epoch).toBe(1);
    expect(map.shards.map((shard) => shard.id)).toEqual(Array.from({ length: 16 }, (_, index) => `${index}`));
    expect(map.shards[0]?.slots).toEqual([{ from: 0, to: 1023 }]);
    expect(map.shards[15]?.slots).toEqual([{ from: 15360, to: 16383 }]);
    expect(map.metaVoters).toEqual(["node-1", "node-2", "node-3"]);
    expect(checkShardMap(map)).toEqual([]);
  });

  test("is sound for any number of nodes, shards and copies, and each shard has its share of slots", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 4 }),
        (nodes, shards, copies) => {
          const map = initialShardMap(manifestOf({ nodes, shards, copies: Math.min(nodes, copies) }));
          expect(checkShardMap(map)).toEqual([]);
          for (const { slots } of map.shards) {
            const owned = slots.reduce((sum, { from, to }) => sum + to - from + 1, 0);
            expect(Math.abs(owned - SLOTS / shards)).toBeLessThan(1);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test("16,384 shards have one slot each", () => {
    const map = initialShardMap(manifestOf({ nodes: 3, shards: SLOTS, copies: 1 }));
    expect(map.shards.at(-1)?.slots).toEqual([{ from: 16383, to: 16383 }]);
    expect(shardOfKey(map, "foo").id).toBe("12182");
  });
});

describe("the shard of a key", () => {
  test("hash: the shard that owns the key's slot, also when it owns several ranges", () => {
    const map = initialShardMap(manifestOf({ nodes: 3, shards: 16, copies: 2 }));
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (key) => {
        const slot = slotOf(key);
        const owners = map.shards.filter((shard) =>
          shard.slots.some(({ from, to }) => from <= slot && slot <= to),
        );
        expect([shardOfKey(map, key)]).toEqual(owners);
      }),
    );
    const [first, second, ...rest] = map.shards;
    if (first === undefined || second === undefined) throw new Error("a map of 16 shards has two");
    const moved: ShardMap = {
      ...map,
      shards: [
        {
          ...first,
          slots: [
            { from: 0, to: 499 },
            { from: 1000, to: 1023 },
          ],
        },
        {
          ...second,
          slots: [
            { from: 500, to: 999 },
            { from: 1024, to: 2047 },
          ],
        },
        ...rest,
      ],
    };
    expect(checkShardMap(moved)).toEqual([]);
    expect(slotOf("hello")).toBe(866);
    expect(shardOfKey(map, "hello").id).toBe("0");
    expect(shardOfKey(moved, "hello").id).toBe("1");
  });

  test("range: start included, end excluded, the first from the empty key and the last without end", () => {
    const map = initialShardMap(
      manifestOf({ nodes: 3, shards: 4, copies: 1, strategy: "range", ranges: ["g", "n", "t"] }),
    );
    expect(checkShardMap(map)).toEqual([]);
    const where = (key: string): string => shardOfKey(map, key).id;
    expect(["", "a", "fzzz", "g", "mike", "n", "t", "zoe", "日本"].map(where)).toEqual([
      "0",
      "0",
      "0",
      "1",
      "1",
      "2",
      "3",
      "3",
      "3",
    ]);
  });

  test("directory: a pin first, then the hash; a key named like a property of objects is no pin", () => {
    const map = initialShardMap(
      manifestOf({ nodes: 3, shards: 16, copies: 1, strategy: "directory", directory: { foo: "3" } }),
    );
    expect(checkShardMap(map)).toEqual([]);
    expect(shardOfKey(map, "foo").id).toBe("3");
    expect(shardOfKey(map, "bar").id).toBe(`${Math.floor(5061 / 1024)}`);
    expect(shardOfKey(map, "constructor").id).toBe(`${Math.floor(slotOf("constructor") / 1024)}`);
  });

  test("a map with a gap says so, and names no key", () => {
    const map = initialShardMap(manifestOf({ nodes: 1, shards: 2, copies: 1 }));
    const gap = { ...map, shards: map.shards.slice(0, 1) };
    expect(() => shardOfKey(gap, "foo")).toThrowError(expect.objectContaining({ code: "no-shard-for-key" }));
  });

  test("by id", () => {
    const map = initialShardMap(manifestOf({ nodes: 1, shards: 2, copies: 1 }));
    expect(shardById(map, "1")?.slots).toEqual([{ from: 8192, to: 16383 }]);
    expect(shardById(map, "2")).toBeUndefined();
  });
});

describe("keys compare by their UTF-8 bytes", () => {
  test("as Buffer.compare orders them", () => {
    const key = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom("a", "é", "\uE000", "\uFFFD", "😀", "\uD800", "\uDC00", "") }),
    );
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(Math.sign(keyCompare(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { numRuns: 1000 },
    );
  });

  test("an emoji comes after the private use area, where UTF-16 has it before", () => {
    expect(["\uE000", "😀"].toSorted((a, b) => (a < b ? -1 : 1))).toEqual(["😀", "\uE000"]);
    expect(keyCompare("😀", "\uE000")).toBeGreaterThan(0);
  });
});

describe("what a shard owns, for people", () => {
  const slice = { id: "0", slots: [], start: "", end: null, replicas: [], arbiters: [] };
  test.each([
    ["hash", { slots: [{ from: 0, to: 1023 }] }, "slots 0-1023"],
    ["hash", { slots: [{ from: 7, to: 7 }] }, "slot 7"],
    [
      "directory",
      {
        slots: [
          { from: 0, to: 9 },
          { from: 20, to: 20 },
        ],
      },
      "slots 0-9, 20",
    ],
    ["hash", {}, "no slots"],
    ["range", { start: "g", end: "n" }, "keys [g, n)"],
    ["range", { end: "g" }, "keys before g"],
    ["range", { start: "n" }, "keys from n"],
    ["range", {}, "all keys"],
  ] as const)("%s %j: %s", (strategy, own, label) => {
    expect(sliceLabel({ ...slice, ...own }, strategy)).toBe(label);
  });
});

describe("an unsound map is told by every rule that it breaks", () => {
  const sound = initialShardMap(manifestOf({ nodes: 3, shards: 2, copies: 2, arbiter: true }));
  const first = sound.shards[0] ?? expect.fail("two shards");
  const second = sound.shards[1] ?? expect.fail("two shards");
  const range = initialShardMap(
    manifestOf({ nodes: 1, shards: 3, copies: 1, strategy: "range", ranges: ["g", "n"] }),
  );
  const ranges = (...bounds: readonly (readonly [string, string | null])[]): ShardMap => ({
    ...range,
    shards: bounds.map(([start, end], index) => ({
      ...first,
      replicas: ["node-1"],
      arbiters: [],
      id: `${index}`,
      start,
      end,
    })),
  });

  test.each<[string, ShardMap, string[]]>([
    ["slots of nobody", { ...sound, shards: [first] }, ["slots 8192-16383 belong to no shard"]],
    [
      "slots of two",
      { ...sound, shards: [first, { ...second, slots: [{ from: 8000, to: 16383 }] }] },
      ["slots 8000-8191 belong to shard 1 and another"],
    ],
    [
      "a slot beyond the last",
      { ...sound, shards: [first, { ...second, slots: [{ from: 8192, to: 16384 }] }] },
      ["shard 1 has the slots 8192-16384, which is no range of 0-16383"],
    ],
    [
      "a node twice",
      { ...sound, shards: [{ ...first, replicas: ["node-1", "node-1"] }, second] },
      ["shard 0 has a node twice"],
    ],
    [
      "data on an arbiter",
      { ...sound, shards: [{ ...first, replicas: ["node-1", "arbiter-1"], arbiters: [] }, second] },
      ["shard 0 has data on the arbiter arbiter-1"],
    ],
    [
      "an unknown node",
      { ...sound, shards: [{ ...first, replicas: ["node-9"] }, second] },
      ["shard 0 is on node-9, which is not a node"],
    ],
    [
      "an empty group",
      { ...sound, shards: [{ ...first, replicas: [] }, second] },
      ["shard 0 has no replica"],
    ],
    ["no epoch", { ...sound, epoch: 0 }, ["epoch 0 is not 1 or more"]],
    [
      "a pin to nowhere",
      { ...sound, directory: { acme: "7" } },
      ['the key "acme" is pinned to shard 7, which is not there'],
    ],
    ["a voter that left", { ...sound, metaVoters: ["node-9"] }, ["the metadata voter node-9 is not a node"]],
    ["keys of nobody", ranges(["", "g"], ["h", null]), ['keys from "g" to "h" belong to no shard']],
    ["keys of two", ranges(["", "h"], ["g", null]), ['keys from "g" to "h" belong to shard 1 and another']],
    ["no last range", ranges(["", "g"], ["g", "n"]), ['keys from "n" belong to no shard']],
    ["two last ranges", ranges(["", null], ["g", null]), ['shard 1 begins at "g", which belongs to another']],
  ])("%s", (_, map, problems) => {
    expect(checkShardMap(map)).toEqual(problems);
  });
});
