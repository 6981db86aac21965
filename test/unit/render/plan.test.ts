// A plan as people read it.

import { expect, test } from "vitest";
import { renderPlan } from "../../../src/render/plan.ts";
import { makeTheme } from "../../../src/render/theme.ts";
import { planSlots } from "../../../src/topology/slot-plan.ts";

const pipe = makeTheme({ isTty: false, env: {}, columns: 80, noColor: false });

test("hundreds of scattered slots do not make a line without end; wide has them all", () => {
  // Keys lie in every third slot of the first master, so that is where those that move are taken from.
  const sizeOf = (slot: number): { bytes: number; memories: number; load: number } => {
    const bytes = slot < 8192 && slot % 3 === 0 ? 1000 : 0;
    return { bytes, memories: bytes / 1000, load: 0 };
  };
  const owners = ["a", "b"].map((id, at) => ({
    id,
    weight: 1,
    draining: false,
    slots: [{ from: at * 8192, to: at * 8192 + 8191 }],
  }));
  const plan = planSlots({ epoch: 1, owners, sizeOf }, { by: "bytes", bytesPerSecond: 1000 });
  const shown = { plan: { ...plan, cluster: "c" }, maps: undefined };
  const longest = (text: string): number => Math.max(...text.split("\n").map((line) => line.length));
  const table = renderPlan(shown, pipe, false);
  expect(plan.waves.flat()).toHaveLength(1);
  expect(table).toContain(`0, 3, 6, 9, ... (${plan.predicted.moves} slots)`);
  expect(longest(table)).toBeLessThan(110);
  expect(longest(renderPlan(shown, pipe, true))).toBeGreaterThan(5000);
});
