import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodeId, Role } from "../../../src/model/ids.ts";
import {
  type GroupPlacement,
  type PlacementNode,
  placeMetaVoters,
  placeReplicas,
} from "../../../src/topology/placement.ts";

const node = (id: string, zone = id, role: Role = "primary", weight = 1): PlacementNode => ({
  id,
  zone,
  role,
  weight,
});
const numbered = (count: number, zone: (index: number) => string = (index) => `z${index}`): PlacementNode[] =>
  Array.from({ length: count }, (_, index) => node(`node-${index + 1}`, zone(index)));

function count(groups: readonly GroupPlacement[], of: (group: GroupPlacement) => readonly NodeId[]) {
  const counts = new Map<NodeId, number>();
  for (const group of groups) for (const id of of(group)) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}
const held = (groups: readonly GroupPlacement[], nodes: readonly PlacementNode[]): number[] => {
  const counts = count(groups, (group) => group.replicas);
  return nodes.map(({ id }) => counts.get(id) ?? 0);
};
const led = (groups: readonly GroupPlacement[], nodes: readonly PlacementNode[]): number[] => {
  const counts = count(groups, (group) => group.replicas.slice(0, 1));
  return nodes.map(({ id }) => counts.get(id) ?? 0);
};
const spreadOf = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);

const clusters = fc
  .record({
    nodes: fc.array(
      fc.record({
        zone: fc.constantFrom("a", "b", "c", "d", "e"),
        role: fc.constantFrom<Role>("primary", "secondary"),
        weight: fc.constantFrom(0.5, 1, 2, 3),
      }),
      { minLength: 1, maxLength: 12 },
    ),
    arbiters: fc.integer({ min: 0, max: 1 }),
    shards: fc.integer({ min: 1, max: 40 }),
    copies: fc.integer({ min: 1, max: 5 }),
  })
  .map(({ nodes, arbiters, shards, copies }) => ({
    nodes: [
      ...nodes.map((each, index) => ({ ...each, id: `node-${index + 1}` })),
      ...(arbiters === 1 ? [node("referee", "r", "arbiter")] : []),
    ],
    shards,
    copies: Math.min(copies, nodes.length),
  }));

