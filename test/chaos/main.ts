// `npm run chaos`: real clusters under faults for as long as one likes. Options: --protocol and --fault (one
// of each or several with commas; default all), --seconds of each fault, --seed. The protocols run side by
// side, the faults of each one after the other. Ends with one line of figures, and exits 0 or 1.

import { parseArgs } from "node:util";
import { FAULTS } from "./faults.ts";
import { PROTOCOLS, runChaos } from "./run.ts";

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
      fault: { type: "string", default: FAULTS.join(",") },
      seconds: { type: "string", default: "20" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
    },
  });
  const protocols = chosen("protocol", values.protocol, PROTOCOLS);
  const faults = chosen("fault", values.fault, FAULTS);
  const seconds = count("seconds", values.seconds);
  const seed = count("seed", values.seed);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  say(`seed ${seed}, ${seconds} s of each fault`);
  const results = await Promise.all(
    protocols.map(async (protocol) => runChaos({ protocol, faults, seconds, seed, say })),
  );
  const sum = (figure: (result: (typeof results)[number]) => number): number =>
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
