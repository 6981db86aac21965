// The planner: from a cluster's state to the steps that make it even, and how far they are from the least that
// could do. Pure and deterministic: the same state gives the same plan, and the plan of a state that a
// plan has led to is empty.
//
// Hard rules come first: copies on distinct nodes, over as many zones as there are, none on arbiters and none on
// draining nodes, within capacity; where they cannot all hold there is no plan, only the reason. Then, each
// within what those before it leave: balance within the threshold, fewest moves (of equal shards) or bytes,
// leaders by weight, and that sources and targets share the work.

import type { NodeId, ShardId } from "../model/ids.ts";
import type {
  Measure,
  NodeLoad,
  Plan,
  PlanProblem,
  PlannedChange,
  PlannedShard,
  PlannedState,
  RebalanceStep,
} from "../model/plan.ts";
import { aimsOf, listed } from "./aims.ts";
import type { Aims } from "./aims.ts";
import { assignEvenly } from "./balance.ts";
import { fewestMoves } from "./fewest-moves.ts";
import { withChange } from "./outcome.ts";
import type { ShardOutcome } from "./outcome.ts";
import { bytesLowerBound, leastBytesMoved } from "./moves-bound.ts";
import { bytesMoved, fewBytesMoved, loadsOf, violationOf } from "./sized-moves.ts";
import { inWaves } from "./waves.ts";

export interface RebalanceOptions {
  readonly by: Measure;
  /** Part of its share by which a node may be off; default `defaultThreshold`. */
  readonly threshold?: number;
  /** Copies that a node sends, and that it takes, at the same time; default 2. */
  readonly perNode?: number;
  /** Take the most useful part of the plan only. */
  readonly movesMax?: number;
  readonly bytesMax?: number;
  /** Balance leaders, too; default true. */
  readonly leaders?: boolean;
  /** Of one node; only to predict how long it takes. */
  readonly bytesPerSecond?: number;
}

const PER_NODE = 2;

/** Equal shards can be shared out to the last one; of sized ones a rest always remains, and load is never still. */
function defaultThreshold(by: Measure): number {
  return by === "shards" ? 0 : by === "load" ? 0.1 : 0.02;
}

/** What makes the cluster even, leaders last. */
export function planRebalance(state: PlannedState, options: RebalanceOptions): Plan {
  const threshold = options.threshold ?? defaultThreshold(options.by);
  const first = aimsOf(state, options.by, threshold);
  if (first.problems.some(({ severity }) => severity === "hard"))
    return refused(state, options, threshold, first);
  const { aims, target } = settled(state, first, options.by, threshold);
  const changes = changesOf(aims, target.holders);
  const taken = limited(changes, aims, options);
  return assembled(state, options, threshold, aims, target, taken, taken.length < changes.length);
}

/** Only leaders go elsewhere; no copy moves. */
export function planLeaders(state: PlannedState): Plan {
  const aims = aimsOf(state, "shards", 0);
  const holders = aims.problem.shards.map((shard) => shard.holders);
  const target: Target = { holders, moves: 0, bytes: 0, optimal: true };
  const plan = assembled(state, { by: "shards" }, 0, aims, target, [], false);
  const known = new Map(state.nodes.map((node) => [node.id, node]));
  const weightOf = ({ node }: PlannedChange): number => {
    const { role, draining, weight } = known.get(node) ?? { role: "arbiter", draining: true, weight: 0 };
    return role === "primary" && !draining ? weight : 0;
  };
  const weights = plan.nodes.reduce((sum, change) => sum + weightOf(change), 0);
  const led = plan.nodes.reduce((sum, { after }) => sum + after.leads, 0);
  return {
    ...plan,
    by: "leaders",
    balanced: true,
    problems: [],
    nodes: plan.nodes.map((change) => ({
      ...change,
      share: weights === 0 ? 0 : (led * weightOf(change)) / weights,
      before: { ...change.before, held: change.before.leads },
      after: { ...change.after, held: change.after.leads },
    })),
  };
}

