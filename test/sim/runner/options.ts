// What `npm run sim -- …` accepts, as data. Nothing runs here.

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Protocol } from "../../../src/model/ids.ts";
import { bugNamed, BUGS } from "../bugs/table.ts";
import type { Bug } from "../bugs/bug.ts";

const PROTOCOLS: readonly Protocol[] = ["raft", "paxos", "quorum"];

/** Seeds within which a deliberate bug must be found. */
const BUG_SEEDS_MAX = 5000;

export const USAGE = `npm run sim -- [--protocol ${PROTOCOLS.join("|")}] [--seeds N] [--from S]   runs N seeds from S on, over all protocols without --protocol
npm run sim -- --protocol P --seed S [--trace]   runs one seed; --trace prints what happened
npm run sim -- --bugs                            lists the deliberate bugs
npm run sim -- --bug NAME                        exits with 0 when the simulator finds that bug (or several) within ${BUG_SEEDS_MAX} seeds
npm run sim -- --all-bugs                        does so for all of them
  --seeds N  with --bug or --all-bugs: within fewer or more seeds
  --remember with --bug or --all-bugs: keeps where they were found, for the next search to look there first
  --jobs N   child processes (default: one for each processor)
`;

export type Command =
  | { readonly kind: "help" }
  | { readonly kind: "list-bugs" }
  | {
      readonly kind: "find-bugs";
      readonly bugs: readonly Bug[];
      /** Seeds that each may take. */
      readonly seedsMax: number;
      /** Whether the seeds that found them are written down. */
      readonly isRemembered: boolean;
      readonly jobs: number;
    }
  | {
      readonly kind: "seeds";
      /** Undefined: all of them in turn. */
      readonly protocol: Protocol | undefined;
      readonly from: number;
      readonly seeds: number;
      readonly trace: boolean;
      readonly jobs: number;
    };

export class UsageError extends Error {
  override readonly name = "UsageError";
}

const SPEC = {
  help: { type: "boolean", short: "h" },
  protocol: { type: "string" },
  seeds: { type: "string" },
  from: { type: "string" },
  seed: { type: "string" },
  trace: { type: "boolean" },
  bugs: { type: "boolean" },
  bug: { type: "string", multiple: true },
  "all-bugs": { type: "boolean" },
  remember: { type: "boolean" },
  jobs: { type: "string" },
} as const;

/** @throws UsageError for anything that cannot be meant */
export function parseCommand(args: readonly string[]): Command {
  const values = parse(args);
  if (values.help === true) return { kind: "help" };
  const jobs = number("jobs", values.jobs, 1) ?? availableParallelism();
  const searches = (["bugs", "bug", "all-bugs"] as const).filter((name) => values[name] !== undefined);
  if (searches.length > 0) {
    const [search, second] = searches;
    if (second !== undefined) throw new UsageError(`--${search} and --${second} exclude each other`);
    for (const name of ["protocol", "from", "seed", "trace"] as const) {
      if (values[name] !== undefined) throw new UsageError(`--${search} takes no --${name}`);
    }
    if (values.bugs === true) return { kind: "list-bugs" };
    const seedsMax = number("seeds", values.seeds, 1) ?? BUG_SEEDS_MAX;
    const isRemembered = values.remember === true;
    return { kind: "find-bugs", bugs: values.bug?.map(named) ?? BUGS, seedsMax, isRemembered, jobs };
  }
  if (values.remember === true) throw new UsageError("--remember needs --bug or --all-bugs");
  const protocol = protocolOf(values.protocol);
  const trace = values.trace === true;
  const seed = number("seed", values.seed, 0);
  if (seed === undefined) {
    if (trace) throw new UsageError("--trace needs --seed");
    const seeds = number("seeds", values.seeds, 1) ?? 200;
    return { kind: "seeds", protocol, from: number("from", values.from, 0) ?? 1, seeds, trace, jobs };
  }
  if (values.seeds !== undefined || values.from !== undefined) {
    throw new UsageError("--seed is one seed: it takes neither --seeds nor --from");
  }
  return { kind: "seeds", protocol, from: seed, seeds: 1, trace, jobs };
}

/** Without --protocol the seeds take turns. */
export function protocolOfSeed(seed: number): Protocol {
  return PROTOCOLS[seed % PROTOCOLS.length] ?? "raft";
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: SPEC, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function number(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
    throw new UsageError(`--${name} is a whole number, ${least} or more, not ${JSON.stringify(text)}`);
  }
  return value;
}

function protocolOf(text: string | undefined): Protocol | undefined {
  if (text === undefined) return undefined;
  const protocol = PROTOCOLS.find((name) => name === text);
  if (protocol === undefined) {
    throw new UsageError(`--protocol is one of ${PROTOCOLS.join(", ")}, not ${JSON.stringify(text)}`);
  }
  return protocol;
}

function named(name: string): Bug {
  const bug = bugNamed(name);
  if (bug === undefined) throw new UsageError(`there is no bug ${JSON.stringify(name)}; --bugs lists them`);
  return bug;
}
