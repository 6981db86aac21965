// Seeds of the random cluster (random-cluster.ts). A failing seed is replayed with
//   MEM0CTL_SEED=<seed> npx vitest run --config .config/vitest.config.ts test/unit/consensus/random-cluster.test.ts
// and more are run with MEM0CTL_SEEDS=<how many>.

import { describe, expect, test } from "vitest";
import { LAYOUTS, layoutFor, runSeed, type Tally } from "./random-cluster.ts";

const only = process.env["MEM0CTL_SEED"];
const seeds = Number(process.env["MEM0CTL_SEEDS"] ?? "300");

function run(seed: number): Tally {
  try {
    return runSeed(seed);
  } catch (error) {
    throw new Error(`seed ${seed} (${layoutFor(seed).name}); replay with MEM0CTL_SEED=${seed}`, {
      cause: error,
    });
  }
}

describe.runIf(only !== undefined)("one seed", () => {
  test("keeps its invariants and converges", () => {
    expect(run(Number(only)).committed).toBeGreaterThan(0);
  });
});

describe.runIf(only === undefined)("a raft cluster under a storm", () => {
  for (const [position, { name }] of LAYOUTS.entries()) {
    test(`keeps its invariants and converges: ${name}`, { timeout: 600_000 }, () => {
      const total = { committed: 0, reads: 0, snapshots: 0, changes: 0, crashes: 0, elections: 0 };
      for (let seed = position; seed < seeds; seed += LAYOUTS.length) {
        const tally = run(seed);
        total.committed += tally.committed;
        total.reads += tally.reads;
        total.snapshots += tally.snapshots;
        total.changes += tally.changes;
        total.crashes += tally.crashes;
        total.elections += tally.elections;
      }
      // A storm in which nothing happened would prove nothing.
      for (const happened of Object.values(total)) expect(happened).toBeGreaterThan(0);
    });
  }

  test("is the same for the same seed", () => {
    expect(runSeed(42)).toEqual(runSeed(42));
  });
});
