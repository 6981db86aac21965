// One raft replica behind the seam: which input goes to which part, what terms do to messages, and what a
// step's effects are. The protocol itself is in the parts; ../seam.ts says what the host owes, PROMISES.md
// what the numbers in parentheses are.

import type { NodeId } from "../../model/ids.ts";
import { isMember, isVoter } from "../membership.ts";
import { hasQuorum } from "../quorum-math.ts";
import type {
  DurableState,
  Effects,
  Entry,
  Input,
  Message,
  Replica,
  ReplicaFactory,
  ReplicaOptions,
  ReplicaStatus,
  SnapshotMeta,
} from "../seam.ts";
import { Durability } from "./durability.ts";
import { EffectsBuilder, EMPTY_EFFECTS } from "../effects.ts";
import {
  answerVote,
  beginPreVote,
  beginVote,
  countOwnVote,
  handlePreVote,
  handlePreVoteResponse,
  handleVote,
  handleVoteResponse,
  tickElection,
} from "./election.ts";
import { restartElectionTimer } from "../election-timer.ts";
import { proposedBytes } from "../inflight-window.ts";
import { invariant } from "../invariant.ts";
import { RaftLog } from "./log.ts";
import { MembershipHistory } from "./membership-history.ts";
import { isRaftMessage, type RaftMessage, type TimeoutNow } from "./messages.ts";
import { advanceReads, requestRead } from "./reads.ts";
import { advanceChange, beginChange } from "./reconfiguration.ts";
import {
  advanceCommit,
  broadcastHeartbeat,
  handleAppend,
  handleAppendAccepted,
  handleAppendRejected,
  handleHeartbeat,
  handleHeartbeatResponse,
  propose,
} from "./replication.ts";
import { becomeFollower, forgetLeader } from "./roles.ts";
import { compact, install, snapshotSent } from "./snapshots.ts";
import {
  endRecovery,
  hasLeaderLease,
  isActive,
  isPromotable,
  type Leading,
  type RaftState,
} from "./state.ts";
import { advanceTransfer, beginTransfer, resign } from "./transfer.ts";

const NO_ENTRIES: readonly Entry[] = Object.freeze([]);

/** A raft replica as it was on disk. @throws Mem0ctlError `consensus-invariant` when that state cannot be */
export const createRaftReplica: ReplicaFactory = (options, durable) => new RaftReplica(options, durable);

class RaftReplica implements Replica {
  readonly #state: RaftState;
  // What `changed` compares with.
  #role: ReplicaStatus["role"];
  #term: number;
  #leader: NodeId = "";
  #membership: ReplicaStatus["membership"];

  constructor(options: ReplicaOptions, durable: DurableState) {
    this.#state = restore(options, durable);
    this.#role = roleOf(this.#state);
    this.#term = this.#state.term;
    this.#membership = this.#state.memberships.current;
  }

  step(input: Input): Effects {
    const state = this.#state;
    handle(state, input);
    if (state.recovery !== undefined) endRecovery(state);
    if (state.leading !== undefined) dutiesOfLeader(state, state.leading);
    return this.#finish();
  }

  status(): ReplicaStatus {
    const state = this.#state;
    const { leading, log } = state;
    return {
      role: roleOf(state),
      leader: state.leader,
      term: state.term,
      vote: state.vote,
      commit: state.commit,
      applied: state.applied,
      first: log.baseIndex + 1,
      last: log.lastIndex,
      durable: state.durability.index,
      membership: state.memberships.current,
      recovering: state.recovery !== undefined,
      logBytes: log.dataBytes,
      transferringTo: leading?.transfer?.to ?? "",
      progress: [...(leading?.progress.values() ?? [])].map((progress) => ({
        node: progress.node,
        state: progress.state,
        match: progress.match,
        recentlyActive: isActive(state, progress),
      })),
    };
  }

  entry(index: number): Entry | undefined {
    return this.#state.log.entry(index);
  }

  snapshotAt(index: number): SnapshotMeta | undefined {
    const { log, applied, memberships } = this.#state;
    const term = index <= applied ? log.term(index) : undefined;
    return term === undefined ? undefined : { index, term, membership: memberships.at(index) };
  }

