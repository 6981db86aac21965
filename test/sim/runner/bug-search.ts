// Looks for deliberate bugs: seeds with the bug in the bundle, until one violates an invariant that the same
// seed without the bug keeps. A bug that was found before is looked for in that seed first, several bugs side by
// side; what is not found there is searched from seed 1 on, with all processors.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FOUND_AT, type Bug } from "../bugs/bug.ts";
import { BUGS } from "../bugs/table.ts";
import { bundleWorker, type Place } from "./bundle.ts";
import type { Streams } from "./command.ts";
import type { Command } from "./options.ts";
import type { Outcome, Pool, Task } from "./pool.ts";

/** What a patch gives that does not fit: found so, it would prove nothing. */
const BROKEN_PATCH = /\b(ReferenceError|SyntaxError)\b/;
const PROGRESS_MS = 10_000;

type BugsCommand = Command & { readonly kind: "find-bugs" };
/** A pool of a bundle, with as many processes as that. */
type MakePool = (bundle: string, jobs: number) => Pool;
type FoundAt = Readonly<Record<string, number>>;

interface Search {
  readonly bug: Bug;
  /** Seeds that were run. */
  readonly seeds: number;
  readonly found: Outcome | undefined;
  /** Why the bug could not be built in. */
  readonly broken: string | undefined;
}

export function listBugs({ out }: Streams): void {
  for (const bug of BUGS) out(`${bug.name.padEnd(34)} ${lineName(bug).padEnd(14)} ${bug.what}`);
}

/** Prints a row for each. Returns the exit code: 0 only when all are found. */
export async function searchBugs(
  command: BugsCommand,
  place: Place,
  makePool: MakePool,
  { out, say }: Streams,
): Promise<number> {
  const started = performance.now();
  const { jobs, seedsMax, bugs } = command;
  const clean = await bundleWorker(place);
  const known: FoundAt = JSON.parse(readFileSync(join(place.root, FOUND_AT), "utf8")) as FoundAt;
  const lookIn = (bug: Bug, seeds: Iterable<number>, side: number): Promise<Search> =>
    search({ bug, seeds, jobs: side, place, clean, makePool, say });
  const searches = new Map<string, Search>();
  const ended = (one: Search): void => {
    searches.set(one.bug.name, one);
    // At once: a search of them all takes long, and may be stopped.
    if (command.isRemembered) remember(join(place.root, FOUND_AT), known, [...searches.values()]);
    say(`${((performance.now() - started) / 1000).toFixed(0)} s: ${rowOf(one)}`);
  };
  const foundBefore = bugs.filter(({ name }) => (known[name] ?? Infinity) <= seedsMax).values();
  const lane = async (): Promise<void> => {
    for (const bug of foundBefore) {
      const one = await lookIn(bug, [known[bug.name] ?? 1], 1);
      if (one.found !== undefined || one.broken !== undefined) ended(one);
    }
  };
  await Promise.all(Array.from({ length: jobs }, lane));
  for (const bug of bugs) {
    if (!searches.has(bug.name)) ended(await lookIn(bug, countTo(seedsMax), jobs));
  }
  const rows = bugs.flatMap((bug) => searches.get(bug.name) ?? []);
  for (const one of rows) out(rowOf(one));
  const found = rows.filter((one) => one.found !== undefined).length;
  out(`bugs=${bugs.length} found=${found} missed=${bugs.length - found}`);
  return found === bugs.length ? 0 : 1;
}

function rowOf({ bug, seeds, found, broken }: Search): string {
  const head = `${found === undefined ? "MISSED" : "found "}  ${bug.name.padEnd(34)} ${lineName(bug).padEnd(14)}`;
  if (broken !== undefined) return `${head} ${broken}`;
  if (found === undefined) return `${head} not within ${seeds} seeds`;
  const { task, violation } = found;
  return `${head} ${violation?.invariant} at ${task.protocol} seed ${task.seed}, after ${seeds} seeds`;
}

/** Where each was found, for the next search to begin at. */
function remember(file: string, known: FoundAt, searches: readonly Search[]): void {
  const seeds = new Map(Object.entries(known));
  for (const { bug, found } of searches) if (found !== undefined) seeds.set(bug.name, found.task.seed);
  const kept = BUGS.flatMap(({ name }) => {
    const seed = seeds.get(name);
    return seed === undefined ? [] : [[name, seed] as const];
  });
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(kept), undefined, 2)}\n`);
}

async function search(parts: {
  readonly bug: Bug;
  readonly seeds: Iterable<number>;
  readonly jobs: number;
  readonly place: Place;
  /** The bundle without any bug. */
  readonly clean: string;
  readonly makePool: MakePool;
  readonly say: Streams["say"];
}): Promise<Search> {
  const { bug, jobs, place, makePool, say } = parts;
  let seeds = 0;
  const end = (found: Outcome | undefined, broken?: string): Search => ({ bug, seeds, found, broken });
  let bundle: string;
  try {
    bundle = await bundleWorker(place, bug);
  } catch (error) {
    return end(undefined, error instanceof Error ? error.message : String(error));
  }
  const pool = makePool(bundle, jobs);
  const cleanPool = makePool(parts.clean, 1);
  const tasks = tasksOf(bug, parts.seeds);
  let saidMs = performance.now();
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
      const { task, violation } = suspect;
      if (BROKEN_PATCH.test(violation?.message ?? "")) {
        return end(undefined, `its patch is broken: ${violation?.message.split("\n")[0]}`);
      }
      const without = await violationWithout(task, cleanPool);
      if (without === undefined) return end(suspect);
      say(`seed ${task.seed} violates ${without} without the bug, too`);
    }
  }
}

function* tasksOf(bug: Bug, seeds: Iterable<number>): Generator<Task> {
  for (const seed of seeds) {
    const protocol = bug.protocols[seed % bug.protocols.length];
    if (protocol !== undefined) yield { protocol, seed, trace: false };
  }
}

function* countTo(last: number): Generator<number> {
  for (let number = 1; number <= last; number += 1) yield number;
}

/** The invariant that the seed violates without the bug: then it proves nothing. */
async function violationWithout(task: Task, pool: Pool): Promise<string | undefined> {
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
