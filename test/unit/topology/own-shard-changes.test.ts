import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { ownShardChanges } from "../../../src/topology/own-shard-changes.ts";
import type { OwnShardCopies, OwnShardNode } from "../../../src/topology/own-shard-changes.ts";

/** `a:1 b:2 a:3!` are nodes 1 to 3 in zones a and b, of which 3 leaves. */
function nodes(text: string): OwnShardNode[] {
  return text.split(" ").map((word) => {
    const [, zone = "", id = "", leaves] = /^(\w):(\w+)(!?)$/.exec(word) ?? [];
    return { id, zone, stays: leaves === "", free: leaves === "" };
  });
}

const shards = (...members: readonly string[]): OwnShardCopies[] =>
  members.map((each, index) => ({ id: String(index), nodes: each === "" ? [] : each.split(" ") }));

describe("nodes that change sides", () => {
  test("nobody does where every shard has its copies in zones of their own", () => {
    const found = ownShardChanges(nodes("a:1 b:2 a:3 b:4"), shards("1 4", "3 2"), 2);
    expect(found).toMatchObject({ changes: [], missing: [] });
  });

  test("a shard that lacks a copy gets a node that holds nothing, of another zone where there is one", () => {
    const found = ownShardChanges(nodes("a:1 b:2 a:3 b:4 a:5 c:6"), shards("1", "3 2"), 2);
    expect(found.changes).toEqual([{ shard: "0", to: "4", forZones: false }]);
  });

  test("else one of a shard that has too many, and never its leader", () => {
    const found = ownShardChanges(nodes("a:1 a:3 b:4 c:5"), shards("1", "3 4 5"), 2);
    expect(found.changes).toEqual([{ shard: "0", to: "4", forZones: false }]);
    expect(found.after.get("1")).toEqual(["3", "5"]);
  });

  test("who leaves is replaced; a leader's place is its heir's", () => {
    const found = ownShardChanges(nodes("a:1! b:2 a:3 b:4 a:5"), shards("1 2", "3 4"), 2);
    expect(found.changes).toEqual([{ shard: "0", to: "5", forZones: false }]);
    expect(found.after.get("0")).toEqual(["2", "5"]);
  });

  test("copies change places where that spreads them over more zones", () => {
    const found = ownShardChanges(nodes("a:1 a:2 b:3 b:4"), shards("1 2", "3 4"), 2);
    expect(found.changes).toEqual([
      { shard: "0", to: "4", forZones: true },
      { shard: "1", to: "2", forZones: true },
    ]);
  });

  test("what no node can take is said", () => {
    const found = ownShardChanges(nodes("a:1 b:2 c:3!"), shards("1 3", "2"), 2);
    expect(found.missing).toEqual([
      { shard: "0", copies: 1 },
      { shard: "1", copies: 1 },
    ]);
  });

  test("whatever the cluster: once is enough, nobody is in two shards, leaders stay, zones never get fewer", () => {
    const cluster = fc
      .array(fc.record({ zone: fc.constantFrom("a", "b", "c"), shard: fc.nat(3), stays: fc.boolean() }), {
        minLength: 1,
        maxLength: 12,
      })
      .map((each) => each.map((node, index) => ({ ...node, id: String(index), free: node.stays })));
    fc.assert(
      fc.property(cluster, fc.integer({ min: 1, max: 3 }), (all, copies) => {
        const members = (shard: number): string[] =>
          all.flatMap((node) => (node.shard === shard ? [node.id] : []));
        // Those of the last number hold nothing.
        const before = [0, 1, 2].map((shard) => ({ id: String(shard), nodes: members(shard) }));
        const { after, missing } = ownShardChanges(all, before, copies);
        const of = (id: string): readonly string[] => after.get(id) ?? [];
        const placed = [...after.values()].flat();
        expect(new Set(placed).size).toBe(placed.length);
        expect(placed.filter((id) => all[Number(id)]?.stays !== true)).toEqual([]);
        const stays = (id: string | undefined): boolean =>
          id !== undefined && all[Number(id)]?.stays === true;
        const led = before.filter(({ nodes: [leader] }) => stays(leader));
        expect(led.map(({ id }) => of(id)[0])).toEqual(led.map(({ nodes: [leader] }) => leader));
        const lacks = (id: string): number => missing.find(({ shard }) => shard === id)?.copies ?? 0;
        expect(before.filter(({ id }) => of(id).length + lacks(id) < copies)).toEqual([]);

        const again = ownShardChanges(
          all,
          before.map(({ id }) => ({ id, nodes: of(id) })),
          copies,
        );
        expect(again.changes.filter(() => missing.length === 0)).toEqual([]);
        const zones = (ids: readonly string[]): number =>
          new Set(ids.map((id) => all[Number(id)]?.zone)).size;
        const unchanged =
          all.every((node) => node.stays) && before.every((each) => each.nodes.length === copies);
        const spread = before.reduce((sum, { id, nodes: held }) => sum + zones(of(id)) - zones(held), 0);
        expect(unchanged ? spread : 0).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
