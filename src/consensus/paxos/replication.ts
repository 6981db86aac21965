// Phase 2 as the distinguished proposer: becoming one, which value goes into which slot, sending, counting,
// heartbeats. It knows nothing of how ballots are won.

import { dataMembersOf } from "../membership.ts";
import { entryBytes, proposedBytes } from "../inflight-window.ts";
import { committedIndex, hasQuorum } from "../quorum-math.ts";
import type { Entry, EntryKind, Proposal } from "../seam.ts";
import type { AcceptorView } from "./acceptor-view.ts";
import { alignAcceptors, ask, highestAccepted } from "./asking.ts";
import { acceptAgain } from "./log.ts";
import type { Accepted, HeartbeatResponse, Learned } from "./messages.ts";
import { place } from "./slots.ts";
import {
  completeUpTo,
  hasArbiter,
  hasPromises,
  heldBy,
  isActive,
  type Leading,
  type PaxosState,
  type Proposing,
} from "./state.ts";

const NO_DATA = new Uint8Array(0);

/** Phase 1 is done: proposes again what may be chosen (8), fills the gaps (6); where there is nothing, a no-op of its own. */
export function becomeLeader(state: PaxosState, proposing: Proposing): void {
  const { commit, log } = state;
  const last = Math.max(log.lastIndex, proposing.reportedLast, commit);
  const leading: Leading = {
    opening: Math.max(last, commit + 1),
    chosenBefore: commit,
    uncommittedBytes: 0,
    waiting: [],
    waitingBytes: 0,
    round: 0,
    waitingReads: [],
    reading: undefined,
    transfer: undefined,
    plan: undefined,
  };
  const entries: Entry[] = [];
  for (let index = commit + 1; index <= last; index += 1) entries.push(adopted(state, proposing, index));
  if (entries.length === 0) entries.push(own(state, commit + 1, "noop", NO_DATA));
  for (const entry of entries) leading.uncommittedBytes += proposedBytes(entry);
  state.leading = leading;
  state.leader = state.id;
  state.campaignsLost = 0;
  proposing.reports.clear();
  putAsLeader(state, proposing, entries);
}

/** The value that was accepted in the highest ballot (5, 7); a no-op where none was (6). */
function adopted(state: PaxosState, proposing: Proposing, index: number): Entry {
  const accepted = highestAccepted(state, proposing, index);
  return accepted === undefined ? own(state, index, "noop", NO_DATA) : acceptAgain(accepted, state.term);
}

function own(state: PaxosState, index: number, kind: EntryKind, data: Uint8Array): Entry {
  return { index, term: state.term, kind, data };
}

/** Adds one entry of the leader's own making and sends it. False when the window or a promise has to be waited for. */
export function proposeOwn(
  state: PaxosState,
  proposing: Proposing,
  kind: EntryKind,
  data: Uint8Array,
): boolean {
  const index = state.log.lastIndex + 1;
  if (proposing.reportedLast >= index || !mayPropose(state, proposing, index)) return false;
  putAsLeader(state, proposing, [own(state, index, kind, data)]);
  return true;
}

/** Takes proposals, as many as the bound on bytes not yet chosen allows. */
export function propose(state: PaxosState, proposals: readonly Proposal[]): void {
  const { leading, proposing, effects, leader } = state;
  if (leading === undefined || proposing === undefined || leading.transfer !== undefined) {
    const reason = leading === undefined ? "not-leader" : "transferring";
    for (const { context } of proposals) effects.refuse(context, reason, leader);
    return;
  }
  for (const proposal of proposals) {
    const before = leading.uncommittedBytes + leading.waitingBytes;
    const bytes = proposal.data.byteLength;
    if (!fitsBound(state, before, bytes) || leading.waiting.length >= WAITING_MAX) {
      effects.refuse(proposal.context, "overloaded", leader);
      continue;
    }
    leading.waitingBytes += bytes;
    leading.waiting.push(proposal);
  }
  advanceFrontier(state, proposing, leading);
}

/** Whether a value fits beside those not yet chosen. One that is larger than the whole bound passes when it is alone. */
function fitsBound({ options }: PaxosState, before: number, bytes: number): boolean {
  return before === 0 || before + bytes <= options.uncommittedBytesMax;
}

/** Proposals that may wait for a slot; more are refused, however small they are. */
const WAITING_MAX = 65_536;

