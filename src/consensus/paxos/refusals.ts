// What an acceptor does for a proposer that it does not promise to.

import type { NodeId } from "../../model/ids.ts";
import type { PaxosState } from "./state.ts";

/** Names the ballot that was promised instead, so that the loser knows which round to go above (11). */
export function refuse(state: PaxosState, to: NodeId, term: number): void {
  const { id, effects } = state;
  effects.send({ kind: "refused", from: id, to, term, round: state.term, proposer: state.vote });
}

/** A peer asks about slots that are no longer in the log: it is streamed the state, once per election timeout (13). */
export function helpLaggard(state: PaxosState, to: NodeId): void {
  const { options, configurations, tick, commit, helpedTick } = state;
  if (options.arbiter || !configurations.members(commit + 1).includes(to)) return;
  if (tick - (helpedTick.get(to) ?? -options.electionTicks) < options.electionTicks) return;
  helpedTick.set(to, tick);
  state.effects.wantSnapshot(to, state.term);
}
