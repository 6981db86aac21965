// The picture of a cluster as the one view that every table and every JSON comes from. Pure. Primaries are
// leaders, a shard's config epoch is its term, and lag is in bytes of the replication stream.

import type { Manifest } from "../../model/manifest.ts";
import { slotsText } from "../../model/shard-map.ts";
import type {
  Disagreement,
  NodeState,
  NodeView,
  OpenSlotView,
  ReplicaView,
  ShardState,
  ShardView,
} from "../../model/view.ts";
import type { EngineView } from "../engine.ts";
import { infoNumber, parseFields } from "./gossip.ts";
import { uptimeMsOf } from "./nodes.ts";
import type { RedisReport } from "./nodes.ts";
import { isIn } from "../../topology/slot-ranges.ts";

import type { Group, Member, RedisTopology } from "./topology.ts";

const REFUSED = "connection refused";

export function viewOf(manifest: Manifest, topology: RedisTopology): EngineView {
  const copies = manifest.replication.replicas + 1;
  const { groups, members } = topology;
  const shards = groups.map((group) => shardView(group, copies, topology));
  const nodes = members.map((member) => nodeView(member, topology));
  const replicas = shards.flatMap((shard) => shard.replicas.filter(({ role }) => role !== "leader"));
  const offsets = groups.map(({ primary, replicas: others }) => streamedBytes(primary, others));
  return {
    apiVersion: "mem0ctl/v1",
    kind: "ClusterStatus",
    cluster: manifest.name,
    engine: manifest.engine,
    protocol: "redis-cluster",
    sharding: "hash",
    leader: null,
    leaderless: true,
    term: topology.epoch,
    epoch: topology.epoch,
    totalNodes: nodes.length,
    healthyNodes: nodes.filter(
      ({ state, error }) => (state === "up" || state === "draining") && error === undefined,
    ).length,
    totalShards: shards.length,
    copies,
    replication: {
      unit: "bytes",
      totalReplicated: offsets.reduce((sum, bytes) => sum + bytes, 0),
      pending: replicas.reduce((sum, { lagBytes }) => sum + (lagBytes ?? 0), 0),
      failed: replicas.filter(({ state }) => state === "down").length,
      lagMs: Math.max(0, ...replicas.map(({ lagMs, state }) => (state === "down" ? 0 : (lagMs ?? 0)))),
    },
    nodes,
    shards,
    ...(topology.unowned.length === 0 ? {} : { unownedSlots: slotsText(topology.unowned) }),
    ...(topology.open.length === 0 ? {} : { openSlots: topology.open.map(openSlotView) }),
    disagreements: disagreementsOf(topology),
  };

  function openSlotView({
    slot,
    source,
    target,
    sourceNames,
    targetNames,
  }: (typeof topology.open)[number]): OpenSlotView {
    const named = (redisId: string | undefined): string | null =>
      members.find((member) => member.redisId !== undefined && member.redisId === redisId)?.id ?? null;
    return { slot, from: source?.id ?? named(targetNames), to: target?.id ?? named(sourceNames) };
  }
}

/** What every live replica of a shard has of its primary's stream. */
function streamedBytes(primary: Member, replicas: readonly Member[]): number {
  const own = primary.report === undefined ? 0 : (infoNumber(primary.report.info, "master_repl_offset") ?? 0);
  const theirs = replicas.flatMap(({ report }) =>
    report === undefined ? [] : [infoNumber(report.info, "slave_repl_offset") ?? 0],
  );
  return Math.min(own, ...theirs);
}

/** A refused connection proves that no process is there; silence alone does not. */
function stateOf({ report, error, stranger, verdict, line, draining }: Member): NodeState {
  if (report !== undefined && draining) return "draining";
  if (report !== undefined || stranger) return "up";
  if (error === REFUSED || verdict === "failed" || line === undefined) return "down";
  return "suspect";
}

