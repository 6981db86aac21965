// What is copied to new replicas stays below the bound of the operation, over all that is sent at once.

import { expect, it } from "vitest";
import type { Clock } from "../../../src/node/clock.ts";
import { Pace } from "../../../src/node/moves/pace.ts";

/** A clock whose time passes only while somebody waits, and that runs a little slow. */
function slowClock(): { readonly clock: Clock; readonly waits: number[] } {
  let nowMs = 1e6;
  const waits: number[] = [];
  const clock = {
    nowMs: () => nowMs,
    later: (ms: number, work: () => void) => {
      waits.push(ms);
      nowMs += ms * 0.95;
      queueMicrotask(work);
      return { close: () => undefined };
    },
  } as unknown as Clock;
  return { clock, waits };
}

it("two streams together send no more than the bound, and no rest is too small to pass", async () => {
  const { clock, waits } = slowClock();
  const pace = new Pace(clock, () => 1000);
  const startMs = clock.nowMs();
  await Promise.all([pace.sent(1500), pace.sent(500)]);
  expect(clock.nowMs() - startMs).toBeGreaterThanOrEqual(2000);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(1);
  expect(waits.length).toBeLessThan(60);
});

it("without a bound nothing waits, and a bound that is lifted lets go", async () => {
  const { clock, waits } = slowClock();
  let bound: number | null = null;
  const pace = new Pace(clock, () => bound);
  await pace.sent(1e9);
  expect(waits).toEqual([]);
  bound = 1;
  const sent = pace.sent(1e9);
  bound = null;
  await sent;
  expect(waits.length).toBeLessThan(3);
});
