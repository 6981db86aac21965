// Compaction of this replica's log, and snapshots to and from peers. The bytes are the host's; here is only
// where they stand in the log (Paxos Made Live, 5.5).

import type { NodeId } from "../../model/ids.ts";
import { overflowOf } from "../kept-log.ts";
import type { SnapshotMeta } from "../seam.ts";
import { alignAcceptors } from "./asking.ts";
import { tryToLead } from "./proposer.ts";
import { sendSlots } from "./replication.ts";
import { hasArbiter, type PaxosState } from "./state.ts";

/** Of what an arbiter keeps, who brings it up to date and has the state besides. */
const BESIDE_ARBITER = 1 / 4;

/**
 * Forgets the log up to `index`, or as far as that is safe. An arbiter keeps what a data voter would ask about when it
 * comes back from its disk, up to `keepBytesMax`: it may be the only one left that has it, and has no state to stream.
 * Those who bring an arbiter up to date keep it as well.
 */
export function compact(state: PaxosState, index: number, keepBytesMax = Infinity): void {
  const { log, options } = state;
  state.settled = Math.max(state.settled, Math.min(index, state.applied));
  let to = Math.min(state.settled, log.durableIndex);
  if (options.arbiter || hasArbiter(state)) {
    const bytesMax = options.arbiter ? keepBytesMax : keepBytesMax * BESIDE_ARBITER;
    to = Math.min(to, Math.max(state.settledByAll, overflowOf(log, bytesMax)));
  }
  if (to <= log.baseIndex) return;
  log.compact(to);
  state.configurations.compact(to);
  state.effects.compact(state.configurations.describe(to, log.baseTerm));
}

/**
 * A whole snapshot was received and staged. What it holds is chosen, whoever sent it and in whichever ballot;
 * old news is ignored. What was accepted beyond it stays.
 */
export function install(state: PaxosState, snapshot: SnapshotMeta, from: NodeId): void {
  // A leader has everything that is chosen, and a snapshot is.
  if (state.leading !== undefined) return;
  if (from === state.leader) state.electionElapsed = 0;
  if (snapshot.index > state.commit) {
    state.log.reset(snapshot.index, snapshot.term);
    state.configurations.reset(snapshot);
    state.commit = snapshot.index;
    state.handed = snapshot.index;
    state.applied = snapshot.index;
    state.effects.install(snapshot);
  }
  const { id, term, commit, proposing } = state;
  state.effects.promise({ kind: "learned", from: id, to: from, term, index: commit });
  if (proposing === undefined) return;
  alignAcceptors(state, proposing);
  tryToLead(state, proposing);
}

/** The host's stream to a peer ended. */
export function snapshotSent(state: PaxosState, to: NodeId, ok: boolean, index: number): void {
  const acceptor = state.leading === undefined ? undefined : state.proposing?.acceptors.get(to);
  if (acceptor === undefined || !acceptor.awaitsSnapshot) return;
  acceptor.awaitsSnapshot = false;
  acceptor.sendAgainFrom(ok ? index + 1 : acceptor.match + 1);
  // A failed one is tried again when the peer has answered a heartbeat, not at once.
  if (ok) sendSlots(state, acceptor);
  else acceptor.paused = true;
}
