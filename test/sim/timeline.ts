// Virtual time: a queue of events in the order of their moments. Between two events everything that the first
// one set going (promises) runs to its end, as between two turns of the event loop. An event belongs to a
// process, and is lost with it, or waits while it is paused.

import type { Timer } from "../../src/node/clock.ts";
import { enterSimulation, leaveSimulation, realTurn } from "./real-time.ts";

/** Whose event it is. */
export interface Owner {
  readonly name: string;
  isAlive: boolean;
  /** When it goes on, or went on last. */
  pausedUntilMs: number;
  /** What waits for that. */
  deferred: Planned[];
}

export interface Planned extends Timer {
  atMs: number;
  order: number;
  readonly run: () => void;
  readonly owner: Owner | undefined;
  closed: boolean;
}

/** Events between two turns of the real event loop. */
const EVENTS_PER_TURN = 256;

export class Timeline {
  nowMs = 0;
  events = 0;
  #heap: Planned[] = [];
  #order = 0;

  /** Runs `run` after `delayMs`, not before everything that was planned for the same moment. */
  plan(delayMs: number, run: () => void, owner?: Owner): Timer {
    const planned: Planned = {
      atMs: this.nowMs + Math.max(0, delayMs),
      order: this.#order++,
      run,
      owner,
      closed: false,
      close() {
        this.closed = true;
      },
    };
    this.#push(planned);
    return planned;
  }

  /** Stopped like a process by SIGSTOP: its time goes on, and nothing of it happens. */
  pause(owner: Owner, ms: number): void {
    owner.pausedUntilMs = Math.max(owner.pausedUntilMs, this.nowMs + ms);
    this.plan(ms, () => {
      if (owner.pausedUntilMs <= this.nowMs) this.resume(owner);
    });
  }

  resume(owner: Owner): void {
    owner.pausedUntilMs = Math.min(owner.pausedUntilMs, this.nowMs);
    const { deferred } = owner;
    owner.deferred = [];
    for (const event of deferred) {
      event.atMs = this.nowMs;
      event.order = this.#order++;
      this.#push(event);
    }
  }

  /**
   * Runs events until `isOver`, which is asked between events, or none is left. `onSettled` is called after each,
   * when all that follows from it is done; `onThrow` with what an event threw.
   */
  run(watch: {
    readonly onSettled: (owner: Owner | undefined) => void;
    readonly isOver: () => boolean;
    readonly onThrow: (error: unknown, owner: Owner | undefined) => void;
    readonly onLeak: (source: string) => void;
  }): Promise<void> {
    return new Promise((resolve) => {
      let settling = false;
      let last: Owner | undefined;
      let ended = false;
      const end = (): void => {
        ended = true;
        leaveSimulation();
        resolve();
      };
      const settle = (): void => {
        if (!settling) return;
        settling = false;
        watch.onSettled(last);
      };
      const step = (): void => {
        if (ended) return;
        settle();
        if (watch.isOver()) return end();
        const event = this.#next();
        if (event === undefined) return end();
        enterSimulation(watch.onLeak);
        this.events += 1;
        last = event.owner;
        settling = true;
        try {
          event.run();
        } catch (error) {
          watch.onThrow(error, event.owner);
        }
      };
      const turn = (): void => {
        for (let count = 0; count < EVENTS_PER_TURN; count += 1) realTurn(step);
        realTurn(() => {
          leaveSimulation();
          if (!ended) turn();
        });
      };
      turn();
    });
  }

  /** The next event of a live process, with the time set to its moment. */
  #next(): Planned | undefined {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return undefined;
      const { owner } = event;
      if (event.closed || owner?.isAlive === false) continue;
      if (owner !== undefined && owner.pausedUntilMs > event.atMs) {
        owner.deferred.push(event);
        continue;
      }
      this.nowMs = event.atMs;
      return event;
    }
  }

  #push(event: Planned): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, event)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): Planned | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const moved = heap.pop();
    if (first === undefined || moved === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      let smaller = heap[child];
      if (smaller === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, smaller)) {
        child += 1;
        smaller = right;
      }
      if (isBefore(moved, smaller)) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = moved;
    return first;
  }
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
