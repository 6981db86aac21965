// The data of one raft replica, and the few questions about it that every part asks. The parts
// (election, replication, reads, transfer, reconfiguration, snapshots) are functions over it; only
// replica.ts strings them together.

import type { NodeId } from "../../model/ids.ts";
import { membersOf } from "../membership.ts";
import type { ElectionTimer } from "../election-timer.ts";
import type { HardState, Membership, Recovery } from "../seam.ts";
import type { Durability } from "./durability.ts";
import type { EffectsBuilder } from "../effects.ts";
import type { RaftLog } from "./log.ts";
import type { RaftMessage } from "./messages.ts";
import type { MembershipHistory } from "./membership-history.ts";
import { Progress } from "./progress.ts";

/** A candidacy. In `pre-vote` no term has changed yet. */
export interface Campaign {
  readonly phase: "pre-vote" | "vote";
  readonly answers: Map<NodeId, boolean>;
  /** The persist effect that carries the vote for itself: it counts once flushed (1). */
  readonly selfVoteSequence: number;
}

/** One ReadIndex round on its way (dissertation 6.4). */
export interface ReadRound {
  readonly round: number;
  readonly index: number;
  readonly contexts: readonly number[];
}

/** A leadership transfer under way; proposals are refused meanwhile. */
export interface Transfer {
  readonly to: NodeId;
  readonly deadlineTick: number;
  /** Tick of the last timeout-now; -1 before the first. */
  askedTick: number;
}

/** A membership change whose new voters still catch up as learners (dissertation 4.2.1). */
export interface ChangePlan {
  readonly target: Membership;
  /** The catch-up round: new voters must reach this index … */
  roundIndex: number;
  /** … and did so soon enough if the round began no longer than an election timeout ago. */
  roundTick: number;
}

/** What a replica keeps only while it leads. */
export interface Leading {
  /** Index of the no-op that opened the term (13). */
  readonly opening: number;
  readonly progress: Map<NodeId, Progress>;
  /** Data bytes proposed in this or an earlier term and not yet committed (22). */
  uncommittedBytes: number;
  round: number;
  waitingReads: number[];
  reading: ReadRound | undefined;
  transfer: Transfer | undefined;
  /** Whom the last transfer was for; an arbiter tries somebody else next. */
  triedTransferTo: NodeId;
  plan: ChangePlan | undefined;
}

export interface RaftState extends ElectionTimer {
  readonly id: NodeId;
  readonly log: RaftLog;
  readonly memberships: MembershipHistory;
  readonly durability: Durability;
  readonly effects: EffectsBuilder<RaftMessage>;
  /** Hard state as the newest persist effect carries it. */
  persisted: HardState;
  term: number;
  vote: NodeId;
  commit: number;
  leader: NodeId;
  /** Defined while it leads. Never together with `campaign`. */
  leading: Leading | undefined;
  /** Defined while it campaigns. */
  campaign: Campaign | undefined;
  /** Ticks since the replica started. */
  tick: number;
  /** Committed entries up to here were given to the host. */
  handed: number;
  applied: number;
  /** Set until a log that was damaged has everything again that this replica may have helped to commit. */
  recovery: Recovery | undefined;
  /** Arbiter: every data voter holds the log up to here, as leaders said. */
  heldByAll: number;
}

/** Whether it may campaign. */
export function isPromotable(state: RaftState): boolean {
  return state.recovery === undefined && state.memberships.isVoterSince(state.commit, state.id);
}

/**
 * Whether it may vote for `candidate`: not before its log has again what it may have forgotten. A replica that
 * was never fed may be one that was moved away and called back: whom it voted for then it does not know (2).
 */
export function mayVoteFor(state: RaftState, candidate: NodeId): boolean {
  const isBlank = state.log.lastIndex === 0 && state.memberships.current.voters.length === 0;
  if (isBlank) return false;
  return state.recovery === undefined || state.recovery.trusted.includes(candidate);
}

/**
 * What is committed in a term after the recovery began was committed by a leader that had everything, and
 * it is on this disk: this replica is one as every other again.
 */
export function endRecovery(state: RaftState): void {
  const { recovery, commit, log, durability } = state;
  if (recovery === undefined || durability.index < commit) return;
  if ((log.term(commit) ?? 0) >= recovery.term) state.recovery = undefined;
}

/**
 * Whether a leader is known to be alive: it leads itself, or it heard one within the election timeout.
 * Voters then protect that leader from candidates (dissertation 4.2.3, 6.4.1).
 */
export function hasLeaderLease(state: RaftState): boolean {
  if (state.leading !== undefined) return true;
  return state.leader !== "" && state.electionElapsed < state.options.electionTicks;
}

/** Whether an entry of the leader's own term is committed: before, it knows neither commit nor membership (41, 32). */
export function hasCommittedInTerm(state: RaftState, leading: Leading): boolean {
  return state.commit >= leading.opening;
}

/** What a node is known to hold on disk, from the leader's view. */
export function heldBy(state: RaftState, leading: Leading, node: NodeId): number {
  return node === state.id ? state.durability.index : (leading.progress.get(node)?.match ?? 0);
}

/** Whether the leader heard from the node within an election timeout. */
export function isActive(state: RaftState, progress: Progress): boolean {
  return state.tick - progress.heardTick < state.options.electionTicks;
}

/** Gives every other member a progress, and forgets those that are none any more. */
export function alignProgress(state: RaftState, leading: Leading): void {
  const members = membersOf(state.memberships.current);
  for (const node of leading.progress.keys()) {
    if (!members.includes(node)) leading.progress.delete(node);
  }
  for (const node of members) {
    if (node === state.id || leading.progress.has(node)) continue;
    leading.progress.set(node, new Progress(node, state.log.lastIndex + 1, state.tick));
  }
}
