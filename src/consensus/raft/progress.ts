// What a leader knows about one follower, and how much it may have in flight to it. Three states:
// probing (one append at a time until the logs are known to agree), replicating (pipelined), snapshot
// (nothing is appended until the host's stream ended).

import type { NodeId } from "../../model/ids.ts";

/** Appends sent and not yet acknowledged, oldest first. */
class Window {
  #ends: number[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;

  get messages(): number {
    return this.#ends.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(lastIndex: number, bytes: number): void {
    this.#ends.push(lastIndex);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** Acknowledgements are cumulative: everything that ends at or before `index` arrived. */
  release(index: number): void {
    while (this.#head < this.#ends.length && (this.#ends[this.#head] ?? 0) <= index) {
      this.#bytes -= this.#sizes[this.#head] ?? 0;
      this.#head += 1;
    }
    if (this.#head === this.#ends.length) this.clear();
    else if (this.#head > 1024) {
      this.#ends = this.#ends.slice(this.#head);
      this.#sizes = this.#sizes.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    if (this.#ends.length === 0) return;
    this.#ends = [];
    this.#sizes = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}

export class Progress {
  readonly node: NodeId;
  readonly window = new Window();
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
