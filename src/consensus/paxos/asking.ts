// Whom a proposer asks, for what (phase 1a), and what it makes of the answers slot by slot.

import type { Entry } from "../seam.ts";
import { AcceptorView } from "./acceptor-view.ts";
import { acceptedIn } from "./log.ts";
import type { Mandate } from "./messages.ts";
import { membershipNow, type PaxosState, type Proposing } from "./state.ts";

/** Gives every member of every configuration to come a view, asks it, and forgets those that are none any more. */
export function alignAcceptors(state: PaxosState, proposing: Proposing): void {
  proposing.alignedTo = membershipNow(state);
  const members = state.configurations.members(state.commit + 1);
  for (const node of proposing.acceptors.keys()) {
    if (!members.includes(node)) proposing.acceptors.delete(node);
  }
  for (const node of members) {
    if (node === state.id || proposing.acceptors.has(node)) continue;
    const acceptor = new AcceptorView(node, state.commit, state.tick);
    proposing.acceptors.set(node, acceptor);
    ask(state, proposing, acceptor);
  }
}

/** Asks again those whose report is not complete. */
export function askAcceptors(state: PaxosState, proposing: Proposing): void {
  for (const acceptor of proposing.acceptors.values()) {
    if (!acceptor.promised && !proposing.refused.has(acceptor.node)) ask(state, proposing, acceptor);
  }
}

/** Phase 1a, for the next page of an acceptor's report: after a crash the round is used up, so it is on disk first. */
export function ask(state: PaxosState, proposing: Proposing, acceptor: AcceptorView): void {
  const { leading, log, commit } = state;
  // A leader has a quorum's reports. Of the others it needs to know only what may be beyond its own slots.
  acceptor.reportedTo = Math.max(acceptor.reportedTo, leading === undefined ? commit : log.lastIndex);
  const mandate: Mandate = leading === undefined ? proposing.mandate : "quorum";
  state.effects.promise({
    kind: "prepare",
    from: state.id,
    to: acceptor.node,
    term: state.term,
    first: acceptor.reportedTo + 1,
    mandate,
  });
}

/** The value of the highest ballot among those reported and this replica's own (5). */
export function highestAccepted(state: PaxosState, proposing: Proposing, index: number): Entry | undefined {
  const own = state.log.value(index);
  const reported = proposing.reports.get(index);
  if (own === undefined || reported === undefined) return own ?? reported;
  return acceptedIn(reported) > acceptedIn(own) ? reported : own;
}
