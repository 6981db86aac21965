// What this node knows, as it tells an admin: itself, its peers, and each replica that it holds.

import type { ReplicaStatus } from "../../consensus/seam.ts";
import type { GroupReport, ProgressReport } from "../../model/node-api.ts";
import type { ReplicaRole } from "../../model/view.ts";
import type { NodeId } from "../../model/ids.ts";
import type { ReplicaGroup } from "../host/replica-group.ts";
import type { Network } from "../transport/network.ts";

/** Entries whose bytes are counted one by one; beyond that their mean is taken. */
const COUNTED_ENTRIES_MAX = 256;

export function groupReport(group: ReplicaGroup, self: NodeId, network: Network): GroupReport {
  const status = group.replica.status();
  const size = group.machine.size();
  const isLeader = status.role === "leader";
  return {
    id: group.id,
    role: isLeader ? "leader" : roleIn(status, self),
    leader: status.leader === "" ? null : status.leader,
    term: status.term,
    ...(status.ballot === undefined ? {} : { ballot: status.ballot }),
    commitIndex: status.commit,
    appliedIndex: group.applied,
    lastIndex: status.last,
    memories: size.memories,
    bytes: size.bytes,
    writes: size.writes,
    ...(group.trouble === undefined ? {} : { damage: group.trouble }),
    ...(isLeader ? { progress: progressReports(group, status, network) } : {}),
  };
}

function progressReports(group: ReplicaGroup, status: ReplicaStatus, network: Network): ProgressReport[] {
  group.lag.forget(Math.min(status.last, ...status.progress.map((peer) => peer.match)));
  return status.progress.map((peer) => {
    // A leader does not know what a follower has before it answered; what it cannot send it has at most.
    const match = Math.max(peer.match, 0);
    return {
      node: peer.node,
      role: roleIn(status, peer.node),
      state: network.connected(peer.node) ? peer.state : "down",
      lagEntries: Math.max(0, status.last - match),
      lagBytes: lagBytes(group, status, match),
      lagMs: Math.round(group.lag.lagMs(match, status.last)),
    };
  });
}

function roleIn(status: ReplicaStatus, node: NodeId): ReplicaRole {
  const { membership } = status;
  if (membership.arbiters.includes(node)) return "arbiter";
  if (membership.voters.includes(node) || membership.outgoing.includes(node)) return "follower";
  return "learner";
}

function lagBytes(group: ReplicaGroup, status: ReplicaStatus, match: number): number {
  const missing = status.last - match;
  if (missing <= 0) return 0;
  let bytes = 0;
  let counted = 0;
  for (let index = status.last; index > match && counted < COUNTED_ENTRIES_MAX; index -= 1) {
    const entry = group.replica.entry(index);
    if (entry === undefined) break;
    bytes += entry.data.length;
    counted += 1;
  }
  return counted === 0 ? group.machine.size().bytes : Math.round((bytes / counted) * missing);
}
