// Handing the ballot over, on request and when this leader is no member any more; and letting others have it, when
// this leader can bring nobody along. Priorities do not cause transfers here: the host asks for them.

import { isVoter } from "../membership.ts";
import { hasQuorum } from "../quorum-math.ts";
import type { AcceptorView } from "./acceptor-view.ts";
import type { HandOver } from "./messages.ts";
import { becomeFollower } from "./roles.ts";
import { isActive, membershipNow, type Leading, type PaxosState, type Proposing } from "./state.ts";

/** Begins to hand over to a data voter that is alive and follows the log; anything else is ignored. */
export function beginTransfer(state: PaxosState, to: string): void {
  const { leading, proposing } = state;
  if (leading === undefined || leading.transfer !== undefined) return;
  const acceptor = proposing?.acceptors.get(to);
  if (acceptor === undefined || !canTakeOver(state, acceptor)) return;
  leading.transfer = { to, deadlineTick: state.tick + state.options.electionTicks, askedTick: -1 };
  for (const { context } of leading.waiting) state.effects.refuse(context, "transferring", state.leader);
  leading.waiting = [];
  leading.waitingBytes = 0;
}

/** Gives up at the deadline, and asks the successor to prepare as soon as it has everything. */
export function advanceTransfer(state: PaxosState, proposing: Proposing, leading: Leading): void {
  const { transfer } = leading;
  if (transfer === undefined) return;
  const acceptor = proposing.acceptors.get(transfer.to);
  if (state.tick >= transfer.deadlineTick || acceptor === undefined || !canTakeOver(state, acceptor)) {
    leading.transfer = undefined;
    return;
  }
  if (acceptor.match !== state.log.lastIndex || transfer.askedTick === state.tick) return;
  transfer.askedTick = state.tick;
  state.effects.send(handOverTo(state, transfer.to));
}

/** A membership without this leader decides from here on: it names the best successor and goes. */
export function resign(state: PaxosState, proposing: Proposing): void {
  let best: AcceptorView | undefined;
  for (const acceptor of proposing.acceptors.values()) {
    if (canTakeOver(state, acceptor) && acceptor.match > (best?.match ?? -1)) best = acceptor;
  }
  if (best !== undefined) {
    state.effects.send(handOverTo(state, best.node));
  }
  becomeFollower(state, state.term, state.vote, "");
}

/** Election timeouts that a leader which is in the way of the others leaves to them. */
const STAND_BACK_TIMEOUTS = 10;

/**
 * Whether every data voter that is alive needs slots which this leader has compacted, and its state, which it would
 * stream instead, is damaged: nothing can be chosen then. Where the others have a quorum without it, one of them accepted
 * those slots, and can propose them again (13); where they have none, who needs them is in every quorum, and has them.
 */
export function isInTheWay(state: PaxosState, { acceptors }: Proposing): boolean {
  if (!state.damaged) return false;
  const membership = membershipNow(state);
  const { voters, outgoing, arbiters } = membership;
  const alive = new Map(
    [...voters, ...outgoing].flatMap((node) => {
      const acceptor = acceptors.get(node);
      return acceptor !== undefined && isActive(state, acceptor) ? [[node, acceptor] as const] : [];
    }),
  );
  if (!hasQuorum(membership, (voter) => alive.has(voter))) return false;
  const copies = [...alive.values()].filter(({ node }) => !arbiters.includes(node));
  return copies.length > 0 && copies.every(({ promised, match }) => promised && match < state.log.baseIndex);
}

/** Not for good: where nobody else comes to it, what this replica has is better than nothing. */
export function standBack(state: PaxosState): void {
  state.standsBackUntil = state.tick + STAND_BACK_TIMEOUTS * state.options.electionTicks;
  becomeFollower(state, state.term, state.vote, "");
}

function handOverTo({ id, term, commit }: PaxosState, to: string): HandOver {
  return { kind: "hand-over", from: id, to, term, commit };
}

function canTakeOver(state: PaxosState, acceptor: AcceptorView): boolean {
  const membership = membershipNow(state);
  return (
    isVoter(membership, acceptor.node) &&
    !membership.arbiters.includes(acceptor.node) &&
    acceptor.promised &&
    !acceptor.awaitsSnapshot &&
    isActive(state, acceptor)
  );
}
