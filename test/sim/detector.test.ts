// That the simulator sees what it is there to see: a deliberate bug of each protocol and one of the storage, each
// within a few seeds. `npm run sim -- --all-bugs` looks for all of them.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUGS = [
  "vote-before-flush",
  "match-goes-back",
  "promise-before-flush",
  "linearizable-by-name",
  "promises-before-flush",
];
const SEEDS_MAX = 60;
const TIMEOUT_MS = 300_000;

function search(args: readonly string[]): Promise<{ readonly code: number | null; readonly out: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["test/sim/run.mjs", ...args], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out }));
  });
}

test(
  `a bug of each protocol and of the storage is found within ${SEEDS_MAX} seeds`,
  async () => {
    const { code, out } = await search([
      ...BUGS.flatMap((name) => ["--bug", name]),
      "--seeds",
      String(SEEDS_MAX),
    ]);
    // What is shown when it fails is the table with what was found, and what was not.
    expect(out).toContain(`bugs=${BUGS.length} found=${BUGS.length} missed=0`);
    expect(code).toBe(0);
  },
  TIMEOUT_MS,
);
