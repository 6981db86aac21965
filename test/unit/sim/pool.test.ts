// When a seed counts as a hang: by the processor time of the child that simulates it, not by the clock of a machine
// that has other things to do.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Pool } from "../../sim/runner/pool.ts";
import type { Outcome } from "../../sim/runner/pool.ts";

const SEED_MS = 1500;
/** What a child does with a seed, by its number. */
const CHILD = `
// To ask for the time costs some, most of it the system's.
const usedMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
const spin = (ms) => { const since = usedMs(); while (usedMs() - since < ms); };
const answer = { events: 1, simulatedMs: 1, traceHash: "x", operations: {} };
process.on("message", ({ seed }) => {
  if (seed === 1) spin(1e9);
  if (seed === 3) {
    let turns = 0;
    const timer = setInterval(() => {
      spin(20);
      turns += 1;
      if (turns === 12) { clearInterval(timer); process.send(answer); }
    }, 200);
  }
});
`;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-pool-"));
  writeFileSync(join(folder, "child.mjs"), CHILD);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  { seed: 1, what: "computes without end", invariant: "hang" },
  { seed: 2, what: "stands still", invariant: "hang" },
  { seed: 3, what: "is given a tenth of the processor", invariant: undefined },
])(
  "a child that $what: $invariant",
  async ({ seed, invariant }) => {
    const pool = new Pool({ bundle: join(folder, "child.mjs"), size: 1, seedMs: SEED_MS });
    const outcomes: Outcome[] = [];
    await pool.run([{ protocol: "raft", seed, trace: false }], (outcome) => outcomes.push(outcome) > 0);
    expect(outcomes.map(({ violation }) => violation?.invariant)).toEqual([invariant]);
    // The children step back for whatever else runs.
  },
  90_000,
);
