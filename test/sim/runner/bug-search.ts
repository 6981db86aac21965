// Looks for each deliberate bug: seeds from 1 on, with the bug in the bundle, until one violates an invariant
// that the same seed without the bug keeps.

import type { Bug } from "../bugs/bug.ts";
import { BUGS } from "../bugs/table.ts";
import { bundleWorker, type Place } from "./bundle.ts";
import type { Streams } from "./command.ts";
import type { Command } from "./options.ts";
import type { Outcome, Pool, Task } from "./pool.ts";

/** What a patch gives that does not fit: found so, it would prove nothing. */
const BROKEN_PATCH = /\b(ReferenceError|SyntaxError)\b/;
const PROGRESS_MS = 10_000;

type BugsCommand = Command & { readonly kind: "find-bugs" };
type MakePool = (bundle: string, jobs: number | undefined) => Pool;

interface Search {
  /** Seeds that were run. */
  readonly seeds: number;
  readonly found: Outcome | undefined;
  readonly seconds: number;
}

export function listBugs({ out }: Streams): void {
  for (const bug of BUGS) out(`${bug.name.padEnd(34)} ${lineName(bug).padEnd(14)} ${bug.what}`);
}

/** Prints a row for each. Returns the exit code: 0 only when all are found. */
export async function searchBugs(
  command: BugsCommand,
  place: Place,
  makePool: MakePool,
  streams: Streams,
): Promise<number> {
  const { out, say } = streams;
  const clean = await bundleWorker(place);
  let missed = 0;
  for (const bug of command.bugs) {
    const { seeds, found, seconds } = await search(bug, command, place, clean, makePool, streams);
    const head = `${found === undefined ? "MISSED" : "found "}  ${bug.name.padEnd(34)} ${lineName(bug).padEnd(14)}`;
    if (found === undefined) {
      missed += 1;
      out(`${head} not within ${seeds} seeds`);
    } else {
      const { task, violation } = found;
      out(`${head} ${violation?.invariant} at ${task.protocol} seed ${task.seed}, after ${seeds} seeds`);
    }
    say(`${seconds.toFixed(1)} s`);
  }
  out(`bugs=${command.bugs.length} found=${command.bugs.length - missed} missed=${missed}`);
  return missed === 0 ? 0 : 1;
}

async function search(
  bug: Bug,
  { seedsMax, jobs }: BugsCommand,
  place: Place,
  clean: string,
  makePool: MakePool,
  { say }: Streams,
): Promise<Search> {
  const started = performance.now();
  const pool = makePool(await bundleWorker(place, bug), jobs);
  const cleanPool = makePool(clean, 1);
  const tasks = tasksOf(bug, seedsMax);
  let seeds = 0;
  let saidMs = started;
  const end = (found: Outcome | undefined): Search => ({
    seeds,
    found,
    seconds: (performance.now() - started) / 1000,
  });
  for (;;) {
    const suspects: Outcome[] = [];
    await pool.run(tasks, (outcome) => {
      seeds += 1;
      if (outcome.violation !== undefined) suspects.push(outcome);
      if (performance.now() - saidMs > PROGRESS_MS) {
        saidMs = performance.now();
        say(`${bug.name}: ${seeds} seeds`);
      }
      return suspects.length === 0;
    });
    if (suspects.length === 0) return end(undefined);
    for (const suspect of suspects.toSorted((a, b) => a.task.seed - b.task.seed)) {
      const without = await violationWithout(bug, suspect, cleanPool);
      if (without === undefined) return end(suspect);
      say(`seed ${suspect.task.seed} violates ${without} without the bug, too`);
    }
  }
}

function* tasksOf(bug: Bug, seedsMax: number): Generator<Task> {
  for (let seed = 1; seed <= seedsMax; seed += 1) {
    const protocol = bug.protocols[seed % bug.protocols.length];
    if (protocol !== undefined) yield { protocol, seed, trace: false };
  }
}

/**
 * The invariant that the seed violates without the bug: then it proves nothing.
 * @throws Error when the patch does not fit what is around it
 */
async function violationWithout(
  bug: Bug,
  { task, violation }: Outcome,
  pool: Pool,
): Promise<string | undefined> {
  if (violation !== undefined && BROKEN_PATCH.test(violation.message)) {
    throw new Error(`the patch of bug ${bug.name} is broken: ${violation.message}`);
  }
  let invariant: string | undefined;
  await pool.run([task], (outcome) => {
    invariant = outcome.violation?.invariant;
    return true;
  });
  return invariant;
}

function lineName({ checklist, lines }: Bug): string {
  return `${checklist} ${lines.join(", ")}`;
}