// --- which copies go where ---------------------------------------------------------------------

interface Target {
  readonly holders: readonly (readonly number[])[];
  /** Lower bounds. */
  readonly moves: number;
  readonly bytes: number;
  readonly optimal: boolean;
}

/** Rounds until the nodes of giants are where the placement has them, or it comes by again: two or three. */
const ROUNDS_MAX = 8;

type Placement = Target["holders"];

/** A placement, what is aimed at while giants are as in it, and the placement that this asks for. */
interface Round {
  readonly holders: Placement;
  readonly aims: Aims;
  readonly target: Target;
}

/**
 * The placement that is aimed at. Where giants stay decides what the others should hold, and may be decided by
 * it: then the aims are looked at again from there, until they ask for nothing more. Of placements that ask for one
 * another in a circle it is the one that is evenest by its own aims, the first of equals: who is there has nothing to do.
 */
function settled(
  state: PlannedState,
  first: Aims,
  by: Measure,
  threshold: number,
): { readonly aims: Aims; readonly target: Target } {
  if (first.giants.length === 0) return { aims: first, target: placementFor(first) };
  const known = inOrder(first);
  const present = known.problem.shards.map(({ holders }) => holders);
  const start: Round = { holders: present, aims: known, target: placementFor(known) };
  const { aims: last, holders } = lastRound(start, (placed) => {
    const shards = first.shards.map((shard, index) => ({
      ...shard,
      replicas: (placed[index] ?? []).map((node) => first.nodes[node]?.id ?? ""),
    }));
    return inOrder(aimsOf({ ...state, shards }, by, threshold));
  });
  if (isSame(holders, start.target.holders)) return start;
  const shards = last.problem.shards.map((shard, index) => ({ ...shard, holders: present[index] ?? [] }));
  const aims = { ...last, shards: first.shards, problem: { ...last.problem, shards } };
  const bytes = bytesLowerBound(aims.problem, outsideBounds({ aims, holders }));
  return { aims, target: { holders, bytes, moves: 0, optimal: false } };
}

/** Which node of a shard is named first is nothing to a circle of placements: one that differs in that alone is the same. */
function inOrder(aims: Aims): Aims {
  const shards = aims.problem.shards.map((shard) => ({
    ...shard,
    holders: shard.holders.toSorted((a, b) => a - b),
  }));
  return { ...aims, problem: { ...aims.problem, shards } };
}

function lastRound(start: Round, aimsAt: (placed: Placement) => Aims): Round {
  const rounds: Round[] = [];
  let round = start;
  for (;;) {
    rounds.push(round);
    const { holders } = round.target;
    const again = rounds.findIndex((earlier) => isSame(earlier.holders, holders));
    if (again !== -1) return evenest(rounds.slice(again)) ?? round;
    if (rounds.length === ROUNDS_MAX) return round;
    const aims = aimsAt(holders);
    round = { holders, aims, target: placementFor(aims) };
  }
}

/** Told apart by more than rounding, so that each of a circle names the same one. */
function evenest(circle: readonly Round[]): Round | undefined {
  const least = Math.min(...circle.map(outsideBounds));
  return circle.find((round) => outsideBounds(round) <= least * (1 + 1e-9));
}

function outsideBounds({ aims: { problem }, holders }: Pick<Round, "aims" | "holders">): number {
  return violationOf(problem.nodes, loadsOf(problem, holders));
}

function isSame(a: Placement, b: Placement): boolean {
  return a.every((nodes, shard) => {
    const others = b[shard] ?? [];
    return nodes.length === others.length && nodes.every((node) => others.includes(node));
  });
}

