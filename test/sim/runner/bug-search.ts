// Looks for each deliberate bug: seeds from 1 on, with the bug in the bundle, until one violates an invariant
// that the same seed without the bug keeps.

import type { Bug } from "../bugs/bug.ts";
import { BUGS } from "../bugs/table.ts";
import { bundleWorker, type Place } from "./bundle.ts";
import type { Streams } from "./command.ts";
import type { Command } from "./options.ts";
import type { Outcome, Pool, Task } from "./pool.ts";

/** What a patch gives that does not fit: found so, it would prove nothing. */
const BROKEN_PATCH = /\b(ReferenceError|SyntaxError|TypeError)\b/;
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
  const bundle = await bundleWorker(place, bug);
  const pool = makePool(bundle, jobs);
  let seeds = 0;
  let saidMs = started;
  const suspects: Outcome[] = [];
  await pool.run(tasksOf(bug, seedsMax), (outcome) => {
    seeds += 1;
    if (outcome.violation !== undefined) suspects.push(outcome);
    if (performance.now() - saidMs > PROGRESS_MS) {
      saidMs = performance.now();
      say(`${bug.name}: ${seeds} seeds`);
    }
    return suspects.length === 0;
  });
  const [suspect] = suspects.toSorted((a, b) => a.task.seed - b.task.seed);
  if (suspect !== undefined) await mustBeTheBugs(bug, suspect, makePool(clean, 1));
  return { seeds, found: suspect, seconds: (performance.now() - started) / 1000 };
}

function* tasksOf(bug: Bug, seedsMax: number): Generator<Task> {
  for (let seed = 1; seed <= seedsMax; seed += 1) {
    const protocol = bug.protocols[seed % bug.protocols.length];
    if (protocol !== undefined) yield { protocol, seed, trace: false };
  }
}

/** @throws Error when the violation proves nothing: the patch does not fit, or the seed fails without it, too */
async function mustBeTheBugs(bug: Bug, { task, violation }: Outcome, pool: Pool): Promise<void> {
  if (violation?.invariant === "crash" && BROKEN_PATCH.test(violation.message)) {
    throw new Error(`the patch of bug ${bug.name} is broken: ${violation.message}`);
  }
  await pool.run([task], (outcome) => {
    if (outcome.violation !== undefined) {
      throw new Error(
        `seed ${task.seed} of ${task.protocol} violates ${outcome.violation.invariant} without bug ${bug.name}, too`,
      );
    }
    return true;
  });
}

function lineName({ checklist, lines }: Bug): string {
  return `${checklist} ${lines.join(", ")}`;
}
