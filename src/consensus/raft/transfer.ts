// Leadership transfer (dissertation 3.10), on request and from an arbiter that was elected because it alone
// had the newest entries. Priorities do not cause transfers here: the host asks for them.

import type { NodeId } from "../../model/ids.ts";
import { isVoter } from "../membership.ts";
import type { Progress } from "./progress.ts";
import { becomeFollower } from "./roles.ts";
import { hasCommittedInTerm, isActive, type Leading, type RaftState } from "./state.ts";

/** Begins to hand over to a data voter that is alive and follows the log; anything else is ignored (40). */
export function beginTransfer(state: RaftState, to: NodeId): void {
  const { leading } = state;
  if (leading === undefined || leading.transfer !== undefined) return;
  const progress = leading.progress.get(to);
  if (progress === undefined || !canTakeOver(state, progress)) return;
  leading.triedTransferTo = to;
  leading.transfer = { to, deadlineTick: state.tick + state.options.electionTicks, askedTick: -1 };
}

/** Gives up at the deadline, and asks the successor to campaign as soon as it has everything. */
export function advanceTransfer(state: RaftState, leading: Leading): void {
  const { transfer } = leading;
  if (transfer === undefined) {
    if (state.options.arbiter) handOver(state, leading);
    return;
  }
  const progress = leading.progress.get(transfer.to);
  if (state.tick >= transfer.deadlineTick || progress === undefined || !canTakeOver(state, progress)) {
    leading.transfer = undefined;
    return;
  }
  if (progress.match !== state.log.lastIndex || transfer.askedTick === state.tick) return;
  transfer.askedTick = state.tick;
  state.effects.send({ kind: "timeout-now", from: state.id, to: transfer.to, term: state.term });
}

/** The membership without this leader is committed: it names the best successor and goes (37). */
export function resign(state: RaftState, leading: Leading): void {
  const successor = bestSuccessor(state, leading);
  if (successor !== undefined && successor.match === state.log.lastIndex) {
    state.effects.send({ kind: "timeout-now", from: state.id, to: successor.node, term: state.term });
  }
  becomeFollower(state, state.term, "");
}

function handOver(state: RaftState, leading: Leading): void {
  const successor = bestSuccessor(state, leading);
  if (successor === undefined) return;
  // Who has everything may lead at once: a quorum may need a replica that only it can stream its state to.
  // Otherwise the commit of the no-op has shown who is alive and nearest.
  if (successor.match < state.log.lastIndex && !hasCommittedInTerm(state, leading)) return;
  beginTransfer(state, successor.node);
  advanceTransfer(state, leading);
}

/** Who is nearest to having everything; after a failed attempt somebody else, if there is one. */
function bestSuccessor(state: RaftState, leading: Leading): Progress | undefined {
  let best: Progress | undefined;
  for (const progress of leading.progress.values()) {
    if (!canTakeOver(state, progress)) continue;
    if (best === undefined) best = progress;
    else if (best.node === leading.triedTransferTo) best = progress;
    else if (progress.node !== leading.triedTransferTo && progress.match > best.match) best = progress;
  }
  return best;
}

function canTakeOver(state: RaftState, progress: Progress): boolean {
  const { current } = state.memberships;
  return (
    isVoter(current, progress.node) &&
    !current.arbiters.includes(progress.node) &&
    progress.state !== "snapshot" &&
    isActive(state, progress)
  );
}
