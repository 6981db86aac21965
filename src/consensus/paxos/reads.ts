// Linearizable reads without a slot: a leader whose ballot a quorum confirms after the read arrived was still
// the only one who chooses then, so the prefix that it knows to be chosen is new enough. No leases.

import { sameMembership } from "../membership.ts";
import { hasQuorum } from "../quorum-math.ts";
import { broadcastHeartbeat } from "./replication.ts";
import { hasChosenInBallot, type Leading, type PaxosState, type Proposing } from "./state.ts";

/** Reads that may wait on one leader; more are refused. */
const READS_MAX = 65_536;

export function requestRead(state: PaxosState, context: number): void {
  const { leading, effects, leader } = state;
  if (leading === undefined) effects.refuseRead(context, "not-leader", leader);
  else if (leading.waitingReads.length >= READS_MAX) effects.refuseRead(context, "overloaded", leader);
  else leading.waitingReads.push(context);
}

/**
 * Answers the round that a quorum confirmed and begins the next for the reads that came meanwhile (14). One
 * round at a time; a lost heartbeat needs no retry, for each later one carries the round too.
 */
export function advanceReads(state: PaxosState, proposing: Proposing, leading: Leading): void {
  for (;;) {
    const { reading } = leading;
    if (reading !== undefined) {
      const isConfirmed = (voter: string): boolean =>
        voter === state.id || (proposing.acceptors.get(voter)?.round ?? 0) >= reading.round;
      // Whoever chooses the slot after the read's index needs a quorum of those who decide that slot.
      const deciding = state.configurations.at(reading.index + 1);
      if (hasQuorum(deciding, isConfirmed)) {
        for (const context of reading.contexts) state.effects.read(context, reading.index);
      } else {
        if (sameMembership(deciding, state.configurations.at(state.commit + 1))) return;
        // By now others decide, and of those some may have been let go and answer no more: ask who decides now.
        leading.waitingReads = [...reading.contexts, ...leading.waitingReads];
      }
      leading.reading = undefined;
    }
    if (leading.waitingReads.length === 0 || !hasChosenInBallot(state, leading)) return;
    leading.round += 1;
    leading.reading = { round: leading.round, index: state.commit, contexts: leading.waitingReads };
    leading.waitingReads = [];
    broadcastHeartbeat(state, proposing, leading);
  }
}