  #finish(): Effects {
    const state = this.#state;
    const role = roleOf(state);
    const membership = state.memberships.current;
    const changed =
      role !== this.#role ||
      state.term !== this.#term ||
      state.leader !== this.#leader ||
      membership !== this.#membership;
    const { persisted, durability } = state;
    const hardStateChanged =
      state.term !== persisted.term || state.vote !== persisted.vote || state.commit !== persisted.commit;
    const idle = !changed && !hardStateChanged && state.handed === state.commit && !state.effects.touched;
    if (idle) return EMPTY_EFFECTS;

    this.#role = role;
    this.#term = state.term;
    this.#leader = state.leader;
    this.#membership = membership;
    if (hardStateChanged) state.persisted = { term: state.term, vote: state.vote, commit: state.commit };
    const effects = state.effects.finish({
      sequence: durability.sequence + 1,
      hardState: hardStateChanged ? state.persisted : undefined,
      unflushed: durability.flushed < durability.sequence,
      committed: handOut(state),
      changed,
    });
    const { persist } = effects;
    if (persist !== undefined) {
      durability.sequence = persist.sequence;
      const last = persist.entries?.at(-1)?.index ?? persist.snapshot?.index;
      if (last !== undefined) durability.wrote(persist.sequence, last);
    }
    return effects;
  }
}

function restore(options: ReplicaOptions, durable: DurableState): RaftState {
  const { hardState, snapshot, entries } = durable;
  const log = new RaftLog(snapshot.index, snapshot.term, entries);
  const memberships = new MembershipHistory(snapshot.index, snapshot.membership);
  memberships.append(entries);
  const applied = Math.max(durable.applied, snapshot.index);
  // What was applied was committed, even if the crash came before the commit index was flushed.
  const commit = Math.max(hardState.commit, applied);
  invariant(commit <= log.lastIndex, "the log on disk reaches at least to the commit index");
  invariant(hardState.term >= log.lastTerm, "the term on disk is at least that of the log");
  const state: RaftState = {
    id: options.id,
    options,
    log,
    memberships,
    durability: new Durability(log.lastIndex),
    effects: new EffectsBuilder(),
    persisted: hardState,
    term: hardState.term,
    vote: hardState.vote,
    commit,
    leader: "",
    leading: undefined,
    campaign: undefined,
    tick: 0,
    electionElapsed: 0,
    electionTimeout: 0,
    campaignsLost: 0,
    handed: applied,
    applied,
    recovery: options.recovery,
    heldByAll: 0,
  };
  restartElectionTimer(state);
  return state;
}

function roleOf(state: RaftState): ReplicaStatus["role"] {
  if (state.leading !== undefined) return "leader";
  if (state.campaign !== undefined) return "candidate";
  return isPromotable(state) ? "follower" : "learner";
}

/** Committed entries that the host did not get yet. */
function handOut(state: RaftState): readonly Entry[] {
  if (state.handed >= state.commit) return NO_ENTRIES;
  const entries = state.log.slice(state.handed + 1, state.commit);
  state.handed = state.commit;
  const { leading } = state;
  if (leading !== undefined) {
    let bytes = 0;
    for (const entry of entries) bytes += proposedBytes(entry);
    leading.uncommittedBytes = Math.max(0, leading.uncommittedBytes - bytes);
  }
  return entries;
}

function handle(state: RaftState, input: Input): void {
  switch (input.kind) {
    case "tick":
      state.tick += 1;
      if (state.leading === undefined) tickElection(state);
      else tickLeader(state, state.leading);
      return;
    case "message":
      receive(state, input.message);
      return;
    case "propose":
      propose(state, input.proposals);
      return;
    case "read":
      requestRead(state, input.context);
      return;
    case "persisted": {
      invariant(
        input.sequence <= state.durability.sequence,
        "only persist effects that were made are reported",
      );
      const moved = state.durability.persisted(input.sequence);
      countOwnVote(state);
      if (moved && state.leading !== undefined) advanceCommit(state, state.leading);
      return;
    }
    case "hard-state-persisted":
      state.durability.hardStatePersisted(input.sequence);
      countOwnVote(state);
      return;
    case "applied":
      invariant(input.index <= state.handed, "only committed entries are applied");
      state.applied = Math.max(state.applied, input.index);
      return;
    case "compact":
      compact(state, input.index, input.keepBytesMax);
      return;
    case "install":
      install(state, input.snapshot, input.from, input.term);
      return;
    case "snapshot-sent":
      snapshotSent(state, input.to, input.ok, input.index);
      return;
    case "unreachable":
      unreachable(state, input.peer);
      return;
    case "transfer":
      beginTransfer(state, input.to);
      return;
    case "reconfigure":
      beginChange(state, input.target);
      return;
    case "campaign":
      if (state.leader === "" && state.campaign === undefined && isPromotable(state)) beginPreVote(state);
      return;
    case "damaged":
      // Its log may be the only one that can win; of the others a quorum has what it compacted in theirs.
      return;
  }
}

