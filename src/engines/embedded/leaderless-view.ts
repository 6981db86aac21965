// The view of shards that are leaderless by design (quorum protocol): nobody's word about a replica counts
// more than another's, so each replica is as far behind as the others together say.

import type { NodeId } from "../../model/ids.ts";
import type { CopyPeerReport, CopyReport, GroupReport } from "../../model/node-api.ts";
import type { ShardSlice } from "../../model/shard-map.ts";
import type { ReplicaView, ShardView } from "../../model/view.ts";

export interface CopyAnswer {
  readonly node: NodeId;
  readonly report: GroupReport;
  readonly copy: CopyReport;
}

export interface LeaderlessSources {
  /** Of every node that answered and holds a copy. */
  readonly answers: readonly CopyAnswer[];
  readonly isGone: (node: NodeId) => boolean;
  /** R and W where a request asks for no other level. */
  readonly levels: { readonly read: number; readonly write: number };
}

export function leaderlessShard(slice: ShardSlice, range: string, sources: LeaderlessSources): ShardView {
  const { answers } = sources;
  const members = [...new Set([...slice.replicas, ...(slice.outgoing?.replicas ?? [])])];
  const replicas = members.map((node) => copyView(node, sources, slice.founding === true));
  const fullest = answers
    .filter(({ copy }) => copy.state === "serving")
    .toSorted((a, b) => b.report.appliedIndex - a.report.appliedIndex)[0];
  const source = fullest ?? answers[0];
  return {
    id: slice.id,
    range,
    state: stateOf(slice, replicas, sources),
    leader: null,
    term: 0,
    leaderless: true,
    memories: source?.report.memories ?? null,
    bytes: source?.report.bytes ?? null,
    ...(source === undefined ? {} : { writes: source.report.writes }),
    replicas,
  };
}

/** `isMade`: of a shard that is only being made, of which nobody can tell yet. */
function copyView(node: NodeId, { answers, isGone }: LeaderlessSources, isMade: boolean): ReplicaView {
  const own = answers.find((answer) => answer.node === node);
  const told = answers.flatMap(({ copy }) => copy.peers.filter((peer) => peer.node === node));
  const most = (of: (peer: CopyPeerReport) => number): number | null =>
    told.length === 0 ? null : Math.max(...told.map(of));
  const sum = (of: (peer: CopyPeerReport) => number): number =>
    told.reduce((total, peer) => total + of(peer), 0);
  const isDown = (own === undefined && !isMade) || isGone(node);
  const isWhole = own?.copy.state === "serving" && told.every(({ hints }) => hints === 0);
  return {
    node,
    role: own?.copy.state === "filling" ? "learner" : "follower",
    state: isDown ? "down" : isWhole ? "replicating" : own?.copy.state === "serving" ? "probing" : "snapshot",
    lagEntries: told.length === 0 ? (own === undefined ? null : 0) : sum((peer) => peer.lagEntries),
    lagBytes: null,
    lagMs: most((peer) => peer.lagMs) ?? (own === undefined ? null : 0),
    hints: sum((peer) => peer.hints),
    divergentKeys: most((peer) => peer.divergentKeys) ?? 0,
    ...(own === undefined ? {} : { copy: own.copy.state }),
  };
}

/** It is down where fewer copies can be asked than R or W; what some of them lack makes it under-replicated. */
function stateOf(
  slice: ShardSlice,
  replicas: readonly ReplicaView[],
  { levels }: LeaderlessSources,
): ShardView["state"] {
  if (slice.founding === true) return "moving";
  const answering = replicas.filter(
    ({ node, state, copy }) => slice.replicas.includes(node) && state !== "down" && copy === "serving",
  ).length;
  if (answering < Math.max(levels.read, levels.write)) return "down";
  if (slice.outgoing !== undefined) return "moving";
  return replicas.every(({ state }) => state === "replicating") ? "ok" : "under-replicated";
}
