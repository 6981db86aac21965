// Compaction of this replica's log, and snapshots to and from peers. The bytes are the host's; here is
// only where they stand in the log (Raft section 7).

import type { NodeId } from "../../model/ids.ts";
import { overflowOf } from "../kept-log.ts";
import type { SnapshotMeta } from "../seam.ts";
import { becomeFollower } from "./roles.ts";
import { commitTo, follow, heldByAllData, sendAppends } from "./replication.ts";
import type { RaftState } from "./state.ts";

/**
 * Forgets the log up to `index`, or as far as that is safe. An arbiter keeps what a member with data lacks, up to
 * `keepBytesMax`: it may be the only one left that has it.
 */
export function compact(state: RaftState, index: number, keepBytesMax = Infinity): void {
  let to = Math.min(index, state.applied, state.durability.index);
  if (state.options.arbiter) {
    const { leading } = state;
    const heldByAll = leading === undefined ? state.heldByAll : heldByAllData(state, leading);
    to = Math.min(to, Math.max(heldByAll, overflowOf(state.log, keepBytesMax)));
  }
  if (to <= state.log.baseIndex) return;
  state.log.compact(to);
  state.memberships.compact(to);
  state.effects.compact({ index: to, term: state.log.baseTerm, membership: state.memberships.at(to) });
}

/** A whole snapshot was received and staged. Old news is ignored (26); the log keeps what it agrees with (25). */
export function install(state: RaftState, snapshot: SnapshotMeta, from: NodeId, term: number): void {
  if (term > state.term) becomeFollower(state, term, from);
  if (term === state.term && !follow(state, from)) return;
  // A leader has everything that is committed, and a snapshot is.
  if (state.leading !== undefined) return;
  const { log } = state;
  if (snapshot.index > state.commit) {
    if (log.term(snapshot.index) === snapshot.term) commitTo(state, snapshot.index);
    else switchTo(state, snapshot);
  }
  state.effects.promise({
    kind: "append-accepted",
    from: state.id,
    to: from,
    term: state.term,
    // Nothing beyond the snapshot is known to agree with this leader.
    index: snapshot.index,
  });
}

function switchTo(state: RaftState, snapshot: SnapshotMeta): void {
  state.durability.truncated(state.commit + 1);
  state.log.reset(snapshot.index, snapshot.term);
  state.memberships.reset(snapshot.index, snapshot.membership);
  state.commit = snapshot.index;
  state.handed = snapshot.index;
  state.applied = snapshot.index;
  state.effects.install(snapshot);
}

/** The host's stream to a follower ended. */
export function snapshotSent(state: RaftState, to: NodeId, ok: boolean, index: number): void {
  const progress = state.leading?.progress.get(to);
  if (progress === undefined || progress.state !== "snapshot") return;
  progress.probe(ok ? index + 1 : progress.match + 1);
  // A failed one is tried again when the follower has answered a heartbeat, not at once.
  if (ok) sendAppends(state, progress);
  else progress.probeSent = true;
}
