// What time it is, by most of the nodes: each is remembered by how far its wall clock is from this node's
// monotonic one, so that a wall clock that is set here changes nothing of what the others say. A version's
// time may not be ahead of that: one node with a wrong clock would otherwise win every conflict for as long
// as its clock is ahead.

import type { NodeId } from "../../model/ids.ts";
import type { Clock } from "../clock.ts";

export class PeerClocks {
  private readonly clock: Clock;
  private readonly offsets = new Map<NodeId, number>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A peer said what time it is; a little ago, so it is rather later there by now. */
  hear(peer: NodeId, wallMs: number): void {
    this.offsets.set(peer, wallMs - this.clock.nowMs());
  }

  /** In the middle of all clocks, the earlier one of two; this node's own is one of them. */
  agreedMs(): number {
    const nowMs = this.clock.nowMs();
    const clocks = [this.clock.wallMs(), ...[...this.offsets.values()].map((offset) => nowMs + offset)];
    return clocks.toSorted((a, b) => a - b)[Math.floor((clocks.length - 1) / 2)] ?? this.clock.wallMs();
  }
}
