// Many nodes' reports, and the failures of those that did not answer, become one view. Pure: no clock,
// no I/O. Nothing is left out: a node of the manifest or of the map that did not answer is in the view,
// and so is what nodes say differently.

import type { Mem0ctlError } from "../../model/errors.ts";
import { META_GROUP } from "../../model/ids.ts";
import type { GroupId, NodeId, Protocol } from "../../model/ids.ts";
import type { Manifest } from "../../model/manifest.ts";
import type { GroupReport, NodeReport, ProgressReport } from "../../model/node-api.ts";
import type { MapNode, ShardMap, ShardSlice } from "../../model/shard-map.ts";
import type {
  Ballot,
  Disagreement,
  NodeRefusal,
  NodeState,
  NodeView,
  ReplicaView,
  ShardView,
} from "../../model/view.ts";
import { initialShardMap, sliceLabel } from "../../topology/shard-map.ts";
import type { EngineView } from "../engine.ts";
import { leaderlessShard, levelsOf, type CopyAnswer } from "./leaderless-view.ts";

/**
 * What one node answered, or in a few words why it did not: `connection refused`, `no answer within 2 s`.
 * `denied` when it answered, but not to this client.
 */
export type NodeAnswer =
  | { readonly node: NodeId; readonly report: NodeReport }
  | { readonly node: NodeId; readonly error: string; readonly denied?: Mem0ctlError };

/** A report that a connection was refused proves that no process serves there; silence proves nothing. */
const REFUSED = "connection refused";
/** How a peer's error begins when it was reached but turned away, or turned the reporting node away. */
const TURNED_AWAY = "refused: ";

type Reports = ReadonlyMap<NodeId, NodeReport>;

/** A group's leader as far as it can be known, with its own report when it answered. */
interface Leadership {
  readonly leader: NodeId | null;
  readonly term: number;
  readonly report: GroupReport | undefined;
}

export function buildView(manifest: Manifest, answers: readonly NodeAnswer[]): EngineView {
  const { reports, errors, strangers } = sortAnswers(manifest, answers);
  const map = newestMap(reports);
  const shown = map ?? initialShardMap(manifest);
  const members = membersOf(manifest, shown);
  const states = new Map(members.map((node) => [node.id, stateOf(node, manifest, reports)]));
  const voters = votersOf(shown);
  const leaderOf = (group: GroupId): Leadership => {
    const found = findLeader(group, reports, states, errors);
    return hasQuorum(found, voters.get(group) ?? []) ? found : { ...NOBODY, term: found.term };
  };
  const protocol = protocolOf(manifest, reports);
  const copies = manifest.replication.replicas + 1;
  const levels = protocol === "quorum" ? levelsOf(manifest, reports.values(), copies) : undefined;
  const shards = shown.shards.map((slice) =>
    levels === undefined
      ? shardView(slice, shown, leaderOf(slice.id), reports, states, errors)
      : leaderlessShard(slice, sliceLabel(slice, shown.strategy), {
          answers: copyAnswers(slice.id, reports),
          isGone: (node) => isGone(node, states, errors),
          levels: (count) => levelsOf(manifest, reports.values(), count),
        }),
  );
  const meta = leaderOf(META_GROUP);
  const refusals = refusalsOf(reports, errors, strangers);
  const nodes = members.map((node) => ({
    ...nodeView(node, shown, shards, reports, states, errors),
    ...refusals.get(node.id),
  }));
  return {
    apiVersion: "mem0ctl/v1",
    kind: "ClusterStatus",
    cluster: manifest.name,
    engine: manifest.engine,
    protocol,
    sharding: shown.strategy,
    leader: meta.leader,
    term: meta.term,
    epoch: map?.epoch ?? 0,
    totalNodes: nodes.length,
    healthyNodes: nodes.filter(({ state }) => state === "up" || state === "draining").length,
    totalShards: shards.length,
    copies,
    ...(levels === undefined ? {} : { levels }),
    replication: replicationOf(shards, reports, leaderOf),
    nodes,
    shards,
    disagreements: disagreementsOf(shown, reports),
    ...operationOf(reports, meta.leader),
  };
}

