// The data of one paxos replica, acceptor, learner and perhaps proposer in one, and the few questions about
// it that every part asks. The parts are functions over it; only replica.ts strings them together.

import type { NodeId } from "../../model/ids.ts";
import type { EffectsBuilder } from "../effects.ts";
import type { ElectionTimer } from "../election-timer.ts";
import { hasQuorum } from "../quorum-math.ts";
import type { Entry, HardState, Membership, Proposal } from "../seam.ts";
import type { AcceptorView } from "./acceptor-view.ts";
import type { Configurations } from "./configurations.ts";
import type { PaxosLog } from "./log.ts";
import type { PaxosMessage } from "./messages.ts";

/** Asking around whether a ballot would be promised. Nothing has changed anywhere yet. */
export interface CanvassUnderWay {
  readonly number: number;
  readonly answers: Map<NodeId, boolean>;
}

/** A ballot of this replica's own, from phase 1 on. */
export interface Proposing {
  /** Every other member of every configuration that decides a slot beyond the chosen ones. */
  readonly acceptors: Map<NodeId, AcceptorView>;
  /** Who refused this ballot. */
  readonly refused: Set<NodeId>;
  /** Of each slot, the reported value of the highest ballot. */
  readonly reports: Map<number, Entry>;
  /** The highest slot for which a value was reported. */
  reportedLast: number;
  /** The persist effect that carries this replica's own promise: it counts once flushed. */
  readonly promiseSequence: number;
  /** Who decided the next slot when the acceptors were aligned last. */
  alignedTo: Membership | undefined;
  /** Configurations of which a quorum has promised. */
  readonly ready: Set<Membership>;
  /** Why nobody needs to protect another leader from it. */
  readonly mandate: "none" | "transfer";
}

/** One round on its way that confirms the ballot for reads. */
interface ReadRound {
  readonly round: number;
  readonly index: number;
  readonly contexts: readonly number[];
}

interface Transfer {
  readonly to: NodeId;
  readonly deadlineTick: number;
  /** Tick of the last hand-over; -1 before the first. */
  askedTick: number;
}

/** A membership change whose new voters still catch up as learners. */
export interface ChangePlan {
  readonly target: Membership;
  /** The catch-up round: new voters must reach this slot … */
  roundIndex: number;
  /** … and did so soon enough if the round began no longer than an election timeout ago. */
  roundTick: number;
}

/** What a replica keeps only while it is the distinguished proposer. */
export interface Leading {
  /** Every slot up to here, the last one of its own ballot, was proposed when it began to lead. */
  readonly opening: number;
  /** Slots up to here were chosen before: their bytes were never counted as its own. */
  readonly chosenBefore: number;
  /** Data bytes that have a slot and are not yet chosen. */
  uncommittedBytes: number;
  /** Proposals for which there is no slot yet, and their bytes. */
  waiting: Proposal[];
  waitingBytes: number;
  round: number;
  waitingReads: number[];
  reading: ReadRound | undefined;
  transfer: Transfer | undefined;
  plan: ChangePlan | undefined;
}

export interface PaxosState extends ElectionTimer {
  readonly id: NodeId;
  /** How many slots beyond the chosen prefix may be worked on; the same on every replica of the group, for ever. */
  readonly window: number;
  readonly log: PaxosLog;
  readonly configurations: Configurations;
  readonly effects: EffectsBuilder<PaxosMessage>;
  /** Hard state as the newest persist effect carries it. */
  persisted: HardState;
  /** Round of the ballot promised. */
  term: number;
  /** Its proposer. */
  vote: NodeId;
  /** Slots up to here are known to be chosen, without a gap. */
  commit: number;
  leader: NodeId;
  canvass: CanvassUnderWay | undefined;
  /** Never together with `canvass`. */
  proposing: Proposing | undefined;
  /** Defined once phase 1 is done; only together with `proposing`. */
  leading: Leading | undefined;
  /** The highest round heard of: the next ballot goes above it. */
  roundSeen: number;
  canvasses: number;
  /** Ticks since the replica started. */
  tick: number;
  /** Sequence of the newest persist effect, and of the newest that is flushed. */
  sequence: number;
  flushed: number;
  /** Chosen entries up to here were given to the host. */
  handed: number;
  applied: number;
  /** Slots up to here are applied, and on disk as state: what the host asked to forget. */
  settled: number;
  /** Beside an arbiter: they are so at every member with data, which needs the log up to here no more, as leaders said. */
  settledByAll: number;
  /**
   * Set while its log, which was damaged, may lack what it accepted. `complete` is up to where it has to know all slots
   * to be chosen, as the first leader said that was elected since.
   */
  recovery: { readonly complete: number | undefined } | undefined;
  /** Its state is damaged: it streams it to nobody. */
  damaged: boolean;
  /** It does not campaign before this tick. */
  standsBackUntil: number;
  /** When this replica last streamed its state to a peer that could not do without. */
  readonly helpedTick: Map<NodeId, number>;
}