function nodeView(member: Member, { groups, members }: RedisTopology): NodeView {
  const { report } = member;
  const holds = groups.filter(({ primary, replicas }) => primary === member || replicas.includes(member));
  const cutOffFrom = members
    .filter((other) => other !== member && report !== undefined && isCutOff(other, member))
    .map(({ id }) => id)
    .toSorted();
  const writeRefusal = report === undefined ? undefined : writeRefusalOf(report);
  return {
    id: member.id,
    address: member.address,
    role: member.role,
    zone: member.zone,
    state: stateOf(member),
    pid: report === undefined ? null : infoNumber(report.info, "process_id"),
    version: report === undefined ? null : versionOf(report),
    uptimeMs: report === undefined ? null : uptimeMsOf(report),
    lastHeartbeatMs: lastHeartbeatMs(member, members),
    leads: groups.filter(({ primary, slotCount }) => primary === member && slotCount > 0).length,
    replicas: holds.length,
    memories: null,
    keys: report?.keys ?? null,
    bytes: report === undefined ? null : infoNumber(report.info, "used_memory_dataset"),
    ...(member.error === undefined ? {} : { error: member.error }),
    ...(cutOffFrom.length === 0 ? {} : { cutOffFrom }),
    ...(writeRefusal === undefined ? {} : { writeRefusal }),
  };
}

/** Both answer here, but one has no link to the other. */
function isCutOff(viewer: Member, member: Member): boolean {
  const line = viewer.report?.nodes.find(({ redisId }) => redisId === member.redisId);
  return line !== undefined && !line.linkUp;
}

function versionOf({ info }: RedisReport): string | null {
  const valkey = info.get("valkey_version");
  return valkey === undefined ? (info.get("redis_version") ?? null) : `valkey ${valkey}`;
}

/** The newest pong that any node had of it, by that node's own clock; 0 for one that answered here. */
function lastHeartbeatMs(member: Member, members: readonly Member[]): number | null {
  if (member.report !== undefined || member.stranger) return 0;
  let least: number | null = null;
  for (const { report } of members) {
    const line = report?.nodes.find(({ redisId }) => redisId === member.redisId);
    if (report === undefined || line === undefined || line.pongReceivedMs === 0) continue;
    const age = Math.max(0, report.clockMs - line.pongReceivedMs);
    least = Math.min(least ?? age, age);
  }
  return least;
}

function writeRefusalOf({ info }: RedisReport): string | undefined {
  if (info.get("aof_last_write_status") === "err") return "its append-only file could not be written";
  if (info.get("loading") === "1") return "it is loading its data";
  const max = infoNumber(info, "maxmemory") ?? 0;
  const used = infoNumber(info, "used_memory") ?? 0;
  return max > 0 && used >= max && info.get("maxmemory_policy") === "noeviction"
    ? "its memory is full (maxmemory)"
    : undefined;
}

function shardView(group: Group, copies: number, topology: RedisTopology): ShardView {
  const { primary } = group;
  const leader = leads(primary) ? primary.id : null;
  const replicas = [leaderView(primary), ...group.replicas.map((replica) => replicaView(replica, primary))];
  const refusal = refusalOf(primary);
  return {
    id: group.id,
    range:
      group.slotCount === 0
        ? "no slots"
        : `${group.slotCount === 1 ? "slot" : "slots"} ${slotsText(group.slots)}`,
    state: shardState(group, leader, replicas, copies, topology),
    leader,
    term: group.epoch,
    slots: group.slotCount,
    ...(refusal === undefined || leader === null || group.slotCount === 0 ? {} : { refusal }),
    memories: null,
    keys: primary.report?.keys ?? null,
    bytes: primary.report === undefined ? null : infoNumber(primary.report.info, "used_memory_dataset"),
    replicas,
  };
}

/** One that does not answer here is believed to lead while the others hear of it. */
function leads(primary: Member): boolean {
  if (primary.report !== undefined) return true;
  return stateOf(primary) === "suspect" && primary.verdict === "ok";
}

function refusalOf({ report }: Member): string | undefined {
  if (report === undefined || report.cluster.get("cluster_state") === "ok") return undefined;
  const assigned = Number(report.cluster.get("cluster_slots_assigned") ?? 0);
  const failed = Number(report.cluster.get("cluster_slots_fail") ?? 0);
  if (assigned < 16_384) return `CLUSTERDOWN: ${16_384 - assigned} slots have no owner`;
  return failed > 0
    ? `CLUSTERDOWN: ${failed} slots are served by nobody`
    : "CLUSTERDOWN: it does not reach a majority of the primaries";
}

