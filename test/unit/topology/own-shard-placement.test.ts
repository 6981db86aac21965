// Where a node holds one shard: every node is used, copies of a shard are in different zones wherever that
// can be, and slots follow the weights.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { busPort } from "../../../src/topology/bus-port.ts";
import { placeOwnShards } from "../../../src/topology/own-shard-placement.ts";
import type { PlacementNode } from "../../../src/topology/placement.ts";
import { SLOTS } from "../../../src/topology/slots.ts";

function nodesIn(zones: readonly string[]): PlacementNode[] {
  return zones.map((zone, index) => ({ id: `node-${index + 1}`, role: "primary", zone, weight: 1 }));
}

const anyNodes = fc
  .array(
    fc.record({
      zone: fc.constantFrom("a", "b", "c", "d"),
      primary: fc.boolean(),
      weight: fc.integer({ min: 1, max: 5 }),
    }),
    {
      minLength: 1,
      maxLength: 24,
    },
  )
  .map((made) =>
    made.map(({ zone, primary, weight }, index): PlacementNode => ({
      id: `node-${index + 1}`,
      role: primary ? "primary" : "secondary",
      zone,
      weight,
    })),
  );

describe("placeOwnShards", () => {
  it("puts the two copies of each of three shards into different zones", () => {
    const placed = placeOwnShards(nodesIn(["a", "a", "b", "b", "c", "c"]), 3);
    expect(placed.map(({ replicas }) => replicas)).toEqual([
      ["node-1", "node-4"],
      ["node-5", "node-2"],
      ["node-3", "node-6"],
    ]);
    expect(placed.map(({ slots }) => [slots.from, slots.to])).toEqual([
      [0, 5460],
      [5461, 10_922],
      [10_923, 16_383],
    ]);
  });

  it("gives slots by the weights of the leaders", () => {
    const nodes = nodesIn(["a", "b", "c"]).map((node, index) => ({ ...node, weight: index === 0 ? 2 : 1 }));
    const counts = placeOwnShards(nodes, 3).map(({ slots }) => slots.to - slots.from + 1);
    expect(counts).toEqual([8192, 4096, 4096]);
  });

  it("uses every node once, covers every slot, and does not mind the order of the nodes", () => {
    fc.assert(
      fc.property(anyNodes, fc.integer({ min: 1, max: 8 }), (nodes, wanted) => {
        const shards = Math.min(wanted, nodes.length);
        const placed = placeOwnShards(nodes, shards);
        expect(placed.flatMap(({ replicas }) => replicas).toSorted()).toEqual(
          nodes.map(({ id }) => id).toSorted(),
        );
        let next = 0;
        for (const { slots } of placed) {
          expect(slots.from).toBe(next);
          expect(slots.to).toBeGreaterThanOrEqual(slots.from);
          next = slots.to + 1;
        }
        expect(next).toBe(SLOTS);
        expect(placeOwnShards(nodes.toReversed(), shards)).toEqual(placed);
      }),
    );
  });

  it("doubles a zone within a shard only where the zone has more nodes than there are shards", () => {
    fc.assert(
      fc.property(anyNodes, fc.integer({ min: 1, max: 8 }), (nodes, wanted) => {
        const shards = Math.min(wanted, nodes.length);
        const zoneOf = new Map(nodes.map(({ id, zone }) => [id, zone]));
        for (const zone of new Set(zoneOf.values())) {
          const inZone = nodes.filter((node) => node.zone === zone).length;
          for (const { replicas } of placeOwnShards(nodes, shards)) {
            const here = replicas.filter((id) => zoneOf.get(id) === zone).length;
            expect(here).toBeLessThanOrEqual(Math.ceil(inZone / shards));
          }
        }
      }),
    );
  });

  it("lets a secondary lead only a shard without a primary", () => {
    fc.assert(
      fc.property(anyNodes, fc.integer({ min: 1, max: 8 }), (nodes, wanted) => {
        const roleOf = new Map(nodes.map(({ id, role }) => [id, role]));
        for (const { replicas } of placeOwnShards(nodes, Math.min(wanted, nodes.length))) {
          const [leader = ""] = replicas;
          const hasPrimary = replicas.some((id) => roleOf.get(id) === "primary");
          expect(roleOf.get(leader)).toBe(hasPrimary ? "primary" : "secondary");
        }
      }),
    );
  });
});

it("the cluster bus has a port of its own, and a valid one", () => {
  expect([busPort(7001), busPort(55_535), busPort(55_536), busPort(60_000)]).toEqual([
    17_001, 65_535, 45_536, 50_000,
  ]);
});
