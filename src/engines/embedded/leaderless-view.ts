// The view of shards that are leaderless by design (quorum protocol): nobody's word about a replica counts
// more than another's, so each replica is as far behind as the others together say.

import { copiesOfLevel, type ReadConsistency } from "../../model/consistency.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Manifest } from "../../model/manifest.ts";
import type { CopyPeerReport, CopyReport, GroupReport, NodeReport } from "../../model/node-api.ts";
import { levelsIn } from "../../model/settings.ts";
import type { ShardSlice } from "../../model/shard-map.ts";
import type { ReplicaView, ShardView, Shortage } from "../../model/view.ts";

export interface CopyAnswer {
  readonly node: NodeId;
  readonly report: GroupReport;
  readonly copy: CopyReport;
}

export interface LeaderlessSources {
  /** Of every node that answered and holds a copy. */
  readonly answers: readonly CopyAnswer[];
  readonly isGone: (node: NodeId) => boolean;
  /** R and W of so many copies, where a request asks for no other level. */
  readonly levels: (copies: number) => { readonly read: number; readonly write: number };
}

/** R and W among so many copies: what the nodes go by, the most that any of them asks for. */
export function levelsOf(
  { consensus }: Pick<Manifest, "consensus">,
  reports: Iterable<NodeReport>,
  copies: number,
): { readonly read: number; readonly write: number } {
  const told = [...reports].flatMap(({ settings }) => levelsIn(settings ?? {}) ?? []);
  const levels = told.length === 0 ? [consensus.consistency] : told;
  const most = (of: (each: (typeof levels)[number]) => ReadConsistency): number =>
    Math.max(...levels.map((each) => copiesOfLevel(of(each), copies) ?? copies));
  return { read: most(({ read }) => read), write: most(({ write }) => write) };
}

export function leaderlessShard(slice: ShardSlice, range: string, sources: LeaderlessSources): ShardView {
  const { answers } = sources;
  const members = [...new Set([...slice.replicas, ...(slice.outgoing?.replicas ?? [])])];
  const replicas = members.map((node) => copyView(node, sources, slice.founding === true));
  const fullest = answers
    .filter(({ copy }) => copy.state === "serving")
    .toSorted((a, b) => b.report.appliedIndex - a.report.appliedIndex)[0];
  const source = fullest ?? answers[0];
  const short = slice.founding === true ? undefined : shortageOf(slice, replicas, sources);
  return {
    id: slice.id,
    range,
    state: short === undefined ? stateOf(slice, replicas) : "down",
    leader: null,
    term: 0,
    leaderless: true,
    ...(short === undefined ? {} : { short }),
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

/** What lacks for reads or writes at their levels; they are needed among the copies before a change, too. */
function shortageOf(
  { replicas: copies, outgoing }: ShardSlice,
  replicas: readonly ReplicaView[],
  { levels }: LeaderlessSources,
): Shortage | undefined {
  const serving = replicas.filter(({ state, copy }) => state !== "down" && copy === "serving");
  return [copies, ...(outgoing === undefined ? [] : [outgoing.replicas])]
    .map((set) => ({
      copies: set.length,
      answering: serving.filter(({ node }) => set.includes(node)).length,
      ...levels(set.length),
    }))
    .filter(({ answering, read, write }) => answering < Math.max(read, write))
    .toSorted((a, b) => a.answering - b.answering)[0];
}

/** Of a shard of which enough copies can be asked: what some of them lack makes it under-replicated. */
function stateOf({ founding, outgoing }: ShardSlice, replicas: readonly ReplicaView[]): ShardView["state"] {
  if (founding === true || outgoing !== undefined) return "moving";
  return replicas.every(({ state }) => state === "replicating") ? "ok" : "under-replicated";
}
