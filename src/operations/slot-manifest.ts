// The manifest against a cluster whose nodes hold one shard each and whose slots move one by one: who joins and leaves,
// which shards there should be, and who changes sides so that each has its copies. Weights ask for no change here:
// the next rebalance goes by them.

import type { EngineView, SlotTable } from "../engines/engine.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { Manifest } from "../model/manifest.ts";
import type { ManifestChange, Plan, PlanProblem, RebalanceStep } from "../model/plan.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { formatBytes } from "../model/units.ts";
import type { ShardView } from "../model/view.ts";
import { ownShardChanges } from "../topology/own-shard-changes.ts";
import type { OwnShardChange, OwnShardChanges } from "../topology/own-shard-changes.ts";
import { slotPlan } from "./slot-rebalance.ts";

/** What is asked for beyond nodes that join and leave. */
export interface OwnShardsPlan {
  readonly changes: readonly ManifestChange[];
  readonly waves: Plan["waves"];
  readonly predicted: Plan["predicted"];
  /** Copies and leaders that no plan can do without: changes for the sake of zones are not proven to be the fewest. */
  readonly lowerBound: Plan["lowerBound"];
  readonly problems: readonly PlanProblem[];
}

interface Shards {
  /** Those that stay, with slots. */
  readonly kept: readonly ShardView[];
  /** More than nodes and copies make: their slots go to the others. */
  readonly dissolved: readonly ShardView[];
  /** Leaders of shards that begin without slots, and the shard that one has to give up for it. */
  readonly founders: readonly { readonly node: NodeId; readonly from?: ShardId }[];
}

export function planOwnShards(
  manifest: Manifest,
  map: ShardMap,
  view: EngineView,
  table: SlotTable,
): OwnShardsPlan {
  const copies = manifest.replication.replicas + 1;
  const stays = new Set(manifest.nodes.flatMap(({ id, draining }) => (draining === true ? [] : [id])));
  const wanted = Math.min(manifest.sharding.shards, Math.floor(stays.size / copies));
  const hard = hardProblems(view, stays.size, copies);
  if (hard.length > 0) return { ...NOTHING, problems: hard };
  const shards = shardsWanted(manifest, view, stays, wanted, copies);
  const isFree = freeNodes(manifest, map, view);
  const zoneOf = new Map([...map.nodes, ...manifest.nodes].map(({ id, zone }) => [id, zone]));
  const nodes = [...zoneOf].map(([id, zone]) => ({ id, zone, stays: stays.has(id), free: isFree(id) }));
  const founding = new Set(shards.founders.map(({ node }) => node));
  const holders = [
    ...shards.kept.map((shard) => ({
      id: shard.id,
      nodes: nodesOf(shard).filter((id) => !founding.has(id)),
    })),
    ...shards.founders.map(({ node }) => ({
      id: foundedBy(node),
      nodes: [node, ...followersOf(view, node)],
    })),
  ];
  const moved = ownShardChanges(nodes, holders, copies);
  const extra = leftOver(shards, moved, (id) => stays.has(id) && isFree(id), zoneOf);
  return assembled(view, table, shards, { ...moved, changes: [...moved.changes, ...extra] }, stays, zoneOf);
}

const NOTHING: OwnShardsPlan = {
  changes: [],
  waves: [],
  predicted: { moves: 0, bytes: 0, leaderTransfers: 0, durationMs: null },
  lowerBound: { moves: 0, bytes: 0 },
  problems: [],
};

/** The name of a shard that is not there yet. */
function foundedBy(node: NodeId): ShardId {
  return `of ${node}`;
}

function nodesOf({ leader, replicas }: ShardView): NodeId[] {
  const ids = replicas.map(({ node }) => node);
  return leader === null ? ids : [leader, ...ids.filter((id) => id !== leader)];
}

/** Of a leader without slots, which the servers have as a shard of its own. */
function followersOf({ shards }: EngineView, leader: NodeId): NodeId[] {
  const own = shards.find((shard) => shard.slots === 0 && shard.leader === leader);
  return own === undefined ? [] : nodesOf(own).slice(1);
}

