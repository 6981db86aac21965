// Operations that a cluster carries out by itself: begun, followed, cancelled. Whoever follows one only watches: it
// goes on when nobody does, and anyone may take up watching.

import { setTimeout as pause } from "node:timers/promises";

import type { CallOptions, Engine, OperationControl, Progress } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import {
  hasEnded,
  stepsOf,
  stepWords,
  type ClusterStep,
  type OperationReport,
  type OperationRequest,
} from "../model/operation.ts";
import type { Step } from "../model/plan.ts";
import { formatBytes, formatDuration } from "../model/units.ts";

const LOOK_MS = 500;
const ASK_MS = 3000;

/** The deadline, the signal and the listener of whoever watches. */
export type Watching = Pick<CallOptions, "timeoutMs" | "signal" | "onProgress">;

/** How an operation is to be carried out; what it is made of is the caller's. */
export interface Manner {
  readonly startedBy: string;
  /** Steps at a time. */
  readonly concurrency: number;
  /** For each node that sends; null: as fast as it goes. */
  readonly bytesPerSecondMax: number | null;
  /** Do not wait for its end. */
  readonly detached: boolean;
}

/** @throws Mem0ctlError `not-of-this-engine` (invalid) where each step has to be executed from here. */
export function controlOf(engine: Engine): OperationControl {
  if (engine.operations !== undefined) return engine.operations;
  throw new Mem0ctlError(
    "invalid",
    "not-of-this-engine",
    `${engine.capabilities.engine} carries out no operations by itself`,
    { hint: "each step is executed by the command that began it: watch with `mem0ctl status --watch`" },
  );
}

/**
 * Begins an operation and, unless `detached`, follows it to its end.
 * @throws Mem0ctlError `operation-running`, `map-changed`, `step-outdated` (conflict; nothing was begun), `still-running`
 *   (unknown-outcome) at the deadline, and as `judged` does.
 */
export async function runOperation(
  engine: Engine,
  request: Pick<OperationRequest<Step>, "name" | "waves" | "epoch">,
  manner: Manner,
  options: CallOptions,
): Promise<OperationReport<Step> | null> {
  if (engine.operations === undefined) {
    const { runFromHere } = await import("./carry-out.ts");
    return runFromHere(engine, request.name, () => Promise.resolve(request.waves), manner, options);
  }
  const { detached, ...how } = manner;
  const begun = await controlOf(engine).begin(
    { ...request, waves: clusterSteps(request.waves), ...how },
    options,
  );
  return detached ? begun : followOperation(engine, options, begun);
}

/** The operation that runs, or ran last; null when none ever did. */
export async function currentOperation(
  engine: Engine,
  options: CallOptions,
): Promise<OperationReport | null> {
  return controlOf(engine).current(options);
}

/** @throws Mem0ctlError `no-operation` (conflict) */
export async function cancelOperation(engine: Engine, options: CallOptions): Promise<OperationReport> {
  return controlOf(engine).cancel(options);
}

/**
 * Watches the operation that runs until it ends. Nodes may come and go meanwhile, even all of them for a while.
 * @throws Mem0ctlError `no-operation`, `operation-cancelled` (conflict), `operation-failed` (failed),
 *   `still-running` (unknown-outcome) at the deadline, `end-not-seen` (unknown-outcome) when another one has begun,
 *   `not-followed` (failed) when interrupted.
 */