/** The operation that runs, as whoever carries it out says, else as whoever has heard of it last. */
function operationOf(reports: Reports, leader: NodeId | null): Pick<EngineView, "operation"> {
  const own = leader === null ? undefined : reports.get(leader);
  if (own !== undefined) return own.operation === undefined ? {} : { operation: own.operation };
  const [newest] = [...reports.values()]
    .flatMap(({ operation }) => operation ?? [])
    .toSorted((a, b) => b.startedMs - a.startedMs || b.revision - a.revision);
  return newest === undefined ? {} : { operation: newest };
}

/** What the nodes run; a manifest that was edited since says what they will not become. */
function protocolOf(manifest: Manifest, reports: Reports): Protocol {
  for (const { protocol } of reports.values()) return protocol;
  return manifest.consensus.protocol;
}

/** The newest shard map that any node has; undefined when none that has begun answered. */
export function newestMap(reports: Reports): ShardMap | undefined {
  let newest: ShardMap | undefined;
  for (const { map, waiting } of reports.values()) {
    if (waiting !== undefined) continue;
    if (newest === undefined || map.epoch > newest.epoch) newest = map;
  }
  return newest;
}

/**
 * Reports count only when they come from the node that was asked, of this cluster. Nodes that hold data of
 * different clusters under one name are told apart by the cluster id: those of the fewer are errors.
 */
export function sortAnswers(
  manifest: Pick<Manifest, "name">,
  answers: readonly NodeAnswer[],
): {
  readonly reports: Map<NodeId, NodeReport>;
  readonly errors: Map<NodeId, string>;
  /** Those of the errors that did answer, but not as the node that was asked. */
  readonly strangers: Set<NodeId>;
} {
  const reports = new Map<NodeId, NodeReport>();
  const errors = new Map<NodeId, string>();
  const strangers = new Set<NodeId>();
  const strange = (node: NodeId, error: string): void => {
    errors.set(node, error);
    strangers.add(node);
  };
  const clusterIds = new Map<string, number>();
  for (const answer of answers) {
    if ("error" in answer) {
      errors.set(answer.node, answer.error);
      continue;
    }
    const { node, report } = answer;
    if (report.cluster !== manifest.name) strange(node, `belongs to the cluster ${report.cluster}`);
    else if (report.id !== node) strange(node, `answers as ${report.id}`);
    else {
      reports.set(node, report);
      // One that waits has no data, of this cluster or another.
      if (report.waiting !== undefined) continue;
      clusterIds.set(report.clusterId, (clusterIds.get(report.clusterId) ?? 0) + 1);
    }
  }
  const [usual] = [...clusterIds].toSorted(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))[0] ?? [];
  for (const [node, report] of reports) {
    if (report.clusterId === usual || report.waiting !== undefined) continue;
    reports.delete(node);
    strange(node, `holds data of another cluster (id ${report.clusterId})`);
  }
  return { reports, errors, strangers };
}

/**
 * Nodes that others turn away. Both ends of a connection report a refusal, in words that begin with the
 * node that was turned away, so only the word of the one that refuses counts: a node that waits to be let
 * in is nobody's trouble. The refusal of a stranger speaks against the stranger.
 */
function refusalsOf(
  reports: Reports,
  errors: ReadonlyMap<NodeId, string>,
  strangers: ReadonlySet<NodeId>,
): Map<NodeId, { readonly refusal: NodeRefusal }> {
  const refusals = new Map<NodeId, { readonly refusal: NodeRefusal }>();
  for (const by of [...reports.keys()].toSorted()) {
    for (const { id, error } of reports.get(by)?.peers ?? []) {
      if (error?.startsWith(TURNED_AWAY) !== true) continue;
      const reason = error.slice(TURNED_AWAY.length);
      const isStranger = strangers.has(id);
      if (reason.startsWith(`${by} `) && !isStranger) continue;
      const known = refusals.get(id)?.refusal;
      const why = known?.why ?? (isStranger ? `${id} ${errors.get(id) ?? "is another node"}` : reason);
      refusals.set(id, { refusal: { by: [...(known?.by ?? []), by], why } });
    }
  }
  return refusals;
}

