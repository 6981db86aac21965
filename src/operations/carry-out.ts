// Plans of engines that do not carry them out by themselves: each step is executed from here, wave after wave,
// several at a time. Nothing is kept but what the cluster itself shows, so a run that ends early is gone on with
// by the next plan.

import { randomUUID } from "node:crypto";

import type { CallOptions, Engine, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import {
  stepWords,
  type OperationReport,
  type OperationRequest,
  type StepState,
} from "../model/operation.ts";
import type { Step } from "../model/plan.ts";
import type { Manner } from "./operation.ts";
import { settleFirst } from "./slot-rebalance.ts";

/**
 * Ends what an earlier run left, makes the steps from what is there then, and executes them; null when there are none.
 * @throws Mem0ctlError `not-of-this-engine` for a manner that leaves them to the cluster; `unclear` (conflict).
 */
export async function runFromHere(
  engine: Engine,
  name: string,
  makeWaves: (table: SlotTable) => Promise<readonly (readonly Step[])[]>,
  { detached, ...manner }: Manner,
  options: CallOptions,
): Promise<OperationReport<Step> | null> {
  if (detached) throw notDetached(engine);
  await settleFirst(engine, options);
  const waves = await makeWaves(await liveTable(engine, options));
  if (waves.length === 0) return null;
  return carryOut(engine, { name, waves, epoch: null, ...manner }, options);
}

export function notDetached(engine: Engine): Mem0ctlError {
  return new Mem0ctlError("invalid", "not-of-this-engine", "this cannot be left to the cluster", {
    why: `${engine.capabilities.engine} carries out no operations by itself: each step is executed from here`,
    hint: "leave --no-wait out; what a run that ends early has done stays, and the next one goes on",
  });
}

/** Who owns which slots. @throws Mem0ctlError `nothing-answered` (unavailable). */
export async function liveTable(engine: Engine, options: CallOptions): Promise<SlotTable> {
  if (engine.slotTable === undefined) throw new TypeError("an engine that moves slots has a table of them");
  const table = await engine.slotTable({ contents: false }, options);
  if (table.owners.length > 0) return table;
  throw new Mem0ctlError("unavailable", "nothing-answered", "no node of the cluster answered", {
    hint: "start the cluster with `mem0ctl up`, or see `mem0ctl status`",
  });
}

/**
 * Executes the steps of a wave side by side, at most `concurrency` at a time. A step that fails lets those that are
 * under way end, and begins no other.
 * @throws Mem0ctlError as the first step that failed, with how far it came in `data.operation`.
 */
async function carryOut(
  engine: Engine,
  request: OperationRequest<Step>,
  options: CallOptions,
): Promise<OperationReport<Step>> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const startedMs = Date.now();
  const steps = request.waves.flat();
  const states: StepState[] = steps.map(() => "waiting");
  const failures: Record<number, string> = {};
  let failure: Error | undefined;
  let at = 0;
  for (const wave of request.waves) {
    const first = at;
    at += wave.length;
    let next = first;
    const worker = async (): Promise<void> => {
      for (let index = next++; index < first + wave.length && failure === undefined; index = next++) {
        const step = steps[index];
        if (step === undefined) return;
        states[index] = "running";
        try {
          await execute(step);
          states[index] = "done";
        } catch (error) {
          states[index] = "failed";
          failures[index] = error instanceof Error ? error.message : String(error);
          failure ??= error instanceof Error ? error : new Error(String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(request.concurrency, wave.length) }, worker));
    if (failure !== undefined) break;
  }
  const report = reportNow();
  if (failure === undefined) return report;
  if (!(failure instanceof Mem0ctlError)) throw failure;
  const { kind, code, message, why, hint, data } = failure;
  throw new Mem0ctlError(kind, code, message, {
    ...(why === undefined ? {} : { why }),
    ...(hint === undefined ? {} : { hint }),
    data: { ...data, operation: report },
    cause: failure,
  });

  function execute(step: Step): Promise<string> {
    return engine
      .execute(step, {
        ...options,
        ...(request.bytesPerSecondMax === null ? {} : { bytesPerSecondMax: request.bytesPerSecondMax }),
        timeoutMs: Math.max(1, deadlineMs - performance.now()),
        onProgress: ({ message }) =>
          options.onProgress?.({
            done: states.filter((state) => state === "done").length,
            total: steps.length,
            message,
          }),
      })
      .then((done) => {
        const ended = states.filter((state) => state === "done").length + 1;
        options.onProgress?.({ done: ended, total: steps.length, message: `${stepWords(step)}: ${done}` });
        return done;
      });
  }

  function reportNow(): OperationReport<Step> {
    const bytes = steps.reduce((sum, step, index) => {
      return states[index] === "done" && "bytes" in step ? sum + step.bytes : sum;
    }, 0);
    return {
      plan: { ...request, id: randomUUID(), startedMs },
      progress: {
        revision: steps.length,
        state: failure === undefined ? "done" : "failed",
        why: null,
        steps: states,
        failures,
        bytes,
        endedMs: Date.now(),
      },
      copying: [],
    };
  }
}
