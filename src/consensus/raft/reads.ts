// Linearizable reads without the log (ReadIndex, dissertation 6.4): a leader that hears from a quorum
// after a read arrived was still the leader then, so its commit index at that time is new enough.

import { hasQuorum } from "../quorum-math.ts";
import { broadcastHeartbeat } from "./replication.ts";
import { hasCommittedInTerm, type Leading, type RaftState } from "./state.ts";

/** Reads that may wait on one leader; more are refused. */
const READS_MAX = 65_536;

export function requestRead(state: RaftState, context: number): void {
  const { leading } = state;
  if (leading === undefined) state.effects.refuseRead(context, "not-leader", state.leader);
  // An arbiter has nothing to read and is about to hand over (49).
  else if (state.options.arbiter) state.effects.refuseRead(context, "transferring", state.leader);
  else if (leading.waitingReads.length >= READS_MAX) {
    state.effects.refuseRead(context, "overloaded", state.leader);
  } else leading.waitingReads.push(context);
}

/**
 * Answers the round that a quorum confirmed and begins the next for the reads that came meanwhile. One
 * round at a time; a lost heartbeat needs no retry, for each later one carries the round too (43).
 */
export function advanceReads(state: RaftState, leading: Leading): void {
  for (;;) {
    const { reading } = leading;
    if (reading !== undefined) {
      const isConfirmed = (voter: string): boolean =>
        voter === state.id || (leading.progress.get(voter)?.round ?? 0) >= reading.round;
      if (!hasQuorum(state.memberships.current, isConfirmed)) return;
      for (const context of reading.contexts) state.effects.read(context, reading.index);
      leading.reading = undefined;
    }
    if (leading.waitingReads.length === 0 || !hasCommittedInTerm(state, leading)) return;
    leading.round += 1;
    leading.reading = { round: leading.round, index: state.commit, contexts: leading.waitingReads };
    leading.waitingReads = [];
    broadcastHeartbeat(state, leading);
  }
}
