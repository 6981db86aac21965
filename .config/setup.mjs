// Makes a fresh clone ready to run: installs the locked dependencies and builds, each only when needed.
// Prints to stderr alone, so that a command chained behind it keeps a clean stdout.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (...parts) => join(root, ...parts);
const mtime = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`mem0ctl needs Node >= 20.19; this is ${process.versions.node}\n`);
  process.exit(1);
}

function run(what, command, args) {
  process.stderr.write(`${what} ...\n`);
  const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (result.status !== 0) {
    process.stderr.write(`${what} failed\n`);
    process.exit(result.status ?? 1);
  }
}

function newest(folder) {
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) latest = Math.max(latest, mtime(join(entry.parentPath, entry.name)));
  }
  return latest;
}

if (mtime(at("node_modules/.package-lock.json")) < mtime(at("package-lock.json"))) {
  // Not `npm ci`: it refuses a lock that lacks the optional packages of other platforms, and the lock lacks
  // those that the registry did not have when it was made. Versions and checksums are the lock's either way.
  run("installing dependencies", "npm", [
    "install",
    "--no-save",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ]);
}
const built = mtime(at("dist/.built"));
const sources = Math.max(
  newest(at("src")),
  mtime(at("package.json")),
  mtime(at(".config/build.mjs")),
  mtime(at(".config/quick-loader.mjs")),
);
if (built < sources) run("building", process.execPath, [at(".config/build.mjs")]);