/** The manifest's nodes in its order, as the map has them where it does, then those only the map has. */
function membersOf(manifest: Manifest, map: ShardMap): readonly MapNode[] {
  const live = new Map(map.nodes.map((node) => [node.id, node]));
  const declared = manifest.nodes.map(
    ({ id, address, role, zone, weight }) =>
      live.get(id) ?? { id, address, role, zone, weight, draining: false },
  );
  const ids = new Set(declared.map(({ id }) => id));
  return [...declared, ...map.nodes.filter(({ id }) => !ids.has(id))];
}

function stateOf(node: MapNode, manifest: Manifest, reports: Reports): NodeState {
  if (reports.has(node.id)) return node.draining ? "draining" : "up";
  const recentMs = 2 * manifest.consensus.electionTimeoutMs;
  for (const report of reports.values()) {
    const peer = report.peers.find(({ id }) => id === node.id);
    if (peer === undefined || peer.lastHeartbeatMs === null) continue;
    if (peer.state === "up" || peer.lastHeartbeatMs <= recentMs) return "suspect";
  }
  return "down";
}

const groupIndexes = new WeakMap<NodeReport, ReadonlyMap<GroupId, GroupReport>>();

function groupOf(report: NodeReport | undefined, group: GroupId): GroupReport | undefined {
  if (report === undefined) return undefined;
  let index = groupIndexes.get(report);
  if (index === undefined) {
    index = new Map(report.groups.map((entry) => [entry.id, entry]));
    groupIndexes.set(report, index);
  }
  return index.get(group);
}

function isUp(state: NodeState | undefined): boolean {
  return state === "up" || state === "draining";
}

/**
 * The highest term in which anyone leads or names a leader. The leader's own report is preferred. A leader
 * that did not answer here but that its followers name is believed while they still hear of it, unless its
 * connection was refused: then its process is gone, and they only do not know it yet.
 */
function findLeader(
  group: GroupId,
  reports: Reports,
  states: ReadonlyMap<NodeId, NodeState>,
  errors: ReadonlyMap<NodeId, string>,
): Leadership {
  let term = 0;
  let leader: NodeId | null = null;
  let report: GroupReport | undefined;
  const consider = (claim: { leader: NodeId | null; term: number }, own: GroupReport | undefined): void => {
    if (claim.term < term) return;
    if (claim.term > term) {
      term = claim.term;
      leader = null;
      report = undefined;
    }
    if (claim.leader === null || report !== undefined) return;
    leader = claim.leader;
    report = own;
  };
  for (const [node, answer] of reports) {
    const own = groupOf(answer, group);
    if (own !== undefined) {
      const leads = own.role === "leader";
      consider({ leader: leads ? node : own.leader, term: own.term }, leads ? own : undefined);
    }
    const heard = answer.leaders[group];
    if (heard !== undefined) consider(heard, undefined);
  }
  // TypeScript does not see the assignments in `consider`.
  const named = leader as NodeId | null;
  if (named === null || report !== undefined) return { leader: named, term, report };
  // It answered, but not as the leader: it stepped down, or has not heard of its election yet.
  if (reports.has(named)) return { leader: null, term, report: undefined };
  const believed = states.get(named) === "suspect" && errors.get(named) !== REFUSED;
  return { leader: believed ? named : null, term, report: undefined };
}

const NOBODY = { leader: null, report: undefined } as const;

/** Of each group, as the map has them; while they change they are others, too. */
function votersOf({ shards, metaVoters }: ShardMap): ReadonlyMap<GroupId, readonly NodeId[]> {
  return new Map<GroupId, readonly NodeId[]>([
    [META_GROUP, metaVoters],
    ...shards.map(({ id, replicas, arbiters }) => [id, [...replicas, ...arbiters]] as const),
  ]);
}

