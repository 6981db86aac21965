// What a proposer knows about one acceptor (or learner): whether it promised and reported, which slots it
// holds, and how much may be in flight to it.

import type { NodeId } from "../../model/ids.ts";
import { InflightWindow } from "../inflight-window.ts";

export class AcceptorView {
  readonly node: NodeId;
  readonly window = new InflightWindow();
  /** It promised this ballot, and its report is complete. Nothing is sent to be accepted before. */
  promised = false;
  /** Its report has everything that it ever accepted: its log was not damaged since. */
  tellsAll = true;
  /** Its report is known up to here; what lies below is not needed. */
  reportedTo: number;
  /** It has on disk, chosen or accepted in this ballot, everything up to here. Only grows. */
  match = 0;
  /** … and these slots beyond. */
  readonly #beyond = new Set<number>();
  /** Its log begins after this slot, or could, as it said last. */
  base = 0;
  /** The next slot to send. */
  next: number;
  /** Its state is streamed to it: what it needs next is no longer in the log. */
  awaitsSnapshot = false;
  /** Nothing but heartbeats until it answers one: its process was gone, or a stream to it failed. */
  paused = false;
  /** The tick in which it was heard from last. */
  heardTick: number;
  /** The newest round of reads that it answered. */
  round = 0;

  constructor(node: NodeId, reportedTo: number, tick: number) {
    this.node = node;
    this.reportedTo = reportedTo;
    this.next = reportedTo + 1;
    this.heardTick = tick;
  }

  /** Whether it has the slot on disk, chosen or accepted in this ballot. */
  holds(index: number): boolean {
    return index <= this.match || this.#beyond.has(index);
  }

  /** It holds first … last. True when that is news; what was sent again is in flight no more though it is none. */
  hold(first: number, last: number): boolean {
    if (last <= this.match) {
      this.window.release(last);
      return false;
    }
    if (first > this.match + 1) {
      for (let index = first; index <= last; index += 1) this.#beyond.add(index);
      return true;
    }
    if (this.#beyond.size > 0) {
      for (let index = this.match + 1; index <= last; index += 1) this.#beyond.delete(index);
    }
    this.match = last;
    while (this.#beyond.delete(this.match + 1)) this.match += 1;
    this.next = Math.max(this.next, this.match + 1);
    this.window.release(this.match);
    return true;
  }

  /**
   * Sends from `next` on again: what was in flight is taken for lost. That may be slots which it holds: a restart
   * forgets that they are chosen, where no flush told (16).
   */
  sendAgainFrom(next: number): void {
    this.next = next;
    this.window.clear();
  }

  get state(): "probing" | "replicating" | "snapshot" {
    if (this.awaitsSnapshot) return "snapshot";
    return this.promised && !this.paused ? "replicating" : "probing";
  }
}
