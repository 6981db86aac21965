// Begins, shows and cancels operations, asked at any node. One runs at a time: the metadata group refuses a second
// one. Whatever is begun here is carried on by whoever leads that group (executor.ts).

import type { Consistency } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { META_GROUP } from "../../model/ids.ts";
import {
  hasEnded,
  stepsOf,
  stepWords,
  type ClusterStep,
  type Operation,
  type OperationProgress,
  type OperationReport,
  type OperationRequest,
  type StepCopying,
  type StepState,
} from "../../model/operation.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { isHandoverStep } from "../../topology/handovers.ts";
import { leaderlessWaves } from "../../topology/leaderless-handovers.ts";
import { withoutOutgoing } from "../../topology/membership.ts";
import { isReplicaStep, mapAfterStep } from "../../topology/steps.ts";
import type { Clock } from "../clock.ts";
import { changeOfMap } from "../cluster/map-change.ts";
import type { Router } from "../cluster/router.ts";
import type { OperationResult } from "../meta/meta-machine.ts";
import type { GroupMembers } from "./group-members.ts";
import { refuseClashes, type ReadShard } from "./id-clashes.ts";

const CANCEL_ATTEMPTS_MAX = 20;
const ID_BYTES = 6;

type Waves = OperationRequest["waves"];

export interface OperationsOptions {
  readonly clock: Clock;
  readonly router: Router;
  readonly members: GroupMembers;
  readonly map: () => ShardMap;
  readonly readShard: ReadShard;
  readonly operation: () => Operation | null;
  /** Resolves once this node has what the metadata group had committed. Throws where it does not lead that. */
  readonly confirm: (deadlineMs: number) => Promise<unknown>;
  /** What this node, as the one that carries it out, knows of what is being copied. */
  readonly copying: () => readonly StepCopying[];
  /** Of the quorum protocol; undefined where shards have leaders. */
  readonly levels: Consistency | undefined;
}

export class Operations {
  private readonly options: OperationsOptions;

  constructor(options: OperationsOptions) {
    this.options = options;
  }

  /**
   * @throws Mem0ctlError `operation-running`, `map-changed`, `step-outdated`, `too-few-copies`, `copies-differ`,
   *   `ids-clash` (all conflict), and nothing is begun.
   */
  async begin(request: OperationRequest, deadlineMs: number): Promise<OperationReport> {
    const { clock, router } = this.options;
    // Said first: while another one runs, what cannot be done now may be possible after it.
    const running = await this.running(deadlineMs);
    if (running !== null) throw refusedBecauseOf(running);
    const waves = await this.check(request.waves, deadlineMs);
    const id = Buffer.from(clock.randomBytes(ID_BYTES)).toString("hex");
    const plan = { ...request, waves, id, startedMs: clock.wallMs() };
    const result = await router.changeOperation({ begin: plan }, deadlineMs);
    if (!result.accepted || result.operation === null) throw refusal(result, request);
    return { ...result.operation, copying: [] };
  }

  /**
   * The waves as they would be carried out now. Nothing is begun.
   * @throws Mem0ctlError `step-outdated`, `too-few-copies`, `copies-differ`, `ids-clash` (all conflict).
   */
  async check(waves: Waves, deadlineMs: number): Promise<Waves> {
    const map = await this.newestMap(deadlineMs);
    const planned = this.possible(waves, map);
    for (const step of waves.flat().filter(isHandoverStep)) {
      await refuseClashes(settled(map), step, this.options.readShard, deadlineMs);
    }
    return planned;
  }

  /**
   * As whoever carries it out knows it; the last one when none runs, null when none ever did. What was acknowledged
   * before the question is in it.
   * @throws Mem0ctlError `no-leader`, `read-timed-out` (unavailable).
   */
  async show(deadlineMs: number): Promise<OperationReport | null> {
    const { router } = this.options;
    const shown = await router.askMeta("operation", (untilMs) => this.showHere(untilMs), deadlineMs);
    return shown as OperationReport | null;
  }

  /** At the leader of the metadata group, which makes sure that it still is. */
  async showHere(deadlineMs: number): Promise<OperationReport | null> {
    await this.options.confirm(deadlineMs);
    const operation = this.options.operation();
    return operation === null ? null : { ...operation, copying: this.options.copying() };
  }

  /**
   * What has not begun never does; what has begun is undone where the new replica does not count yet, and
   * finished where it does. Resolves when that is decided, not when it is over. Idempotent.
   * @throws Mem0ctlError `no-operation` (conflict)
   */
  async cancel(deadlineMs: number): Promise<OperationReport> {
    const { router } = this.options;
    for (let attempt = 0; attempt < CANCEL_ATTEMPTS_MAX; attempt += 1) {
      const operation = await this.running(deadlineMs);
      if (operation === null) {
        throw new Mem0ctlError("conflict", "no-operation", "no operation is running");
      }
      const { plan, progress } = operation;
      if (progress.state === "cancelling") return { ...operation, copying: [] };
      const next: OperationProgress = {
        ...progress,
        revision: progress.revision + 1,
        state: "cancelling",
        why: null,
        steps: await this.cancelled(operation, deadlineMs),
      };
      const result = await router.changeOperation({ operation: plan.id, progress: next }, deadlineMs);
      if (result.accepted && result.operation !== null) return { ...result.operation, copying: [] };
    }
    throw new Mem0ctlError("busy", "operation-moving", "the operation changed again and again meanwhile", {
      hint: "try again",
    });
  }

