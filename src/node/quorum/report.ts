// What a copy of a leaderless shard tells an admin: how it is, and what each other copy is known to lack.
// No leader is named, because there is none.

import type { CopyPeerReport, GroupReport } from "../../model/node-api.ts";
import type { NodeId } from "../../model/ids.ts";
import type { CopyHere } from "./copy-here.ts";

export interface Surroundings {
  readonly self: NodeId;
  readonly connected: (node: NodeId) => boolean;
  readonly nowMs: number;
  readonly wallMs: number;
}

export function copyReport(here: CopyHere, members: readonly NodeId[], around: Surroundings): GroupReport {
  const { copy, handoff } = here;
  const { memories, bytes } = copy.size();
  const seen = copy.floor.reduce((sum, [, counter]) => sum + counter, 0);
  const peers = members.filter((node) => node !== around.self).map((node) => peerReport(here, node, around));
  return {
    id: copy.shard,
    role: copy.state === "filling" ? "learner" : "follower",
    leader: null,
    term: 0,
    commitIndex: seen,
    appliedIndex: seen,
    lastIndex: seen,
    memories,
    bytes,
    writes: seen,
    copy: {
      state: copy.state,
      hints: handoff.book.count,
      hintBytes: handoff.book.bytes,
      tombstones: copy.items.remains.size,
      divergentKeys: peers.reduce((sum, peer) => sum + peer.divergentKeys, 0),
      peers,
    },
  };
}

function peerReport(here: CopyHere, node: NodeId, around: Surroundings): CopyPeerReport {
  const { handoff, coordinator } = here;
  const known = here.peers.get(node);
  const hints = handoff.book.countFor(node);
  const hintedMs = handoff.book.oldestFor(node);
  const waiting = coordinator.waitingFor(node);
  const divergentKeys = known?.divergentKeys ?? 0;
  const lagMs = Math.max(waiting.ageMs, hintedMs === undefined ? 0 : around.wallMs - hintedMs, 0);
  const catchesUp = hints + divergentKeys > 0;
  return {
    node,
    state: !around.connected(node) ? "down" : catchesUp ? "probing" : "replicating",
    hints,
    divergentKeys,
    lagEntries: hints + waiting.count,
    lagMs: Math.round(lagMs),
    comparedMs: known?.comparedMs === undefined ? null : Math.round(around.nowMs - known.comparedMs),
  };
}
