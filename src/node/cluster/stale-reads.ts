// Reads that may miss the newest writes: the nearest healthy replica answers them, without a word to the
// leader. Where the caller gave a bound, a replica answers only when it knows that its state is young
// enough (freshness.ts); else the read goes on to the next replica, and at last to the leader.

import type { Consistency } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { groupName, type GroupId, type NodeId } from "../../model/ids.ts";
import { formatDuration } from "../../model/units.ts";
import type { Clock } from "../clock.ts";
import type { Host } from "../host/host.ts";
import type { Network } from "../transport/network.ts";
import { Freshness } from "./freshness.ts";
import type { Liveness } from "./liveness.ts";
import type { Query } from "./router.ts";

export interface StaleReadsOptions {
  readonly self: NodeId;
  readonly host: Host;
  readonly network: Network;
  readonly clock: Clock;
  readonly liveness: Liveness;
  /** Longest that one replica is waited for before the next is asked. */
  readonly attemptMs: number;
  readonly runQuery: (group: GroupId, query: Query) => Promise<unknown>;
  /** Nodes that hold data of the group. */
  readonly replicasOf: (group: GroupId) => readonly NodeId[];
  readonly zoneOf: (node: NodeId) => string | undefined;
  readonly leaderOf: (group: GroupId) => { readonly leader: NodeId | null };
  /** The read at the leader, which is never stale. */
  readonly readAtLeader: (group: GroupId, query: Query, deadlineMs: number) => Promise<unknown>;
}

export class StaleReads {
  private readonly options: StaleReadsOptions;
  private readonly freshness: Freshness;

  constructor(options: StaleReadsOptions) {
    this.options = options;
    this.freshness = new Freshness({
      clock: options.clock,
      askIndex: (group, deadlineMs) => this.askIndex(group, deadlineMs),
    });
  }

  async read(group: GroupId, query: Query, consistency: Consistency, deadlineMs: number): Promise<unknown> {
    const { self, clock, network, attemptMs, readAtLeader } = this.options;
    const { maxStalenessMs } = consistency;
    let last: Mem0ctlError | undefined;
    for (const node of this.nearest(group)) {
      const until = Math.min(deadlineMs, clock.nowMs() + attemptMs);
      const ttlMs = until - clock.nowMs();
      if (ttlMs <= 0) break;
      try {
        return await (node === self
          ? this.readHere(group, query, consistency, until)
          : network.call(node, "query", { group, query, consistency, ttlMs }, until));
      } catch (error) {
        // What the query itself was answered with, such as that there is no such memory, is an answer.
        if (!(error instanceof Mem0ctlError) || !passesOn(error)) throw error;
        last = error;
      }
    }
    try {
      return await readAtLeader(group, query, deadlineMs);
    } catch (error) {
      if (!(error instanceof Mem0ctlError) || error.code !== "no-leader") throw error;
      throw maxStalenessMs === undefined
        ? (last ?? error)
        : tooStale(`no replica of ${groupName(group)}`, maxStalenessMs, group);
    }
  }

  /**
   * On this node's replica. Throws `not-here` where it has none, or none that ever had the state, and
   * `too-stale` where it does not know to be within the bound.
   */
  async readHere(
    group: GroupId,
    query: Query,
    { maxStalenessMs }: Consistency,
    deadlineMs: number,
  ): Promise<unknown> {
    const { host, runQuery, self } = this.options;
    const replica = host.group(group);
    // One that is only now being filled is not old, it is empty.
    if (replica.applied === 0) {
      throw new Mem0ctlError("unavailable", "not-here", `${self} does not have ${groupName(group)} yet`, {
        data: { group, leader: "" },
      });
    }
    if (maxStalenessMs !== undefined) {
      const isFresh = await this.freshness.isWithin(replica, maxStalenessMs, deadlineMs);
      if (!isFresh) throw tooStale(`no state of ${groupName(group)} on ${self}`, maxStalenessMs, group);
    }
    return runQuery(group, query);
  }

  /** This node, then those of its zone, then the others; within each those first that were heard of lately. */
  private nearest(group: GroupId): readonly NodeId[] {
    const { self, network, liveness, host, replicasOf, zoneOf } = this.options;
    const zone = zoneOf(self);
    const cost = (node: NodeId): number => {
      if (node === self) return 0;
      return (liveness.state(node) === "up" ? 1 : 3) + (zoneOf(node) === zone ? 0 : 1);
    };
    return replicasOf(group)
      .filter((node) => (node === self ? host.groups.has(group) : network.connected(node)))
      .toSorted((a, b) => cost(a) - cost(b));
  }

  private async askIndex(group: GroupId, deadlineMs: number): Promise<number> {
    const { self, clock, host, network, leaderOf } = this.options;
    const { leader } = leaderOf(group);
    if (leader === null || leader === "") throw new Error("no leader is known");
    if (leader === self) return host.group(group).readIndex(deadlineMs);
    const ttlMs = deadlineMs - clock.nowMs();
    return Number(await network.call(leader, "read-index", { group, ttlMs }, deadlineMs));
  }
}

/** Whether another replica may do better. */
function passesOn({ kind, code }: Mem0ctlError): boolean {
  return kind === "unavailable" || kind === "unknown-outcome" || kind === "busy" || code === "call-unknown";
}

function tooStale(what: string, boundMs: number, group: GroupId): Mem0ctlError {
  return new Mem0ctlError(
    "unavailable",
    "too-stale",
    `${what} is known to be at most ${formatDuration(boundMs)} behind`,
    {
      why: "a replica learns from its leader how old its state can be, and no leader said so in time",
      hint: "ask for a larger bound, or for stale without one; `mem0ctl status` says what is missing",
      data: { group },
    },
  );
}
