import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import {
  mapWithNode,
  mapWithNodeChanged,
  mapWithoutNode,
  planLeave,
  withOutgoing,
  withoutOutgoing,
} from "../../../src/topology/membership.ts";
import { checkShardMap, initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "./manifest.ts";

const shapes = fc
  .record({
    nodes: fc.integer({ min: 2, max: 9 }),
    zones: fc.integer({ min: 1, max: 9 }),
    shards: fc.integer({ min: 1, max: 40 }),
    copies: fc.integer({ min: 1, max: 4 }),
    arbiter: fc.boolean(),
  })
  .map((shape) => ({
    ...shape,
    zones: Math.min(shape.zones, shape.nodes),
    copies: Math.min(shape.copies, shape.nodes - 1),
  }));

const zonesUsed = (map: ShardMap, replicas: readonly string[]): number =>
  new Set(replicas.map((id) => map.nodes.find((node) => node.id === id)?.zone)).size;

describe("a node leaves", () => {
  test("the new map is sound, has the next epoch, and every shard keeps its copies and its zones", () => {
    fc.assert(
      fc.property(shapes, fc.nat(), (shape, pick) => {
        const map = initialShardMap(manifestOf(shape));
        const leaving = `node-${(pick % shape.nodes) + 1}`;
        const after = mapWithoutNode(map, leaving, planLeave(map, leaving));
        expect(checkShardMap(after)).toEqual([]);
        expect(after.epoch).toBe(map.epoch + 1);
        expect(after.nodes.map((node) => node.id)).not.toContain(leaving);
        const zonesLeft = new Set(
          after.nodes.filter((node) => node.role !== "arbiter").map((node) => node.zone),
        ).size;
        for (const shard of after.shards) {
          expect(shard.replicas).toHaveLength(shape.copies);
          expect(zonesUsed(after, shard.replicas)).toBe(Math.min(shape.copies, zonesLeft));
        }
      }),
    );
  });

  test("only its own places change", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const map = initialShardMap(manifestOf(shape));
        const after = mapWithoutNode(map, "node-1", planLeave(map, "node-1"));
        for (const [index, shard] of map.shards.entries()) {
          const now = after.shards[index]?.replicas ?? [];
          const kept = shard.replicas.filter((id) => id !== "node-1");
          expect(kept.filter((id) => !now.includes(id))).toEqual([]);
          const untouched = kept.length === shard.replicas.length;
          expect(untouched ? after.shards[index] : shard).toEqual(shard);
        }
      }),
    );
  });

  test("its replicas and its leaders are shared out evenly", () => {
    const map = initialShardMap(manifestOf({ nodes: 5, shards: 40, copies: 3 }));
    const after = mapWithoutNode(map, "node-3", planLeave(map, "node-3"));
    for (const places of [(all: readonly string[]) => all, (all: readonly string[]) => all.slice(0, 1)]) {
      const counts = after.nodes.map(
        ({ id }) => after.shards.filter((shard) => places(shard.replicas).includes(id)).length,
      );
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  });

  test("too few nodes remain: refused, with the number that it takes", () => {
    const map = initialShardMap(manifestOf({ nodes: 3, shards: 4, copies: 3 }));
    expect(() => planLeave(map, "node-2")).toThrowError(
      expect.objectContaining({
        code: "too-few-nodes",
        message: "node-2 cannot leave: 3 copies need 3 data nodes besides it, and there are 2",
      }),
    );
  });

  test("a draining node takes nothing over", () => {
    const map = initialShardMap(manifestOf({ nodes: 4, shards: 8, copies: 2 }));
    const draining = {
      ...map,
      nodes: map.nodes.map((node) => (node.id === "node-4" ? { ...node, draining: true } : node)),
    };
    expect(planLeave(draining, "node-1").map((one) => one.to)).not.toContain("node-4");
  });

  test("an arbiter leaves without a successor: its groups go on with an even number", () => {
    const map = initialShardMap(manifestOf({ nodes: 2, shards: 3, copies: 2, arbiter: true }));
    expect(map.shards.map((shard) => shard.arbiters)).toEqual([["arbiter-1"], ["arbiter-1"], ["arbiter-1"]]);
    const plan = planLeave(map, "arbiter-1");
    expect(plan).toContainEqual({ shard: "0", kind: "arbiter", from: "arbiter-1", to: null });
    const after = mapWithoutNode(map, "arbiter-1", plan);
    expect(after.shards.map((shard) => shard.arbiters)).toEqual([[], [], []]);
    expect(after.metaVoters).toEqual(["node-1", "node-2"]);
    expect(checkShardMap(after)).toEqual([]);
  });

  test("an unknown node, and a place that no reassignment covers, are refused", () => {
    const map = initialShardMap(manifestOf({ nodes: 3, shards: 4, copies: 2 }));
    expect(() => planLeave(map, "node-9")).toThrowError(expect.objectContaining({ code: "unknown-node" }));
    expect(() => mapWithoutNode(map, "node-1", [])).toThrowError(
      expect.objectContaining({ code: "node-in-use" }),
    );
  });
});

