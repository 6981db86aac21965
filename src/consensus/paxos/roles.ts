// Giving up a ballot, and following another's.

import type { NodeId } from "../../model/ids.ts";
import { hurryElection, restartCampaignTimer, restartElectionTimer } from "../election-timer.ts";
import type { RefusalReason } from "../seam.ts";
import type { PaxosState } from "./state.ts";

/**
 * Neither leads nor campaigns any more; promises (round, proposer) if that round is higher. What waited here is refused
 * with `reason`.
 */
export function becomeFollower(
  state: PaxosState,
  round: number,
  proposer: NodeId,
  leader: NodeId,
  reason: RefusalReason = "not-leader",
): void {
  if (round > state.term) {
    state.term = round;
    state.vote = proposer;
  }
  state.roundSeen = Math.max(state.roundSeen, round);
  const { leading, effects } = state;
  if (leading !== undefined) {
    state.leading = undefined;
    for (const context of leading.reading?.contexts ?? []) effects.refuseRead(context, reason, leader);
    for (const context of leading.waitingReads) effects.refuseRead(context, reason, leader);
    for (const { context } of leading.waiting) effects.refuse(context, reason, leader);
  }
  state.canvass = undefined;
  state.proposing = undefined;
  // A proposer's ballot alone buys no time: whoever is fit to lead must not wait for those who are not.
  if (leading !== undefined || (leader !== "" && leader !== state.leader)) restartElectionTimer(state);
  state.leader = leader;
}

/** Takes `from` as the leader of the ballot promised. False when that cannot be, for this replica leads it. */
export function follow(state: PaxosState, from: NodeId): boolean {
  if (state.leading !== undefined) return false;
  if (state.leader === from && state.proposing === undefined && state.canvass === undefined) {
    state.electionElapsed = 0;
    state.campaignsLost = 0;
    return true;
  }
  becomeFollower(state, state.term, from, from);
  restartElectionTimer(state);
  return true;
}

/** Another ballot was promised where this one needed a quorum: waits a random time, longer each time, and asks again. */
export function backOff(state: PaxosState): void {
  const { campaignsLost } = state;
  becomeFollower(state, state.term, state.vote, "");
  state.campaignsLost = campaignsLost;
  restartCampaignTimer(state);
}

/** The host saw the leader's process gone: no reason to wait for its lease, only for better-ranked peers. */
export function forgetLeader(state: PaxosState): void {
  state.leader = "";
  hurryElection(state);
}
