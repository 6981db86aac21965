import { expect, test } from "vitest";
import { systemClock } from "../../../src/node/system-clock.ts";

/** Keeps the thread for so long: timers are set at any part of a ms. */
function work(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

test("a timer never goes off before its time", async () => {
  for (const ms of [1, 1.5, 1.99, 3.7, 5, 5.999]) {
    for (const workedMs of [0, 0.4, 0.9]) {
      work(workedMs);
      const since = systemClock.nowMs();
      await new Promise<void>((resolve) => systemClock.later(ms, resolve));
      expect(systemClock.nowMs() - since).toBeGreaterThanOrEqual(ms);
    }
  }
});
