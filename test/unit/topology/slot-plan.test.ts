import { describe, expect, test } from "vitest";
import type { Plan } from "../../../src/model/plan.ts";
import type { SlotRange } from "../../../src/model/shard-map.ts";
import { planSlots } from "../../../src/topology/slot-plan.ts";
import type { SlotOwner } from "../../../src/topology/slot-plan.ts";

const SLOTS = 16384;

/** Masters as `redis-cli --cluster create` shares slots out, and others without any. */
function masters(full: number, empty = 0): SlotOwner[] {
  return Array.from({ length: full + empty }, (_, index) => ({
    id: `m${String(index + 1).padStart(2, "0")}`,
    weight: 1,
    draining: false,
    slots:
      index < full
        ? [{ from: Math.floor((index * SLOTS) / full), to: Math.floor(((index + 1) * SLOTS) / full) - 1 }]
        : [],
  }));
}

const count = (ranges: readonly SlotRange[]): number =>
  ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);

function afterPlan(owners: readonly SlotOwner[], plan: Plan): SlotOwner[] {
  const ownerOf = new Map<number, string>();
  for (const { id, slots } of owners)
    for (const { from, to } of slots) for (let slot = from; slot <= to; slot += 1) ownerOf.set(slot, id);
  for (const step of plan.waves.flat()) {
    if (step.kind !== "move-slots") throw new Error(step.kind);
    for (const { from, to } of step.slots) {
      for (let slot = from; slot <= to; slot += 1) {
        if (ownerOf.get(slot) !== step.from) throw new Error(`${step.from} does not own slot ${slot}`);
        ownerOf.set(slot, step.to);
      }
    }
  }
  return owners.map((owner) => ({
    ...owner,
    slots: [...ownerOf].flatMap(([slot, id]) => (id === owner.id ? [{ from: slot, to: slot }] : [])),
  }));
}

describe("slots", () => {
  test("how long it takes is predicted of the waves that move ranges", () => {
    const sizeOf = (): { bytes: number; memories: number; load: number } => ({
      bytes: 100,
      memories: 1,
      load: 0,
    });
    const options = { by: "shards", bytesPerSecond: 1000 } as const;
    const plan = planSlots({ epoch: 1, owners: masters(3, 1), sizeOf }, options);
    // Three sources, of which the one target takes from one at a time: 4,096 slots of 100 bytes.
    expect(plan.waves.length).toBe(3);
    expect(plan.predicted.durationMs).toBe(409_600);
    const wide = planSlots({ epoch: 1, owners: masters(3, 1), sizeOf }, { ...options, perNode: 3 });
    expect(wide.waves.length).toBe(1);
    expect(wide.predicted.durationMs).toBe(409_600);
  });

  test("39 equal masters and an empty one: 409 slots move, all to the empty one, and then none", () => {
    const owners = masters(39, 1);
    const plan = planSlots({ epoch: 1, owners }, { by: "shards" });
    expect(plan.predicted.moves).toBe(409);
    expect(plan).toMatchObject({ lowerBound: { moves: 409 }, gap: 0, optimal: true, balanced: true });
    const steps = plan.waves.flat();
    expect(new Set(steps.map((step) => (step.kind === "move-slots" ? step.to : "")))).toEqual(
      new Set(["m40"]),
    );
    const after = afterPlan(owners, plan);
    expect(after.map(({ slots }) => count(slots)).toSorted((a, b) => a - b)).toEqual([
      ...Array.from({ length: 16 }, () => 409),
      ...Array.from({ length: 24 }, () => 410),
    ]);
    expect(planSlots({ epoch: 2, owners: after }, { by: "shards" }).waves).toEqual([]);
  });

  test("each of them gives 10 or 11, in one range", () => {
    const plan = planSlots({ epoch: 1, owners: masters(39, 1) }, { by: "shards" });
    const given = plan.waves.flat().map((step) => (step.kind === "move-slots" ? step.slots : []));
    expect(given).toHaveLength(39);
    for (const ranges of given) expect(ranges).toHaveLength(1);
    for (const ranges of given) expect([10, 11, 12]).toContain(count(ranges));
  });

  test("a master that drains ends empty, and only what it had moves", () => {
    const owners = masters(4).map((owner, index) => ({ ...owner, draining: index === 0 }));
    const plan = planSlots({ epoch: 1, owners }, { by: "shards" });
    expect(plan.predicted.moves).toBe(4096);
    expect(afterPlan(owners, plan).map(({ slots }) => count(slots))).toEqual([0, 5462, 5461, 5461]);
  });

  test("weights", () => {
    const owners = masters(3).map((owner, index) => ({ ...owner, weight: index + 1 }));
    const plan = planSlots({ epoch: 1, owners }, { by: "shards" });
    expect(plan.nodes.map(({ after }) => after.held)).toEqual([2731, 5461, 8192]);
    expect(plan.predicted.moves).toBe(2730);
  });

  test("by bytes: a hot range is shared out, whatever the number of slots", () => {
    const owners = masters(4);
    const sizeOf = (slot: number): { bytes: number; memories: number; load: number } => ({
      bytes: slot < 4096 ? 4000 + (slot % 7) : 1000 + (slot % 5),
      memories: 1,
      load: 1,
    });
    const plan = planSlots({ epoch: 1, owners, sizeOf }, { by: "bytes", threshold: 0.02 });
    expect(plan.balanced).toBe(true);
    expect(plan.gap).toBeLessThan(0.001);
    expect(
      planSlots({ epoch: 1, owners: afterPlan(owners, plan), sizeOf }, { by: "bytes", threshold: 0.02 })
        .waves,
    ).toEqual([]);
  }, 60_000);

  test("slots of nobody are said, and nothing moves", () => {
    const owners = masters(4).slice(1);
    expect(planSlots({ epoch: 1, owners }, { by: "shards" })).toMatchObject({
      waves: [],
      problems: [{ code: "slots-uncovered", message: "4096 of 16384 slots belong to no node" }],
    });
  });
});