function hardProblems({ shards }: EngineView, nodes: number, copies: number): PlanProblem[] {
  if (nodes < copies) {
    return [
      {
        code: "too-few-nodes",
        severity: "hard",
        message: `${copies} copies need ${copies} nodes that take data, and there are ${nodes}`,
        hint: "add a data node, undrain one, or ask for fewer copies",
      },
    ];
  }
  return shards
    .filter(({ slots, leader }) => slots !== 0 && leader === null)
    .map(({ id, range }) => ({
      code: "no-leader",
      severity: "hard",
      message: `shard ${id} (${range}) has no leader, so nothing of it can be moved`,
      hint: "see why with `mem0ctl status`, and bring its nodes back first",
    }));
}

/** Those that answer; and those that join are started first. */
function freeNodes(manifest: Manifest, map: ShardMap, view: EngineView): (id: NodeId) => boolean {
  const members = new Set(map.nodes.map(({ id }) => id));
  const joins = new Set(manifest.nodes.flatMap(({ id }) => (members.has(id) ? [] : [id])));
  const up = new Set(view.nodes.flatMap(({ id, state }) => (state === "up" ? [id] : [])));
  return (id) => joins.has(id) || up.has(id);
}

function shardsWanted(
  manifest: Manifest,
  view: EngineView,
  stays: ReadonlySet<NodeId>,
  wanted: number,
  copies: number,
): Shards {
  const owning = view.shards.filter(({ slots }) => slots !== 0);
  const staying = (shard: ShardView): number => nodesOf(shard).filter((id) => stays.has(id)).length;
  const ranked = owning.toSorted(
    (one, other) => staying(other) - staying(one) || (other.slots ?? 0) - (one.slots ?? 0),
  );
  const kept = ranked.slice(0, wanted);
  const dissolved = ranked.slice(wanted);
  const inOrder = owning.filter((shard) => kept.includes(shard));
  const usable = (id: NodeId): boolean => stays.has(id);
  // Who leads without slots already, most copies first; then who joins; then who is a copy too many.
  const leaders = view.shards
    .filter(({ slots, leader }) => slots === 0 && leader !== null && usable(leader))
    .toSorted((one, other) => other.replicas.length - one.replicas.length)
    .flatMap(({ leader }) => (leader === null ? [] : [{ node: leader }]));
  const held = new Set(view.shards.flatMap(nodesOf));
  const joins = manifest.nodes
    .filter(({ id }) => usable(id) && !held.has(id))
    .map(({ id }) => ({ node: id }));
  const surplus = kept.flatMap((shard) => {
    const own = nodesOf(shard).filter(usable);
    return own.slice(copies).map((node) => ({ node, from: shard.id }));
  });
  const roleOf = new Map(manifest.nodes.map(({ id, role }) => [id, role]));
  const candidates = [...leaders, ...joins, ...surplus].toSorted(
    (one, other) => Number(roleOf.get(one.node) !== "primary") - Number(roleOf.get(other.node) !== "primary"),
  );
  return { kept: inOrder, dissolved, founders: candidates.slice(0, Math.max(0, wanted - kept.length)) };
}

/** Nodes of shards that go, and that no other one lacks, follow the leaders with the fewest copies. */
function leftOver(
  { kept, dissolved }: Shards,
  { after }: OwnShardChanges,
  isUsable: (id: NodeId) => boolean,
  zoneOf: ReadonlyMap<NodeId, string>,
): OwnShardChange[] {
  const placed = new Set([...after.values()].flat());
  const held = kept.map(({ id }) => ({ id, nodes: [...(after.get(id) ?? [])] }));
  return dissolved
    .flatMap(nodesOf)
    .filter((id) => isUsable(id) && !placed.has(id))
    .flatMap((to): OwnShardChange[] => {
      const isNear = (nodes: readonly NodeId[]): number =>
        Number(nodes.some((id) => zoneOf.get(id) === zoneOf.get(to)));
      const [best] = held.toSorted(
        (one, other) => one.nodes.length - other.nodes.length || isNear(one.nodes) - isNear(other.nodes),
      );
      if (best === undefined) return [];
      best.nodes.push(to);
      return [{ shard: best.id, to, forZones: false }];
    });
}

