import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PlannedState } from "../../../src/model/plan.ts";
import { aimsOf } from "../../../src/topology/aims.ts";
import { bytesLowerBound, leastBytesMoved } from "../../../src/topology/moves-bound.ts";
import { bytesMoved, fewBytesMoved, loadsOf, violationOf } from "../../../src/topology/sized-moves.ts";

const sizes = fc.oneof(
  fc.integer({ min: 1, max: 60 }),
  fc.integer({ min: 1, max: 8 }),
  fc.integer({ min: 40, max: 200 }),
);
const states = fc
  .record({
    nodes: fc.integer({ min: 2, max: 4 }),
    sizes: fc.array(fc.record({ bytes: sizes, on: fc.nat(3) }), { minLength: 2, maxLength: 7 }),
    copies: fc.constantFrom(1, 1, 2),
    zones: fc.constantFrom(2, 4),
    drains: fc.boolean(),
  })
  .map(({ nodes, sizes, copies, zones, drains }): PlannedState => ({
    epoch: 1,
    nodes: Array.from({ length: nodes }, (_, index) => ({
      id: `n${index}`,
      role: "primary",
      zone: `zone-${index % zones}`,
      weight: 1,
      draining: drains && index === 0,
    })),
    shards: sizes.map(({ bytes, on }, index) => ({
      id: String(index),
      replicas: Array.from({ length: copies }, (_, copy) => `n${(on + copy) % nodes}`),
      leader: null,
      copies,
      bytes,
      memories: 1,
      load: 0,
    })),
  }));

describe("the lower bound on bytes", () => {
  test("is never above the least of all placements, found by looking at them", () => {
    fc.assert(
      fc.property(states, fc.constantFrom(0.02, 0.2, 0.5), (state, threshold) => {
        const { problem } = aimsOf(state, "bytes", threshold);
        const least = leastBytesMoved(problem, fewBytesMoved(problem));
        fc.pre(least !== undefined);
        const violation = violationOf(problem.nodes, loadsOf(problem, least ?? []));
        const bound = bytesLowerBound(problem, violation);
        expect(bound).toBeLessThanOrEqual(bytesMoved(problem, least ?? []) + 1e-6);
      }),
      { numRuns: 2000 },
    );
  });
});
