// Leader election (Raft 5.2, 5.4.1) with pre-vote (dissertation 9.6). Votes are promises: they leave after
// the flush. So do vote requests: a candidate that lost its vote and the end of its log in a crash must
// not profit from answers to what it once claimed. Both rest on term and vote, not on the log's end being on
// disk: with its vote flushed, a candidate that crashes never campaigns in that term again, and one that wins
// counts itself only for entries that it has flushed.

import { restartCampaignTimer, restartElectionTimer } from "../election-timer.ts";
import { hasQuorum } from "../quorum-math.ts";
import type { PreVote, PreVoteResponse, Vote, VoteResponse } from "./messages.ts";
import { becomeLeader } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import { type Campaign, hasLeaderLease, isPromotable, mayVoteFor, type RaftState } from "./state.ts";

/** One more tick without a leader's word. */
export function tickElection(state: RaftState): void {
  state.electionElapsed += 1;
  const { campaign } = state;
  // While its own vote still flushes, another campaign would only ask the disk for more.
  if (campaign?.phase === "vote" && !campaign.answers.has(state.id)) return;
  // A group of one has nobody to wait for.
  const alone = campaign === undefined && isOnlyVoter(state);
  if (!alone && state.electionElapsed < state.electionTimeout) return;
  if (isPromotable(state)) beginPreVote(state);
  else if (state.leader !== "") becomeFollower(state, state.term, "");
}

/** Asks whether an election could be won, without disturbing anybody (5). */
export function beginPreVote(state: RaftState): void {
  restartCampaignTimer(state);
  state.leader = "";
  state.campaign = { phase: "pre-vote", answers: new Map([[state.id, true]]), selfVoteSequence: 0 };
  const { id, term, log, options } = state;
  for (const to of otherVoters(state)) {
    state.effects.send({
      kind: "pre-vote",
      from: id,
      to,
      term,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      priority: options.priority,
    });
  }
  countAnswers(state, state.campaign);
}

/** Campaigns for a new term; its own vote counts once it is flushed. */
export function beginVote(state: RaftState, transfer: boolean): void {
  if (transfer) restartCampaignTimer(state);
  state.leader = "";
  state.term += 1;
  state.vote = state.id;
  state.electionElapsed = 0;
  // The hard state changed, so this step makes the next persist effect.
  state.campaign = {
    phase: "vote",
    answers: new Map(),
    selfVoteSequence: state.durability.sequence + 1,
  };
  const { id, term, log } = state;
  const { lastIndex, lastTerm } = log;
  for (const to of otherVoters(state)) {
    state.effects.promiseTerm({ kind: "vote", from: id, to, term, lastIndex, lastTerm, transfer });
  }
}

/** The host flushed something: perhaps the vote for itself. */
export function countOwnVote(state: RaftState): void {
  const { campaign } = state;
  if (campaign?.phase !== "vote" || campaign.answers.has(state.id)) return;
  if (state.durability.hardStateFlushed < campaign.selfVoteSequence) return;
  campaign.answers.set(state.id, true);
  countAnswers(state, campaign);
}

export function handlePreVote(state: RaftState, message: PreVote): void {
  const { log } = state;
  const granted =
    message.term >= state.term &&
    !hasLeaderLease(state) &&
    mayVoteFor(state, message.from) &&
    log.isUpToDate(message.lastIndex, message.lastTerm);
  const campaignTerm = message.term + 1;
  state.effects.send({
    kind: "pre-vote-response",
    from: state.id,
    to: message.from,
    term: state.term,
    campaignTerm,
    granted,
  });
  // Two that ask at once would split the vote: the one whose log is shorter, whose rank is worse or whose
  // name is later lets the other go first, and asks again later.
  if (granted && state.campaign?.phase === "pre-vote" && isPreferred(state, message)) {
    state.campaign = undefined;
  }
}

export function handlePreVoteResponse(state: RaftState, message: PreVoteResponse): void {
  const { campaign } = state;
  if (campaign?.phase !== "pre-vote") return;
  if (message.granted && message.campaignTerm !== state.term + 1) return;
  campaign.answers.set(message.from, message.granted);
  countAnswers(state, campaign);
}

/** A request of the current term; higher terms were adopted and lower ones refused before. */
export function handleVote(state: RaftState, message: Vote): void {
  const free =
    mayVoteFor(state, message.from) &&
    (state.vote === message.from || (state.vote === "" && state.leader === ""));
  const granted = free && state.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (granted) {
    state.vote = message.from;
    state.campaign = undefined;
    restartElectionTimer(state);
  }
  answerVote(state, message, granted);
}

export function answerVote(state: RaftState, message: Vote, granted: boolean): void {
  const { id, term, effects } = state;
  const response: VoteResponse = { kind: "vote-response", from: id, to: message.from, term, granted };
  if (granted) effects.promiseTerm(response);
  else effects.send(response);
}

export function handleVoteResponse(state: RaftState, message: VoteResponse): void {
  const { campaign } = state;
  if (campaign?.phase !== "vote" || campaign.answers.has(message.from)) return;
  campaign.answers.set(message.from, message.granted);
  countAnswers(state, campaign);
}

function countAnswers(state: RaftState, campaign: Campaign): void {
  const membership = state.memberships.current;
  if (hasQuorum(membership, (voter) => campaign.answers.get(voter) === true)) {
    if (campaign.phase === "pre-vote") beginVote(state, false);
    else becomeLeader(state);
  } else if (!hasQuorum(membership, (voter) => campaign.answers.get(voter) !== false)) {
    // Lost. The retry timer runs already.
    state.campaign = undefined;
  }
}

function isPreferred(state: RaftState, other: PreVote): boolean {
  const { log, options } = state;
  if (other.lastTerm !== log.lastTerm || other.lastIndex !== log.lastIndex) return true;
  if (other.priority !== options.priority) return other.priority < options.priority;
  return other.from < state.id;
}

function isOnlyVoter(state: RaftState): boolean {
  const { voters, outgoing } = state.memberships.current;
  return outgoing.length === 0 && voters.length === 1 && voters[0] === state.id;
}

function otherVoters(state: RaftState): readonly string[] {
  const { voters, outgoing } = state.memberships.current;
  const all = outgoing.length === 0 ? voters : [...new Set([...voters, ...outgoing])];
  return all.filter((node) => node !== state.id);
}
