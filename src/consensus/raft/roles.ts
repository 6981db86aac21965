// Becoming a follower, and forgetting a leader. Becoming a leader is in
// replication.ts, for it begins with an append.

import type { NodeId } from "../../model/ids.ts";
import { hurryElection, restartElectionTimer } from "../election-timer.ts";
import type { RefusalReason } from "../seam.ts";
import type { RaftState } from "./state.ts";

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

/** The host saw the leader's process gone: no reason to wait for its lease, only for better-ranked peers. */
export function forgetLeader(state: RaftState): void {
  state.leader = "";
  hurryElection(state);
}
