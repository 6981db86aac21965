// What this replica's slots hold, and up to where they are known to be chosen: the learner's part, for followers
// and proposers alike.

import { isVoter } from "../membership.ts";
import { hasQuorum } from "../quorum-math.ts";
import type { Entry } from "../seam.ts";
import { acceptedIn } from "./log.ts";
import type { PaxosState } from "./state.ts";

/** Takes consecutive chosen values that join the chosen prefix; a gap before them is left to the next heartbeat. */
export function learn(state: PaxosState, entries: readonly Entry[]): void {
  for (const entry of entries) {
    if (entry.index !== state.commit + 1) continue;
    const present = state.log.value(entry.index);
    // The same value of a lower ballot is written again, too: after a crash it may not be known to be chosen, and to
    // voters who were none when it was, another value of a ballot in between would be the newer one.
    if (present?.term !== entry.term || acceptedIn(present) < acceptedIn(entry)) place(state, entry);
    state.commit = entry.index;
  }
}

/** The slot holds this value now, and whatever configuration it brings. */
export function place(state: PaxosState, entry: Entry): void {
  state.log.set(entry);
  state.configurations.place(entry);
}

/**
 * The leader says that slots up to `commit` are chosen. It proposes one value per slot and ballot, so a
 * value accepted in its ballot is the chosen one; about any other the slot has to be learned first (16), unless
 * nothing is chosen there without this replica.
 */
export function learnUpTo(state: PaxosState, commit: number): void {
  while (state.commit < commit) {
    const present = state.log.value(state.commit + 1);
    if (present === undefined || !(isAcceptedIn(present, state.term) || isNeeded(state))) return;
    state.commit += 1;
  }
}

/**
 * Every quorum for the next slot has this replica in it. What was chosen there it accepted, and whatever it has
 * accepted since is the same; a log that was damaged may hold what came before.
 */
function isNeeded({ recovery, configurations, commit, id }: PaxosState): boolean {
  const deciding = configurations.at(commit + 1);
  return recovery === undefined && isVoter(deciding, id) && !hasQuorum(deciding, (voter) => voter !== id);
}

/** Whether the value was accepted in that very round. */
export function isAcceptedIn(entry: Entry | undefined, round: number): boolean {
  return entry !== undefined && acceptedIn(entry) === round;
}