function placementFor({ problem, uniform, nodes: specs }: Aims): Target {
  const { nodes, shards, zones, bounds } = problem;
  if (uniform) {
    // A copy counts 1 here, whatever equal shards count in the measure.
    const unit = shards[0]?.value ?? 0;
    const units = (value: number, otherwise: number): number =>
      unit === 0 ? otherwise : Math.round(value / unit);
    const { holders, moves } = fewestMoves({
      nodes: nodes.map(({ zone, least, most, open }, index) => ({
        zone,
        weight: specs[index]?.weight ?? 1,
        least: open ? units(least, 0) : 0,
        most: open ? units(most, shards.length) : 0,
      })),
      zones,
      shards,
      bounds,
    });
    const counted = { ...problem, shards: shards.map((shard) => ({ ...shard, value: 1 })) };
    const bytes = shards.every((shard) => shard.bytes === shards[0]?.bytes)
      ? moves * (shards[0]?.bytes ?? 0)
      : bytesLowerBound(counted, violationOf(nodes, loadsOf(counted, holders)));
    return { holders, moves, bytes, optimal: true };
  }
  const close = fewBytesMoved(problem);
  const least = leastBytesMoved(problem, close);
  const holders = least ?? close;
  const violation = violationOf(nodes, loadsOf(problem, holders));
  const bytes = least === undefined ? bytesLowerBound(problem, violation) : bytesMoved(problem, holders);
  const largest = Math.max(0, ...shards.map((shard) => shard.bytes));
  return {
    holders,
    bytes,
    moves: largest === 0 ? 0 : Math.ceil(bytes / largest - 1e-9),
    optimal: least !== undefined,
  };
}

/** A copy that comes, one that goes, or one that comes for one that goes. */
interface Change {
  readonly shard: number;
  readonly from?: number;
  readonly to?: number;
  /** A hard rule asks for it. */
  readonly forced: boolean;
}

function changesOf({ problem }: Aims, holders: readonly (readonly number[])[]): Change[] {
  const changes: Change[] = [];
  for (const [shard, after] of holders.entries()) {
    const { holders: before = [], copies = 0 } = problem.shards[shard] ?? {};
    const going = before.filter((node) => !after.includes(node));
    const coming = after.filter((node) => !before.includes(node));
    if (going.length === 0 && coming.length === 0) continue;
    const zoneOf = (node: number): number => problem.nodes[node]?.zone ?? 0;
    const breaks = before.length !== copies || before.some((node) => problem.nodes[node]?.open !== true);
    // Within a zone where that is possible, so that no step breaks the spread over zones.
    const pairs = going.flatMap((from) => {
      const near = coming.find((to) => zoneOf(to) === zoneOf(from));
      if (near === undefined) return [];
      coming.splice(coming.indexOf(near), 1);
      return [{ from, to: near }];
    });
    const alone = going.filter((from) => !pairs.some((pair) => pair.from === from));
    while (alone.length > 0 && coming.length > 0)
      pairs.push({ from: alone.shift() ?? -1, to: coming.shift() ?? -1 });
    for (const { from, to } of pairs) changes.push({ shard, from, to, forced: breaks });
    for (const to of coming) changes.push({ shard, to, forced: true });
    for (const from of alone) changes.push({ shard, from, forced: true });
  }
  return changes;
}

