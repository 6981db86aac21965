// Membership changes by joint consensus (Raft section 6, dissertation chapter 4): new voters first
// catch up as learners, then the joint configuration, then the new one alone. A configuration is used from
// the moment it is in the log. A leader that finds a joint configuration finishes it, whoever began it.

import {
  afterJoint,
  canReplace,
  encodeMembership,
  isMember,
  isVoter,
  jointOf,
  membershipOf,
  sameMembership,
  sameNodes,
} from "../membership.ts";
import { hasQuorum } from "../quorum-math.ts";
import type { Membership } from "../seam.ts";
import { appendOwn } from "./replication.ts";
import { hasCommittedInTerm, type Leading, type RaftState } from "./state.ts";

/**
 * Plans a change towards `target`; ignored when it cannot be. While new voters still catch up, nothing is decided, and
 * another target takes the place of the first: so a change that waits for a dead node can be given up.
 */
export function beginChange(state: RaftState, target: Membership): void {
  const { leading } = state;
  if (leading === undefined || leading.transfer !== undefined || !canChange(state, leading)) return;
  // 39
  if (!canReplace(state.memberships.current, target)) return;
  leading.plan = { target: membershipOf(target), roundIndex: state.log.lastIndex, roundTick: state.tick };
}

/** Takes the next step of a change as soon as the one before is committed. */
export function advanceChange(state: RaftState, leading: Leading): void {
  const current = state.memberships.current;
  if (leading.plan === undefined && current.outgoing.length === 0) return;
  if (leading.transfer !== undefined || state.memberships.currentIndex > state.commit) return;
  if (!hasCommittedInTerm(state, leading)) return;
  if (current.outgoing.length > 0) {
    appendMembership(state, leading, afterJoint(current));
    return;
  }
  const { plan } = leading;
  if (plan === undefined) return;
  const { target } = plan;
  if (sameMembership(current, target)) {
    leading.plan = undefined;
    return;
  }
  if (sameNodes(current.voters, target.voters)) {
    leading.plan = undefined;
    appendMembership(state, leading, target);
    return;
  }
  const fresh = target.voters.filter((node) => !isVoter(current, node));
  if (!fresh.every((node) => isMember(current, node))) {
    appendMembership(state, leading, membershipOf({ ...current, learners: [...current.learners, ...fresh] }));
    // Until they were members, arbiters kept nothing for them: what is before has to reach them first.
    plan.roundIndex = state.log.lastIndex;
    return;
  }
  if (!hasCaughtUp(state, leading, plan, fresh) || !canDecide(state, leading, plan)) return;
  leading.plan = undefined;
  appendMembership(state, leading, jointOf(current, target));
}

/** 32, 33: the leader's own term is committed, and no other change is on its way. */
function canChange(state: RaftState, leading: Leading): boolean {
  return (
    hasCommittedInTerm(state, leading) &&
    state.memberships.currentIndex <= state.commit &&
    state.memberships.current.outgoing.length === 0
  );
}

/** Dissertation 4.2.1: they reached in less than an election timeout what the log held when the round began. */
function hasCaughtUp(
  state: RaftState,
  leading: Leading,
  plan: NonNullable<Leading["plan"]>,
  fresh: readonly string[],
): boolean {
  if (fresh.some((node) => (leading.progress.get(node)?.match ?? 0) < plan.roundIndex)) return false;
  const elapsed = state.tick - plan.roundTick;
  if (elapsed < state.options.electionTicks) return true;
  plan.roundIndex = state.log.lastIndex;
  plan.roundTick = state.tick;
  return false;
}

/**
 * A quorum of those who are to decide have what the log held when the round began. One that has never been fed, of a group
 * that was just made, gives no vote: were it needed and this leader gone, nobody could lead any more.
 */
function canDecide(
  state: RaftState,
  leading: Leading,
  { target, roundIndex }: NonNullable<Leading["plan"]>,
): boolean {
  const holds = (voter: string): boolean =>
    voter === state.id || (leading.progress.get(voter)?.match ?? 0) >= roundIndex;
  return hasQuorum(target, holds);
}

function appendMembership(state: RaftState, leading: Leading, membership: Membership): void {
  appendOwn(state, leading, "config", encodeMembership(membership));
}
