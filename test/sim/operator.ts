// An operator who has the cluster move its replicas about, empty nodes, and split, merge and pin shards: what is asked
// for is drawn from the map that a node has, and may well be impossible by the time it is begun. Never less than the
// cluster's copies are asked for: a disk of this run may lose what is on it. In some runs whoever has to do with a step
// is killed as it begins or ends, so that every stage of a move is one at which somebody dies.

import type { CallContext } from "../../src/memory/service.ts";
import type { NodeId } from "../../src/model/ids.ts";
import { META_GROUP } from "../../src/model/ids.ts";
import {
  stepsOf,
  stepWords,
  type ClusterStep,
  type Operation,
  type OperationRequest,
} from "../../src/model/operation.ts";
import type { ShardMap, ShardSlice } from "../../src/model/shard-map.ts";
import type { NodeCore } from "../../src/node/core.ts";
import { leavingSteps } from "../../src/topology/steps.ts";
import type { HandoverStep } from "../../src/model/plan.ts";
import { isHandoverStep, nextShardId } from "../../src/topology/handovers.ts";
import { shardOfKey } from "../../src/topology/shard-map.ts";
import { slotOf } from "../../src/topology/slots.ts";
import type { Chance } from "./chance.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

const STEPS_MAX = 4;
/** Between two things that are asked for. */
const PAUSE_MS_MAX = 2000;
/** Between what a step shows and its end before time. */
const CANCEL_MS_MAX = 30;
/** Between what was noted of a step and the death of somebody who has to do with it. */
const STRIKE_MS_MAX = 60;

export interface OperatorParts {
  readonly world: World;
  readonly machines: ReadonlyMap<NodeId, Machine>;
  /** Of each shard, at least. */
  readonly copies: number;
  /** Keys of clients at which shards can be split, or that can be pinned. */
  readonly keys: readonly string[];
  /** Whether replicas have to move in this run. */
  readonly isBusy: boolean;
  readonly contextOf: (machine: Machine) => CallContext;
  readonly follow: (machine: Machine, words: string, work: Promise<unknown>) => void;
  readonly crash: (machine: Machine, why: string) => void;
}

