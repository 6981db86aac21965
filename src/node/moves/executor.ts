// Carries the running operation on, on the node that leads the metadata group. What is to be done next follows from
// the operation and the shard map in that group and from what the shards' own members say, so a leader that takes
// over goes on where the one before stopped. A step that is to begin is noted first and done then: what the
// map wants is always known to be wanted by a step.

import { Mem0ctlError } from "../../model/errors.ts";
import { groupName, META_GROUP, type GroupId, type NodeId, type ShardId } from "../../model/ids.ts";
import {
  hasEnded,
  stepsOf,
  stepWords,
  type ClusterStep,
  type Operation,
  type OperationProgress,
  type StepCopying,
  type StepState,
} from "../../model/operation.ts";
import type { Handover, ShardMap } from "../../model/shard-map.ts";
import { isHandoverStep } from "../../topology/handovers.ts";
import {
  isReplicaStep,
  isWanted,
  mapAfterStep,
  mapUndoingStep,
  mapWithoutMember,
  type ReplicaStep,
} from "../../topology/steps.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { Clock } from "../clock.ts";
import { changeOfMap } from "../cluster/map-change.ts";
import { wantedMembership } from "../cluster/reconcile.ts";
import type { Router } from "../cluster/router.ts";
import type { CopyingReport, GroupMembers } from "./group-members.ts";
import { Handovers } from "./handovers.ts";
import type { HealthBound } from "./health-bound.ts";
import type { ReadShard } from "./id-clashes.ts";
import { LeaderlessHandovers } from "./leaderless-handovers.ts";
import type { SuccessionReport } from "../quorum/successions.ts";
import type { Pace } from "./pace.ts";

const CALL_MS = 3000;
/** A leader that was not taken over from in this time is not waited for any more. */
const TRANSFER_MS = 15_000;
/** A leadership hand-over is asked for again after so long. */
const TRANSFER_AGAIN_MS = 2500;
/** What was given up is not waited for any longer when a shard had nobody who leads for this long: it may be lost. */
const LEADERLESS_MS = 15_000;

export interface ExecutorOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly router: Router;
  readonly members: GroupMembers;
  readonly health: HealthBound;
  readonly pace: Pace;
  readonly map: () => ShardMap;
  readonly readShard: ReadShard;
  readonly operation: () => Operation | null;
  /** Whether this node leads the metadata group. */
  readonly leads: () => boolean;
  readonly leaderless: boolean;
  readonly isUp: (node: NodeId) => boolean;
  readonly transfer: (group: GroupId, to: NodeId | undefined, deadlineMs: number) => Promise<unknown>;
  /** How far a node's copies of leaderless shards are with a handover. */
  readonly successionAt: (node: NodeId, handover: number, deadlineMs: number) => Promise<SuccessionReport>;
}

type TransferStep = Extract<ClusterStep, { readonly kind: "transfer-leader" }>;

/** What a look found out about a step. */
interface Advance {
  readonly state: StepState;
  readonly why?: string;
}

export class Executor {
  private readonly options: ExecutorOptions;
  private isLooking = false;
  /** Of this node's time as leader: when a leadership hand-over was asked for first, and last. */
  private readonly transfers = new Map<number, { readonly firstMs: number; lastMs: number }>();
  /** Of steps that were given up: since when a shard that they need has had nobody who leads. */
  private readonly leaderlessSince = new Map<number, number>();
  private copyingNow = new Map<number, StepCopying>();
  private operationId = "";

  private readonly handovers: Handovers | LeaderlessHandovers;

  constructor(options: ExecutorOptions) {
    this.options = options;
    const changeMap = (change: (map: ShardMap) => ShardMap): Promise<ShardMap> => this.changeMap(change);
    const hasQuorum = (map: ShardMap, shard: ShardId): boolean => this.keepsQuorum(map, shard);
    this.handovers = options.leaderless
      ? new LeaderlessHandovers({ ...options, changeMap })
      : new Handovers({ ...options, changeMap, hasQuorum });
  }

  /** What running steps have copied, as this node last heard it. */
  get copying(): readonly StepCopying[] {
    return [...this.copyingNow.values()];
  }