/**
 * Whether a leader still has a majority, by its own word: it has lost the connections to the others long before it steps
 * down. Of members that are just changing only the group itself can tell.
 */
function hasQuorum({ leader, report }: Leadership, voters: readonly NodeId[]): boolean {
  const others = report?.progress?.filter(({ role }) => role !== "learner");
  if (leader === null || others === undefined) return true;
  const known = [leader, ...others.map(({ node }) => node)];
  if (known.length !== voters.length || !known.every((node) => voters.includes(node))) return true;
  const there = others.filter(({ state }) => state !== "down");
  return 2 * (there.length + 1) > known.length;
}

function shardView(
  slice: ShardSlice,
  map: ShardMap,
  leadership: Leadership,
  reports: Reports,
  states: ReadonlyMap<NodeId, NodeState>,
  errors: ReadonlyMap<NodeId, string>,
): ShardView {
  const { leader, term, report } = leadership;
  const progress = new Map(report?.progress?.map((entry) => [entry.node, entry]));
  const listed = [...slice.replicas, ...slice.arbiters];
  // A replica that is moving in is in the leader's progress before it is in the map.
  const joining = [...progress.keys()].filter((node) => !listed.includes(node));
  const replicas = [...listed, ...joining].map((node) =>
    replicaView(node, slice, leadership, progress.get(node), reports, isGone(node, states, errors)),
  );
  const source = report ?? bestReport(slice, reports);
  return {
    id: slice.id,
    range: sliceLabel(slice, map.strategy),
    state: shardState(slice, leader, report, replicas, states),
    leader,
    term,
    ...ballotOf(slice, leader, reports),
    memories: source?.memories ?? null,
    bytes: source?.bytes ?? null,
    // Of whoever has carried out most: who leads may change, and no count may look as if it had grown by that.
    ...(source === undefined
      ? {}
      : { writes: Math.max(source.writes, ...reportsOf(slice, reports).map((one) => one.writes)) }),
    replicas,
  };
}

/** Paxos: the leader's ballot, else the highest that any replica promised: the round first, then the node. */
function ballotOf(slice: ShardSlice, leader: NodeId | null, reports: Reports): Pick<ShardView, "ballot"> {
  let highest: Ballot | undefined;
  for (const node of [...slice.replicas, ...slice.arbiters]) {
    const ballot = groupOf(reports.get(node), slice.id)?.ballot;
    if (ballot === undefined) continue;
    if (node === leader) return { ballot };
    const isHigher =
      highest === undefined ||
      ballot.round > highest.round ||
      (ballot.round === highest.round && ballot.proposer > highest.proposer);
    if (isHigher) highest = ballot;
  }
  return highest === undefined ? {} : { ballot: highest };
}

function copyAnswers(shard: GroupId, reports: Reports): CopyAnswer[] {
  return [...reports].flatMap(([node, answer]) => {
    const report = groupOf(answer, shard);
    return report?.copy === undefined ? [] : [{ node, report, copy: report.copy }];
  });
}

function isGone(
  node: NodeId,
  states: ReadonlyMap<NodeId, NodeState>,
  errors: ReadonlyMap<NodeId, string>,
): boolean {
  return states.get(node) === "down" || (!isUp(states.get(node)) && errors.get(node) === REFUSED);
}

function replicaView(
  node: NodeId,
  slice: ShardSlice,
  { leader, report }: Leadership,
  progress: ProgressReport | undefined,
  reports: Reports,
  gone: boolean,
): ReplicaView {
  if (node === leader) {
    const lag = report === undefined ? null : 0;
    return { node, role: "leader", state: "replicating", lagEntries: lag, lagBytes: lag, lagMs: lag };
  }
  if (progress !== undefined) {
    const { role, state, lagEntries, lagBytes, lagMs } = progress;
    return { node, role, state: gone ? "down" : state, lagEntries, lagBytes, lagMs };
  }
  const own = groupOf(reports.get(node), slice.id);
  const role = slice.arbiters.includes(node) ? "arbiter" : own?.role === "learner" ? "learner" : "follower";
  // Without a leader that answers nobody feeds it: at best it waits for one.
  const state = own === undefined || gone ? "down" : "probing";
  return { node, role, state, lagEntries: null, lagBytes: null, lagMs: null };
}

