// Two thousand seeds of the simulator over all protocols, one in a hundred of them twice: no invariant is
// violated, every history has an order, every cluster heals, and equal seeds run equally.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SEEDS = 2000;
/** Ranges of their own in other places: `npm run sim` begins at 1, soaks at 100,000. */
const FROM = 10_000;
const TIMEOUT_MS = 1_100_000;

function simulateSeeds(): Promise<{ readonly code: number | null; readonly out: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ["test/sim/run.mjs", "--seeds", String(SEEDS), "--from", String(FROM)],
      {
        cwd: ROOT,
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out }));
  });
}

test(
  `${SEEDS} seeds over all protocols: no violation`,
  async () => {
    const { code, out } = await simulateSeeds();
    // What is shown when it fails has the lines that replay the seeds.
    expect(out).toContain(`seeds=${SEEDS} `);
    expect(out).toContain(" violations=0");
    expect(code).toBe(0);
  },
  TIMEOUT_MS,
);