/** Who decides the next slot: what counts for elections, reads and whether a leader still has its quorum. */
export function membershipNow(state: PaxosState): Membership {
  return state.configurations.at(state.commit + 1);
}

/**
 * Whether it may propose. An arbiter never needs to: whoever proposes is told what it accepted. A voter of a
 * configuration to come may, for those who decide now may know that it is in force, and themselves let go, before it does.
 */
export function isPromotable(state: PaxosState): boolean {
  if (state.recovery !== undefined || state.tick < state.standsBackUntil) return false;
  return !state.options.arbiter && state.configurations.isVoter(state.commit + 1, state.id);
}

/** A replica without a configuration was never fed: it has forgotten, or never had, what it might answer for. */
export function isBlank(state: PaxosState): boolean {
  return state.configurations.latest.voters.length === 0;
}

/** Whether a leader is known to be alive: it leads itself, or it heard one within the election timeout. */
export function hasLeaderLease(state: PaxosState): boolean {
  if (state.leading !== undefined) return true;
  return state.leader !== "" && state.electionElapsed < state.options.electionTicks;
}

/** Whether somebody decides now, or later, who has no state to stream. */
export function hasArbiter({ configurations, commit }: PaxosState): boolean {
  return configurations.onwards(commit + 1).some(({ arbiters }) => arbiters.length > 0);
}

/** Whether a slot of the leader's own ballot is chosen. */
export function hasChosenInBallot(state: PaxosState, leading: Leading): boolean {
  return state.commit >= leading.opening;
}

/**
 * Whether a quorum of the configuration promised this ballot, and those of it that told everything they accepted
 * meet every quorum: whatever was chosen, one of them reports it. With nobody whose log was damaged the second follows from
 * the first. A damaged log makes its acceptor one that promises and does not report.
 */
export function hasPromises(state: PaxosState, proposing: Proposing, membership: Membership): boolean {
  if (proposing.ready.has(membership)) return true;
  const promised = (voter: NodeId): boolean =>
    voter === state.id
      ? state.flushed >= proposing.promiseSequence
      : proposing.acceptors.get(voter)?.promised === true;
  const tellsAll = (voter: NodeId): boolean => proposing.acceptors.get(voter)?.tellsAll !== false;
  const isReady =
    hasQuorum(membership, promised) &&
    !hasQuorum(membership, (voter) => !promised(voter) || !tellsAll(voter));
  if (isReady) proposing.ready.add(membership);
  return isReady;
}

/**
 * Up to here lies every slot that may have been chosen before this leader's ballot; undefined while of some
 * configuration to come too few have promised.
 */
export function completeUpTo(state: PaxosState, proposing: Proposing): number | undefined {
  const { configurations, commit, log } = state;
  const isReady = configurations.onwards(commit + 1).every((one) => hasPromises(state, proposing, one));
  return isReady ? Math.max(log.lastIndex, proposing.reportedLast) : undefined;
}

/** It knows again to be chosen, on its disk, all that it may have helped to choose: an acceptor as every other. */
export function endRecovery(state: PaxosState): void {
  const complete = state.recovery?.complete;
  if (complete === undefined || state.commit < complete) return;
  if (state.log.durableIndex >= state.commit) state.recovery = undefined;
}

/** Up to where a node is known to hold everything on disk, from the proposer's view. */
export function heldBy(state: PaxosState, proposing: Proposing, node: NodeId): number {
  return node === state.id ? state.log.durableIndex : (proposing.acceptors.get(node)?.match ?? 0);
}

/** Whether the proposer heard from the node within an election timeout. */
export function isActive(state: PaxosState, acceptor: AcceptorView): boolean {
  return state.tick - acceptor.heardTick < state.options.electionTicks;
}