  look(): void {
    const operation = this.options.operation();
    if (this.isLooking || !this.options.leads()) return;
    const isRunning = operation !== null && !hasEnded(operation);
    if (!isRunning && this.options.map().handover === undefined) return;
    this.isLooking = true;
    let hasMoved = false;
    // Whatever keeps it from going on is looked at again next time.
    (isRunning ? this.advance(operation) : this.settle())
      .then(
        (moved) => {
          hasMoved = moved;
        },
        () => undefined,
      )
      .finally(() => {
        this.isLooking = false;
        // What has just been noted can be done at once.
        if (hasMoved) this.look();
      });
  }

  /** What nobody carries out any more: of an operation that ended, or was given up before its map was known. */
  private async settle(): Promise<boolean> {
    await this.handovers.settle(this.options.map());
    return false;
  }

  /** True when the operation is further than before. */
  private async advance(operation: Operation): Promise<boolean> {
    const { plan, progress } = operation;
    if (this.operationId !== plan.id) {
      this.operationId = plan.id;
      this.transfers.clear();
      this.leaderlessSince.clear();
      this.copyingNow.clear();
    }
    const steps = stepsOf(plan);
    const left = this.options.map();
    const isCarriedOut = steps.some(
      (step, at) => stepWords(step) === left.handover?.name && isBusy(progress.steps[at]),
    );
    if (left.handover !== undefined && !isCarriedOut) await this.handovers.settle(left);
    const looked = await Promise.all(
      steps.map(async (step, at): Promise<Advance> => {
        const state = progress.steps[at] ?? "waiting";
        if (state !== "running" && state !== "undoing") return { state };
        const advance = await this.advanceStep(at, step, state);
        const isStuck = progress.state === "cancelling" && isBusy(advance.state);
        return (isStuck ? await this.leftLeaderless(at, step) : undefined) ?? advance;
      }),
    );
    const states = looked.map(({ state }) => state);
    const failures = { ...progress.failures };
    let { bytes } = progress;
    for (const [at, { state, why }] of looked.entries()) {
      if (why !== undefined) failures[at] = why;
      if (state === progress.steps[at]) continue;
      if (state === "done") bytes += this.copyingNow.get(at)?.bytes ?? 0;
      this.copyingNow.delete(at);
    }
    const trouble = await this.options.health.trouble(operation);
    return this.note(
      operation,
      this.next({ ...progress, steps: states, failures, bytes }, operation, trouble),
    );
  }

  /** What comes of the steps as they are: which begin, and whether all is over. Pure but for the clock. */
  private next(
    progress: OperationProgress,
    { plan }: Operation,
    trouble: string | undefined,
  ): OperationProgress {
    const endedMs = this.options.clock.wallMs();
    const isOpen = (state: StepState): boolean =>
      state === "waiting" || state === "running" || state === "undoing";
    if (progress.state === "cancelling") {
      if (progress.steps.some(isOpen)) return progress;
      return { ...progress, state: "cancelled", endedMs };
    }
    if (!progress.steps.some(isOpen)) {
      const failed = Object.values(progress.failures);
      return failed.length === 0
        ? { ...progress, state: "done", why: null, endedMs }
        : { ...progress, state: "failed", why: failed[0] ?? null, endedMs };
    }
    if (trouble !== undefined) {
      // What is wrong may be told in other words at every look; the first ones stay.
      return progress.state === "paused" ? progress : { ...progress, state: "paused", why: trouble };
    }
    const steps = [...progress.steps];
    for (const at of beginning(plan.waves, steps, plan.concurrency)) steps[at] = "running";
    return { ...progress, state: "running", why: null, steps };
  }

  private async note({ plan, progress }: Operation, next: OperationProgress): Promise<boolean> {
    if (JSON.stringify(next) === JSON.stringify(progress)) return false;
    const { router, clock } = this.options;
    const { accepted } = await router.changeOperation(
      { operation: plan.id, progress: { ...next, revision: progress.revision + 1 } },
      clock.nowMs() + CALL_MS,
    );
    return accepted;
  }

  private async advanceStep(at: number, step: ClusterStep, state: StepState): Promise<Advance> {
    try {
      if (isReplicaStep(step)) return await this.advanceReplica(at, step, state);
      if (isHandoverStep(step)) {
        const note = ({ from, to }: Handover, copied: number): void => this.noteSlice(at, from, to, copied);
        return { state: await this.handovers.advance(step, state, note) };
      }
      return step.kind === "transfer-leader"
        ? await this.advanceTransfer(at, step)
        : await this.advanceRemoval(step.node);
    } catch (error) {
      // The map is not what the step was made for. All else is tried again: it may be a leader that is just elected.
      if (error instanceof Mem0ctlError && error.code === "step-outdated") {
        return { state: "failed", why: `${error.message}: ${error.why ?? ""}` };
      }
      return { state };
    }
  }

