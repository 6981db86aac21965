// One multi-paxos replica behind the seam: which input goes to which part, which ballots a message may speak
// for, and what a step's effects are. The protocol itself is in the parts; ../seam.ts says what the host owes,
// PROMISES.md what the numbers in parentheses are.

import type { NodeId } from "../../model/ids.ts";
import { EffectsBuilder, EMPTY_EFFECTS } from "../effects.ts";
import { restartElectionTimer } from "../election-timer.ts";
import { proposedBytes } from "../inflight-window.ts";
import { invariant } from "../invariant.ts";
import { isVoter } from "../membership.ts";
import { hasQuorum } from "../quorum-math.ts";
import type {
  DurableState,
  Effects,
  Entry,
  Input,
  Membership,
  Message,
  Replica,
  ReplicaFactory,
  ReplicaOptions,
  ReplicaStatus,
  SnapshotMeta,
} from "../seam.ts";
import { handleAccept, handleHeartbeat, handleLearn, handlePrepare, heed } from "./acceptor.ts";
import { alignAcceptors } from "./asking.ts";
import { beginCanvass, handleCanvass, handleCanvassAnswer, tickFollower } from "./canvass.ts";
import { Configurations } from "./configurations.ts";
import { acceptedIn, PaxosLog } from "./log.ts";
import { isPaxosMessage, type PaxosMessage } from "./messages.ts";
import { beginPrepare, countOwnPromise, handlePromise, handleRefused, handleTrimmed } from "./proposer.ts";
import { advanceReads, requestRead } from "./reads.ts";
import { advanceChange, beginChange } from "./reconfiguration.ts";
import {
  advanceChosen,
  advanceFrontier,
  broadcastHeartbeat,
  handleAccepted,
  handleHeartbeatResponse,
  handleLearned,
  propose,
} from "./replication.ts";
import { becomeFollower, forgetLeader } from "./roles.ts";
import { learnUpTo } from "./slots.ts";
import { compact, install, snapshotSent } from "./snapshots.ts";
import {
  endRecovery,
  isActive,
  isPromotable,
  membershipNow,
  type Leading,
  type PaxosState,
  type Proposing,
} from "./state.ts";
import { advanceTransfer, beginTransfer, isInTheWay, resign, standBack } from "./transfer.ts";

const NO_ENTRIES: readonly Entry[] = Object.freeze([]);

/** How many slots beyond the chosen prefix may be worked on; changes of the members take effect that much later. */
const WINDOW = 256;

/**
 * Replicas of multi-paxos as they were on disk. `window` must be the same on every replica of a group, for ever.
 * The factory throws Mem0ctlError `consensus-invariant` when the state on disk cannot be.
 */
export function paxosReplicas(window: number = WINDOW): ReplicaFactory {
  return (options, durable) => new PaxosReplica(options, durable, window);
}

class PaxosReplica implements Replica {
  readonly #state: PaxosState;
  // What `changed` compares with.
  #role: ReplicaStatus["role"];
  #term: number;
  #leader: NodeId = "";
  #membership: Membership;

  constructor(options: ReplicaOptions, durable: DurableState, window: number) {
    this.#state = restore(options, durable, window);
    this.#role = roleOf(this.#state);
    this.#term = this.#state.term;
    this.#membership = membershipNow(this.#state);
  }

  step(input: Input): Effects {
    const state = this.#state;
    handle(state, input);
    const { proposing, leading } = state;
    if (proposing !== undefined && leading !== undefined) dutiesOfLeader(state, proposing, leading);
    endRecovery(state);
    return this.#finish();
  }

  status(): ReplicaStatus {
    const state = this.#state;
    const { leading, log, proposing } = state;
    const acceptors = leading === undefined ? [] : [...(proposing?.acceptors.values() ?? [])];
    return {
      role: roleOf(state),
      leader: state.leader,
      term: state.term,
      vote: state.vote,
      ballot: { round: state.term, proposer: state.vote },
      commit: state.commit,
      applied: state.applied,
      first: log.baseIndex + 1,
      last: log.lastIndex,
      durable: log.durableIndex,
      membership: membershipNow(state),
      recovering: state.recovery !== undefined,
      logBytes: log.dataBytes,
      transferringTo: leading?.transfer?.to ?? "",
      progress: acceptors.map((acceptor) => ({
        node: acceptor.node,
        state: acceptor.state,
        match: acceptor.match,
        recentlyActive: isActive(state, acceptor),
      })),
    };
  }

  entry(index: number): Entry | undefined {
    return this.#state.log.entry(index);
  }

