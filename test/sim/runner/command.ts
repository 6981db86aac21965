// `npm run sim`: seeds of the simulator on all processors, and the search for the deliberate bugs. Results
// go to stdout, progress to stderr. Exits with 0, with 1 when an invariant was violated or a bug was not found, and
// with 2 when it cannot tell what is wanted.

import { bundleWorker, type Place } from "./bundle.ts";
import { listBugs, searchBugs } from "./bug-search.ts";
import { parseCommand, USAGE, UsageError, type Command } from "./options.ts";
import { Pool } from "./pool.ts";
import { runSeeds } from "./seed-run.ts";

/** A seed takes a fraction of a second; one whose process takes this long, or stands still for so long, hangs. */
const SEED_MS = 60_000;

export interface Streams {
  readonly out: (line: string) => void;
  readonly say: (line: string) => void;
}

/** Returns the exit code. */
export async function runCommand(args: readonly string[], place: Place): Promise<number> {
  const streams: Streams = {
    out: (line) => void process.stdout.write(`${line}\n`),
    say: (line) => void process.stderr.write(`${line}\n`),
  };
  let command: Command;
  try {
    command = parseCommand(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    streams.say(`sim: ${error.message}\n\n${USAGE}`);
    return 2;
  }
  const pools = new Set<Pool>();
  const makePool = (bundle: string, jobs: number): Pool => {
    const pool = new Pool({ bundle, size: jobs, seedMs: SEED_MS });
    pools.add(pool);
    return pool;
  };
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.once(signal, () => {
      for (const pool of pools) pool.end();
      process.exit(code);
    });
  }
  switch (command.kind) {
    case "help":
      streams.out(USAGE);
      return 0;
    case "list-bugs":
      listBugs(streams);
      return 0;
    case "find-bugs":
      return searchBugs(command, place, makePool, streams);
    case "seeds":
      return runSeeds(command, makePool(await bundleWorker(place), command.jobs), streams);
  }
}
