// Gives a replica whose state is damaged the state of a healthy one. The protocol need not know: log and
// promises are whole. A peer streams its state, as it applied it up to some index A, into the next generation
// here; once this replica knows that A is committed, one small write to the log store makes that the state,
// and what the log has after A is applied to it. Meanwhile leadership goes to somebody else.

import { Mem0ctlError } from "../../model/errors.ts";
import { groupName, type GroupId, type NodeId } from "../../model/ids.ts";
import { pause, type Clock } from "../clock.ts";
import type { Network } from "../transport/network.ts";
import type { ReplicaGroup } from "./replica-group.ts";
import type { SnapshotTransfers } from "./snapshot-transfers.ts";

const RETRY_MS = 250;
/** Longest that a peer may take to stream its state. */
const STREAM_MS_MAX = 600_000;

/** What a peer is asked for; it answers when all of it has arrived. */
export interface StateCall {
  readonly group: GroupId;
  /** Where the asker's log begins: an older state would leave a gap. */
  readonly indexMin: number;
}

interface Groups {
  readonly groups: ReadonlyMap<GroupId, ReplicaGroup>;
  readonly snapshots: Pick<SnapshotTransfers, "gaveUp">;
}

export class StateRepair {
  private readonly self: NodeId;
  private readonly host: Groups;
  private readonly network: Network;
  private readonly clock: Clock;
  private readonly onRepaired: (group: GroupId, from: NodeId) => void;
  private readonly repairing = new Set<ReplicaGroup>();
  private stopped = false;

  constructor(parts: {
    readonly self: NodeId;
    readonly host: Groups;
    readonly network: Network;
    readonly clock: Clock;
    readonly onRepaired: (group: GroupId, from: NodeId) => void;
  }) {
    this.self = parts.self;
    this.host = parts.host;
    this.network = parts.network;
    this.clock = parts.clock;
    this.onRepaired = parts.onRepaired;
  }

  /** Goes on until the damage is gone: by another replica's state, by a snapshot of the leader, or with the replica. */
  begin(group: ReplicaGroup): void {
    if (this.repairing.has(group)) return;
    this.repairing.add(group);
    void this.repair(group);
  }

  stop(): void {
    this.stopped = true;
  }

  private async repair(group: ReplicaGroup): Promise<void> {
    const isDue = (): boolean =>
      !this.stopped && group.damage !== undefined && this.host.groups.get(group.id) === group;
    let from: NodeId = "";
    group.step({ kind: "damaged", is: true });
    for (let attempt = 0; isDue(); attempt += 1) {
      handOver(group);
      const sources = group.isRebuilt ? [] : this.sources(group);
      const source = sources[attempt % Math.max(1, sources.length)];
      if (source !== undefined && (await this.fetch(group, source))) from = source;
      await pause(this.clock, RETRY_MS);
    }
    this.repairing.delete(group);
    if (group.damage === undefined) group.step({ kind: "damaged", is: false });
    if (from !== "" && group.damage === undefined) this.onRepaired(group.id, from);
  }

  private async fetch(group: ReplicaGroup, source: NodeId): Promise<boolean> {
    const call: StateCall = { group: group.id, indexMin: group.durable.logBase };
    try {
      await this.network.call(source, "state", call, this.clock.nowMs() + STREAM_MS_MAX);
      return true;
    } catch {
      // It may be damaged itself, busy with another transfer, or gone in the middle of it; the next one is asked.
      this.host.snapshots.gaveUp(group, source);
      return false;
    }
  }

  /** Who has the group's state, the leader first: it has applied the most. */
  private sources(group: ReplicaGroup): readonly NodeId[] {
    const { leader } = group.replica.status();
    return otherCopies(group, this.self)
      .filter((node) => this.network.connected(node))
      .toSorted((a, b) => Number(b === leader) - Number(a === leader));
  }
}

/** Other nodes that keep the group's state. */
export function otherCopies(group: ReplicaGroup, self: NodeId): readonly NodeId[] {
  const { voters, outgoing, learners, arbiters } = group.replica.status().membership;
  const members = new Set([...voters, ...outgoing, ...learners]);
  return [...members].filter((node) => node !== self && !arbiters.includes(node));
}

/** Sends the asker to another copy of the group; where there is none, says so. */
export function replicaDamaged(group: ReplicaGroup, self: NodeId): Mem0ctlError {
  const what = `a record of ${groupName(group.id)} on ${self} is damaged`;
  if (otherCopies(group, self).length > 0) {
    return new Mem0ctlError("unavailable", "replica-damaged", what, {
      why: "it is being rebuilt from another replica, which is asked instead",
      hint: "try again in a moment",
      data: { group: group.id, leader: "" },
    });
  }
  return new Mem0ctlError("failed", "only-copy-damaged", what, {
    why: group.damage ?? "it does not match its checksum",
    hint: "there is no other copy: write the memory again, or import it from an export",
    data: { group: group.id },
  });
}

/** A leader whose state is damaged answers no reads: the voter that is furthest leads instead. */
function handOver(group: ReplicaGroup): void {
  const { role, transferringTo, progress, membership } = group.replica.status();
  if (role !== "leader" || transferringTo !== "") return;
  const [best] = progress
    .filter(
      ({ node, state, recentlyActive }) =>
        recentlyActive &&
        state === "replicating" &&
        membership.voters.includes(node) &&
        !membership.arbiters.includes(node),
    )
    .toSorted((a, b) => b.match - a.match);
  if (best !== undefined) group.step({ kind: "transfer", to: best.node });
}