  snapshotAt(index: number): SnapshotMeta | undefined {
    const { log, applied, configurations } = this.#state;
    const term = index <= applied ? log.term(index) : undefined;
    return term === undefined ? undefined : configurations.describe(index, term);
  }

  #finish(): Effects {
    const state = this.#state;
    const { log, effects } = state;
    const role = roleOf(state);
    const membership = membershipNow(state);
    const changed =
      role !== this.#role ||
      state.term !== this.#term ||
      state.leader !== this.#leader ||
      membership !== this.#membership;
    const { persisted } = state;
    const hardStateChanged =
      state.term !== persisted.term || state.vote !== persisted.vote || state.commit !== persisted.commit;
    const idle =
      !changed && !hardStateChanged && state.handed === state.commit && !log.isChanged && !effects.touched;
    if (idle) return EMPTY_EFFECTS;

    this.#role = role;
    this.#term = state.term;
    this.#leader = state.leader;
    this.#membership = membership;
    if (hardStateChanged) state.persisted = { term: state.term, vote: state.vote, commit: state.commit };
    const sequence = state.sequence + 1;
    const change = log.takeChange(sequence);
    if (change?.truncateFrom !== undefined) effects.truncate(change.truncateFrom);
    if (change !== undefined) effects.append(change.entries);
    const finished = effects.finish({
      sequence,
      hardState: hardStateChanged ? state.persisted : undefined,
      unflushed: state.flushed < state.sequence,
      committed: handOut(state),
      changed,
    });
    state.sequence = finished.persist?.sequence ?? state.sequence;
    return finished;
  }
}

function restore(options: ReplicaOptions, durable: DurableState, window: number): PaxosState {
  const { hardState, snapshot, entries } = durable;
  const log = new PaxosLog(snapshot.index, snapshot.term, entries);
  const configurations = new Configurations(window, snapshot);
  for (const entry of entries) configurations.place(entry);
  const applied = Math.max(durable.applied, snapshot.index);
  // What was applied was chosen, even if the crash came before the commit index was flushed.
  const commit = Math.max(hardState.commit, applied);
  for (let index = snapshot.index + 1; index <= commit; index += 1) {
    invariant(log.value(index) !== undefined, "every chosen slot on disk has its value");
  }
  for (const entry of entries) {
    invariant(acceptedIn(entry) <= hardState.term, "nothing on disk was accepted above the ballot promised");
  }
  const state: PaxosState = {
    id: options.id,
    options,
    window,
    log,
    configurations,
    effects: new EffectsBuilder(),
    persisted: hardState,
    term: hardState.term,
    vote: hardState.vote,
    commit,
    leader: "",
    canvass: undefined,
    proposing: undefined,
    leading: undefined,
    roundSeen: hardState.term,
    canvasses: 0,
    tick: 0,
    electionElapsed: 0,
    electionTimeout: 0,
    campaignsLost: 0,
    sequence: 0,
    flushed: 0,
    handed: applied,
    applied,
    settled: 0,
    settledByAll: 0,
    recovery: options.recovery === undefined ? undefined : { complete: undefined },
    damaged: false,
    standsBackUntil: 0,
    helpedTick: new Map(),
  };
  restartElectionTimer(state);
  return state;
}

function roleOf(state: PaxosState): ReplicaStatus["role"] {
  if (state.leading !== undefined) return "leader";
  if (state.proposing !== undefined || state.canvass !== undefined) return "candidate";
  if (state.recovery !== undefined) return "learner";
  return state.configurations.isVoter(state.commit + 1, state.id) ? "follower" : "learner";
}

/** Chosen entries that the host did not get yet. */
function handOut(state: PaxosState): readonly Entry[] {
  if (state.handed >= state.commit) return NO_ENTRIES;
  const entries = state.log.slice(state.handed + 1, state.commit);
  invariant(
    entries.every((entry) => entry.kind !== "hole"),
    "a chosen slot has its value",
  );
  state.handed = state.commit;
  const { leading } = state;
  if (leading !== undefined) {
    let bytes = 0;
    for (const entry of entries) if (entry.index > leading.chosenBefore) bytes += proposedBytes(entry);
    leading.uncommittedBytes = Math.max(0, leading.uncommittedBytes - bytes);
  }
  return entries;
}