  /** The one that runs, null when none does. */
  async running(deadlineMs: number): Promise<Operation | null> {
    const operation = await this.newest(deadlineMs);
    return operation === null || hasEnded(operation) ? null : operation;
  }

  private changeMap(change: (map: ShardMap) => ShardMap, deadlineMs: number): Promise<ShardMap> {
    const { router } = this.options;
    return changeOfMap(this.options.map(), change, (command) => router.changeMap(command, deadlineMs));
  }

  private newestMap(deadlineMs: number): Promise<ShardMap> {
    return this.changeMap((map) => map, deadlineMs);
  }

  /** As the metadata group has it, and not as this node has heard: it refuses a revision that can never be. */
  private async newest(deadlineMs: number): Promise<Operation | null> {
    const known = this.options.operation();
    const progress: OperationProgress = known?.progress ?? NOTHING;
    const asked = { operation: known?.plan.id ?? "", progress: { ...progress, revision: -1 } };
    return (await this.options.router.changeOperation(asked, deadlineMs)).operation;
  }

  private cancelled({ plan, progress }: Operation, deadlineMs: number): Promise<StepState[]> {
    const { members } = this.options;
    return Promise.all(
      stepsOf(plan).map(async (step, at): Promise<StepState> => {
        const state = progress.steps[at] ?? "waiting";
        if (state === "waiting") return "dropped";
        if (state !== "running") return state;
        // Unless it is too late for that, which its giver's log says, or, of a copy that is taken away, the map.
        if (isHandoverStep(step) || step.kind === "remove-replica") return "undoing";
        if (!isReplicaStep(step)) return state;
        return (await members.counts(step.shard, step.to, deadlineMs)) ? state : "undoing";
      }),
    );
  }

  /** The waves, in which every step can be done after those before it. Throws where one cannot. */
  private possible(waves: Waves, map: ShardMap): Waves {
    const { levels } = this.options;
    if (levels === undefined) {
      let planned = map;
      for (const step of waves.flat()) planned = mapAfterStep(planned, step, false);
      return waves;
    }
    let planned = settled(map);
    const add = (step: ClusterStep): void => {
      refuseForLeaderless(step, levels);
      planned = settled(mapAfterStep(planned, step, true));
    };
    return waves.flatMap((wave) => {
      const others = wave.filter((step) => !isHandoverStep(step));
      others.forEach(add);
      const handedOver = wave.filter(isHandoverStep).flatMap((step) => {
        const steps = leaderlessWaves(planned, step);
        steps.flat().forEach(add);
        return steps;
      });
      return [...(others.length === 0 ? [] : [others]), ...handedOver];
    });
  }
}

/** The map when what is under way is over: every step waits for that. */
function settled(map: ShardMap): ShardMap {
  const { handover: _, ...rest } = withoutOutgoing(
    map,
    map.shards.map(({ id }) => id),
  );
  return rest;
}

/**
 * Another number of copies of a leaderless shard: a write at level one may be on the very copy that goes, and
 * levels that are numbers overlap for one number of copies only. And nobody can lead it.
 */
function refuseForLeaderless(step: ClusterStep, { read, write }: Consistency): void {
  if (isHandoverStep(step)) return;
  if (step.kind === "transfer-leader" && step.group !== META_GROUP) {
    throw new Mem0ctlError("invalid", "leaderless-by-design", `cannot ${stepWords(step)}`, {
      why: "the shards of a cluster of protocol quorum have no leaders",
      hint: "only the metadata group has one: `mem0ctl leader transfer meta`",
    });
  }
  const isNumber = typeof read === "number" || typeof write === "number";
  if (step.kind !== "remove-replica" && !(step.kind === "add-replica" && isNumber)) return;
  throw new Mem0ctlError("conflict", "copies-fixed", `cannot ${stepWords(step)}`, {
    why:
      step.kind === "remove-replica"
        ? "a write at level one may be on no other copy of a leaderless shard"
        : `the levels R ${read} and W ${write} are made for the copies that there are`,
    hint: "move the replica to another node instead: `mem0ctl shards move`",
  });
}

const NOTHING: OperationProgress = {
  revision: 0,
  state: "done",
  why: null,
  steps: [],
  failures: {},
  bytes: 0,
  endedMs: null,
};

function refusal({ operation, epoch }: OperationResult, request: OperationRequest): Mem0ctlError {
  if (operation !== null && !hasEnded(operation)) return refusedBecauseOf(operation);
  return new Mem0ctlError("conflict", "map-changed", "the cluster has changed since this was planned", {
    why: `it was planned for epoch ${request.epoch}, and epoch ${epoch} holds`,
    hint: "plan again: what is done already is not planned twice",
    data: { planned: request.epoch, epoch },
  });
}

function refusedBecauseOf({ plan, progress }: Operation): Mem0ctlError {
  return new Mem0ctlError("conflict", "operation-running", `another operation runs: ${plan.name}`, {
    why: `it was started by ${plan.startedBy} and is ${progress.state}; one runs at a time`,
    hint: "watch it with `mem0ctl shards rebalance --status`, or end it with `mem0ctl shards rebalance --cancel`",
    data: { id: plan.id, name: plan.name, state: progress.state },
  });
}