  /**
   * How a step that was given up ends where a shard that it waits for has lost its quorum, perhaps for good: what its
   * members are cannot be known, and the map keeps what it wants of them. One operation runs at a time, and the other
   * shards need the next one. undefined while the step is to be waited for.
   */
  private async leftLeaderless(at: number, step: ClusterStep): Promise<Advance | undefined> {
    const { members, clock, leaderless, map } = this.options;
    const isConcerned = isReplicaStep(step) || step.kind === "remove-node";
    if (leaderless || !isConcerned) return undefined;
    const shards = isReplicaStep(step) ? [step.shard] : map().shards.map(({ id }) => id);
    const deadlineMs = clock.nowMs() + CALL_MS;
    // Asked, not heard: nobody takes a claim to lead back.
    const known = await Promise.all(shards.map((id) => members.of(id, deadlineMs)));
    const shard = shards[known.indexOf(undefined)];
    if (shard === undefined) {
      this.leaderlessSince.delete(at);
      return undefined;
    }
    const sinceMs = this.leaderlessSince.get(at) ?? clock.nowMs();
    this.leaderlessSince.set(at, sinceMs);
    if (clock.nowMs() - sinceMs < LEADERLESS_MS) return undefined;
    const goesOn = step.kind === "remove-node" ? "" : ", and goes where the map has it when it has one";
    return { state: "failed", why: `${groupName(shard)} has no leader${goesOn}` };
  }

  private async advanceReplica(at: number, step: ReplicaStep, state: StepState): Promise<Advance> {
    const { leaderless, members, clock } = this.options;
    const deadlineMs = clock.nowMs() + CALL_MS;
    const isUndoing = state === "undoing";
    // It may wait for a dead node: who gives it up would take that one out instead.
    if (isUndoing && step.kind === "remove-replica") {
      const newest = await this.changeMap((known) => known);
      if (!isWanted(newest, step)) return { state: "dropped" };
    }
    // It came to count before it could be given up: taking it away again would be a second move.
    const isLate =
      isUndoing && step.kind !== "remove-replica" && (await members.counts(step.shard, step.to, deadlineMs));
    // It counts, and the map wants it no more: who should be in its place may never come.
    const isFinal = isLate && step.kind === "move-replica" && !this.isUp(step.from);
    const change = (map: ShardMap): ShardMap => {
      if (!isUndoing || isFinal) return mapAfterStep(map, step, leaderless);
      return isLate ? map : mapUndoingStep(map, step, leaderless);
    };
    const known = this.options.map();
    const wanted = change(known);
    // Leaderless copies that are called back are in force already: nobody has to come first.
    const mayWait = !isUndoing || !leaderless;
    if (wanted !== known && mayWait && !this.keepsQuorum(wanted, step.shard)) return { state };
    const map = wanted === known ? known : await this.changeMap(change);
    if (step.kind !== "remove-replica" && !isUndoing) {
      this.noteCopying(at, step, await members.copying(step.shard, step.to, deadlineMs));
    }
    if (!(await members.areSettled(map, step.shard, deadlineMs))) return { state };
    return { state: isWanted(map, step) ? "done" : "dropped" };
  }

  /** Nobody hears of itself. */
  private isUp(node: NodeId): boolean {
    return node === this.options.self || this.options.isUp(node);
  }

  /** Whether the shard, as it would be, goes on with those that live now: what makes it wait for a dead one waits. */
  private keepsQuorum(map: ShardMap, shard: ShardId): boolean {
    const voters = wantedMembership(map, shard)?.voters ?? [];
    return 2 * voters.filter((node) => this.isUp(node)).length > voters.length;
  }

  private noteCopying(at: number, step: ReplicaStep, report: CopyingReport | undefined): void {
    if (report === undefined || step.kind === "remove-replica") return;
    const { from, bytes, bytesTotal } = report;
    const known = this.copyingNow.get(at);
    this.copyingNow.set(at, {
      step: at,
      from,
      to: step.to,
      bytes: Math.max(bytes, known?.bytes ?? 0),
      bytesTotal: bytesTotal ?? known?.bytesTotal ?? null,
    });
  }

