// Phase 1 of a ballot (Paxos Made Simple, 2.2 and 3; Paxos Made Moderately Complex, 3.3): promises for every
// slot from the first one that is not known to be chosen, the values that were accepted there, and what the
// new leader makes of them. A proposer may be far behind: what the others know to be chosen it learns from
// their reports, page by page.

import type { NodeId } from "../../model/ids.ts";
import { restartCampaignTimer } from "../election-timer.ts";
import { hasQuorum } from "../quorum-math.ts";
import { alignAcceptors, ask, highestAccepted } from "./asking.ts";
import { acceptedIn } from "./log.ts";
import type { Promised, Refused, Trimmed } from "./messages.ts";
import { advanceFrontier, becomeLeader, sendSlots } from "./replication.ts";
import { backOff } from "./roles.ts";
import { learn } from "./slots.ts";
import { hasPromises, membershipNow, type PaxosState, type Proposing } from "./state.ts";

/** Takes a round that nobody has used and asks for promises; its own counts once it is flushed (1). */
export function beginPrepare(state: PaxosState, mandate: "none" | "transfer"): void {
  if (mandate === "transfer") restartCampaignTimer(state);
  state.canvass = undefined;
  state.leader = "";
  state.term = Math.max(state.term, state.roundSeen) + 1;
  state.roundSeen = state.term;
  state.vote = state.id;
  state.electionElapsed = 0;
  const proposing: Proposing = {
    acceptors: new Map(),
    refused: new Set(),
    reports: new Map(),
    reportedLast: 0,
    // The hard state changed, so this step makes the next persist effect.
    promiseSequence: state.sequence + 1,
    alignedTo: undefined,
    ready: new Set(),
    mandate,
  };
  state.proposing = proposing;
  alignAcceptors(state, proposing);
}

export function handlePromise(state: PaxosState, proposing: Proposing, message: Promised): void {
  const acceptor = proposing.acceptors.get(message.from);
  if (acceptor === undefined) return;
  acceptor.heardTick = state.tick;
  // Asked again because its log was damaged: it has everything again, and counts as every other from here on.
  if (acceptor.promised && message.partial !== true) acceptor.tellsAll = true;
  const known = Math.max(acceptor.reportedTo, frontierBefore(state));
  if (acceptor.promised || message.first > known + 1) return;
  // It answers, page after page: that is no reason to try another ballot.
  if (state.leading === undefined) state.electionElapsed = 0;
  acceptor.tellsAll = message.partial !== true;
  const last = message.first + message.entries.length - 1;
  // Who was asked again while it slept answers every time: one of the answers is gone on from.
  const isNews = last > acceptor.reportedTo;
  takeReport(state, proposing, message);
  acceptor.reportedTo = Math.max(known, last);
  if (acceptor.reportedTo < message.last) {
    if (isNews) ask(state, proposing, acceptor);
  } else {
    acceptor.promised = true;
    acceptor.hold(1, Math.min(message.commit, state.commit));
    acceptor.next = acceptor.match + 1;
  }
  if (state.leading === undefined) {
    tryToLead(state, proposing);
  } else {
    advanceFrontier(state, proposing, state.leading);
    if (acceptor.promised) sendSlots(state, acceptor);
  }
}

/** What the acceptor knows to be chosen is learned; of what it merely accepted, the highest ballot counts (5). */
function takeReport(state: PaxosState, proposing: Proposing, message: Promised): void {
  const { entries, commit } = message;
  if (state.leading === undefined) {
    const before = state.commit;
    learn(
      state,
      entries.filter((entry) => entry.index <= commit && entry.kind !== "hole"),
    );
    if (state.commit > before) afterLearning(state, proposing);
  }
  for (const entry of entries) {
    if (entry.kind === "hole" || entry.index <= frontierBefore(state)) continue;
    const known = proposing.reports.get(entry.index);
    if (known === undefined || acceptedIn(entry) > acceptedIn(known)) {
      proposing.reports.set(entry.index, entry);
    }
    proposing.reportedLast = Math.max(proposing.reportedLast, entry.index);
  }
}

/** Up to here, reports decide nothing any more. */
function frontierBefore(state: PaxosState): number {
  return state.leading === undefined ? state.commit : state.log.lastIndex;
}

/** The chosen prefix grew while this replica prepares: other configurations may decide from here on. */
function afterLearning(state: PaxosState, proposing: Proposing): void {
  for (const index of proposing.reports.keys()) {
    if (index <= state.commit) proposing.reports.delete(index);
  }
  alignAcceptors(state, proposing);
}

/**
 * Leads once a quorum of whoever decides any slot up to the first free one has promised and reported. A
 * value too far ahead shows that slots which are not known to be chosen are, for nobody works further ahead than
 * the window; and what a quorum reports of a chosen slot in its highest ballot is what was chosen.
 */
export function tryToLead(state: PaxosState, proposing: Proposing): void {
  const { configurations, window } = state;
  for (;;) {
    const free = Math.max(proposing.reportedLast, state.log.lastIndex, state.commit) + 1;
    const known = Math.min(free, state.commit + window);
    for (let index = state.commit + 1; index <= known; index = configurations.lastLike(index) + 1) {
      if (!hasPromises(state, proposing, configurations.at(index))) return;
    }
    if (known === free) break;
    const chosen = highestAccepted(state, proposing, state.commit + 1);
    if (chosen === undefined) return;
    learn(state, [chosen]);
    afterLearning(state, proposing);
  }
  becomeLeader(state, proposing);
}

/** Another ballot was promised there: goes above it, but not at once, or two proposers duel for ever (11). */
export function handleRefused(state: PaxosState, proposing: Proposing, message: Refused): void {
  // Who does not belong here has no say (7).
  if (!proposing.acceptors.has(message.from) && state.leading !== undefined) return;
  state.roundSeen = Math.max(state.roundSeen, message.round);
  if (message.round > state.term) {
    backOff(state);
    return;
  }
  if (state.leading === undefined) countRefusal(state, proposing, message.from);
}

/** Its log begins after what this replica asked about; its state is on its way, or somebody fitter will lead (13). */
export function handleTrimmed(state: PaxosState, proposing: Proposing, message: Trimmed): void {
  if (state.leading !== undefined || message.index <= state.commit) return;
  countRefusal(state, proposing, message.from);
}

function countRefusal(state: PaxosState, proposing: Proposing, from: NodeId): void {
  proposing.refused.add(from);
  if (!hasQuorum(membershipNow(state), (voter) => !proposing.refused.has(voter))) backOff(state);
}

/** The host flushed something: perhaps its own promise. */
export function countOwnPromise(state: PaxosState, proposing: Proposing): void {
  if (state.leading === undefined && state.flushed >= proposing.promiseSequence) tryToLead(state, proposing);
}
