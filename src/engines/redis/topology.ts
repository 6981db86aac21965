// Many servers' views of one cluster become one picture: who is a member, who owns which slot, who
// replicates whom, and where they contradict each other. Pure: no clock, no I/O. Everything that is done to
// a cluster starts from this picture, never from a file.

import type { NodeId, Role } from "../../model/ids.ts";
import type { Manifest } from "../../model/manifest.ts";
import { slotCount } from "../../model/shard-map.ts";
import type { SlotRange } from "../../model/shard-map.ts";
import { placeOwnShards } from "../../topology/own-shard-placement.ts";
import { SLOTS } from "../../topology/slots.ts";
import type { GossipNode } from "./gossip.ts";
import { placeOf } from "./nodes.ts";
import type { RedisAnswer, RedisReport } from "./nodes.ts";

export interface Member {
  readonly id: NodeId;
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly role: Role;
  readonly zone: string;
  readonly weight: number;
  /** It shall hold nothing. */
  readonly draining: boolean;
  /** As others know it, or it knows itself; undefined for a server that belongs to no cluster with the others. */
  readonly redisId: string | undefined;
  readonly report: RedisReport | undefined;
  /** Why there is no report, or none of this cluster. */
  readonly error: string | undefined;
  /** It answered, but belongs elsewhere. */
  readonly stranger: boolean;
  /** The best description of it that there is: its own, else the newest of the others. */
  readonly line: GossipNode | undefined;
  /** How the others see it: `fail` when a majority agreed, `fail?` when one suspects it. */
  readonly verdict: "ok" | "suspected" | "failed";
}

export interface Group {
  /** A number, stable across failovers and moves of slots. */
  readonly id: string;
  readonly primary: Member;
  readonly replicas: readonly Member[];
  readonly slots: readonly SlotRange[];
  readonly slotCount: number;
  readonly epoch: number;
}

export interface OpenSlotFound {
  readonly slot: number;
  /** Who has the slot open as its source, and who as its target. */
  readonly source: Member | undefined;
  readonly target: Member | undefined;
  /** What the source says of its target, and the target of its source: redis ids. */
  readonly sourceNames: string | undefined;
  readonly targetNames: string | undefined;
}

export interface RedisTopology {
  readonly members: readonly Member[];
  readonly groups: readonly Group[];
  readonly unowned: readonly SlotRange[];
  readonly open: readonly OpenSlotFound[];
  /** Who owns a slot: a redis id, or undefined. */
  readonly ownerOf: (slot: number) => string | undefined;
  readonly epoch: number;
}

export function topologyOf(manifest: Manifest, answers: readonly RedisAnswer[]): RedisTopology {
  const reports = answers.flatMap((answer) => ("report" in answer ? [answer.report] : []));
  const own = mainCluster(reports);
  const lines = bestLines(own);
  const members = membersOf(manifest, answers, own, lines);
  const owners = ownersOf(lines);
  const runs = runsOf(owners, lines);
  const groups = groupsOf(manifest, members, runs);
  return {
    members,
    groups,
    unowned: runs.filter(({ owner }) => owner === undefined).map(({ from, to }) => ({ from, to })),
    open: openSlotsOf(members),
    ownerOf: (slot) => owners[slot],
    epoch: Math.max(0, ...own.map(({ cluster }) => Number(cluster.get("cluster_current_epoch") ?? 0))),
  };
}

/** The servers that know each other, and are the most of those asked: the others belong elsewhere. */
function mainCluster(reports: readonly RedisReport[]): RedisReport[] {
  const components: RedisReport[][] = [];
  const left = new Set(reports);
  for (const report of reports) {
    if (!left.delete(report)) continue;
    const component = [report];
    for (const one of component) {
      for (const other of left) {
        if (!knows(one, other) && !knows(other, one)) continue;
        left.delete(other);
        component.push(other);
      }
    }
    components.push(component);
  }
  const weight = (component: readonly RedisReport[]): number =>
    component.length + (component.some(({ self }) => self.slots.length > 0) ? 0.5 : 0);
  return components.toSorted((one, other) => weight(other) - weight(one))[0] ?? [];
}