export async function followOperation(
  engine: Engine,
  options: CallOptions,
  begun?: OperationReport,
): Promise<OperationReport> {
  const control = controlOf(engine);
  const deadlineMs = performance.now() + options.timeoutMs;
  const meter = new Meter();
  let last = begun;
  for (;;) {
    const leftMs = deadlineMs - performance.now();
    const now = await control
      .current({ ...options, timeoutMs: Math.max(1, Math.min(ASK_MS, leftMs)) })
      .catch((error: unknown) => {
        if (options.signal?.aborted === true) throw notFollowed(last);
        return whenAway(error);
      });
    if (now === null && last === undefined) throw noOperation();
    // Another one is looked at from here on only by whoever asks for it.
    if (last !== undefined && now !== undefined && now?.plan.id !== last.plan.id) throw endNotSeen(last, now);
    last = now ?? last;
    if (last !== undefined) {
      if (hasEnded(last)) return judged(last);
      options.onProgress?.(meter.progressOf(last));
    }
    if (deadlineMs - performance.now() <= LOOK_MS) throw stillRunning(last);
    await pause(LOOK_MS, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(
      () => {
        throw notFollowed(last);
      },
    );
  }
}

const AWAY: ReadonlySet<string> = new Set(["unavailable", "unknown-outcome", "busy"]);

/** A node that was asked may just be going down: the next look asks another. */
export function whenAway(error: unknown): undefined {
  if (error instanceof Mem0ctlError && AWAY.has(error.kind)) return undefined;
  throw error;
}

function judged(report: OperationReport): OperationReport {
  const { plan, progress } = report;
  const data = { operation: report };
  if (progress.state === "failed") {
    throw new Mem0ctlError("failed", "operation-failed", `${plan.name}: some steps could not be done`, {
      ...(progress.why === null ? {} : { why: progress.why }),
      hint: "what was done stays; look at `mem0ctl shards list` and try again",
      data,
    });
  }
  if (progress.state === "cancelled") {
    throw new Mem0ctlError("conflict", "operation-cancelled", `${plan.name} was cancelled`, {
      hint: "what was done stays; begin it again to do the rest",
      data,
    });
  }
  return report;
}

function noOperation(): Mem0ctlError {
  return new Mem0ctlError("conflict", "no-operation", "no operation is running");
}

/** Never taken for done: what follows an operation, as the stop of a node that was removed, would be done too early. */
function endNotSeen(followed: OperationReport, now: OperationReport | null): Mem0ctlError {
  const { name } = followed.plan;
  return new Mem0ctlError("unknown-outcome", "end-not-seen", `how ${name} ended was not seen`, {
    why: `the cluster tells of ${now === null ? "no operation" : `another operation by now: ${now.plan.name}`}`,
    hint: "look at `mem0ctl status`; the same command again does what is left",
    data: { operation: followed },
  });
}

/** Only the watching was interrupted: who pressed Ctrl-C has to know that nodes go on copying. */
function notFollowed(last: OperationReport | undefined): Mem0ctlError {
  const cause = new Mem0ctlError("failed", "interrupted", "interrupted");
  if (last === undefined || hasEnded(last)) return cause;
  return new Mem0ctlError("failed", "not-followed", `interrupted; ${last.plan.name} goes on by itself`, {
    why: "the cluster carries it out, whoever watches",
    hint: "watch it with `mem0ctl shards rebalance --watch`, or end it with `mem0ctl shards rebalance --cancel`",
    data: { operation: last },
    cause,
  });
}

function stillRunning(report: OperationReport | undefined): Mem0ctlError {
  const why = report?.progress.why ?? undefined;
  return new Mem0ctlError("unknown-outcome", "still-running", "the operation did not end in time", {
    why: why === undefined ? "its steps take longer" : `it waits: ${why}`,
    hint: "it goes on by itself; watch it with `mem0ctl shards rebalance --watch`",
    ...(report === undefined ? {} : { data: { operation: report } }),
  });
}

/** Bytes planned for the steps, and those copied, so that the time left can be told. */
class Meter {
  private firstMs: number | undefined;
  private firstBytes = 0;

  progressOf(report: OperationReport): Progress {
    const { progress } = report;
    const open = (state: string): boolean =>
      state === "waiting" || state === "running" || state === "undoing";
    const ended = progress.steps.filter((state) => !open(state)).length;
    const words = [`${ended} of ${progress.steps.length} steps`, ...this.bytesOf(report)];
    if (progress.state === "paused") words.push(`paused: ${progress.why ?? "no reason given"}`);
    else if (progress.state === "cancelling") words.push("ending");
    const current = stepsOf(report.plan).find((_, at) => progress.steps[at] === "running");
    if (current !== undefined) words.push(stepWords(current));
    return { done: ended, total: progress.steps.length, message: words.join(", ") };
  }

  private bytesOf({ plan, progress, copying }: OperationReport): string[] {
    const running = copying.reduce((sum, { bytes }) => sum + bytes, 0);
    const bytes = progress.bytes + running;
    const known = new Map(copying.map(({ step, bytesTotal }) => [step, bytesTotal]));
    // Of keys that are handed over nobody knows how much they are before all of them were copied.
    const isOpen = copying.some(({ bytesTotal }) => bytesTotal === null);
    const total = stepsOf(plan).reduce((sum, step, at) => {
      if (progress.steps[at] === "done" || !("bytes" in step)) return sum;
      return sum + Math.max(step.bytes, known.get(at) ?? 0);
    }, progress.bytes);
    if (bytes === 0 && total === 0) return [];
    if (isOpen) return [`${formatBytes(bytes)} copied`];
    const words = [`${formatBytes(bytes)} of ${formatBytes(Math.max(total, bytes))}`];
    const nowMs = performance.now();
    if (this.firstMs === undefined) {
      this.firstMs = nowMs;
      this.firstBytes = bytes;
    }
    const rate = (bytes - this.firstBytes) / Math.max(1, nowMs - this.firstMs);
    if (rate > 0 && total > bytes) words.push(`${formatDuration((total - bytes) / rate)} left`);
    return words;
  }
}

/**
 * For what changes something before it begins an operation: refused as its begin would be, while nothing is changed.
 * @throws Mem0ctlError `operation-running` (conflict)
 */
export async function requireNoneRunning(engine: Engine, options: CallOptions): Promise<void> {
  const current = await currentOperation(engine, options);
  if (current === null || hasEnded(current)) return;
  const { plan, progress } = current;
  throw new Mem0ctlError("conflict", "operation-running", `another operation runs: ${plan.name}`, {
    why: `it was started by ${plan.startedBy} and is ${progress.state}; one runs at a time`,
    hint: "watch it with `mem0ctl shards rebalance --watch`, or end it with `mem0ctl shards rebalance --cancel`",
    data: { id: plan.id, name: plan.name, state: progress.state },
  });
}

/** Whether an operation of this name is under way. */
export async function isRunning(engine: Engine, name: string, options: CallOptions): Promise<boolean> {
  const current = await currentOperation(engine, options);
  return current !== null && !hasEnded(current) && current.plan.name === name;
}

/** @throws Mem0ctlError `not-of-this-engine` (invalid) for steps that the cluster cannot carry out by itself. */
function clusterSteps(waves: readonly (readonly Step[])[]): readonly (readonly ClusterStep[])[] {
  return waves.map((wave) =>
    wave.map((step): ClusterStep => {
      switch (step.kind) {
        case "add-replica":
        case "remove-replica":
        case "move-replica":
        case "transfer-leader":
        case "remove-node":
        case "split":
        case "merge":
        case "pin":
        case "unpin":
          return step;
        default:
          throw new Mem0ctlError("invalid", "not-of-this-engine", `this engine has no step ${step.kind}`, {
            hint: "only engines that shard by slots alone have",
          });
      }
    }),
  );
}