// --- steps and words ---------------------------------------------------------------------------

function assembled(
  view: EngineView,
  table: SlotTable,
  shards: Shards,
  moved: OwnShardChanges,
  stays: ReadonlySet<NodeId>,
  zoneOf: ReadonlyMap<NodeId, string>,
): OwnShardsPlan {
  const { kept, dissolved, founders } = shards;
  const emptied = slotWaves(table, kept, dissolved);
  const released = founders.flatMap(({ node, from }): RebalanceStep[] =>
    from === undefined ? [] : [{ kind: "remove-replica", shard: from, from: node }],
  );
  const steps = moved.changes.map((change) => copyStep(change, kept));
  // Who leads a shard that is dissolved can follow somebody once its followers do.
  const leading = new Set(dissolved.map(({ leader }) => leader));
  const transfers = kept.flatMap((shard) => transferStep(shard, stays, moved));
  const given = kept.flatMap((shard) => givenUp(view, shard, stays));
  const waves = [
    ...emptied.waves,
    released,
    steps.filter(({ to }) => !leading.has(to)),
    steps.filter(({ to }) => leading.has(to)),
    transfers,
    given,
  ].filter((wave) => wave.length > 0);
  const bytes = steps.reduce((sum, step) => sum + step.bytes, 0) + emptied.bytes;
  const needed = moved.changes.filter(({ forZones }) => !forZones).length;
  return {
    changes: [
      ...dissolved.map((shard) => dissolves(shard, kept.length)),
      ...founders.filter(({ from }) => from !== undefined).map(founds),
      ...moved.changes.map((change) => getsCopy(change, view, zoneOf)),
      ...transfers.map(({ group, to = "" }) => hands(group, to)),
      ...given.map(({ shard, from }) => holdsNothing(shard, from)),
    ],
    waves,
    predicted: {
      moves: steps.length,
      bytes,
      leaderTransfers: transfers.length,
      durationMs: null,
    },
    lowerBound: { moves: needed, bytes: needed === steps.length ? bytes : 0 },
    problems: [...emptied.problems, ...moved.missing.map((each) => missingProblem(each))],
  };
}

/** The slots of shards that go, to the leaders of those that stay. */
function slotWaves(
  table: SlotTable,
  kept: readonly ShardView[],
  dissolved: readonly ShardView[],
): { readonly waves: Plan["waves"]; readonly bytes: number; readonly problems: readonly PlanProblem[] } {
  if (dissolved.length === 0) return { waves: [], bytes: 0, problems: [] };
  const going = dissolved.flatMap(({ leader }) => (leader === null ? [] : [leader]));
  const staying = kept.map(({ leader }) => leader);
  const owners = table.owners
    .filter(({ id }) => going.includes(id) || staying.includes(id))
    .map((owner) => ({ ...owner, draining: false }));
  const plan = slotPlan({ ...table, owners }, { by: "shards" }, going);
  const waves = plan.waves.map((wave) =>
    wave.filter((step) => step.kind === "move-slots" && going.includes(step.from)),
  );
  const bytes = dissolved.reduce((sum, shard) => sum + (shard.bytes ?? 0), 0);
  return {
    waves: waves.filter((wave) => wave.length > 0),
    bytes,
    problems: plan.problems.filter(({ severity }) => severity === "hard"),
  };
}

function copyStep(
  { shard, to }: OwnShardChange,
  kept: readonly ShardView[],
): Extract<RebalanceStep, { readonly kind: "add-replica" }> {
  const known = kept.find(({ id }) => id === shard);
  const holder = known?.leader ?? shard.replace(/^of /, "");
  return { kind: "add-replica", shard, to, bytes: known?.bytes ?? 0, holder };
}