function knows(one: RedisReport, other: RedisReport): boolean {
  return one.nodes.some(({ redisId, flags }) => redisId === other.self.redisId && !flags.has("handshake"));
}

/** Of each node its own word, else that of whoever knows its newest epoch. */
function bestLines(reports: readonly RedisReport[]): ReadonlyMap<string, GossipNode> {
  const lines = new Map<string, GossipNode>();
  for (const { nodes } of reports) {
    for (const line of nodes) {
      if (line.flags.has("handshake") || line.flags.has("noaddr")) continue;
      const known = lines.get(line.redisId);
      if (known === undefined || line.epoch > known.epoch) lines.set(line.redisId, line);
    }
  }
  for (const { self } of reports) lines.set(self.redisId, self);
  return lines;
}

function membersOf(
  manifest: Manifest,
  answers: readonly RedisAnswer[],
  own: readonly RedisReport[],
  lines: ReadonlyMap<string, GossipNode>,
): Member[] {
  const idsByPlace = new Map(
    [...lines.values()].map((line) => [placeOf(line.host, line.port), line.redisId]),
  );
  const declared = new Map(manifest.nodes.map((node) => [node.id, node]));
  return answers.map((answer): Member => {
    const spec = declared.get(answer.node);
    const report = "report" in answer ? answer.report : undefined;
    const belongs = report !== undefined && own.includes(report);
    const [host, port] = spec === undefined ? splitPlace(answer.node) : ([spec.host, spec.port] as const);
    const redisId = belongs
      ? report.self.redisId
      : report === undefined
        ? idsByPlace.get(placeOf(host, port))
        : undefined;
    return {
      id: answer.node,
      address: spec?.address ?? answer.node,
      host,
      port,
      role: spec?.role ?? "primary",
      zone: spec?.zone ?? host,
      weight: spec?.weight ?? 1,
      draining: spec?.draining ?? false,
      redisId,
      report: belongs ? report : undefined,
      error: "error" in answer ? answer.error : belongs ? undefined : strangerError(report),
      stranger: report !== undefined && !belongs,
      line: redisId === undefined ? undefined : lines.get(redisId),
      verdict: verdictOn(redisId, own),
    };
  });
}

function strangerError(report: RedisReport | undefined): string {
  return report !== undefined && report.nodes.length > 1
    ? "belongs to another cluster"
    : "runs, but is not in the cluster";
}

function splitPlace(place: string): readonly [host: string, port: number] {
  const colon = place.lastIndexOf(":");
  return [place.slice(0, colon), Number(place.slice(colon + 1))];
}

function verdictOn(redisId: string | undefined, reports: readonly RedisReport[]): Member["verdict"] {
  let suspected = false;
  for (const { nodes } of reports) {
    const seen = nodes.find((node) => node.redisId === redisId);
    if (seen?.flags.has("fail") === true) return "failed";
    suspected ||= seen?.flags.has("fail?") === true;
  }
  return suspected ? "suspected" : "ok";
}

/** Of two that claim a slot, the one with the higher config epoch has it, as the servers themselves decide. */
function ownersOf(lines: ReadonlyMap<string, GossipNode>): readonly (string | undefined)[] {
  const owners: (string | undefined)[] = Array.from({ length: SLOTS });
  const byEpoch = [...lines.values()].toSorted((one, other) => one.epoch - other.epoch);
  for (const { redisId, slots } of byEpoch) {
    for (const { from, to } of slots) owners.fill(redisId, from, to + 1);
  }
  return owners;
}

/** Slots that follow each other and have the same owner, or none. */
interface Run extends SlotRange {
  readonly owner: string | undefined;
}