function handle(state: PaxosState, input: Input): void {
  const { proposing, leading } = state;
  switch (input.kind) {
    case "tick":
      state.tick += 1;
      if (proposing === undefined || leading === undefined) tickFollower(state);
      else tickLeader(state, proposing, leading);
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
    case "persisted":
      invariant(input.sequence <= state.sequence, "only persist effects that were made are reported");
      state.flushed = Math.max(state.flushed, input.sequence);
      state.log.markFlushed(state.flushed);
      if (proposing === undefined) return;
      if (leading === undefined) countOwnPromise(state, proposing);
      else advanceChosen(state, proposing);
      return;
    case "applied":
      invariant(input.index <= state.handed, "only chosen entries are applied");
      state.applied = Math.max(state.applied, input.index);
      return;
    case "compact":
      compact(state, input.index, input.keepBytesMax);
      return;
    case "install":
      install(state, input.snapshot, input.from);
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
      if (state.leader === "" && state.canvass === undefined && proposing === undefined) {
        if (isPromotable(state)) beginCanvass(state);
      }
      return;
    case "damaged":
      state.damaged = input.is;
      // Another state takes its place, which may be older.
      if (input.is) state.settled = state.log.baseIndex;
      return;
  }
}

/** A leader that did not hear from a quorum within an election timeout is none any more. */
function tickLeader(state: PaxosState, proposing: Proposing, leading: Leading): void {
  const isHeard = (voter: NodeId): boolean => {
    const acceptor = proposing.acceptors.get(voter);
    return voter === state.id || (acceptor !== undefined && isActive(state, acceptor));
  };
  if (!hasQuorum(membershipNow(state), isHeard)) {
    becomeFollower(state, state.term, state.vote, "", "no-quorum");
    return;
  }
  // By the replica's own ticks and not since the election: so those of all groups of a node fall together,
  // and travel in one frame per peer.
  if (state.tick % state.options.heartbeatTicks === 0) broadcastHeartbeat(state, proposing, leading);
}

/** What the step may have made possible: more slots, a resignation, answers to reads, a hand-over, the next step of a change. */
function dutiesOfLeader(state: PaxosState, proposing: Proposing, leading: Leading): void {
  if (!isVoter(membershipNow(state), state.id)) {
    resign(state, proposing);
    return;
  }
  if (isInTheWay(state, proposing)) {
    standBack(state);
    return;
  }
  advanceReads(state, proposing, leading);
  advanceTransfer(state, proposing, leading);
  advanceChange(state, proposing, leading);
  if (proposing.alignedTo !== membershipNow(state)) alignAcceptors(state, proposing);
  if (leading.transfer === undefined) advanceFrontier(state, proposing, leading);
}

function unreachable(state: PaxosState, peer: NodeId): void {
  const { leading, proposing } = state;
  if (leading === undefined) {
    if (peer === state.leader) forgetLeader(state);
    return;
  }
  if (leading.transfer?.to === peer) leading.transfer = undefined;
  const acceptor = proposing?.acceptors.get(peer);
  if (acceptor === undefined || acceptor.awaitsSnapshot) return;
  // What was in flight is probably lost.
  acceptor.paused = true;
  acceptor.sendAgainFrom(acceptor.match + 1);
}

function receive(state: PaxosState, message: Message): void {
  if (message.to !== state.id || message.from === state.id || !isPaxosMessage(message)) return;
  switch (message.kind) {
    case "canvass":
      handleCanvass(state, message);
      return;
    case "canvass-answer":
      handleCanvassAnswer(state, message);
      return;
    case "prepare":
      handlePrepare(state, message);
      return;
    case "accept":
      if (heed(state, message)) handleAccept(state, message);
      return;
    case "learn":
      if (heed(state, message)) handleLearn(state, message);
      return;
    case "heartbeat":
      if (heed(state, message)) handleHeartbeat(state, message);
      return;
    case "hand-over":
      if (!heed(state, message) || !isPromotable(state)) return;
      learnUpTo(state, message.commit);
      beginPrepare(state, "transfer");
      return;
    default:
      receiveAnswer(state, message);
  }
}

type Answer = Extract<
  PaxosMessage,
  { readonly kind: "promise" | "refused" | "trimmed" | "accepted" | "learned" | "heartbeat-response" }
>;

/** Answers count for the very ballot that they name, and only while it is this replica's own. */
function receiveAnswer(state: PaxosState, message: Answer): void {
  const { proposing, leading } = state;
  if (proposing === undefined || message.term !== state.term) return;
  switch (message.kind) {
    case "promise":
      handlePromise(state, proposing, message);
      return;
    case "refused":
      handleRefused(state, proposing, message);
      return;
    case "trimmed":
      handleTrimmed(state, proposing, message);
      return;
    case "accepted":
      if (leading !== undefined) handleAccepted(state, proposing, message);
      return;
    case "learned":
      if (leading !== undefined) handleLearned(state, proposing, message);
      return;
    case "heartbeat-response":
      if (leading !== undefined) handleHeartbeatResponse(state, proposing, leading, message);
      return;
  }
}
