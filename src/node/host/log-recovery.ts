// Brings a group back whose log was damaged on this node. What is gone may be promises (a term, a vote) and
// entries that were acknowledged, so nobody may count on this replica as it was, and it may decide nothing
// until it has everything again (Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage"):
//
//   1. It is silent until all other voters have told the term that they know: one of them may be the
//      candidate that it voted for. One that has itself forgotten does not count as told.
//   2. It begins in a higher term than all of those. Leaders of before step down when they hear of it, and
//      with them ends what they counted on here; late acknowledgements are of a term that is over.
//   3. It takes entries and acknowledges what is on its disk now, and does not vote. A majority of n without
//      it, and a majority that counted it, less it, still meet among the other n - 1. So the next leader,
//      elected without it, has every entry that was ever committed with its help.
//   4. Once an entry of such a leader's term is committed in its log, it has them, too, and votes again. In a
//      group of two, the other voter has everything from the start, and gets its vote.

import type { DurableState, Effects, Input, Replica, ReplicaStatus } from "../../consensus/seam.ts";
import { EMPTY_EFFECTS } from "../../consensus/effects.ts";
import type { GroupId, NodeId } from "../../model/ids.ts";
import { pause, type Clock } from "../clock.ts";
import type { Network } from "../transport/network.ts";
import { conclude, type Learned, type PromiseReport } from "./promise-reports.ts";
import type { ReplicaGroup } from "./replica-group.ts";

const ASK_MS = 2000;
const RETRY_MS = 300;

interface Host {
  readonly groups: ReadonlyMap<GroupId, ReplicaGroup>;
  learned(group: ReplicaGroup, learned: Learned): void;
}

export class LogRecovery {
  private readonly self: NodeId;
  private readonly host: Host;
  private readonly network: Network;
  private readonly clock: Clock;
  /** Everyone who may be a member of a group. */
  private readonly nodes: () => readonly NodeId[];
  private stopped = false;

  constructor(parts: {
    readonly self: NodeId;
    readonly host: Host;
    readonly network: Network;
    readonly clock: Clock;
    readonly nodes: () => readonly NodeId[];
  }) {
    this.self = parts.self;
    this.host = parts.host;
    this.network = parts.network;
    this.clock = parts.clock;
    this.nodes = parts.nodes;
  }

  /** Asks until everyone who must has answered. */
  async begin(group: ReplicaGroup): Promise<void> {
    while (!this.stopped) {
      await pause(this.clock, RETRY_MS);
      if (this.stopped || this.host.groups.get(group.id) !== group) return;
      const learned = await this.ask(group);
      if (this.stopped || this.host.groups.get(group.id) !== group) return;
      if (learned !== undefined) {
        this.host.learned(group, learned);
        return;
      }
    }
  }

  stop(): void {
    this.stopped = true;
  }

  private async ask(group: ReplicaGroup): Promise<Learned | undefined> {
    const asked = this.nodes().filter((node) => node !== this.self);
    const deadlineMs = this.clock.nowMs() + ASK_MS;
    const answers = new Map<NodeId, PromiseReport | null>();
    await Promise.all(
      asked.map(async (node) => {
        try {
          const answer = await this.network.call(node, "promises", { group: group.id }, deadlineMs);
          answers.set(node, answer as PromiseReport | null);
        } catch {
          // Asked again, until it answers.
        }
      }),
    );
    const { term, membership } = group.replica.status();
    return conclude(this.self, { term, membership, base: group.durable.logBase }, answers);
  }
}

/** Stands for a replica that may not speak yet. */
export class SilentReplica implements Replica {
  private readonly durable: DurableState;

  constructor(durable: DurableState) {
    this.durable = durable;
  }

  step(_input: Input): Effects {
    return EMPTY_EFFECTS;
  }

  status(): ReplicaStatus {
    const { hardState, snapshot, entries, applied } = this.durable;
    const last = snapshot.index + entries.length;
    return {
      role: "learner",
      leader: "",
      term: hardState.term,
      vote: hardState.vote,
      commit: Math.max(applied, hardState.commit),
      applied,
      first: snapshot.index + 1,
      last,
      durable: last,
      membership: snapshot.membership,
      recovering: true,
      logBytes: 0,
      transferringTo: "",
      progress: [],
    };
  }

  entry(): undefined {
    return undefined;
  }

  snapshotAt(): undefined {
    return undefined;
  }
}