/** An owner changes only where somebody's range begins or ends, so no other slot is looked at. */
function runsOf(owners: readonly (string | undefined)[], lines: ReadonlyMap<string, GossipNode>): Run[] {
  const ranges = [...lines.values()].flatMap(({ slots }) => slots);
  const starts = new Set([0, ...ranges.flatMap(({ from, to }) => [from, to + 1])]);
  const runs: Run[] = [];
  for (const from of [...starts].filter((slot) => slot < SLOTS).toSorted((one, other) => one - other)) {
    const last = runs.at(-1);
    if (last !== undefined && last.owner === owners[from]) continue;
    if (last !== undefined) runs[runs.length - 1] = { ...last, to: from - 1 };
    runs.push({ from, to: SLOTS - 1, owner: owners[from] });
  }
  return runs;
}

function groupsOf(manifest: Manifest, members: readonly Member[], runs: readonly Run[]): Group[] {
  const slotsOf = new Map<string, SlotRange[]>();
  for (const { from, to, owner } of runs) {
    if (owner === undefined) continue;
    const ranges = slotsOf.get(owner);
    if (ranges === undefined) slotsOf.set(owner, [{ from, to }]);
    else ranges.push({ from, to });
  }
  const known = members.filter(({ line }) => line !== undefined);
  const isPrimary = (member: Member): boolean =>
    member.line?.flags.has("master") === true &&
    // A failed primary without slots was replaced: it comes back as a replica.
    (member.verdict !== "failed" || member.report !== undefined || slotsOf.has(member.redisId ?? ""));
  const primaries = known.filter(isPrimary);
  const lost = known.filter((member) => member.line?.flags.has("master") === true && !isPrimary(member));
  const groups = primaries.map((primary) => {
    const replicas = known.filter(({ line }) => line?.primary === primary.redisId);
    const group = [primary, ...replicas];
    const replaced = lost.filter((member) => belongsTo(member, group, manifest));
    const slots = slotsOf.get(primary.redisId ?? "") ?? [];
    return {
      primary,
      replicas: [...replicas, ...replaced],
      slots,
      slotCount: slotCount(slots),
      epoch: primary.line?.epoch ?? 0,
    };
  });
  const rank = new Map(members.map(({ id }, index) => [id, index]));
  const first = ({ primary, replicas }: Omit<Group, "id">): number =>
    Math.min(...[primary, ...replicas].map(({ id }) => rank.get(id) ?? 0));
  return groups
    .toSorted((one, other) => first(one) - first(other))
    .map((group, index) => ({ id: String(index), ...group }));
}

/**
 * Whose replica a replaced primary will be. Newer servers say it (shard ids); of older ones the placement
 * that `up` makes is the best guess, and only the display rests on it.
 */
function belongsTo(member: Member, group: readonly Member[], manifest: Manifest): boolean {
  const shardId = member.line?.shardId;
  if (shardId !== undefined) return group.some(({ line }) => line?.shardId === shardId);
  const placed = placeOwnShards(manifest.nodes, manifest.sharding.shards).find(({ replicas }) =>
    replicas.includes(member.id),
  );
  return placed !== undefined && group.some(({ id }) => placed.replicas.includes(id));
}

function openSlotsOf(members: readonly Member[]): OpenSlotFound[] {
  const found = new Map<number, OpenSlotFound>();
  const none = { source: undefined, target: undefined, sourceNames: undefined, targetNames: undefined };
  for (const member of members) {
    // Valkey's replicas have the marks of their primary, for the case that they have to take over.
    if (member.report?.self.primary !== null) continue;
    for (const { slot, peer } of member.report?.self.migrating ?? []) {
      found.set(slot, { ...(found.get(slot) ?? { slot, ...none }), source: member, sourceNames: peer });
    }
    for (const { slot, peer } of member.report?.self.importing ?? []) {
      found.set(slot, { ...(found.get(slot) ?? { slot, ...none }), target: member, targetNames: peer });
    }
  }
  return [...found.values()].toSorted((one, other) => one.slot - other.slot);
}
