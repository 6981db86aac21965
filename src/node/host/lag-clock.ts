// How long ago a log entry was appended by this leader: what turns a follower's lag in entries into
// milliseconds. Kept as a bounded list of (last index, time) marks.

import type { ReplicaStatus } from "../../consensus/seam.ts";

const MARKS_MAX = 512;

export class LagClock {
  private marks: { index: number; atMs: number }[] = [];
  private readonly nowMs: () => number;
  private term = 0;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** A new leader knows nothing of when earlier entries were written: they count from its election. */
  leading(status: ReplicaStatus): void {
    if (status.role !== "leader") {
      this.marks = [];
      this.term = 0;
    } else if (status.term !== this.term) {
      this.term = status.term;
      this.marks = [{ index: status.last, atMs: this.nowMs() }];
    }
  }

  appended(index: number): void {
    const atMs = this.nowMs();
    const last = this.marks.at(-1);
    if (last !== undefined && last.atMs === atMs) {
      last.index = index;
      return;
    }
    this.marks.push({ index, atMs });
    // Every second mark goes: old lags get coarser, never shorter by more than half.
    if (this.marks.length > MARKS_MAX)
      this.marks = this.marks.filter((_, at) => at % 2 === 0 || at > MARKS_MAX / 2);
  }

  /** Entries up to `index` are acknowledged everywhere: their marks are not needed. */
  forget(index: number): void {
    const first = this.marks.findIndex((mark) => mark.index > index);
    if (first === -1) this.marks = [];
    else if (first > 0) this.marks = this.marks.slice(first);
  }

  /** Age in ms of the oldest entry above `match`; 0 when there is none. */
  lagMs(match: number, last: number): number {
    if (match >= last) return 0;
    const mark = this.marks.find((candidate) => candidate.index > match);
    return mark === undefined ? 0 : Math.max(0, this.nowMs() - mark.atMs);
  }
}
