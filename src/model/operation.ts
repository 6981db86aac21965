// An operation is a plan that the cluster itself carries out: its steps and how far they are, kept where the
// shard map is kept, so that whoever leads goes on with it and anyone may watch, cancel or resume it.

import type { NodeId } from "./ids.ts";
import type { HandoverStep, Step } from "./plan.ts";
import { slotCount } from "./shard-map.ts";

/** Steps that the nodes of a cluster can carry out by themselves. */
export type ClusterStep = Extract<
  Step,
  {
    readonly kind:
      | "add-replica"
      | "remove-replica"
      | "move-replica"
      | "transfer-leader"
      | "remove-node"
      | HandoverStep["kind"];
  }
>;

/**
 * waiting: not begun. running: the shard map wants it, or is about to. undoing: given up before the new
 * replica counted; the map goes back. Of a removal: given up unless the map has it already. dropped: cancelled, and
 * nothing of it is left.
 */
export type StepState = "waiting" | "running" | "undoing" | "done" | "failed" | "dropped";

export type OperationState = "running" | "paused" | "cancelling" | "done" | "cancelled" | "failed";

export interface OperationRequest<S extends Step = ClusterStep> {
  /** What it is for, in the words of the command: `rebalance`, `move`, `drain node-2`. */
  readonly name: string;
  readonly startedBy: string;
  /** A wave begins when all steps of the one before have ended. */
  readonly waves: readonly (readonly S[])[];
  /** Steps at a time. */
  readonly concurrency: number;
  /** For each node that sends: what new replicas are copied with. null: as fast as it goes. */
  readonly bytesPerSecondMax: number | null;
  /** Epoch of the map that the steps were planned for; null where any will do. */
  readonly epoch: number | null;
}

/** What never changes while it runs. */
export interface OperationPlan<S extends Step = ClusterStep> extends OperationRequest<S> {
  readonly id: string;
  /** By the clock of the node that was asked, in ms since 1970. */
  readonly startedMs: number;
}

export interface OperationProgress {
  /** Raised by every change. */
  readonly revision: number;
  readonly state: OperationState;
  /** Why it is paused, or has failed. */
  readonly why: string | null;
  /** Of all steps, wave after wave. */
  readonly steps: readonly StepState[];
  /** Of steps that failed, by their place among all steps. */
  readonly failures: Readonly<Record<number, string>>;
  /** Copied by steps that have ended. */
  readonly bytes: number;
  readonly endedMs: number | null;
}

export interface Operation<S extends Step = ClusterStep> {
  readonly plan: OperationPlan<S>;
  readonly progress: OperationProgress;
}

/**
 * An operation as it is shown: with what its running steps have copied so far. Of any steps: an engine whose cluster
 * carries out none has them executed from outside.
 */
export interface OperationReport<S extends Step = ClusterStep> extends Operation<S> {
  readonly copying: readonly StepCopying[];
}

export interface StepCopying {
  /** Its place among all steps. */
  readonly step: number;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly bytes: number;
  /** Size of what is copied; null while nobody has said. */
  readonly bytesTotal: number | null;
}

/** What a node's report says of the operation: enough for `status`. */
export interface OperationSummary {
  readonly id: string;
  readonly name: string;
  readonly state: OperationState;
  readonly why: string | null;
  readonly startedBy: string;
  readonly startedMs: number;
  readonly revision: number;
  readonly steps: number;
  readonly done: number;
  readonly failed: number;
  /** Steps under way, in words. */
  readonly running: readonly string[];
}

export function summaryOf({ plan, progress }: Operation): OperationSummary {
  const count = (state: StepState): number => progress.steps.filter((other) => other === state).length;
  return {
    id: plan.id,
    name: plan.name,
    state: progress.state,
    why: progress.why,
    startedBy: plan.startedBy,
    startedMs: plan.startedMs,
    revision: progress.revision,
    steps: progress.steps.length,
    done: count("done"),
    failed: count("failed"),
    running: stepsOf(plan)
      .filter((_, at) => progress.steps[at] === "running" || progress.steps[at] === "undoing")
      .map(stepWords),
  };
}

export function hasEnded({ progress }: Pick<Operation, "progress">): boolean {
  return progress.state === "done" || progress.state === "cancelled" || progress.state === "failed";
}

export function stepsOf<S extends Step>(plan: Pick<OperationRequest<S>, "waves">): readonly S[] {
  return plan.waves.flat();
}

/** A step for people: `move shard 3 from node-1 to node-2`. */
export function stepWords(step: Step): string {
  switch (step.kind) {
    case "add-replica":
      return `add a replica of shard ${step.shard} on ${step.to}`;
    case "remove-replica":
      return `remove the replica of shard ${step.shard} from ${step.from}`;
    case "move-replica":
      return `move shard ${step.shard} from ${step.from} to ${step.to}`;
    case "transfer-leader":
      return `let ${step.to ?? "another replica"} lead ${step.group === "meta" ? "the cluster" : `shard ${step.group}`}`;
    case "remove-node":
      return `take ${step.node} out of the cluster`;
    case "add-node":
      return `let ${step.node.id} join`;
    case "move-slots": {
      const count = slotCount(step.slots);
      return `move ${count} ${count === 1 ? "slot" : "slots"} from ${step.from} to ${step.to}`;
    }
    case "split":
      return `split shard ${step.shard} at ${step.at} into ${step.shard} and ${step.into}`;
    case "merge":
      return `merge shard ${step.shard} into ${step.into}`;
    case "pin":
      return `pin ${step.key} to shard ${step.shard}`;
    case "unpin":
      return `let ${step.key} go by its hash again`;
  }
}