/** A leader that goes hands over to one that stays: what was a copy before first. */
function transferStep(
  { id, leader, replicas }: ShardView,
  stays: ReadonlySet<NodeId>,
  { after }: OwnShardChanges,
): Extract<RebalanceStep, { readonly kind: "transfer-leader" }>[] {
  if (leader === null || stays.has(leader)) return [];
  const staying = after.get(id) ?? [];
  const known = staying.filter((node) => replicas.some((replica) => replica.node === node));
  const to = known[0] ?? staying[0];
  return to === undefined ? [] : [{ kind: "transfer-leader", group: id, to, holder: to }];
}

/** Copies of nodes that stay members and shall hold nothing; those of nodes that leave go with them. */
function givenUp(
  { nodes }: EngineView,
  shard: ShardView,
  stays: ReadonlySet<NodeId>,
): Extract<RebalanceStep, { readonly kind: "remove-replica" }>[] {
  const draining = new Set(nodes.flatMap(({ id, state }) => (state === "draining" ? [id] : [])));
  return nodesOf(shard)
    .filter((node) => draining.has(node) && !stays.has(node))
    .map((from) => ({ kind: "remove-replica", shard: shard.id, from }));
}

function dissolves({ id, leader, slots, bytes }: ShardView, kept: number): ManifestChange {
  return {
    action: "remove",
    subject: `shard ${id}`,
    message: `shard ${id} is dissolved: nodes and copies make ${kept === 1 ? "one shard" : `${kept} shards`}`,
    cost: `${slots ?? 0} slots move from ${leader ?? "nobody"} to the other leaders, ${formatBytes(bytes ?? 0)}`,
    risk: "none: slots move while clients go on, and its nodes follow other leaders then",
    live: true,
  };
}

function founds({ node, from }: Shards["founders"][number]): ManifestChange {
  return {
    action: "add",
    subject: `shard of ${node}`,
    message: `${node} leads a shard of its own${from === undefined ? "" : `, instead of following shard ${from}`}`,
    cost: "its copy is deleted",
    risk: "none: it owns no slots until `mem0ctl shards rebalance`",
    live: true,
  };
}

function getsCopy(
  { shard, to, forZones }: OwnShardChange,
  { shards }: EngineView,
  zoneOf: ReadonlyMap<NodeId, string>,
): ManifestChange {
  const known = shards.find(({ id }) => id === shard);
  const other = shards.find(
    ({ id, slots, replicas }) => id !== shard && slots !== 0 && replicas.some(({ node }) => node === to),
  );
  const why = forZones
    ? `, in zone ${zoneOf.get(to) ?? ""}: two of its copies share a zone, and need not`
    : "";
  return {
    action: "change",
    subject: known === undefined ? `shard ${shard}` : `shard ${known.id}`,
    message: `${known === undefined ? `the new shard ${shard}` : `shard ${shard}`} gets a copy on ${to}${other === undefined ? "" : `, which holds shard ${other.id} now`}${why}`,
    cost: `${formatBytes(known?.bytes ?? 0)} are copied`,
    risk:
      other !== undefined && forZones
        ? "each of the two shards has a copy less while it is made"
        : "none: copies are made before others go",
    live: true,
  };
}

function hands(shard: ShardId, to: NodeId): ManifestChange {
  return {
    action: "change",
    subject: `shard ${shard}`,
    message: `${to} leads shard ${shard} in place of a node that shall not`,
    cost: "leadership is handed over: writes of the shard wait for a moment",
    risk: "none: the replica has everything before it leads",
    live: true,
  };
}

function holdsNothing(shard: ShardId, node: NodeId): ManifestChange {
  return {
    action: "change",
    subject: `node ${node}`,
    message: `${node} shall hold nothing (draining), and holds shard ${shard}`,
    cost: "its copy is deleted once others are there",
    risk: "none",
    live: true,
  };
}

function missingProblem({ shard, copies }: OwnShardChanges["missing"][number]): PlanProblem {
  return {
    code: "too-few-copies",
    severity: "soft",
    message: `shard ${shard} lacks ${copies === 1 ? "a copy" : `${copies} copies`}, and no node that answers can take ${copies === 1 ? "it" : "them"}`,
    hint: "start the nodes that do not answer, or add one: `mem0ctl nodes add`",
  };
}