export class Operator {
  isOver = false;
  /** When replicas or members were asked to change last: nobody can tell how far that is. */
  askedMs = -Infinity;
  /** Nodes that were let have replicas again. */
  readonly undrained = new Set<NodeId>();
  readonly #parts: OperatorParts;
  readonly #chance: Chance;
  readonly #isOn: boolean;
  readonly #strikes: boolean;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
    this.#chance = parts.world.chanceApart("operator");
    this.#isOn = this.#chance.hits(parts.isBusy ? 0.7 : 0.35);
    this.#strikes = this.#chance.hits(0.5);
  }

  start(): void {
    if (this.#isOn) this.#next();
  }

  /** An operation begins, is further than before, or has ended. */
  onOperation({ plan }: Operation): void {
    if (this.isOver || !this.#strikes || !this.#chance.hits(0.15)) return;
    const { machines, world, crash } = this.#parts;
    const step = this.#chance.pick(stepsOf(plan));
    const concerned = ["from" in step ? step.from : undefined, "to" in step ? step.to : undefined];
    const victims = [...machines.values()].filter(
      ({ id, core }) =>
        concerned.includes(id) || core?.host.groups.get(META_GROUP)?.replica.status().role === "leader",
    );
    if (victims.length === 0) return;
    const victim = this.#chance.pick(victims);
    world.timeline.plan(this.#chance.between(0, STRIKE_MS_MAX), () => {
      if (!this.isOver && victim.isUp) crash(victim, `killed: ${stepWords(step)}`);
    });
  }

  /** What `name` has just shown, or asked for, says that a step begins, or ends: in some runs it is cancelled then. */
  onProgress(name: NodeId, probability: number): void {
    if (this.isOver || !this.#isOn || !this.#chance.hits(probability)) return;
    const { machines, world } = this.#parts;
    world.timeline.plan(this.#chance.between(0, CANCEL_MS_MAX), () => {
      const machine = machines.get(name);
      if (!this.isOver && machine !== undefined) this.#cancel(machine);
    });
  }

  #cancel(machine: Machine): void {
    const { contextOf, follow } = this.#parts;
    const { core } = machine;
    const running = core?.admin.report().operation;
    if (core === undefined || running === undefined) return;
    // Put back into the sets of leaderless shards, what is gone for good would be waited for until it is taken out again.
    const steps = core.leaderless === undefined ? [] : stepsOf(core.operation()?.plan ?? { waves: [] });
    if (steps.some((step) => step.kind === "remove-node" && this.#isHurt(step.node))) return;
    follow(machine, `cancel ${running.name}`, core.admin.cancelOperation(contextOf(machine)));
  }

  /** Something on the machine is gone for good, and it is to leave. */
  #isHurt(id: NodeId): boolean {
    const machine = this.#parts.machines.get(id);
    return machine?.loss !== undefined && !machine.hasLeft;
  }

  #next(): void {
    this.#parts.world.timeline.plan(this.#chance.between(0, PAUSE_MS_MAX), () => {
      if (this.isOver) return;
      this.operate();
      this.#next();
    });
  }

  /** Splits a shard, copying no faster than that; whatever comes of it. Nothing more once there are many shards. */
  splitSlowly(machine: Machine, bytesPerSecondMax: number): void {
    const { keys, contextOf, follow } = this.#parts;
    const { core } = machine;
    if (core === undefined || core.map().shards.length >= SHARDS_MAX) return;
    const step = splitAt(core.map(), this.#chance.pick(keys), this.#chance.below(2));
    const plan = { name: stepWords(step), startedBy: "drill", waves: [[step]], concurrency: 1 };
    const begun = core.admin.beginOperation({ ...plan, bytesPerSecondMax, epoch: null }, contextOf(machine));
    follow(machine, plan.name, begun);
  }

  /** Asks for something, whatever comes of it. */
  operate(): void {
    const chance = this.#chance;
    const { machines, copies, keys, contextOf, follow } = this.#parts;
    const up = [...machines.values()].filter(({ isUp }) => isUp);
    const machine = up.length === 0 ? undefined : chance.pick(up);
    const core = machine?.core;
    if (machine === undefined || core === undefined) return;
    const running = core.admin.report().operation;
    if (running !== undefined && chance.hits(0.3)) {
      this.#cancel(machine);
      return;
    }
    const { nodes } = core.map();
    // With one machine gone for good, whoever takes another replica away may take a quorum along.
    if ([...machines.keys()].some((id) => this.#isHurt(id)) || nodes.length === 0) return;
    const draining = nodes.filter(({ draining: is }) => is);
    if (draining.length > 0 && chance.hits(0.4)) {
      const { id } = chance.pick(draining);
      this.undrained.add(id);
      follow(machine, `undrain ${id}`, core.admin.drain({ node: id, draining: false }, contextOf(machine)));
      return;
    }
    if (chance.hits(0.25)) {
      const { id } = chance.pick(nodes);
      this.askedMs = this.#parts.world.nowMs;
      follow(machine, `drain ${id}`, drain(core, id, contextOf(machine)));
      return;
    }
    const isLeaderless = core.leaderless !== undefined;
    const request = drawOperation(chance, core.map(), { copies, keys, isLeaderless });
    if (request === undefined) return;
    this.askedMs = this.#parts.world.nowMs;
    const words = stepsOf(request).map(stepWords).join(", ");
    follow(machine, words, core.admin.beginOperation(request, contextOf(machine)));
  }
}

/** Splits a shard at a key that clients use, or its slot. */
function splitAt(map: ShardMap, key: string, slotsOn: number): HandoverStep {
  const at = map.strategy === "range" ? key : String(slotOf(key) + slotsOn);
  return { kind: "split", shard: shardOfKey(map, key).id, at, into: nextShardId(map) };
}

/** As `nodes drain` does it: refused before anything is changed, planned once nothing can be put there any more. */
async function drain(core: NodeCore, node: NodeId, context: CallContext): Promise<void> {
  const bytesOf = (): number => 0;
  leavingSteps(core.map(), node, bytesOf);
  const map = await core.admin.drain({ node, draining: true }, context);
  const steps = leavingSteps(map, node, bytesOf);
  if (steps.length === 0) return;
  const plan = { name: `drain ${node}`, startedBy: "operator", waves: [steps], concurrency: 2 };
  await core.admin.beginOperation({ ...plan, bytesPerSecondMax: null, epoch: null }, context);
}

/** More would only dilute what happens to each. */
const SHARDS_MAX = 4;

/** What the operator knows of the cluster. */
interface Known {
  /** Copies of a shard when nothing was moved. */
  readonly copies: number;
  /** Keys that clients use. */
  readonly keys: readonly string[];
  readonly isLeaderless: boolean;
}

/** undefined where the map has nothing that could be moved. */
function drawOperation(
  chance: Chance,
  map: ShardMap,
  { copies, keys, isLeaderless }: Known,
): OperationRequest | undefined {
  if (map.shards.length === 0) return undefined;
  const draw = isLeaderless ? drawLeaderlessHandover : drawHandover;
  const handover = keys.length > 0 && chance.hits(0.5) ? draw(chance, map, keys) : undefined;
  const steps: ClusterStep[] = handover === undefined ? [] : [handover];
  for (let count = 1 + chance.below(STEPS_MAX); count > 0; count -= 1) {
    const step = drawStep(chance, map, chance.pick(map.shards), copies);
    // Leaderless shards have no leaders, and keep their copies: all is refused for one such step.
    const isRefused = isLeaderless && (step?.kind === "transfer-leader" || step?.kind === "remove-replica");
    if (isRefused && chance.hits(0.8)) continue;
    // A second step for a shard would be drawn from what the first one changes.
    const isNew = step !== undefined && !steps.some((other) => groupOf(other) === groupOf(step));
    if (isNew) steps.push(step);
  }
  if (steps.length === 0) return undefined;
  const first = chance.below(steps.length);
  const waves = chance.hits(0.5) ? [steps] : [steps.slice(0, first), steps.slice(first)];
  return {
    name: "moves of the simulator",
    startedBy: "operator",
    waves,
    concurrency: 1 + chance.below(3),
    bytesPerSecondMax: chance.pick([null, null, 2000, 20_000]),
    epoch: chance.hits(0.5) ? map.epoch : null,
  };
}

function drawStep(chance: Chance, map: ShardMap, shard: ShardSlice, copies: number): ClusterStep | undefined {
  const { replicas, arbiters } = shard;
  const free = map.nodes
    .filter(({ id, role, draining }) => role !== "arbiter" && !draining && !replicas.includes(id))
    .map(({ id }) => id);
  const from = chance.pick(replicas);
  const choice = chance.next();
  if (choice < 0.15) return { kind: "transfer-leader", group: shard.id, to: from };
  if (choice < 0.4 && replicas.length > copies) return { kind: "remove-replica", shard: shard.id, from };
  if (free.length === 0) return otherArbiter(chance, map, shard, arbiters[0]);
  const to = chance.pick(free);
  if (choice < 0.55) return { kind: "add-replica", shard: shard.id, to, bytes: 0 };
  return { kind: "move-replica", shard: shard.id, from, to, bytes: 0 };
}

/** Split at a key that clients use, or its slot; so both parts have something to do. */
function drawHandover(chance: Chance, map: ShardMap, keys: readonly string[]): HandoverStep | undefined {
  const key = chance.pick(keys);
  const shard = chance.pick(map.shards).id;
  const choice = chance.next();
  if (map.strategy === "directory" && choice < 0.5) {
    return choice < 0.35 ? { kind: "pin", key, shard } : { kind: "unpin", key };
  }
  if (map.shards.length === 1 || (choice < 0.75 && map.shards.length < SHARDS_MAX)) {
    return splitAt(map, key, chance.below(2));
  }
  return { kind: "merge", shard, into: chance.pick(map.shards).id };
}

/** Those of shards with as many copies: of two that differ in it all is refused. */
function drawLeaderlessHandover(
  chance: Chance,
  map: ShardMap,
  keys: readonly string[],
): HandoverStep | undefined {
  const step = drawHandover(chance, map, keys);
  if (map.shards.length === 1 || (step?.kind === "split" && chance.hits(0.5))) return step;
  const from = chance.pick(map.shards);
  const others = map.shards.filter(
    ({ id, replicas }) => id !== from.id && replicas.length === from.replicas.length,
  );
  if (others.length === 0) return step;
  const near = others.filter(
    ({ start, end }) => map.strategy !== "range" || end === from.start || start === from.end,
  );
  const into = chance.pick(near.length > 0 ? near : others).id;
  if (map.strategy !== "directory" || chance.hits(0.5)) return { kind: "merge", shard: from.id, into };
  const own = keys.filter((key) => shardOfKey(map, key).id === from.id);
  return own.length === 0 ? step : { kind: "pin", key: chance.pick(own), shard: into };
}

function otherArbiter(
  chance: Chance,
  map: ShardMap,
  { id, arbiters }: ShardSlice,
  from: NodeId | undefined,
): ClusterStep | undefined {
  const free = map.nodes.filter((node) => node.role === "arbiter" && !arbiters.includes(node.id));
  if (from === undefined || free.length === 0) return undefined;
  return { kind: "move-replica", shard: id, from, to: chance.pick(free).id, bytes: 0 };
}

function groupOf(step: ClusterStep): string {
  if (isHandoverStep(step)) return "handover";
  return "shard" in step ? step.shard : "group" in step ? step.group : step.node;
}