/** A leader that did not hear from a quorum within an election timeout is none any more (6). */
function tickLeader(state: RaftState, leading: Leading): void {
  const isHeard = (voter: NodeId): boolean => {
    const progress = leading.progress.get(voter);
    return voter === state.id || (progress !== undefined && isActive(state, progress));
  };
  if (!hasQuorum(state.memberships.current, isHeard)) {
    becomeFollower(state, state.term, "", "no-quorum");
    return;
  }
  // By the replica's own ticks and not since the election: so those of all groups of a node fall together,
  // and travel in one frame per peer.
  if (state.tick % state.options.heartbeatTicks === 0) broadcastHeartbeat(state, leading);
}

/** What the step may have made possible: a resignation, answers to reads, a hand-over, the next step of a change. */
function dutiesOfLeader(state: RaftState, leading: Leading): void {
  const { current, currentIndex } = state.memberships;
  if (currentIndex <= state.commit && !isVoter(current, state.id)) {
    resign(state, leading);
    return;
  }
  advanceReads(state, leading);
  advanceTransfer(state, leading);
  advanceChange(state, leading);
}

function unreachable(state: RaftState, peer: NodeId): void {
  const { leading } = state;
  if (leading === undefined) {
    if (peer === state.leader) forgetLeader(state);
    return;
  }
  if (leading.transfer?.to === peer) leading.transfer = undefined;
  const progress = leading.progress.get(peer);
  // What was in flight is probably lost.
  if (progress?.state === "replicating") progress.probe(progress.match + 1);
}

function receive(state: RaftState, message: Message): void {
  if (message.to !== state.id || message.from === state.id || !isRaftMessage(message)) return;
  if (message.kind === "pre-vote") {
    handlePreVote(state, message);
    return;
  }
  if (message.term > state.term && !adoptTerm(state, message)) return;
  if (message.term < state.term && message.kind !== "pre-vote-response") {
    refuseStale(state, message);
    return;
  }
  const { leading } = state;
  switch (message.kind) {
    case "pre-vote-response":
      handlePreVoteResponse(state, message);
      return;
    case "vote":
      handleVote(state, message);
      return;
    case "vote-response":
      handleVoteResponse(state, message);
      return;
    case "append":
      handleAppend(state, message);
      return;
    case "append-accepted":
      if (leading !== undefined) handleAppendAccepted(state, leading, message);
      return;
    case "append-rejected":
      if (leading !== undefined) handleAppendRejected(state, leading, message);
      return;
    case "heartbeat":
      handleHeartbeat(state, message);
      return;
    case "heartbeat-response":
      if (leading !== undefined) handleHeartbeatResponse(state, leading, message);
      return;
    case "timeout-now":
      handleTimeoutNow(state, message);
      return;
  }
}

/** A higher term ends what went on before (4), unless nobody who belongs here has a reason to speak of it (7). */
function adoptTerm(state: RaftState, message: RaftMessage): boolean {
  switch (message.kind) {
    case "vote":
      if (!message.transfer && hasLeaderLease(state)) return false;
      becomeFollower(state, message.term, "");
      return true;
    case "append":
    case "heartbeat":
    case "timeout-now":
      becomeFollower(state, message.term, message.from);
      return true;
    default:
      if (state.leading !== undefined && !isMember(state.memberships.current, message.from)) return false;
      becomeFollower(state, message.term, "");
      return true;
  }
}

/** Tells a leader or candidate of the past the term of today, so that it, or a stuck candidate here, comes back (8). */
function refuseStale(state: RaftState, message: RaftMessage): void {
  if (message.kind === "vote") {
    answerVote(state, message, false);
  } else if (message.kind === "append" || message.kind === "heartbeat") {
    const { id, term } = state;
    state.effects.send({ kind: "heartbeat-response", from: id, to: message.from, term, round: 0 });
  }
}

function handleTimeoutNow(state: RaftState, message: TimeoutNow): void {
  if (state.leading !== undefined || state.options.arbiter || !isPromotable(state)) return;
  if (state.leader === message.from) beginVote(state, true);
}
