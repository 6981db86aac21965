// `npm run bench` measures everything, `npm run bench -- NAME …` only what is named, `--quick` with fewer
// repetitions. Prints one table; figures are compared with their goals but never fail the run: it exits
// with 0 when everything was measured, 1 when something could not be, 2 for an unknown name or
// when nothing is built.
import { cpus, release, tmpdir, type } from "node:os";
import { existsSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { figuresTable } from "./figures.mjs";
import { root, say } from "./support.mjs";

const BENCHES = {
  "cli-version": () => import("./cli-version.mjs"),
  "cli-status": () => import("./cli-status.mjs"),
  writes: () => import("./writes.mjs"),
  failover: () => import("./failover.mjs"),
  search: () => import("./search.mjs"),
  validate: () => import("./validate.mjs"),
  rebalance: () => import("./rebalance.mjs"),
  planner: () => import("./planner.mjs"),
  redis: () => import("./redis.mjs"),
  idle: () => import("./idle.mjs"),
};
const TMPFS_MAGIC = 0x01021994;

const { values, positionals } = parseArgs({
  options: { quick: { type: "boolean", default: false } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !Object.hasOwn(BENCHES, name));
if (unknown.length > 0) {
  say(`no such bench: ${unknown.join(", ")}; there are ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}

if (!existsSync(join(root, "dist/.built"))) {
  say("nothing is built yet: npm run build");
  process.exit(2);
}

const cores = cpus();
const diskless = statfsSync(tmpdir()).type === TMPFS_MAGIC;
const results = [];
let unmeasured = 0;
for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHES)) {
  say(`${name} ...`);
  const skipped = [];
  let figures = [];
  try {
    const { measure } = await BENCHES[name]();
    figures = await measure({ quick: values.quick, skip: (reason) => skipped.push(reason) });
  } catch (error) {
    unmeasured++;
    say(error.message);
    skipped.push(error.message.split("\n")[0]);
  }
  results.push({ name, figures, skipped });
}

process.stdout.write(
  `Node ${process.versions.node}, ${type()} ${release()}, ${cores.length} x ${cores[0]?.model ?? "unknown"}\n`,
);
if (diskless) {
  process.stdout.write(`${tmpdir()} is memory, not a disk: flushing costs nothing here (set TMPDIR)\n`);
}
process.stdout.write(`\n${figuresTable(results)}\n`);
process.exitCode = unmeasured > 0 ? 1 : 0;
