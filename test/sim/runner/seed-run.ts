// Runs a range of seeds, one in a hundred of them twice, and says what came of it.

import type { Streams } from "./command.ts";
import { protocolOfSeed, type Command } from "./options.ts";
import type { Outcome, Pool, Task, Violation } from "./pool.ts";

/** Every so many seeds one runs twice; the first of a range always does. */
const TWICE_EVERY = 100;
const PROGRESS_MS = 10_000;
const MESSAGE_SHOWN = 300;

type SeedsCommand = Command & { readonly kind: "seeds" };

/** Closes with one line of figures. Returns the exit code. */
export async function runSeeds(command: SeedsCommand, pool: Pool, { out, say }: Streams): Promise<number> {
  const started = performance.now();
  const hashes = new Map<number, string>();
  let seeds = 0;
  let events = 0;
  let simulatedMs = 0;
  let violations = 0;
  const operations: Record<string, number> = {};
  let saidMs = started;
  const violated = (task: Task, violation: Violation): void => {
    violations += 1;
    out(replayLine(task, violation));
  };
  await pool.run(tasksOf(command), (outcome) => {
    const { task, violation } = outcome;
    const first = hashes.get(task.seed);
    const again = first !== undefined;
    events += outcome.events;
    simulatedMs += outcome.simulatedMs;
    for (const line of outcome.trace ?? []) out(line);
    if (!again) {
      seeds += 1;
      for (const [what, count] of Object.entries(outcome.operations)) {
        operations[what] = (operations[what] ?? 0) + count;
      }
      if (isTwice(command, task.seed)) hashes.set(task.seed, hashOf(outcome));
      if (violation !== undefined) violated(task, violation);
    } else if (first !== hashOf(outcome)) {
      violated(task, {
        invariant: "determinism",
        message: `two runs of the seed differ: trace hashes ${first} and ${hashOf(outcome)}`,
      });
    }
    if (performance.now() - saidMs > PROGRESS_MS) {
      saidMs = performance.now();
      say(`${seeds} of ${command.seeds} seeds, ${violations} violations`);
    }
    return true;
  });
  const hours = simulatedMs / 3_600_000;
  const seconds = (performance.now() - started) / 1000;
  say(`${seconds.toFixed(1)} s, ${(hours / seconds).toPrecision(2)} simulated hours per second`);
  out(operationsLine(operations));
  out(`seeds=${seeds} events=${events} simulated=${hours.toFixed(2)}h violations=${violations}`);
  return violations === 0 ? 0 : 1;
}

/** What was done while the faults fell, kind by kind. */
function operationsLine(operations: Readonly<Record<string, number>>): string {
  const kinds = Object.entries(operations).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `operations: ${kinds.map(([kind, count]) => `${kind}=${count}`).join(" ") || "none"}`;
}

function* tasksOf({ protocol, from, seeds, trace }: SeedsCommand): Generator<Task> {
  for (let seed = from; seed < from + seeds; seed += 1) {
    const task: Task = { protocol: protocol ?? protocolOfSeed(seed), seed, trace };
    yield task;
    if (isTwice({ from, trace }, seed)) yield task;
  }
}

function isTwice({ from, trace }: Pick<SeedsCommand, "from" | "trace">, seed: number): boolean {
  return !trace && (seed - from) % TWICE_EVERY === 0;
}

/** A seed that crashes has no hash: then what it ended with must be the same. */
function hashOf({ traceHash, violation }: Outcome): string {
  return `${traceHash}${violation === undefined ? "" : `/${violation.invariant}`}`;
}

/** A line that can be pasted: what follows the `#` is for the reader. */
function replayLine({ protocol, seed }: Task, { invariant, message }: Violation): string {
  const [said = ""] = message.split("\n");
  return `npm run sim -- --protocol ${protocol} --seed ${seed} --trace  # ${invariant}: ${said.slice(0, MESSAGE_SHOWN)}`;
}
