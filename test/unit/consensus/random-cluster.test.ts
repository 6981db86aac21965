// Seeds of the random cluster (random-cluster.ts). A failing seed is replayed with
//   MEM0CTL_PROTOCOL=<raft|paxos> MEM0CTL_SEED=<seed> npx vitest run --config .config/vitest.config.ts test/unit/consensus/random-cluster.test.ts
// and more are run with MEM0CTL_SEEDS=<how many> MEM0CTL_FROM=<first>, from a multiple of the layouts.

import { describe, expect, test } from "vitest";
import { PAXOS, RAFT, type Protocol } from "./protocols.ts";
import { LAYOUTS, layoutFor, runSeed, type Tally } from "./random-cluster.ts";

const only = process.env["MEM0CTL_SEED"];
const first = Number(process.env["MEM0CTL_FROM"] ?? "0");
const seeds = Number(process.env["MEM0CTL_SEEDS"] ?? "300");
const protocols = [RAFT, PAXOS].filter(({ name }) => name === (process.env["MEM0CTL_PROTOCOL"] ?? name));

function run(protocol: Protocol, seed: number): Tally {
  try {
    return runSeed(protocol, seed);
  } catch (error) {
    const replay = `MEM0CTL_PROTOCOL=${protocol.name} MEM0CTL_SEED=${seed}`;
    throw new Error(`${protocol.name}, seed ${seed} (${layoutFor(seed).name}); replay with ${replay}`, {
      cause: error,
    });
  }
}

describe.runIf(only !== undefined)("one seed", () => {
  test.each(protocols)("$name keeps its invariants and converges", (protocol) => {
    expect(run(protocol, Number(only)).committed).toBeGreaterThan(0);
  });
});

describe.runIf(only === undefined).each(protocols)("a $name cluster under a storm", (protocol) => {
  for (const [position, { name }] of LAYOUTS.entries()) {
    test(`keeps its invariants and converges: ${name}`, { timeout: 600_000 }, () => {
      const total = { committed: 0, reads: 0, snapshots: 0, changes: 0, crashes: 0, elections: 0 };
      for (let seed = first + position; seed < first + seeds; seed += LAYOUTS.length) {
        const tally = run(protocol, seed);
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
    expect(runSeed(protocol, 42)).toEqual(runSeed(protocol, 42));
  });
});