/** Without the leader's report: what the replica with the newest applied entry has. */
function bestReport(slice: ShardSlice, reports: Reports): GroupReport | undefined {
  return reportsOf(slice, reports).toSorted((a, b) => b.appliedIndex - a.appliedIndex)[0];
}

function reportsOf(slice: ShardSlice, reports: Reports): readonly GroupReport[] {
  return slice.replicas.flatMap((node) => groupOf(reports.get(node), slice.id) ?? []);
}

function shardState(
  slice: ShardSlice,
  leader: NodeId | null,
  report: GroupReport | undefined,
  replicas: readonly ReplicaView[],
  states: ReadonlyMap<NodeId, NodeState>,
): ShardView["state"] {
  if (leader === null) return slice.replicas.some((node) => isUp(states.get(node))) ? "leaderless" : "down";
  if (replicas.some(({ role }) => role === "learner")) return "moving";
  // A leader that only others vouch for: nobody here knows how far its replicas are.
  if (report === undefined) return "under-replicated";
  return replicas.every(({ state }) => state === "replicating") ? "ok" : "under-replicated";
}

function nodeView(
  node: MapNode,
  map: ShardMap,
  shards: readonly ShardView[],
  reports: Reports,
  states: ReadonlyMap<NodeId, NodeState>,
  errors: ReadonlyMap<NodeId, string>,
): NodeView {
  const { id, address, role, zone } = node;
  const report = reports.get(id);
  const held = report?.groups.filter((group) => group.id !== META_GROUP && group.role !== "arbiter");
  const state = states.get(id) ?? "down";
  return {
    id,
    address,
    role,
    zone,
    state,
    pid: report?.pid ?? null,
    version: report?.version ?? null,
    uptimeMs: report?.uptimeMs ?? null,
    lastHeartbeatMs: newestHeartbeat(id, reports),
    leads: shards.filter(({ leader }) => leader === id).length,
    replicas: map.shards.filter(({ replicas }) => replicas.includes(id)).length,
    memories: held?.reduce((sum, group) => sum + group.memories, 0) ?? null,
    bytes: held?.reduce((sum, group) => sum + group.bytes, 0) ?? null,
    ...(report === undefined ? { error: errors.get(id) ?? "was not asked" } : outsideOf(report, map)),
    ...(report === undefined || report.writeRefusal === null ? {} : { writeRefusal: report.writeRefusal }),
    ...(report?.waiting === undefined ? {} : { waiting: report.waiting }),
    ...(report?.settings === undefined ? {} : { settings: report.settings }),
    ...(report === undefined || report.address === address ? {} : { ownAddress: report.address }),
    ...cutOffOf(id, reports),
    ...damagedOf(report),
  };
}

/** A node that was taken out runs on until somebody stops it, and reaches nobody. */
function outsideOf({ id, waiting }: NodeReport, map: ShardMap): Pick<NodeView, "error"> {
  const isMember = map.epoch === 0 || map.nodes.some((node) => node.id === id);
  return isMember || waiting !== undefined
    ? {}
    : { error: `runs, and is no member as of epoch ${map.epoch}` };
}

/** Nodes that answer here, have begun, and have no connection with this one, which does as well. */
function cutOffOf(node: NodeId, reports: Reports): Pick<NodeView, "cutOffFrom"> {
  if (reports.get(node)?.waiting !== undefined || !reports.has(node)) return {};
  const cutOffFrom = [...reports.values()]
    .filter(
      ({ waiting, peers }) =>
        waiting === undefined && peers.some(({ id, error }) => id === node && isCutOff(error)),
    )
    .map(({ id }) => id)
    .toSorted();
  return cutOffFrom.length === 0 ? {} : { cutOffFrom };
}

