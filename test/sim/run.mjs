// `npm run sim`: bundles the runner (runner/command.ts), which is TypeScript like the simulator, and runs it.
// What it accepts and prints is said there and in docs/checks.md.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));
// Below node_modules, so that bundles find the packages that are not bundled; one folder for each run.
const folder = join(root, "node_modules", ".cache", "mem0ctl-sim", String(process.pid));
mkdirSync(folder, { recursive: true });
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
await build({
  absWorkingDir: root,
  entryPoints: { command: "test/sim/runner/command.ts" },
  outdir: folder,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
  external: ["esbuild"],
});
const { runCommand } = await import(pathToFileURL(join(folder, "command.mjs")).href);
const exitCode = await runCommand(process.argv.slice(2), { root, folder });
// What a slow reader of a pipe has not taken yet would be lost: a trace is longer than a pipe.
await new Promise((resolve) => process.stdout.write("", resolve));
process.exit(exitCode);