function leaderView(primary: Member): ReplicaView {
  const lag = primary.report === undefined ? null : 0;
  const state = leads(primary) ? "replicating" : "down";
  return { node: primary.id, role: "leader", state, lagEntries: null, lagBytes: lag, lagMs: lag };
}

function replicaView(member: Member, primary: Member): ReplicaView {
  const { report } = member;
  if (report === undefined) {
    return {
      node: member.id,
      role: "follower",
      state: "down",
      lagEntries: null,
      lagBytes: null,
      lagMs: null,
    };
  }
  const linked = report.info.get("master_link_status") === "up";
  const syncing = report.info.get("master_sync_in_progress") === "1";
  const own = infoNumber(report.info, "slave_repl_offset");
  const ahead = primary.report === undefined ? null : infoNumber(primary.report.info, "master_repl_offset");
  const lagBytes = own === null || ahead === null ? null : Math.max(0, ahead - own);
  return {
    node: member.id,
    role: "follower",
    state: linked ? "replicating" : syncing ? "snapshot" : "probing",
    lagEntries: null,
    lagBytes,
    lagMs: lagMsOf(member, primary, linked, lagBytes),
  };
}

/**
 * The age of what is missing. Servers tell it in whole seconds: since the last acknowledgement where the
 * stream flows, since the link broke where it does not.
 */
function lagMsOf(member: Member, primary: Member, linked: boolean, lagBytes: number | null): number | null {
  const { report } = member;
  if (lagBytes === 0 && linked) return 0;
  if (report === undefined) return null;
  if (!linked) {
    const seconds = infoNumber(report.info, "master_link_down_since_seconds");
    return seconds === null || seconds < 0 ? null : seconds * 1000;
  }
  for (const [name, value] of primary.report?.info ?? []) {
    if (!/^slave\d+$/.test(name)) continue;
    const fields = parseFields(value);
    if (Number(fields.get("port")) !== member.line?.port) continue;
    const seconds = Number(fields.get("lag"));
    return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null;
  }
  return null;
}

function shardState(
  group: Group,
  leader: string | null,
  replicas: readonly ReplicaView[],
  copies: number,
  { open }: RedisTopology,
): ShardState {
  if (leader === null) {
    return group.replicas.some(({ report }) => report !== undefined) ? "leaderless" : "down";
  }
  const { primary } = group;
  const isOpen = open.some(
    ({ source, target, slot }) => source === primary || target === primary || isIn(group.slots, slot),
  );
  if (isOpen) return "moving";
  if (group.slotCount === 0) return "ok"; // it holds nothing that could be lost
  return replicas.length < copies || replicas.some(({ state }) => state !== "replicating")
    ? "under-replicated"
    : "ok";
}

/** Claims shown of one shard; the rest say the same thing again. */
const CLAIMS_MAX = 8;

/** Shards of which some node names another owner for a slot than the one with the highest epoch. */
function disagreementsOf({ groups, members, ownerOf }: RedisTopology): Disagreement[] {
  const idOf = new Map(
    members.flatMap(({ redisId, id }) => (redisId === undefined ? [] : [[redisId, id] as const])),
  );
  const found: Disagreement[] = [];
  for (const { id, primary, slots, epoch } of groups) {
    const claims: { node: string; leader: string | null; term: number }[] = [];
    for (const { id: node, report } of members) {
      const other = report?.nodes.find(
        (line) =>
          line.redisId !== primary.redisId &&
          line.slots.some(({ from, to }) => slots.some((range) => range.from <= to && from <= range.to)),
      );
      if (other === undefined) continue;
      claims.push({ node, leader: idOf.get(other.redisId) ?? null, term: other.epoch });
    }
    if (claims.length === 0) continue;
    const said = {
      node: primary.id,
      leader: idOf.get(ownerOf(slots[0]?.from ?? 0) ?? "") ?? null,
      term: epoch,
    };
    found.push({ group: id, claims: [said, ...claims].slice(0, CLAIMS_MAX) });
  }
  return found;
}
