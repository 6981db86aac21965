// Membership changes within a bounded window (Paxos Made Simple, 3; Paxos Made Moderately Complex, 4.4), over
// the steps that the seam's memberships know: new voters first catch up as learners, then a joint
// configuration, then the new one alone. Each is a value in a slot like any other, rolled back when another is
// chosen there, and in force a window later. Two that follow each other have quorums that intersect.

import { hasQuorum } from "../quorum-math.ts";
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
import type { Membership } from "../seam.ts";
import { proposeOwn } from "./replication.ts";
import {
  hasChosenInBallot,
  hasPromises,
  heldBy,
  type Leading,
  type PaxosState,
  type Proposing,
} from "./state.ts";

/**
 * Plans a change towards `target`; ignored when it cannot be. While new voters still catch up, nothing is decided, and
 * another target takes the place of the first: so a change that waits for a dead node can be given up.
 */
export function beginChange(state: PaxosState, target: Membership): void {
  const { leading, configurations } = state;
  if (leading === undefined || leading.transfer !== undefined) return;
  if (leading.plan === undefined && !isSettled(state, leading)) return;
  if (configurations.latest.outgoing.length > 0 || !canReplace(configurations.latest, target)) return;
  leading.plan = { target: membershipOf(target), roundIndex: state.log.lastIndex, roundTick: state.tick };
}

/** Takes the next step of a change as soon as the one before is in force. */
export function advanceChange(state: PaxosState, proposing: Proposing, leading: Leading): void {
  const current = state.configurations.latest;
  if (leading.plan === undefined && current.outgoing.length === 0) return;
  if (leading.transfer !== undefined || !isSettled(state, leading)) return;
  if (current.outgoing.length > 0) {
    if (canLeaveJoint(state, proposing, current)) proposeMembership(state, proposing, afterJoint(current));
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
    if (proposeMembership(state, proposing, target)) leading.plan = undefined;
    return;
  }
  const fresh = target.voters.filter((node) => !isVoter(current, node));
  if (!fresh.every((node) => isMember(current, node))) {
    const learners = [...current.learners, ...fresh];
    proposeMembership(state, proposing, membershipOf({ ...current, learners }));
    return;
  }
  if (!hasCaughtUp(state, proposing, plan, fresh)) return;
  // One that has never been fed promises nothing: were it needed and this leader gone, nobody could lead any more.
  if (!hasQuorum(target, (voter) => heldBy(state, proposing, voter) >= plan.roundIndex)) return;
  // Nor is anybody elected, and nobody's log mended, where those whose logs were damaged are too many.
  if (!hasPromises(state, proposing, target)) return;
  if (proposeMembership(state, proposing, jointOf(current, target))) leading.plan = undefined;
}

/** One at a time, and only by a leader that knows who decides: the newest configuration is in force. */
function isSettled(state: PaxosState, leading: Leading): boolean {
  return hasChosenInBallot(state, leading) && state.configurations.latestFrom <= state.commit + 1;
}

/**
 * Slots from before the joint configuration were decided without the new voters. A quorum of those must hold
 * them before the old voters may go.
 */
function canLeaveJoint(state: PaxosState, proposing: Proposing, joint: Membership): boolean {
  const before = state.configurations.latestFrom - 1;
  const incoming = { ...joint, outgoing: [] };
  return hasQuorum(incoming, (voter) => heldBy(state, proposing, voter) >= before);
}

/** They reached in less than an election timeout what the log held when the round began (Raft dissertation 4.2.1). */
function hasCaughtUp(
  state: PaxosState,
  proposing: Proposing,
  plan: NonNullable<Leading["plan"]>,
  fresh: readonly string[],
): boolean {
  if (fresh.some((node) => heldBy(state, proposing, node) < plan.roundIndex)) return false;
  if (state.tick - plan.roundTick < state.options.electionTicks) return true;
  plan.roundIndex = state.log.lastIndex;
  plan.roundTick = state.tick;
  return false;
}

function proposeMembership(state: PaxosState, proposing: Proposing, membership: Membership): boolean {
  return proposeOwn(state, proposing, "config", encodeMembership(membership));
}
