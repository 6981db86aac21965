// Failure detection, and asking around before a ballot: who hears no leader for a random time asks whether a
// ballot would be promised, and only then uses one. So a replica that comes back from a partition deposes
// nobody, and rounds do not run away.

import { restartCampaignTimer } from "../election-timer.ts";
import { hasQuorum } from "../quorum-math.ts";
import type { Canvass, CanvassAnswer } from "./messages.ts";
import { askAcceptors } from "./asking.ts";
import { beginPrepare } from "./proposer.ts";
import { becomeFollower } from "./roles.ts";
import { helpLaggard } from "./refusals.ts";
import { hasLeaderLease, isBlank, isPromotable, membershipNow, type PaxosState } from "./state.ts";

/** One more tick without a leader's word. */
export function tickFollower(state: PaxosState): void {
  state.electionElapsed += 1;
  const { proposing, options } = state;
  if (proposing !== undefined) {
    // While its own promise still flushes, another ballot would only ask the disk for more.
    if (state.flushed < proposing.promiseSequence) return;
    if (state.electionElapsed % options.heartbeatTicks === 0) askAcceptors(state, proposing);
  }
  // A group of one has nobody to wait for.
  const alone = proposing === undefined && state.canvass === undefined && isOnlyVoter(state);
  if (!alone && state.electionElapsed < state.electionTimeout) return;
  if (isPromotable(state)) beginCanvass(state);
  else if (state.leader !== "") becomeFollower(state, state.term, state.vote, "");
}

/** Asks everybody who decides whether a ballot would be promised. */
export function beginCanvass(state: PaxosState): void {
  restartCampaignTimer(state);
  state.leader = "";
  state.proposing = undefined;
  state.canvasses += 1;
  state.canvass = { number: state.canvasses, answers: new Map([[state.id, true]]) };
  const { id, term, commit, options, configurations, canvasses } = state;
  for (const to of configurations.members(commit + 1)) {
    if (to === id || !configurations.isVoter(commit + 1, to)) continue;
    state.effects.send({
      kind: "canvass",
      from: id,
      to,
      term,
      number: canvasses,
      commit,
      priority: options.priority,
    });
  }
  countAnswers(state);
}

export function handleCanvass(state: PaxosState, message: Canvass): void {
  state.roundSeen = Math.max(state.roundSeen, message.term);
  const free = !isBlank(state) && !hasLeaderLease(state);
  const trimmed = message.commit < state.log.baseIndex;
  if (free && trimmed) helpLaggard(state, message.from);
  const willing = free && !trimmed;
  state.effects.send({
    kind: "canvass-answer",
    from: state.id,
    to: message.from,
    term: state.term,
    number: message.number,
    willing,
  });
  // Two that ask at once would duel: the one whose rank is worse or whose name is later lets the other go
  // first, and asks again later.
  if (willing && state.canvass !== undefined && isPreferred(state, message)) state.canvass = undefined;
}

export function handleCanvassAnswer(state: PaxosState, message: CanvassAnswer): void {
  state.roundSeen = Math.max(state.roundSeen, message.term);
  const { canvass } = state;
  if (canvass === undefined || message.number !== canvass.number) return;
  canvass.answers.set(message.from, message.willing);
  countAnswers(state);
}

function countAnswers(state: PaxosState): void {
  const answers = state.canvass?.answers;
  if (answers === undefined) return;
  const membership = membershipNow(state);
  if (hasQuorum(membership, (voter) => answers.get(voter) === true)) beginPrepare(state, "none");
  // Lost. The retry timer runs already.
  else if (!hasQuorum(membership, (voter) => answers.get(voter) !== false)) state.canvass = undefined;
}

function isPreferred(state: PaxosState, other: Canvass): boolean {
  const { commit, options, window } = state;
  // Who is far behind would have to be brought up to date first.
  if (Math.abs(other.commit - commit) > window) return other.commit > commit;
  if (other.priority !== options.priority) return other.priority < options.priority;
  return other.from < state.id;
}

function isOnlyVoter(state: PaxosState): boolean {
  const [only, ...others] = state.configurations.onwards(state.commit + 1);
  if (only === undefined || others.length > 0 || only.outgoing.length > 0) return false;
  return only.voters.length === 1 && only.voters[0] === state.id;
}
