// Steps of an operation on the shard map: begun twice they are done once, and what they do can be undone.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ClusterStep } from "../../../src/model/operation.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { withoutOutgoing } from "../../../src/topology/membership.ts";
import { checkShardMap, initialShardMap } from "../../../src/topology/shard-map.ts";
import {
  isReplicaStep,
  isWanted,
  mapAfterStep,
  mapUndoingStep,
  mapWithDraining,
  mapWithoutMember,
} from "../../../src/topology/steps.ts";
import { manifestOf } from "./manifest.ts";

const four = initialShardMap(manifestOf({ nodes: 4, shards: 6, copies: 3 }));

function spareOf(map: ShardMap, shard: string): string {
  const replicas = map.shards.find(({ id }) => id === shard)?.replicas ?? [];
  return map.nodes.find(({ id, role }) => role !== "arbiter" && !replicas.includes(id))?.id ?? "";
}

function replicasOf(map: ShardMap, shard: string): readonly string[] {
  return map.shards.find(({ id }) => id === shard)?.replicas ?? [];
}

const shapes = fc.record({
  nodes: fc.integer({ min: 3, max: 7 }),
  copies: fc.integer({ min: 1, max: 3 }),
  arbiter: fc.boolean(),
  kind: fc.constantFrom("add-replica", "remove-replica", "move-replica"),
  leaderless: fc.boolean(),
  pick: fc.nat(20),
});

function stepOf(map: ShardMap, kind: string, pick: number): ClusterStep | undefined {
  const shard = map.shards[pick % map.shards.length];
  if (shard === undefined) return undefined;
  const to = spareOf(map, shard.id);
  const from = shard.replicas[pick % shard.replicas.length] ?? "";
  if (kind === "remove-replica") {
    return shard.replicas.length < 2 ? undefined : { kind, shard: shard.id, from };
  }
  if (to === "") return undefined;
  return kind === "add-replica"
    ? { kind, shard: shard.id, to, bytes: 0 }
    : { kind: "move-replica", shard: shard.id, from, to, bytes: 0 };
}

describe("a step", () => {
  test("that moves a copy to where it is changes nothing", () => {
    const [here = ""] = replicasOf(four, "0");
    const step = { kind: "move-replica", shard: "0", from: here, to: here, bytes: 0 } as const;
    expect(mapAfterStep(four, step, false)).toBe(four);
  });

  test("leads to a sound map with the next epoch, and once more changes nothing", () => {
    fc.assert(
      fc.property(shapes, ({ nodes, copies, arbiter, kind, leaderless, pick }) => {
        const map = initialShardMap(
          manifestOf({ nodes, shards: 5, copies, arbiter: arbiter && !leaderless }),
        );
        const step = stepOf(map, kind, pick);
        if (step === undefined) return;
        const after = mapAfterStep(map, step, leaderless);
        expect(checkShardMap(after)).toEqual([]);
        expect(after.epoch).toBe(map.epoch + 1);
        expect(isReplicaStep(step) && isWanted(after, step)).toBe(true);
        expect(mapAfterStep(after, step, leaderless)).toBe(after);
        const arbiters = after.shards.map(({ replicas, arbiters: own }) => [replicas.length % 2, own.length]);
        // An odd number of copies needs no tie broken.
        expect(arbiters.filter(([odd, own]) => odd === 1 && own !== 0)).toEqual([]);
      }),
    );
  });

  test("is undone where it was begun, and nowhere else", () => {
    fc.assert(
      fc.property(shapes, ({ nodes, copies, kind, pick }) => {
        const map = initialShardMap(manifestOf({ nodes, shards: 5, copies }));
        const step = stepOf(map, kind, pick);
        if (step === undefined || !isReplicaStep(step)) return;
        expect(mapUndoingStep(map, step, false)).toBe(map);
        const undone = mapUndoingStep(mapAfterStep(map, step, false), step, false);
        if (step.kind === "remove-replica") return;
        expect(undone.shards).toEqual(map.shards);
      }),
    );
  });

  test("that moves a replica puts the new one in the place of the old in the order of leadership", () => {
    const [leader = "", second, third] = replicasOf(four, "0");
    const to = spareOf(four, "0");
    const after = mapAfterStep(four, { kind: "move-replica", shard: "0", from: leader, to, bytes: 0 }, false);
    expect(replicasOf(after, "0")).toEqual([to, second, third]);
  });

  test("is refused when the map is neither before it nor after it", () => {
    const [from = "", other = ""] = replicasOf(four, "0");
    const refused = (step: ClusterStep): unknown => {
      try {
        return mapAfterStep(four, step, false);
      } catch (error) {
        return Reflect.get(error as object, "code");
      }
    };
    expect(refused({ kind: "move-replica", shard: "0", from, to: other, bytes: 0 })).toBe("step-outdated");
    expect(refused({ kind: "add-replica", shard: "99", to: other, bytes: 0 })).toBe("step-outdated");
    expect(refused({ kind: "add-replica", shard: "0", to: "node-9", bytes: 0 })).toBe("step-outdated");
    expect(refused({ kind: "remove-node", node: from })).toBe("step-outdated");
    const to = spareOf(four, "0");
    const drained = mapWithDraining(four, to, true);
    expect(() => mapAfterStep(drained, { kind: "add-replica", shard: "0", to, bytes: 0 }, false)).toThrow(
      /^cannot add/,
    );
  });
});

describe("a leaderless shard", () => {
  const [from = ""] = replicasOf(four, "0");
  const step = { kind: "move-replica", shard: "0", from, to: spareOf(four, "0"), bytes: 0 } as const;

  test("changes by way of two sets, and is given up by leaving the new one", () => {
    const moving = mapAfterStep(four, step, true);
    const [shard] = moving.shards;
    expect(shard?.outgoing).toEqual({ replicas: replicasOf(four, "0"), since: moving.epoch });
    const [undone] = mapUndoingStep(moving, step, true).shards;
    expect(undone?.replicas).toEqual(replicasOf(four, "0"));
    expect(undone).not.toHaveProperty("outgoing");
  });

  test("that has changed already keeps its new copy: the old one may be gone", () => {
    const moved = withoutOutgoing(mapAfterStep(four, step, true), ["0"]);
    expect(mapUndoingStep(moved, step, true)).toBe(moved);
  });
});

test("a node goes in two steps: its vote first, then itself", () => {
  const map = initialShardMap(manifestOf({ nodes: 4, shards: 1, copies: 3 }));
  const node = map.metaVoters.find((id) => !replicasOf(map, "0").includes(id));
  const empty = node ?? spareOf(map, "0");
  const voteless = mapAfterStep(map, { kind: "remove-node", node: empty }, false);
  expect(voteless.metaVoters).not.toContain(empty);
  const gone = mapWithoutMember(voteless, empty);
  expect(gone.nodes.map(({ id }) => id)).not.toContain(empty);
  expect(checkShardMap(gone)).toEqual([]);
  expect(mapAfterStep(gone, { kind: "remove-node", node: empty }, false)).toBe(gone);
});