/** Whom it turns away it could have a connection with. */
function isCutOff(error: string | undefined): boolean {
  return error !== undefined && !error.startsWith(TURNED_AWAY);
}

function damagedOf(report: NodeReport | undefined): Pick<NodeView, "damaged"> {
  const damaged = report?.groups.flatMap(({ id, damage }) =>
    damage === undefined ? [] : [{ group: id, why: damage }],
  );
  return damaged === undefined || damaged.length === 0 ? {} : { damaged };
}

function newestHeartbeat(node: NodeId, reports: Reports): number | null {
  let newest: number | null = null;
  for (const report of reports.values()) {
    const age = report.peers.find(({ id }) => id === node)?.lastHeartbeatMs ?? null;
    if (age !== null && (newest === null || age < newest)) newest = age;
  }
  return newest;
}

function replicationOf(
  shards: readonly ShardView[],
  reports: Reports,
  leaderOf: (group: GroupId) => Leadership,
): EngineView["replication"] {
  let totalReplicated = 0;
  let pending = 0;
  let failed = 0;
  let lagMs = 0;
  let hints = 0;
  let divergentKeys = 0;
  for (const shard of shards) {
    const { report } = leaderOf(shard.id);
    const live = shard.replicas.filter(({ state }) => state !== "down");
    failed += shard.replicas.length - live.length;
    lagMs = Math.max(lagMs, ...shard.replicas.map((replica) => replica.lagMs ?? 0));
    if (report === undefined) {
      // Nobody knows what the others have acknowledged; what is committed everywhere is certain.
      const committed = shard.replicas.flatMap(
        ({ node }) => groupOf(reports.get(node), shard.id)?.commitIndex ?? [],
      );
      if (committed.length > 0) totalReplicated += Math.min(...committed);
      if (shard.leaderless) {
        pending += shard.replicas.reduce((sum, { lagEntries }) => sum + (lagEntries ?? 0), 0);
        hints += shard.replicas.reduce((sum, replica) => sum + (replica.hints ?? 0), 0);
        // Both of two copies that differ in a key count it.
        divergentKeys += Math.max(0, ...shard.replicas.map((replica) => replica.divergentKeys ?? 0));
      }
      continue;
    }
    totalReplicated += report.lastIndex - Math.max(0, ...live.map((replica) => replica.lagEntries ?? 0));
    pending += Math.max(0, ...shard.replicas.map((replica) => replica.lagEntries ?? 0));
  }
  const ofCopies = shards.some(({ leaderless }) => leaderless === true) ? { hints, divergentKeys } : {};
  return { totalReplicated, pending, failed, lagMs, ...ofCopies };
}

/**
 * Groups about which nodes contradict each other: two leaders in one term, or members in different terms.
 * A node that is not a member only repeats what it heard, so being behind is no contradiction; naming
 * another leader in the same term is. Knowing no leader contradicts nobody.
 */
function disagreementsOf(map: ShardMap, reports: Reports): readonly Disagreement[] {
  const groups: readonly GroupId[] = [META_GROUP, ...map.shards.map(({ id }) => id)];
  return groups.flatMap((group) => {
    const claims: { node: NodeId; leader: NodeId | null; term: number; member: boolean }[] = [];
    for (const [node, report] of reports) {
      const own = groupOf(report, group);
      const heard = report.leaders[group];
      if (own !== undefined) {
        const leader = own.role === "leader" ? node : own.leader;
        claims.push({ node, leader, term: own.term, member: true });
      } else if (heard !== undefined) {
        claims.push({ node, leader: heard.leader, term: heard.term, member: false });
      }
    }
    const terms = new Set(claims.filter(({ member }) => member).map(({ term }) => term));
    const leaders = new Map<number, NodeId>();
    const contradiction = claims.some(({ leader, term }) => {
      if (leader === null) return false;
      const other = leaders.get(term);
      leaders.set(term, leader);
      return other !== undefined && other !== leader;
    });
    if (terms.size <= 1 && !contradiction) return [];
    return [{ group, claims: claims.map(({ node, leader, term }) => ({ node, leader, term })) }];
  });
}
