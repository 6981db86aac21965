// What a multi-paxos proposer makes of its ballots, held against what it was told: it proposes what was accepted in
// the highest ballot (Paxos Made Simple, 2.2), fills every gap, and does not outbid who refused it at once. It
// counts pages of reports by itself, and asks the replica for nothing but its status and its slots.

import { isPaxosMessage, type Promised } from "../../src/consensus/paxos/messages.ts";
import type { Entry, Input, Replica, ReplicaStatus } from "../../src/consensus/seam.ts";
import type { NodeId } from "../../src/model/ids.ts";
import type { Must } from "./flow-watch.ts";
import { hasQuorum } from "./quorums.ts";

/** A ballot of its own under way. */
interface Campaign {
  readonly term: number;
  /** Of each slot that may be chosen, the value that was accepted in the highest ballot: its own, and reports. */
  readonly highest: Map<number, Entry>;
  /** Reports are complete up to here. */
  readonly reportedTo: Map<NodeId, number>;
  /** Whose reports may lack something: their logs were damaged. */
  readonly partial: Set<NodeId>;
}

export class BallotWatch {
  readonly #node: NodeId;
  readonly #name: string;
  readonly #replica: Replica;
  readonly #must: Must;
  #campaign: Campaign | undefined;

  constructor(parts: {
    readonly node: NodeId;
    readonly name: string;
    readonly replica: Replica;
    readonly must: Must;
  }) {
    this.#node = parts.node;
    this.#name = parts.name;
    this.#replica = parts.replica;
    this.#must = parts.must;
  }

  /** After a step. */
  judge(before: ReplicaStatus, after: ReplicaStatus, input: Input): void {
    const message = input.kind === "message" && isPaxosMessage(input.message) ? input.message : undefined;
    const isNewBallot = after.term > before.term && after.vote === this.#node;
    // Who goes above at once is outbid at once (11).
    this.#must(
      message?.kind !== "refused" || !isNewBallot,
      "loser-waits",
      () => `${this.#name} answers a refusal of round ${before.term} with round ${after.term}`,
    );
    if (isNewBallot) this.#begin(after);
    const campaign = this.#campaign;
    if (campaign === undefined) return;
    if (message?.kind === "promise" && message.term === campaign.term) {
      this.#take(campaign, message, before.commit);
    }
    if (after.role === "leader" && after.term === campaign.term) {
      this.#judgeAdopted(campaign, after);
      this.#judgeReports(campaign, after);
    }
    if (after.role !== "candidate" || after.term !== campaign.term) this.#campaign = undefined;
  }

  #begin({ term, commit, last }: ReplicaStatus): void {
    const highest = new Map<number, Entry>();
    for (let index = commit + 1; index <= last; index += 1) {
      const entry = this.#replica.entry(index);
      if (entry !== undefined && entry.kind !== "hole") highest.set(index, entry);
    }
    this.#campaign = { term, highest, reportedTo: new Map(), partial: new Set() };
  }

  /** One page of a report; one that leaves a gap before it is not counted. */
  #take(
    { highest, reportedTo, partial }: Campaign,
    { from, first, entries, partial: isPartial }: Promised,
    commit: number,
  ): void {
    if (isPartial === true) partial.add(from);
    const known = Math.max(commit, reportedTo.get(from) ?? 0);
    if (first > known + 1) return;
    reportedTo.set(from, Math.max(known, first + entries.length - 1));
    for (const entry of entries) {
      const other = highest.get(entry.index);
      if (entry.kind === "hole" || (other !== undefined && roundOf(other) >= roundOf(entry))) continue;
      highest.set(entry.index, entry);
    }
  }

  /** Whatever was chosen, somebody who has lost nothing told it: no quorum is without one of those. */
  #judgeReports({ term, reportedTo, partial }: Campaign, { membership }: ReplicaStatus): void {
    const hasTold = (voter: NodeId): boolean =>
      voter === this.#node || (reportedTo.has(voter) && !partial.has(voter));
    this.#must(
      !hasQuorum(membership, (voter) => !hasTold(voter)),
      "leads-by-whole-reports",
      () =>
        `${this.#name} leads round ${term} by reports that may lack something: ${[...partial].join(", ")}`,
    );
  }

  /** What it learned meanwhile is chosen; every other slot up to the last reported has its value (5 to 8). */
  #judgeAdopted({ term, highest }: Campaign, { commit }: ReplicaStatus): void {
    const last = Math.max(0, ...highest.keys());
    for (let index = commit + 1; index <= last; index += 1) {
      const due = highest.get(index);
      const entry = this.#replica.entry(index);
      const kept = due !== undefined && entry?.kind === due.kind && entry.term === due.term;
      const filled = due === undefined && entry?.kind === "noop" && entry.term === term;
      this.#must(
        entry !== undefined && roundOf(entry) === term && (kept || filled),
        "highest-ballot-adopted",
        () =>
          `${this.#name} leads round ${term} with ${wordsOf(entry)} in slot ${index}, due is ${due === undefined ? "a no-op" : wordsOf(due)}`,
      );
    }
  }
}

function roundOf({ ballot, term }: Entry): number {
  return ballot ?? term;
}

function wordsOf(entry: Entry | undefined): string {
  return entry === undefined ? "nothing" : `${entry.kind} of term ${entry.term}, round ${roundOf(entry)}`;
}
