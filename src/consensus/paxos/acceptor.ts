// The acceptor's and the learner's side (Paxos Made Simple, 2.2 and 2.3): what is promised, accepted, refused
// and learned. Rounds decide: a quorum promises a round to one proposer only, so whoever sends an accept of
// a round owns it, and a promise of the same round to somebody else, who lost, binds nobody.

import { restartElectionTimer } from "../election-timer.ts";
import { acceptAgain, acceptedIn } from "./log.ts";
import type { Accept, Heartbeat, Learn, PaxosMessage, Prepare } from "./messages.ts";
import { becomeFollower, follow } from "./roles.ts";
import { helpLaggard, refuse } from "./refusals.ts";
import { isAcceptedIn, learn, learnUpTo, place } from "./slots.ts";
import { hasLeaderLease, isBlank, type PaxosState } from "./state.ts";

/** Phase 1b. */
export function handlePrepare(state: PaxosState, message: Prepare): void {
  const { term, from, first, mandate } = message;
  const isOwner = term === state.term && (state.vote === from || mandate === "quorum");
  if (term < state.term || (term === state.term && !isOwner)) {
    refuse(state, from, term);
    return;
  }
  if (term > state.term) {
    // What was forgotten, or never known, must not be answered for (15); a live leader is not replaced (7).
    const mayNot = mandate === "none" && (isBlank(state) || hasLeaderLease(state));
    if (mayNot || (isBlank(state) && mandate === "transfer")) {
      refuse(state, from, term);
      return;
    }
  }
  if (first <= state.log.baseIndex) {
    // What it asks about is chosen and gone from the log: it needs the state before it may propose (13).
    const { id, log, effects } = state;
    effects.send({ kind: "trimmed", from: id, to: from, term, index: log.baseIndex });
    helpLaggard(state, from);
    return;
  }
  if (term > state.term) {
    becomeFollower(state, term, from, "");
    restartElectionTimer(state);
  }
  state.electionElapsed = 0;
  const { id, log, options } = state;
  state.effects.promise({
    kind: "promise",
    from: id,
    to: from,
    term,
    first,
    entries: log.batch(first, log.lastIndex, options.appendBytesMax),
    last: log.lastIndex,
    commit: state.commit,
    ...(state.recovery === undefined ? {} : { partial: true }),
  });
}

/**
 * What every message of a leader comes to: a lower ballot is refused (3), a higher one promised by accepting it.
 * False when the message must not be taken.
 */
export function heed(state: PaxosState, message: PaxosMessage): boolean {
  if (message.term < state.term) {
    refuse(state, message.from, message.term);
    return false;
  }
  if (message.term > state.term) becomeFollower(state, message.term, message.from, message.from);
  return follow(state, message.from);
}

/** Phase 2b: slots in any order, each on disk before it is acknowledged. */
export function handleAccept(state: PaxosState, { from, term, entries, commit }: Accept): void {
  const { id, log } = state;
  // What was damaged begins with a state: before it has come, nobody knows what lies below the slots.
  if (state.recovery !== undefined && state.commit === 0) return;
  const first = entries[0]?.index ?? 0;
  let last = first - 1;
  for (const entry of entries) {
    // Nobody works further ahead; what came before is lost, and will be sent again.
    if (entry.index > Math.max(log.lastIndex, state.commit) + state.window) break;
    last = entry.index;
    if (entry.index <= state.commit) continue;
    const present = log.value(entry.index);
    if (present === undefined || acceptedIn(present) !== term) place(state, acceptAgain(entry, term));
  }
  learnUpTo(state, commit);
  if (last < first) return;
  state.effects.promise({ kind: "accepted", from: id, to: from, term, first, last });
}

/** Values that are chosen, for a replica that missed them. */
export function handleLearn(state: PaxosState, { from, entries }: Learn): void {
  learn(state, entries);
  const { id, term, commit } = state;
  state.effects.promise({ kind: "learned", from: id, to: from, term, index: commit });
}

export function handleHeartbeat(state: PaxosState, message: Heartbeat): void {
  learnUpTo(state, message.commit);
  state.settledByAll = Math.max(state.settledByAll, message.settledByAll);
  const { recovery } = state;
  if (recovery?.complete === undefined && recovery !== undefined) {
    state.recovery = { complete: message.complete };
  }
  const { id, term, log, commit } = state;
  let lacks = commit + 1;
  while (isAcceptedIn(log.value(lacks), term)) lacks += 1;
  state.effects.send({
    kind: "heartbeat-response",
    from: id,
    to: message.from,
    term,
    round: message.round,
    sent: message.sent,
    held: Math.min(lacks - 1, log.durableIndex),
    lacks,
    // An arbiter forgets what everybody has: a snapshot that a crash takes back is not had.
    base: Math.min(Math.max(state.settled, log.baseIndex), log.durableIndex),
  });
}
