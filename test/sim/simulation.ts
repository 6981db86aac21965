// One seed of the simulator: the pure raft replicas of test/unit/consensus/random-cluster.ts under a storm.

import { createHash } from "node:crypto";
import { runSeed } from "../unit/consensus/random-cluster.ts";
import type { Answer, Task } from "./runner/pool.ts";

/** The storm of the random cluster in rounds, and what one round is worth. */
const ROUNDS = 260;
const ROUND_MS = 25;

/** The same seed gives the same answer. Never rejects because of what it simulates. */
export async function simulate({ seed }: Task): Promise<Answer> {
  try {
    const tally = runSeed(seed);
    const traceHash = createHash("sha256").update(JSON.stringify(tally)).digest("hex");
    return { events: tally.steps, simulatedMs: ROUNDS * ROUND_MS, traceHash, violation: undefined };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { events: 0, simulatedMs: 0, traceHash: message, violation: { invariant: "storm", message } };
  }
}