/** In turn from each source, the most loaded first; cut where a limit is reached. */
function limited(changes: readonly Change[], aims: Aims, options: RebalanceOptions): Change[] {
  const { movesMax = Infinity, bytesMax = Infinity } = options;
  const { problem } = aims;
  const loads = loadsOf(
    problem,
    problem.shards.map(({ holders }) => holders),
  );
  const excess = (node: number | undefined): number =>
    node === undefined ? Infinity : (loads[node] ?? 0) / Math.max(aims.shares[node] ?? 0, Number.MIN_VALUE);
  const queues = new Map<number | undefined, Change[]>();
  for (const change of changes) {
    const queue = queues.get(change.from);
    if (queue === undefined) queues.set(change.from, [change]);
    else queue.push(change);
  }
  const sources = [...queues.keys()].sort((a, b) => excess(b) - excess(a) || (a ?? -1) - (b ?? -1));
  const inTurn: Change[] = [];
  for (let turn = 0; inTurn.length < changes.length; turn += 1) {
    for (const source of sources) {
      const change = queues.get(source)?.[turn];
      if (change !== undefined) inTurn.push(change);
    }
  }
  const ordered = [...inTurn.filter(({ forced }) => forced), ...inTurn.filter(({ forced }) => !forced)];
  let [moves, bytes] = [0, 0];
  return ordered.filter(({ shard, to }) => {
    if (to === undefined) return true;
    const more = problem.shards[shard]?.bytes ?? 0;
    if (moves + 1 > movesMax || bytes + more > bytesMax) return false;
    moves += 1;
    bytes += more;
    return true;
  });
}

// --- the plan ----------------------------------------------------------------------------------

function assembled(
  state: PlannedState,
  options: RebalanceOptions,
  threshold: number,
  aims: Aims,
  target: Target,
  changes: readonly Change[],
  isCut: boolean,
): Plan {
  const { problem, nodes, shards } = aims;
  const idOf = (node: number): NodeId => nodes[node]?.id ?? "";
  const steps: RebalanceStep[] = [];
  const outcomes = new Map<ShardId, ShardOutcome>(shards.map((shard) => [shard.id, shard]));
  for (const { shard: index, from, to } of changes) {
    const shard = shards[index];
    if (shard === undefined) continue;
    const { id, bytes } = shard;
    const before = outcomes.get(id) ?? shard;
    outcomes.set(
      id,
      withChange(
        before,
        from === undefined ? undefined : idOf(from),
        to === undefined ? undefined : idOf(to),
      ),
    );
    if (from !== undefined && to !== undefined)
      steps.push({ kind: "move-replica", shard: id, from: idOf(from), to: idOf(to), bytes });
    else if (to !== undefined) steps.push({ kind: "add-replica", shard: id, to: idOf(to), bytes });
    else if (from !== undefined) steps.push({ kind: "remove-replica", shard: id, from: idOf(from) });
  }
  const transfers = options.leaders === false ? [] : leaderTransfers(state, outcomes);
  const capacities = nodes.flatMap(({ id, capacityBytes }): [NodeId, number][] =>
    capacityBytes === undefined ? [] : [[id, capacityBytes - bytesOn(id, shards)]],
  );
  const { waves, stuck } = inWaves([...steps, ...transfers], {
    perNode: options.perNode ?? PER_NODE,
    room: new Map(capacities),
  });
  if (stuck.length > 0) {
    const targets = [
      ...new Set(stuck.flatMap((step) => ("to" in step && step.to !== undefined ? [step.to] : []))),
    ];
    const problems: PlanProblem[] = [
      {
        code: "no-room-on-the-way",
        severity: "hard",
        message: `${listed(targets)} would have room only after other copies have left, and those wait for room, too`,
        hint: "give one of them more capacity, or add a node, and plan again",
      },
    ];
    return refused(state, options, threshold, { ...aims, problems });
  }

  const moved = changes.filter(({ to }) => to !== undefined);
  const bytes = moved.reduce((sum, { shard }) => sum + (shards[shard]?.bytes ?? 0), 0);
  const after = loadsAfter(aims, outcomes);
  const isBalanced = problem.nodes.every(({ least, most }, index) => {
    const slack = 1e-9 * Math.max(1, most);
    const load = after[index] ?? 0;
    return load >= least - slack && load <= most + slack;
  });
  const gap = isCut ? 0 : gapOf(aims, target, moved.length, bytes);
  const lowerBound = isCut ? { moves: moved.length, bytes } : { moves: target.moves, bytes: target.bytes };
  return {
    apiVersion: "mem0ctl/v1",
    kind: "Plan",
    by: options.by,
    threshold,
    waves,
    predicted: {
      moves: moved.length,
      bytes,
      leaderTransfers: transfers.length,
      durationMs: options.bytesPerSecond === undefined ? null : durationOf(waves, options.bytesPerSecond),
    },
    lowerBound,
    gap,
    optimal: !isCut && (target.optimal || gap === 0),
    balanced: isBalanced,
    nodes: changesByNode(aims, state, outcomes, moved, changes, after),
    problems: softProblems(aims, after, isBalanced, isCut, target),
    state,
  };
}