describe("a node joins", () => {
  const newcomer = {
    id: "node-4",
    address: "127.0.0.1:7104",
    role: "secondary",
    zone: "z",
    weight: 1,
    draining: false,
  } as const;

  test("it holds nothing yet; the map has the next epoch and the old one is untouched", () => {
    const map = initialShardMap(manifestOf({ nodes: 3, shards: 4, copies: 2 }));
    const before = structuredClone(map);
    const after = mapWithNode(map, newcomer);
    expect(map).toEqual(before);
    expect(after).toEqual({ ...map, epoch: 2, nodes: [...map.nodes, newcomer] });
    expect(checkShardMap(after)).toEqual([]);
  });

  test("a node that is on its way out gets no vote back when another joins", () => {
    const map = initialShardMap(manifestOf({ nodes: 5, shards: 4, copies: 2 }));
    const leaving = {
      ...mapWithoutNode(map, "node-1", planLeave(map, "node-1")),
      nodes: map.nodes.map((node) => (node.id === "node-1" ? { ...node, draining: true } : node)),
    };
    const sixth = { ...newcomer, id: "node-6", address: "127.0.0.1:7006" };
    expect(mapWithNode(leaving, sixth).metaVoters).not.toContain("node-1");
  });

  test("an id or an address that is taken is refused", () => {
    const map = initialShardMap(manifestOf({ nodes: 3, shards: 4, copies: 2 }));
    for (const taken of [
      { ...newcomer, id: "node-1" },
      { ...newcomer, address: "127.0.0.1:7001" },
    ]) {
      expect(() => mapWithNode(map, taken)).toThrowError(expect.objectContaining({ code: "node-exists" }));
    }
  });
});

describe("a member changes", () => {
  const map = initialShardMap(manifestOf({ nodes: 3, shards: 4, copies: 2, arbiter: true }));
  const [first] = map.nodes;
  const changed = {
    ...first,
    id: "node-1",
    address: "127.0.0.1:7001",
    role: "secondary",
    zone: "z",
    weight: 3,
  } as const;

  test("role, zone and weight; nothing moves, and it goes on draining if it did", () => {
    const draining = {
      ...map,
      nodes: map.nodes.map((node) => ({ ...node, draining: node.id === "node-1" })),
    };
    const after = mapWithNodeChanged(draining, changed);
    expect(after).toMatchObject({ epoch: 2, shards: map.shards, metaVoters: map.metaVoters });
    expect(after.nodes[0]).toEqual({ ...changed, draining: true });
    expect(mapWithNodeChanged(after, changed)).toBe(after);
    expect(checkShardMap(after)).toEqual([]);
  });

  test.each([
    ["node-1", { address: "127.0.0.1:9999" }, "address-fixed"],
    ["node-1", { role: "arbiter" }, "role-fixed"],
    ["arbiter-1", { role: "primary", address: "127.0.0.1:7999" }, "role-fixed"],
    ["node-9", {}, "unknown-node"],
  ] as const)("%s %j: %s", (id, change, code) => {
    expect(() => mapWithNodeChanged(map, { ...changed, id, ...change })).toThrowError(
      expect.objectContaining({ code }),
    );
  });
});

describe("replicas that change without a group", () => {
  const map = initialShardMap(manifestOf({ nodes: 4, shards: 6, copies: 3 }));
  const after = mapWithoutNode(map, "node-1", planLeave(map, "node-1"));

  test("keep those before beside them, in the shards that change alone (Quorum 12)", () => {
    const changing = withOutgoing(map, after);
    for (const [at, shard] of changing.shards.entries()) {
      const before = map.shards[at]?.replicas ?? [];
      const expected = before.includes("node-1") ? { replicas: before, since: after.epoch } : undefined;
      expect(shard.outgoing).toEqual(expected);
    }
    expect(checkShardMap(changing)).not.toEqual([]);
    expect(checkShardMap({ ...changing, nodes: map.nodes })).toEqual([]);
  });

  test("change once at a time, and are over when the new ones hold everything", () => {
    const changing = { ...withOutgoing(map, after), nodes: map.nodes };
    const back = { ...changing, shards: map.shards };
    expect(() => withOutgoing(changing, back)).toThrowError(
      expect.objectContaining({ code: "shard-moving" }),
    );
    const done = withoutOutgoing(
      changing,
      changing.shards.map(({ id }) => id),
    );
    expect(done.shards.some((shard) => "outgoing" in shard)).toBe(false);
    expect(done.epoch).toBe(changing.epoch + 1);
  });
});
