// Who is alive and who leads, as this node hears it: every node sends every other a beat each heartbeat
// interval, naming the groups it leads. What is heard here guides routing and reports; it decides nothing.

import type { GroupId, NodeId } from "../../model/ids.ts";
import type { PeerReport } from "../../model/node-api.ts";
import type { NodeBeat } from "../transport/network.ts";

interface Heard {
  lastMs: number;
  /** When it was last seen to come up. */
  upSinceMs: number;
}

export interface LeaderClaim {
  readonly leader: NodeId | null;
  readonly term: number;
}

export class Liveness {
  private readonly heard = new Map<NodeId, Heard>();
  private readonly claims = new Map<GroupId, { leader: NodeId; term: number }>();
  private readonly nowMs: () => number;
  private readonly suspectMs: number;
  private readonly downMs: number;

  constructor(options: {
    readonly nowMs: () => number;
    readonly heartbeatIntervalMs: number;
    readonly electionTimeoutMs: number;
  }) {
    this.nowMs = options.nowMs;
    this.suspectMs = Math.max(3 * options.heartbeatIntervalMs, options.electionTimeoutMs / 2);
    this.downMs = 2 * options.electionTimeoutMs;
  }

  /** Anything received from a peer is a sign of life. */
  alive(peer: NodeId): void {
    const now = this.nowMs();
    const known = this.heard.get(peer);
    if (known === undefined) this.heard.set(peer, { lastMs: now, upSinceMs: now });
    else {
      if (now - known.lastMs > this.downMs) known.upSinceMs = now;
      known.lastMs = now;
    }
  }

  beat(peer: NodeId, beat: NodeBeat): void {
    this.alive(peer);
    for (const [group, term] of beat.leads) this.claim(group, peer, term);
  }

  /** A claim of a newer term replaces an older one. */
  claim(group: GroupId, leader: NodeId, term: number): void {
    const known = this.claims.get(group);
    if (known === undefined || term >= known.term) this.claims.set(group, { leader, term });
  }

  leaderOf(group: GroupId): LeaderClaim {
    return this.claims.get(group) ?? { leader: null, term: 0 };
  }

  gone(peer: NodeId): void {
    const known = this.heard.get(peer);
    if (known !== undefined) known.lastMs = Math.min(known.lastMs, this.nowMs() - this.downMs - 1);
  }

  state(peer: NodeId): PeerReport["state"] {
    const known = this.heard.get(peer);
    if (known === undefined) return "down";
    const age = this.nowMs() - known.lastMs;
    return age <= this.suspectMs ? "up" : age <= this.downMs ? "suspect" : "down";
  }

  /** How long the peer has been up without a break; 0 when it is not. */
  upForMs(peer: NodeId): number {
    const known = this.heard.get(peer);
    return known === undefined || this.state(peer) !== "up" ? 0 : this.nowMs() - known.upSinceMs;
  }

  lastHeartbeatMs(peer: NodeId): number | null {
    const known = this.heard.get(peer);
    return known === undefined ? null : Math.max(0, Math.round(this.nowMs() - known.lastMs));
  }
}