/** Leaders by weight over the primaries of each shard, as few of them changed as that takes. */
function leaderTransfers(state: PlannedState, outcomes: Map<ShardId, ShardOutcome>): RebalanceStep[] {
  const known = new Map(state.nodes.map((node) => [node.id, node]));
  const led = [...outcomes].filter(([, { leader }]) => leader !== null);
  const mayLead = ({ replicas }: ShardOutcome): readonly NodeId[] => {
    if (replicas.length === 1) return replicas;
    const staying = replicas.filter((id) => known.get(id)?.draining !== true);
    const primaries = staying.filter((id) => known.get(id)?.role === "primary");
    return primaries.length > 0 ? primaries : staying.length > 0 ? staying : replicas;
  };
  const leaders = assignEvenly(
    led.map(([, outcome]) => mayLead(outcome)),
    new Map(state.nodes.map(({ id, weight }) => [id, { weight, load: 0 }])),
    led.map(([, { leader }]) => leader),
  );
  return led.flatMap(([shard, outcome], index): RebalanceStep[] => {
    const to = leaders[index];
    if (to === undefined || to === outcome.leader) return [];
    outcomes.set(shard, { ...outcome, leader: to });
    return [{ kind: "transfer-leader", group: shard, to }];
  });
}

function bytesOn(node: NodeId, shards: readonly PlannedShard[]): number {
  return shards.reduce((sum, { replicas, bytes }) => sum + (replicas.includes(node) ? bytes : 0), 0);
}

function loadsAfter(
  { nodes, shards, problem }: Aims,
  outcomes: ReadonlyMap<ShardId, ShardOutcome>,
): number[] {
  const indexOf = new Map(nodes.map(({ id }, index) => [id, index]));
  return loadsOf(
    problem,
    shards.map(({ id }) => (outcomes.get(id)?.replicas ?? []).flatMap((node) => indexOf.get(node) ?? [])),
  );
}

/** Equal shards are compared by moves, others by bytes. */
function gapOf({ uniform }: Aims, target: Target, moves: number, bytes: number): number {
  if (uniform) return target.moves === 0 ? 0 : moves / target.moves - 1;
  const gap = target.bytes === 0 ? (bytes === 0 ? 0 : Infinity) : bytes / target.bytes - 1;
  return gap < 1e-9 ? 0 : gap;
}

/** A wave takes as long as its busiest node sends or takes. */
export function durationOf(waves: Plan["waves"], bytesPerSecond: number): number {
  const seconds = waves.reduce((sum, wave) => {
    const busy = new Map<string, number>();
    for (const step of wave) {
      if (!("bytes" in step)) continue;
      const ends = "from" in step ? [`from ${step.from}`, `to ${step.to}`] : [`to ${step.to}`];
      for (const end of ends) busy.set(end, (busy.get(end) ?? 0) + step.bytes);
    }
    return sum + Math.max(0, ...busy.values()) / bytesPerSecond;
  }, 0);
  return Math.ceil(seconds * 1000);
}

