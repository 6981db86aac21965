// The clock of a running node: the system's time, timers and randomness.

import { randomBytes } from "node:crypto";
import type { Clock } from "./clock.ts";

const RANDOM_POOL_BYTES = 4000;
let pool = Buffer.alloc(0);

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  soon: (work) => void setImmediate(work),
  // Node counts whole ms and cuts off fractions of both ends: a timer would go off up to two ms early, and who
  // waits for a moment, as every tick does, would have to wait again.
  later: (ms, work) => setTimeout(work, Math.ceil(ms) + 1),
  random: () => Math.random(),
  // Drawn from the system in larger portions, since each draw is a call of its own.
  randomBytes(count) {
    if (count > RANDOM_POOL_BYTES) return randomBytes(count);
    if (pool.length < count) pool = randomBytes(RANDOM_POOL_BYTES);
    const bytes = pool.subarray(0, count);
    pool = pool.subarray(count);
    return bytes;
  },
};
