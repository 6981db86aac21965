// What a leader knows about one follower, and how much it may have in flight to it. Three states:
// probing (one append at a time until the logs are known to agree), replicating (pipelined), snapshot
// (nothing is appended until the host's stream ended).

import type { NodeId } from "../../model/ids.ts";
import { InflightWindow } from "../inflight-window.ts";

export class Progress {
  readonly node: NodeId;
  readonly window = new InflightWindow();
  state: "probing" | "replicating" | "snapshot" = "probing";
  /** The follower's disk holds the leader's log up to here. Only grows (20). */
  match = 0;
  /** The next entry to send. Always > match. */
  next: number;
  /** Probing: one append is out and unanswered; a heartbeat's answer lifts it. */
  probeSent = false;
  /** The tick in which the follower was heard from last. */
  heardTick: number;
  /** The newest ReadIndex round that it answered. */
  round = 0;

  constructor(node: NodeId, next: number, tick: number) {
    this.node = node;
    this.next = next;
    this.heardTick = tick;
  }

  probe(next: number): void {
    this.state = "probing";
    this.next = Math.max(next, this.match + 1);
    this.probeSent = false;
    this.window.clear();
  }

  replicate(): void {
    this.state = "replicating";
    this.next = this.match + 1;
    this.probeSent = false;
    this.window.clear();
  }

  awaitSnapshot(): void {
    this.state = "snapshot";
    this.probeSent = false;
    this.window.clear();
  }
}