function changesByNode(
  { nodes, shards, problem, shares }: Aims,
  state: PlannedState,
  outcomes: ReadonlyMap<ShardId, ShardOutcome>,
  moved: readonly Change[],
  changes: readonly Change[],
  heldAfter: readonly number[],
): PlannedChange[] {
  const before = countsOf(state.shards, (shard) => shard);
  const after = countsOf(shards, (shard) => outcomes.get(shard.id) ?? shard);
  const heldBefore = loadsOf(
    problem,
    problem.shards.map(({ holders }) => holders),
  );
  const load = (counts: Counts, node: NodeId, held: number): NodeLoad => ({
    ...(counts.get(node) ?? { replicas: 0, leads: 0, bytes: 0 }),
    held,
  });
  const received = tally(moved.map(({ to }) => to));
  const given = tally(changes.map(({ from }) => from));
  return nodes.map(({ id }, index) => ({
    node: id,
    share: shares[index] ?? 0,
    before: load(before, id, heldBefore[index] ?? 0),
    after: load(after, id, heldAfter[index] ?? 0),
    received: received.get(index) ?? 0,
    given: given.get(index) ?? 0,
  }));
}

type Counts = Map<NodeId, Omit<NodeLoad, "held">>;

function countsOf(shards: readonly PlannedShard[], outcomeOf: (shard: PlannedShard) => ShardOutcome): Counts {
  const counts = new Map<NodeId, { replicas: number; leads: number; bytes: number }>();
  for (const shard of shards) {
    const { replicas, leader } = outcomeOf(shard);
    for (const node of replicas) {
      const known = counts.get(node) ?? { replicas: 0, leads: 0, bytes: 0 };
      if (known.replicas === 0) counts.set(node, known);
      known.replicas += 1;
      known.bytes += shard.bytes;
      if (node === leader) known.leads += 1;
    }
  }
  return counts;
}

function tally(nodes: readonly (number | undefined)[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const node of nodes) if (node !== undefined) counts.set(node, (counts.get(node) ?? 0) + 1);
  return counts;
}

function softProblems(
  { nodes, problem, giants }: Aims,
  after: readonly number[],
  isBalanced: boolean,
  isCut: boolean,
  target: Target,
): PlanProblem[] {
  if (isCut) {
    return [
      {
        code: "limited",
        severity: "soft",
        message: `the limits leave a part of the ${target.moves} or more moves that make the cluster even`,
        hint: "plan again when this part is done",
      },
    ];
  }
  if (giants.length > 0) {
    return [
      {
        code: "shard-too-large",
        severity: "soft",
        message: `shard ${listed(giants.slice(0, 3))}${giants.length > 3 ? ` and ${giants.length - 3} more` : ""} alone ${giants.length === 1 ? "is" : "are"} more than a fair share of a node`,
        hint: "split it in two; until then its nodes hold nothing else, and the others share the rest",
      },
    ];
  }
  if (isBalanced) return [];
  const off = nodes.filter((_, index) => {
    const { least = 0, most = 0 } = problem.nodes[index] ?? {};
    const load = after[index] ?? 0;
    return load < least * (1 - 1e-9) || load > most * (1 + 1e-9);
  });
  return [
    {
      code: "threshold-not-reached",
      severity: "soft",
      message: `${listed(off.slice(0, 3).map(({ id }) => id))}${off.length > 3 ? ` and ${off.length - 3} more` : ""} cannot be brought within the threshold by moving whole shards`,
      hint: "use a larger --threshold, or split large shards",
    },
  ];
}

function refused(state: PlannedState, options: RebalanceOptions, threshold: number, aims: Aims): Plan {
  const outcomes = new Map<ShardId, ShardOutcome>(aims.shards.map((shard) => [shard.id, shard]));
  const held = loadsAfter(aims, outcomes);
  return {
    apiVersion: "mem0ctl/v1",
    kind: "Plan",
    by: options.by,
    threshold,
    waves: [],
    predicted: { moves: 0, bytes: 0, leaderTransfers: 0, durationMs: null },
    lowerBound: { moves: 0, bytes: 0 },
    gap: 0,
    optimal: false,
    balanced: false,
    nodes: changesByNode(aims, state, outcomes, [], [], held),
    problems: aims.problems,
    state,
  };
}
