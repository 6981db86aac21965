// `npm run chaos`: real clusters under faults for as long as one likes. Options: --protocol and --fault (one
// of each or several with commas; default all), --seconds of each fault, --seed, --moves (default 100, none where
// faults are named). The protocols run side by side, the faults of each one after the other, and at last the moves:
// so many, shared between the protocols, while nodes are killed and stopped. Ends with one line of figures, and exits
// 0 or 1.

import { parseArgs } from "node:util";
import type { Protocol } from "../../src/model/ids.ts";
import { FAULTS } from "./faults.ts";
import { runMoves } from "./moves.ts";
import { PROTOCOLS, runChaos, type ChaosResult } from "./run.ts";

/** The names of a list with commas, each one of those that there are. */
function chosen<Name extends string>(flag: string, given: string, known: readonly Name[]): readonly Name[] {
  return given.split(",").map((name) => {
    const found = known.find((candidate) => candidate === name);
    if (found === undefined) throw new Error(`--${flag} ${name}: there are ${known.join(", ")}`);
    return found;
  });
}

function count(flag: string, given: string): number {
  const value = Number(given);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${flag} ${given}: a whole number is needed`);
  return value;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      protocol: { type: "string", default: PROTOCOLS.join(",") },
      fault: { type: "string" },
      moves: { type: "string" },
      seconds: { type: "string", default: "20" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
    },
  });
  const protocols = chosen("protocol", values.protocol, PROTOCOLS);
  const moves = count("moves", values.moves ?? (values.fault === undefined ? "100" : "0"));
  // Who asks for moves alone gets them alone.
  const all = values.moves === undefined ? FAULTS : [];
  const faults = values.fault === undefined ? all : chosen("fault", values.fault, FAULTS);
  const seconds = count("seconds", values.seconds);
  const seed = count("seed", values.seed);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  say(`seed ${seed}, ${seconds} s of each fault, ${moves} moves`);
  const results: ChaosResult[] = [];
  if (faults.length > 0) {
    const run = async (protocol: Protocol): Promise<ChaosResult> =>
      runChaos({ protocol, faults, seconds, seed, say });
    results.push(...(await Promise.all(protocols.map(run))));
  }
  if (moves > 0) {
    const each = Math.ceil(moves / protocols.length);
    const run = async (protocol: Protocol): Promise<ChaosResult> =>
      runMoves({ protocol, moves: each, seed, say });
    results.push(...(await Promise.all(protocols.map(run))));
  }
  const sum = (figure: (result: ChaosResult) => number): number =>
    results.reduce((total, result) => total + figure(result), 0);
  const violations = sum((result) => result.violations.length);
  say(
    `runs=${sum(({ runs }) => runs)} operations=${sum(({ operations }) => operations)} violations=${violations}`,
  );
  return violations === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