describe("placement of replicas", () => {
  test("copies are on distinct data nodes, as many as asked for", () => {
    fc.assert(
      fc.property(clusters, ({ nodes, shards, copies }) => {
        const groups = placeReplicas({ nodes, shards, copies });
        expect(groups).toHaveLength(shards);
        for (const { replicas } of groups) {
          expect(replicas).toHaveLength(copies);
          expect(new Set(replicas).size).toBe(copies);
          for (const id of replicas) expect(nodes.find((each) => each.id === id)?.role).not.toBe("arbiter");
        }
      }),
    );
  });

  test("copies are in as many zones as there are, and no zone has more than its share while another has room", () => {
    fc.assert(
      fc.property(clusters, ({ nodes, shards, copies }) => {
        const data = nodes.filter((each) => each.role !== "arbiter");
        const size = new Map<string, number>();
        for (const { zone } of data) size.set(zone, (size.get(zone) ?? 0) + 1);
        const zoneOf = new Map(data.map(({ id, zone }) => [id, zone]));
        for (const { replicas } of placeReplicas({ nodes, shards, copies })) {
          const used = new Map([...size.keys()].map((zone) => [zone, 0]));
          for (const id of replicas)
            used.set(zoneOf.get(id) ?? "", (used.get(zoneOf.get(id) ?? "") ?? 0) + 1);
          expect([...used.values()].filter((copiesIn) => copiesIn > 0)).toHaveLength(
            Math.min(copies, size.size),
          );
          const withRoom = [...used].filter(([zone, copiesIn]) => copiesIn < (size.get(zone) ?? 0));
          for (const [, copiesIn] of withRoom) {
            expect(Math.max(...used.values())).toBeLessThanOrEqual(copiesIn + 1);
          }
        }
      }),
    );
  });

  test("nodes of equal weight hold numbers of replicas that differ by at most one, each in its own zone or in zones of equal size", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 5 }),
        (zones, perZone, shards, copies) => {
          const nodes = numbered(zones * perZone, (index) => `z${index % zones}`);
          const groups = placeReplicas({ nodes, shards, copies: Math.min(copies, nodes.length) });
          expect(spreadOf(held(groups, nodes))).toBeLessThanOrEqual(1);
          expect(spreadOf(led(groups, nodes))).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  test("a node of twice the weight holds and leads twice as much where copies leave a choice", () => {
    const nodes = [node("big", "a", "primary", 2), node("one", "b"), node("two", "c"), node("three", "d")];
    const groups = placeReplicas({ nodes, shards: 20, copies: 2 });
    expect(held(groups, nodes)).toEqual([16, 8, 8, 8]);
    expect(led(groups, nodes)).toEqual([8, 4, 4, 4]);
  });

  test("leaders per weight are as even as the primaries of each shard allow: no exchange would help", () => {
    fc.assert(
      fc.property(clusters, ({ nodes, shards, copies }) => {
        const groups = placeReplicas({ nodes, shards, copies });
        const weight = new Map(nodes.map((each) => [each.id, each.weight]));
        const primaries = new Set(nodes.filter((each) => each.role === "primary").map((each) => each.id));
        const leads = count(groups, (group) => group.replicas.slice(0, 1));
        for (const { replicas } of groups) {
          const leader = replicas[0] ?? "";
          const mayLead = replicas.some((id) => primaries.has(id))
            ? replicas.filter((id) => primaries.has(id))
            : replicas;
          expect(mayLead).toContain(leader);
          const now = (leads.get(leader) ?? 0) / (weight.get(leader) ?? 1);
          for (const other of mayLead) {
            if (other === leader) continue;
            const then = ((leads.get(other) ?? 0) + 1) / (weight.get(other) ?? 1);
            expect(then).toBeGreaterThanOrEqual(now - 1e-6);
          }
        }
      }),
    );
  });

  test("secondaries lead nothing where every shard has a primary", () => {
    const nodes = [node("p", "a"), node("s", "b", "secondary"), node("t", "c", "secondary")];
    expect(led(placeReplicas({ nodes, shards: 16, copies: 3 }), nodes)).toEqual([16, 0, 0]);
  });

  test("what a lost node led falls on all others alike", () => {
    const nodes = numbered(5);
    const groups = placeReplicas({ nodes, shards: 80, copies: 3 });
    for (const lost of nodes) {
      const heirs = count(
        groups.filter((group) => group.replicas[0] === lost.id),
        (group) => group.replicas.slice(1, 2),
      );
      expect([...heirs.keys()].toSorted((a, b) => (a < b ? -1 : 1))).toEqual(
        nodes.map(({ id }) => id).filter((id) => id !== lost.id),
      );
      expect(spreadOf([...heirs.values()])).toBeLessThanOrEqual(1);
    }
  });

  test("an even number of copies takes in the arbiter, an odd one does not, and it never holds data", () => {
    const nodes = [node("n1"), node("n2"), node("n3"), node("referee", "r", "arbiter")];
    const two = placeReplicas({ nodes, shards: 8, copies: 2 });
    expect(two.map((group) => group.arbiters)).toEqual(two.map(() => ["referee"]));
    const three = placeReplicas({ nodes, shards: 8, copies: 3 });
    expect(three.map((group) => group.arbiters)).toEqual(three.map(() => []));
    expect([...two, ...three].some((group) => group.replicas.includes("referee"))).toBe(false);
  });

  test("an arbiter in a zone of its own is preferred", () => {
    const nodes = [node("n1", "a"), node("n2", "b"), node("ra", "a", "arbiter"), node("rc", "c", "arbiter")];
    const groups = placeReplicas({ nodes, shards: 4, copies: 2 });
    expect(groups.map((group) => group.arbiters)).toEqual([["rc"], ["rc"], ["rc"], ["rc"]]);
  });

  test("the order in which the manifest lists the nodes changes nothing", () => {
    fc.assert(
      fc.property(clusters, fc.infiniteStream(fc.nat()), ({ nodes, shards, copies }, keys) => {
        const keyed = nodes.map((each) => ({ each, key: keys.next().value }));
        const shuffled = keyed.sort((a, b) => a.key - b.key).map(({ each }) => each);
        expect(placeReplicas({ nodes: shuffled, shards, copies })).toEqual(
          placeReplicas({ nodes, shards, copies }),
        );
        expect(placeMetaVoters(shuffled)).toEqual(placeMetaVoters(nodes));
      }),
    );
  });

  test("more copies than data nodes are refused with both numbers", () => {
    const nodes = [node("n1"), node("n2"), node("referee", "r", "arbiter")];
    expect(() => placeReplicas({ nodes, shards: 1, copies: 3 })).toThrowError(
      expect.objectContaining({ code: "too-few-nodes", message: "3 copies need 3 data nodes; there are 2" }),
    );
  });
});

describe("voters of the metadata group", () => {
  test.each([
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 3],
    [5, 5],
    [6, 5],
    [40, 5],
  ])("of %i nodes %i vote", (nodes, voters) => {
    expect(placeMetaVoters(numbered(nodes))).toHaveLength(voters);
  });

  test("an arbiter makes two data nodes an odd number", () => {
    expect(placeMetaVoters([node("n1"), node("n2"), node("referee", "r", "arbiter")])).toEqual([
      "n1",
      "n2",
      "referee",
    ]);
  });

  test("they are spread over zones, data nodes first", () => {
    const nodes = [
      ...numbered(9, (index) => "abc"[Math.floor(index / 3)] ?? ""),
      node("referee", "r", "arbiter"),
    ];
    const zones = placeMetaVoters(nodes).map((id) => nodes.find((each) => each.id === id)?.zone);
    expect(zones.toSorted((a, b) => (`${a}` < `${b}` ? -1 : 1))).toEqual(["a", "a", "b", "b", "c"]);
  });

  test("a join keeps the voters that are there", () => {
    const before = placeMetaVoters(numbered(4));
    const after = placeMetaVoters([node("a-new-one"), ...numbered(4)], before);
    expect(after).toEqual(expect.arrayContaining(before));
    expect(after).toHaveLength(5);
  });
});
