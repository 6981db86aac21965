// The short form of `npm run chaos`: every protocol on a real cluster of its own, side by side, while nodes
// are killed, stopped and cut off from each other. No acknowledged write is lost, nothing is read that is
// older than it may be, and afterwards the cluster is whole again by itself.

import { expect, test } from "vitest";
import { PROTOCOLS, runChaos } from "../chaos/run.ts";

const SECONDS = 20;
/** Far less than the clients manage on a machine that does nothing else. */
const OPERATIONS_MIN = 150;

test("clients see nothing wrong while nodes are killed, stopped and cut off", async () => {
  const seed = Math.floor(Math.random() * 1_000_000);
  const said: string[] = [];
  const results = await Promise.all(
    PROTOCOLS.map(async (protocol) =>
      runChaos({
        protocol,
        faults: ["kill", "pause", "partition"],
        seconds: SECONDS,
        seed,
        say: (line) => said.push(line),
      }),
    ),
  );
  expect(
    results.flatMap(({ violations }) => violations),
    `seed ${seed}\n${said.join("\n")}`,
  ).toEqual([]);
  // The runs were runs.
  for (const { operations } of results) expect(operations).toBeGreaterThan(OPERATIONS_MIN);
}, 600_000);
