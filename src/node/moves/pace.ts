// Keeps what this node copies to new replicas below the bound of the operation that runs, over all that it sends at
// once. A replica that belongs to its shard already is fed as fast as it goes: it is missing meanwhile.

import { pause, type Clock } from "../clock.ts";

/** Not so long that what was held back goes on when the operation is over. */
const PAUSE_MS_MAX = 100;
const PAUSE_MS_MIN = 1;

export class Pace {
  private readonly clock: Clock;
  private readonly bytesPerSecondMax: () => number | null;
  private freeAtMs = 0;

  constructor(clock: Clock, bytesPerSecondMax: () => number | null) {
    this.clock = clock;
    this.bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Resolves when so many bytes more may have been sent. */
  async sent(bytes: number): Promise<void> {
    this.count(bytes);
    await this.until(this.freeAtMs);
  }

  /** So many bytes more are sent; what follows waits for them. */
  count(bytes: number): void {
    const bound = this.bytesPerSecondMax();
    if (bound === null) return;
    this.freeAtMs = Math.max(this.freeAtMs, this.clock.nowMs()) + (bytes / bound) * 1000;
  }

  /** Waits, but no longer than `untilMs`; true when more may be sent. */
  async isFree(untilMs: number): Promise<boolean> {
    const freeAtMs = this.freeAtMs;
    await this.until(Math.min(untilMs, freeAtMs));
    return this.bytesPerSecondMax() === null || this.clock.nowMs() >= freeAtMs;
  }

  private async until(untilMs: number): Promise<void> {
    const { clock } = this;
    while (clock.nowMs() < untilMs && this.bytesPerSecondMax() !== null) {
      // A rest that is smaller than the clock can tell would be waited for again and again.
      await pause(clock, Math.max(PAUSE_MS_MIN, Math.min(PAUSE_MS_MAX, untilMs - clock.nowMs())));
    }
  }
}
