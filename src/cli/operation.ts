// What the commands share that have the cluster carry out an operation: flags, the watch on stderr, the result.

import { Option } from "commander";
import { InvalidArgumentError } from "commander";
import { hostname, userInfo } from "node:os";
import type { OperationReport } from "../model/operation.ts";
import type { Step } from "../model/plan.ts";
import { parseBytes } from "../model/units.ts";
import type { Manner, Watching } from "../operations/operation.ts";
import type { Context } from "./context.ts";
import { integerOption } from "./command.ts";

/** Nobody waits longer for an operation unless they say so; it goes on without them. */
const OPERATION_TIMEOUT_MS = 3_600_000;
const CONCURRENCY = 4;
const CONCURRENCY_MAX = 1000;

export interface MannerOptions {
  readonly throttle?: number;
  readonly concurrency?: number;
  readonly wait: boolean;
}

export function mannerFlags(): Option[] {
  const throttle = new Option(
    "--throttle <size>",
    "most that each node sends in a second, as in 20MiB or 20MiB/s",
  ).argParser(throttleOption);
  return [throttle, ...mannerFlagsWithoutCopies()];
}

/** Of what copies nothing, so that there is nothing to hold back. */
export function mannerFlagsWithoutCopies(): Option[] {
  return [
    new Option("--concurrency <count>", "steps at a time")
      .argParser(integerOption(1, CONCURRENCY_MAX))
      .default(CONCURRENCY),
    new Option("--no-wait", "do not wait for the end; the cluster goes on by itself"),
  ];
}

function throttleOption(text: string): number {
  const bytes = parseBytes(text.replace(/\/s$/, ""));
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new InvalidArgumentError("A number and its unit in bytes a second is needed: 500KiB/s, 20MiB/s.");
}

export function mannerOf({ throttle, concurrency, wait }: MannerOptions): Manner {
  return {
    startedBy: `${nameOfUser()}@${hostname()}`,
    concurrency: concurrency ?? CONCURRENCY,
    bytesPerSecondMax: throttle ?? null,
    detached: !wait,
  };
}

/** A container may run under a number that has no name. */
function nameOfUser(): string {
  try {
    return userInfo().username;
  } catch {
    return "somebody";
  }
}

/** Runs what begins or follows an operation, showing how far it is. */
export function watched<Result>(
  context: Context,
  work: (options: Watching) => Promise<Result>,
): Promise<Result> {
  return context.withProgress((onProgress) =>
    work({
      timeoutMs: context.timeoutMs(OPERATION_TIMEOUT_MS),
      signal: context.io.signal,
      onProgress,
    }),
  );
}

export async function printOperation(
  context: Context,
  operation: OperationReport<Step> | null,
  nothingToDo?: string,
): Promise<void> {
  const document = { apiVersion: "mem0ctl/v1", kind: "Operation", operation };
  await context.print(document, async (_document, theme) => {
    const { renderOperation } = await import("../render/operation.ts");
    return renderOperation(operation, theme, nothingToDo);
  });
}
