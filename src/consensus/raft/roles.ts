// Becoming a follower, and the timers of those who do not lead. Becoming a leader is in
// replication.ts, for it begins with an append.

import type { NodeId } from "../../model/ids.ts";
import type { RefusalReason, ReplicaOptions } from "../seam.ts";
import type { RaftState } from "./state.ts";

/** Ranks wait this part of the election timeout longer each, but never more than the cap (11). */
const RANK_PART = 0.15;
const RANK_PART_MAX = 0.45;

/** A follower at `term`. A new term forgets the vote. Reads of a deposed leader are refused with `reason`. */
export function becomeFollower(
  state: RaftState,
  term: number,
  leader: NodeId,
  reason: RefusalReason = "not-leader",
): void {
  if (term > state.term) {
    state.term = term;
    state.vote = "";
  }
  const { leading } = state;
  if (leading !== undefined) {
    state.leading = undefined;
    for (const context of leading.reading?.contexts ?? []) state.effects.refuseRead(context, reason, leader);
    for (const context of leading.waitingReads) state.effects.refuseRead(context, reason, leader);
  }
  state.campaign = undefined;
  // A candidate's higher term alone buys no time: whoever is fit to lead must not wait for those who are not.
  if (leading !== undefined || (leader !== "" && leader !== state.leader)) restartElectionTimer(state);
  state.leader = leader;
}

/** Waits a whole election timeout again: a leader was heard, or a vote was given. */
export function restartElectionTimer(state: RaftState): void {
  state.electionElapsed = 0;
  state.electionTimeout = electionTimeoutTicks(state.options);
  state.campaignsLost = 0;
}

/**
 * Waits until the next campaign after one that has just begun. There is no leader whose lease would have to run out,
 * so the first retries come soon; they double up to the election timeout, for slow networks and disks.
 */
export function restartCampaignTimer(state: RaftState): void {
  const { electionTicks } = state.options;
  const backoff = Math.min(1, 0.25 * 2 ** Math.min(state.campaignsLost, 2));
  state.campaignsLost += 1;
  state.electionElapsed = 0;
  state.electionTimeout = Math.ceil(electionTicks * (backoff + spread(state.options)));
}

/** The host saw the leader's process gone: no reason to wait for its lease, only for better-ranked peers. */
export function forgetLeader(state: RaftState): void {
  state.leader = "";
  const delayTicks = 1 + Math.floor(state.options.random() * 3) + 2 * Math.min(state.options.priority, 3);
  state.electionTimeout = Math.min(state.electionTimeout, state.electionElapsed + delayTicks);
}

function electionTimeoutTicks(options: ReplicaOptions): number {
  return Math.ceil(options.electionTicks * (1 + spread(options)));
}

/** The random and the ranked part of a timeout, in election timeouts: [0.05, 0.3) and up to 0.45 (10, 11). */
function spread(options: ReplicaOptions): number {
  return 0.05 + 0.25 * options.random() + Math.min(RANK_PART_MAX, RANK_PART * options.priority);
}