  private noteSlice(at: number, from: ShardId, to: ShardId, copied: number): void {
    const { router } = this.options;
    const known = this.copyingNow.get(at);
    this.copyingNow.set(at, {
      step: at,
      from: router.leaderOf(from).leader ?? "",
      to: router.leaderOf(to).leader ?? "",
      bytes: (known?.bytes ?? 0) + copied,
      bytesTotal: null,
    });
  }

  /** The map keeps the choice; a replica that cannot take over now does so once it can. */
  private async advanceTransfer(at: number, step: TransferStep): Promise<Advance> {
    const { router, clock, transfer, leaderless } = this.options;
    const { group, to } = step;
    if (to !== undefined) {
      const map = await this.changeMap((known) => mapAfterStep(known, step, leaderless));
      const order = group === META_GROUP ? map.metaVoters : (shardById(map, group)?.replicas ?? []);
      if (!order.includes(to)) return { state: "failed", why: `${to} is no replica of ${groupName(group)}` };
      if (router.leaderOf(group).leader === to) return { state: "done" };
    }
    const nowMs = clock.nowMs();
    const asked = this.transfers.get(at) ?? { firstMs: nowMs, lastMs: -Infinity };
    if (nowMs - asked.firstMs > TRANSFER_MS) {
      return {
        state: "failed",
        why: `${to ?? "no other replica"} did not take over ${groupName(group)} in time`,
      };
    }
    if (nowMs - asked.lastMs < TRANSFER_AGAIN_MS) return { state: "running" };
    this.transfers.set(at, { firstMs: asked.firstMs, lastMs: nowMs });
    await transfer(group, to, nowMs + CALL_MS);
    return { state: "done" };
  }

  /** Its vote first, then what it holds; only then the node itself, which is told of it while it still belongs. */
  private async advanceRemoval(node: NodeId): Promise<Advance> {
    const { members, leaderless, clock } = this.options;
    const step = { kind: "remove-node", node } as const;
    const map = await this.changeMap((known) => mapAfterStep(known, step, leaderless));
    if (!map.nodes.some(({ id }) => id === node)) return { state: "done" };
    const deadlineMs = clock.nowMs() + CALL_MS;
    const groups = [META_GROUP, ...map.shards.map(({ id }) => id)];
    const isFree = await Promise.all(groups.map((group) => members.hasLetGo(map, group, node, deadlineMs)));
    if (isFree.includes(false) || (await members.holdsReplicas(node, deadlineMs)))
      return { state: "running" };
    await this.changeMap((known) => mapWithoutMember(known, node));
    return { state: "done" };
  }

  private changeMap(change: (map: ShardMap) => ShardMap): Promise<ShardMap> {
    const { router, clock } = this.options;
    return changeOfMap(this.options.map(), change, (command) =>
      router.changeMap(command, clock.nowMs() + CALL_MS),
    );
  }
}

/**
 * Which waiting steps begin now: those of the first wave that is not over, as many as may run at a time, one
 * for each group and in its order.
 */
function beginning(
  waves: readonly (readonly ClusterStep[])[],
  states: readonly StepState[],
  concurrency: number,
): number[] {
  const begun: number[] = [];
  let room = concurrency - states.filter(isBusy).length;
  let at = 0;
  for (const wave of waves) {
    const first = at;
    const taken = new Set<string>();
    for (const step of wave) {
      const group = groupOf(step);
      const state = states[at];
      if (isBusy(state)) taken.add(group);
      if (state === "waiting" && !taken.has(group)) {
        taken.add(group);
        if (room > 0) begun.push(at);
        room -= 1;
      }
      at += 1;
    }
    const isOver = states.slice(first, at).every((state) => state !== "waiting" && !isBusy(state));
    if (!isOver) break;
  }
  return begun;
}

function isBusy(state: StepState | undefined): boolean {
  return state === "running" || state === "undoing";
}

function groupOf(step: ClusterStep): string {
  if (step.kind === "transfer-leader") return step.group;
  // One at a time: the map has room for one.
  if (isHandoverStep(step)) return "handover";
  return step.kind === "remove-node" ? `node ${step.node}` : step.shard;
}