/**
 * Gives the next slots their values: what a late report says was accepted there, then what waits, then, while a
 * change is chosen and not yet in force, no-ops up to the slot from which it is.
 */
export function advanceFrontier(state: PaxosState, proposing: Proposing, leading: Leading): void {
  const entries: Entry[] = [];
  let index = state.log.lastIndex + 1;
  let taken = 0;
  for (; mayPropose(state, proposing, index); index += 1) {
    const proposal = index <= proposing.reportedLast ? undefined : leading.waiting[taken];
    let entry: Entry;
    if (index <= proposing.reportedLast) entry = adopted(state, proposing, index);
    else if (proposal !== undefined) entry = own(state, index, "command", proposal.data);
    else if (index < state.configurations.latestFrom) entry = own(state, index, "noop", NO_DATA);
    else break;
    const bytes = proposedBytes(entry);
    // What a late report brings was not asked for: the room that it takes is taken from what waits.
    if (bytes > 0 && !fitsBound(state, leading.uncommittedBytes, bytes)) break;
    leading.uncommittedBytes += bytes;
    entries.push(entry);
    if (proposal === undefined) continue;
    taken += 1;
    leading.waitingBytes -= bytes;
    state.effects.accept(proposal.context, index, state.term);
  }
  if (taken > 0) leading.waiting.splice(0, taken);
  if (proposing.reports.size > 0) {
    for (const slot of proposing.reports.keys()) if (slot < index) proposing.reports.delete(slot);
  }
  if (entries.length > 0) putAsLeader(state, proposing, entries);
}

/**
 * Whether it is known who decides the slot, and whether a quorum of them promised this ballot (12). The last
 * slot of the window stays free, so that who leads next knows who decides the slot after all that were used.
 */
function mayPropose(state: PaxosState, proposing: Proposing, index: number): boolean {
  if (index >= state.commit + state.window) return false;
  return hasPromises(state, proposing, state.configurations.at(index));
}

function putAsLeader(state: PaxosState, proposing: Proposing, entries: readonly Entry[]): void {
  for (const entry of entries) place(state, entry);
  // New members are sent the entry that names them.
  if (entries.some((entry) => entry.kind === "config")) alignAcceptors(state, proposing);
  for (const acceptor of proposing.acceptors.values()) sendSlots(state, acceptor);
}

/** Sends what the acceptor lacks, as far as its window allows: chosen slots to be learned, others to be accepted. */
export function sendSlots(state: PaxosState, acceptor: AcceptorView): void {
  const { log, options, effects, id, term, commit } = state;
  const { window } = acceptor;
  if (!acceptor.promised || acceptor.paused || acceptor.awaitsSnapshot) return;
  while (acceptor.next <= log.lastIndex) {
    if (window.messages >= options.inflightMessagesMax || window.bytes >= options.inflightBytesMax) return;
    if (acceptor.next <= log.baseIndex) {
      // A peer that does not answer could not take a snapshot.
      if (!isActive(state, acceptor)) return;
      acceptor.awaitsSnapshot = true;
      window.clear();
      effects.wantSnapshot(acceptor.node, term);
      return;
    }
    const isChosen = acceptor.next <= commit;
    const entries = log.batch(acceptor.next, isChosen ? commit : log.lastIndex, options.appendBytesMax);
    const to = acceptor.node;
    if (isChosen) effects.send({ kind: "learn", from: id, to, term, entries });
    else effects.send({ kind: "accept", from: id, to, term, entries, commit });
    let bytes = 0;
    for (const entry of entries) bytes += entryBytes(entry);
    acceptor.next += entries.length;
    window.add(acceptor.next - 1, bytes);
  }
}

export function handleAccepted(state: PaxosState, proposing: Proposing, message: Accepted): void {
  const acceptor = proposing.acceptors.get(message.from);
  if (acceptor === undefined || message.first === 0 || message.last > state.log.lastIndex) return;
  acceptor.heardTick = state.tick;
  if (acceptor.hold(message.first, message.last)) advanceChosen(state, proposing);
  sendSlots(state, acceptor);
}

