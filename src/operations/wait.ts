// Waits until a cluster is as someone wants it, or says at the deadline what is still missing.

import { setTimeout as pause } from "node:timers/promises";

import type { CallOptions, Engine } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import { formatDuration } from "../model/units.ts";
import type { ClusterView } from "../model/view.ts";
import type { HealthLimits } from "./health.ts";
import { clusterStatus } from "./status.ts";

/** `available`: every shard takes writes. `down`: no node answers. */
export const WAIT_GOALS = ["healthy", "available", "down"] as const;
export type WaitGoal = (typeof WAIT_GOALS)[number];

export interface WaitOptions extends CallOptions {
  readonly limits: HealthLimits;
  /** Pause between two looks; default 200. */
  readonly intervalMs?: number;
}

/** A look at the cluster never takes longer than this, so that a silent node delays no answer for long. */
const LOOK_MS_MAX = 2000;
/** Nor is one begun that has less than this: it would call nodes silent that had no time to answer. */
const LOOK_MS_MIN = 250;
/** By so much a pause before the last look may take longer. */
const LOOK_SLACK_MS = 50;
const INTERVAL_MS = 200;

/**
 * Resolves to the view that fulfils the goal.
 * @throws Mem0ctlError `wait-timeout` (kind unknown-outcome: exit 5) that says what is still missing, with
 *   the last view in `data.view`; `interrupted` when the signal fired.
 */
export async function waitFor(engine: Engine, goal: WaitGoal, options: WaitOptions): Promise<ClusterView> {
  const { view, reached } = await watchFor(engine, goal, options);
  if (reached) return view;
  const reason = view.reasons[0];
  throw new Mem0ctlError(
    "unknown-outcome",
    "wait-timeout",
    `timed out after ${formatDuration(options.timeoutMs)}: ${view.cluster} is not ${goal} but ${goal === "down" ? "still answers" : view.health}`,
    {
      why: goal === "down" ? stillUp(view) : view.reasons.map(({ message }) => message).join("; "),
      hint: goal === "down" ? "stop it with `mem0ctl down`" : (reason?.hint ?? "raise --timeout"),
      data: { goal, view },
    },
  );
}

/** The same without the error: the last view, and whether the goal was reached by the deadline. */
export async function watchFor(
  engine: Engine,
  goal: WaitGoal | ((view: ClusterView) => boolean),
  options: WaitOptions,
): Promise<{ readonly view: ClusterView; readonly reached: boolean }> {
  const deadlineMs = performance.now() + options.timeoutMs;
  let lastMessage = "";
  let view: ClusterView | undefined;
  for (;;) {
    throwIfInterrupted(options.signal);
    const leftMs = deadlineMs - performance.now();
    if (view !== undefined && leftMs < LOOK_MS_MIN) return { view, reached: false };
    view = await clusterStatus(engine, options.limits, {
      timeoutMs: Math.max(1, Math.min(LOOK_MS_MAX, leftMs)),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (fulfils(view, goal)) return { view, reached: true };
    const message = goal === "down" ? stillUp(view) : (view.reasons[0]?.message ?? view.health);
    if (message !== lastMessage) {
      lastMessage = message;
      options.onProgress?.({ done: view.healthyNodes, total: view.totalNodes, message });
    }
    // The last look comes as late as it can. Interrupted, it goes round once more and says so.
    const untilLastMs = deadlineMs - performance.now() - LOOK_MS_MIN - LOOK_SLACK_MS;
    const pauseMs = Math.min(options.intervalMs ?? INTERVAL_MS, Math.max(0, untilLastMs));
    await pause(pauseMs, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(
      () => undefined,
    );
  }
}

function fulfils(view: ClusterView, goal: WaitGoal | ((view: ClusterView) => boolean)): boolean {
  if (typeof goal === "function") return goal(view);
  if (goal === "healthy") return view.health === "healthy";
  if (goal === "available") return view.health !== "unavailable";
  // A refused connection is proof that nothing runs there; a silent node may only be slow.
  return view.nodes.every((node) => node.pid === null && node.error === "connection refused");
}

function stillUp(view: ClusterView): string {
  const up = view.nodes.filter((node) => node.pid !== null || node.error !== "connection refused");
  return `still there: ${up.map((node) => `${node.id}${node.error === undefined ? "" : ` (${node.error})`}`).join(", ")}`;
}

function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new Mem0ctlError("failed", "interrupted", "interrupted");
}
