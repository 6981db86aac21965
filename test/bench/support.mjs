// What every bench stands on: a folder that takes its processes with it when it goes, free ports,
// whole-process timing, and a cluster that is made, run and ended by the real command line.
// Nothing here measures a figure of its own.
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const mem0ctl = join(root, "bin", "mem0ctl.js");

const run = promisify(execFile);
const openFolders = new Set();
/** Lines of a node's log. */
const LAST_WORDS = 5;

/** Progress goes to stderr, so that stdout holds the table and nothing else. */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Runs `work(folder)` in a temporary folder. Afterwards, also when it throws or the bench is
 * interrupted, every process that names the folder in its arguments is ended by its pid, and the
 * folder is removed. When it throws, the nodes' last words are told before.
 */
export async function withFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), "mem0ctl-bench-"));
  openFolders.add(folder);
  try {
    return await work(folder);
  } catch (error) {
    sayLastWords(folder);
    throw error;
  } finally {
    closeFolder(folder);
  }
}

function sayLastWords(folder) {
  try {
    for (const path of readdirSync(folder, { recursive: true })) {
      if (!path.endsWith("node.log")) continue;
      const lines = readFileSync(join(folder, path), "utf8").trimEnd().split("\n");
      say([path, ...lines.slice(-LAST_WORDS)].join("\n  "));
    }
  } catch (error) {
    // What failed before counts, and is thrown on; nodes that run on may remove what is read here.
    say(`the nodes' last words could not be read: ${error.message}`);
  }
}

function closeFolder(folder) {
  openFolders.delete(folder);
  const pids = processesOf(folder);
  for (const pid of pids) signalProcess(pid, "SIGKILL");
  // The kernel closes a killed process's files a moment later; removal then finds the folder quiet.
  const giveUpAt = Date.now() + 5_000;
  while (pids.some(isAlive) && Date.now() < giveUpAt)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
]) {
  process.once(signal, () => {
    for (const folder of openFolders) closeFolder(folder);
    process.exit(exitCode);
  });
}

function processesOf(folder) {
  if (!existsSync("/proc/self/cmdline")) return [];
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .filter((pid) => argumentsOf(pid).some((argument) => argument.includes(folder)))
    .map(Number);
}

function argumentsOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // It ended while the list was read.
  }
}

/** False when the process had ended already. */
export function signalProcess(pid, signal) {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error.code === "ESRCH") return false;
    throw error;
  }
}

/** A zombie that its parent has not collected yet counts as ended. */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return true;
  }
}

/** The first of `count` free loopback ports in a row, below the range that outgoing connections use. */
export async function freePorts(count, below = 32_000) {
  for (let attempt = 0; attempt < 200; attempt++) {
    const first = 20_000 + Math.floor(Math.random() * (below - 20_000 - count));
    const free = await Promise.all(Array.from({ length: count }, (_, offset) => portIsFree(first + offset)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`no ${count} free ports in a row between 20000 and ${below}`);
}

function portIsFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Wall time in ms of one whole process; throws when it does not exit with 0. */
export function processTimeMs(command, parameters, options = {}) {
  const began = process.hrtime.bigint();
  const result = spawnSync(command, parameters, { stdio: ["ignore", "ignore", "pipe"], ...options });
  const elapsedMs = Number(process.hrtime.bigint() - began) / 1e6;
  if (result.status !== 0) throw new Error(exitMessage(parameters, result.status, result.stderr));
  return elapsedMs;
}

/**
 * Times two processes in turns, so that a busy moment of the machine hits both alike.
 * Resolves to the times in ms of each, index by index.
 */
export function pairedProcessTimes(pairs, ours, peer) {
  const times = { ours: [], peer: [] };
  ours();
  peer(); // Both once unmeasured: the page cache is warm for the two alike.
  for (let pair = 0; pair < pairs; pair++) {
    if (pair % 2 === 0) {
      times.ours.push(ours());
      times.peer.push(peer());
    } else {
      times.peer.push(peer());
      times.ours.push(ours());
    }
  }
  return times;
}

/** Runs the command line; resolves to its stdout. The error of a failure carries its stderr. */
async function runCli(parameters, folder, timeoutMs = 120_000) {
  try {
    const { stdout } = await run(process.execPath, [mem0ctl, ...parameters], {
      cwd: folder,
      maxBuffer: 64 * 1024 * 1024,
      timeout: timeoutMs,
    });
    return stdout;
  } catch (error) {
    throw new Error(exitMessage(parameters, error.code ?? error.signal, error.stderr ?? error.message));
  }
}

/** First what went wrong in one line, then all that the process said. */
function exitMessage(parameters, exit, stderr) {
  const said = String(stderr).trim().split("\n");
  const gist = said.find((line) => /^error\b|Error\b/.test(line)) ?? said.at(-1);
  return [`${parameters.join(" ")} exited with ${exit}: ${gist}`, ...said].join("\n");
}

/**
 * A running cluster of three nodes with three copies of every shard, made by `init cluster` and `up`; `spare`
 * ports in a row are free for nodes that join.
 * Ends with its folder (`withFolder`), or cleanly by `down()`.
 */
export async function startCluster(folder, { shards = 16, spare = 0 } = {}) {
  const port = await freePorts(3 + spare);
  const file = join(folder, "cluster.yaml");
  const shape = "--nodes 3 --replication multiple --replicas 2 --sharding hash".split(" ");
  const sizes = ["--shards", String(shards), "--port", String(port)];
  await runCli(["init", "cluster", "--yes", ...shape, ...sizes, "-f", file], folder);
  const up = () => runCli(["up", "-f", file], folder);
  await up();
  return {
    file,
    endpoints: [0, 1, 2].map((offset) => `http://127.0.0.1:${port + offset}`),
    /** Where nodes that join later may listen. */
    spares: Array.from({ length: spare }, (_, offset) => `127.0.0.1:${port + 3 + offset}`),
    /** Any other command about it; resolves to its stdout. */
    cli: (parameters, timeoutMs) => runCli([...parameters, "-f", file], folder, timeoutMs),
    /** Starts the nodes that are not running and waits until the cluster is healthy. */
    up,
    /** The ClusterView of `status -o json`. */
    status: async () => JSON.parse(await runCli(["status", "-o", "json", "-f", file], folder)),
    down: () => runCli(["down", "-f", file], folder),
  };
}

/** One memory of 1 KiB for mem0's add route: `text` is stored as it is given. */
export function addRequest(user, text) {
  return {
    method: "POST",
    path: "/v3/memories/add/",
    body: `{"messages":${JSON.stringify(text)},"user_id":"${user}","infer":false}`,
  };
}

/** `count` different texts of exactly `bytes` ASCII bytes, of words, the same in every run. */
export function sampleTexts(count, bytes) {
  const syllables = "ka lo mi ren ta vo shi del an ko par se lu ne bri tos gal um we fi".split(" ");
  let seed = 42;
  const next = (bound) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * bound);
  };
  return Array.from({ length: count }, () => {
    let text = "";
    while (text.length < bytes) {
      const word = Array.from({ length: 1 + next(3) }, () => syllables[next(syllables.length)]).join("");
      text += text === "" ? word : ` ${word}`;
    }
    return text
      .slice(0, bytes - 1)
      .trimEnd()
      .padEnd(bytes, ".");
  });
}