export function handleLearned(state: PaxosState, proposing: Proposing, message: Learned): void {
  const acceptor = proposing.acceptors.get(message.from);
  if (acceptor === undefined || message.index > state.log.lastIndex) return;
  acceptor.heardTick = state.tick;
  if (acceptor.hold(1, message.index)) advanceChosen(state, proposing);
  if (acceptor.awaitsSnapshot && message.index >= state.log.baseIndex) endSnapshot(acceptor);
  sendSlots(state, acceptor);
}

/**
 * A slot is chosen when a quorum of whoever decides it accepted it in this ballot (9); this replica counts
 * once its own copy is flushed. The chosen prefix has no gap (10).
 */
export function advanceChosen(state: PaxosState, proposing: Proposing): void {
  const { configurations, log, id, flushed } = state;
  for (;;) {
    const next = state.commit + 1;
    const membership = configurations.at(next);
    const prefix = Math.min(
      committedIndex(membership, (node) => heldBy(state, proposing, node)),
      configurations.lastLike(next),
    );
    if (prefix >= next) {
      chooseUpTo(state, prefix);
      continue;
    }
    // Slots are accepted in any order, so a quorum may hold this one though no quorum holds all before some other.
    const holds = (node: string): boolean =>
      node === id ? log.isDurable(next, flushed) : proposing.acceptors.get(node)?.holds(next) === true;
    if (next > log.lastIndex || !hasQuorum(membership, holds)) return;
    chooseUpTo(state, next);
  }
}

function chooseUpTo(state: PaxosState, index: number): void {
  state.commit = Math.max(state.commit, Math.min(index, state.log.lastIndex));
}

/** One heartbeat to everybody who promised; the others are asked to, for a quorum has. */
export function broadcastHeartbeat(state: PaxosState, proposing: Proposing, leading: Leading): void {
  const { id, term, commit, effects } = state;
  if (hasArbiter(state)) state.settledByAll = settledByAllData(state, proposing);
  for (const acceptor of proposing.acceptors.values()) {
    const to = acceptor.node;
    if (!acceptor.promised) {
      ask(state, proposing, acceptor);
      continue;
    }
    // Until it says that it has recovered, no configuration may rest on it.
    if (!acceptor.tellsAll) ask(state, proposing, acceptor);
    const sent = acceptor.next - 1;
    const { round } = leading;
    const complete = acceptor.tellsAll ? undefined : completeUpTo(state, proposing);
    effects.send({
      kind: "heartbeat",
      from: id,
      to,
      term,
      commit,
      round,
      sent,
      settledByAll: state.settledByAll,
      ...(complete === undefined ? {} : { complete }),
    });
  }
}

/**
 * The slot up to which no member with data needs the log: what it knows to be chosen there outlives a crash. A learner is
 * one, for it may soon vote.
 */
function settledByAllData(state: PaxosState, proposing: Proposing): number {
  // What a snapshot brought is a crash away from not being there until it is flushed.
  let settled = Math.min(Math.max(state.settled, state.log.baseIndex), state.log.durableIndex);
  for (const membership of state.configurations.onwards(state.commit + 1)) {
    for (const node of dataMembersOf(membership)) {
      if (node !== state.id) settled = Math.min(settled, proposing.acceptors.get(node)?.base ?? 0);
    }
  }
  return settled;
}

/** It is alive. What it was sent before the heartbeat and lacks was lost, and is sent again (16). */
export function handleHeartbeatResponse(
  state: PaxosState,
  proposing: Proposing,
  leading: Leading,
  message: HeartbeatResponse,
): void {
  const acceptor = proposing.acceptors.get(message.from);
  if (acceptor === undefined || !acceptor.promised) return;
  acceptor.heardTick = state.tick;
  acceptor.paused = false;
  acceptor.base = message.base;
  if (message.round <= leading.round) acceptor.round = Math.max(acceptor.round, message.round);
  if (acceptor.hold(1, Math.min(message.held, state.log.lastIndex))) advanceChosen(state, proposing);
  if (acceptor.awaitsSnapshot) {
    // Not by what it held once: of that it may have forgotten that it is chosen.
    if (message.lacks <= state.log.baseIndex) return;
    endSnapshot(acceptor);
  }
  if (message.lacks <= message.sent && message.lacks < acceptor.next) acceptor.sendAgainFrom(message.lacks);
  sendSlots(state, acceptor);
}

function endSnapshot(acceptor: AcceptorView): void {
  acceptor.awaitsSnapshot = false;
  acceptor.sendAgainFrom(acceptor.match + 1);
}
