// A real cluster for a test: made and brought up by the built CLI in a directory of its own on free
// ports, and taken down again whatever happened, with no process left.

import { execFile } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parsePidFile, PID_FILE, startTimeOfStat, stateOfStat } from "../../../src/model/pid-file.ts";
import type { PidRecord } from "../../../src/model/pid-file.ts";
import type { ClusterView } from "../../../src/model/view.ts";

export const BIN = fileURLToPath(new URL("../../../bin/mem0ctl.js", import.meta.url));
const COMMAND_MS_MAX = 60_000;
/** Below the ports that the system hands out for outgoing connections, so that none is taken by chance. */
const PORT_MIN = 20_000;
/** A redis server has a second port 10,000 above its own: no node is ever given one of those. */
const PORT_MAX = 30_000;
/** Tests run in several workers of vitest at a time; ports lie in blocks, and every so many of them are one worker's. */
const BLOCK_PORTS = 32;
const WORKERS_MAX = 16;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestCluster {
  readonly directory: string;
  /** The manifest. */
  readonly file: string;
  readonly ports: readonly number[];
  /** `http://127.0.0.1:<port>` of each node. */
  readonly hosts: readonly string[];
  /** Runs the CLI on this cluster's manifest. */
  readonly mem0ctl: (...args: readonly string[]) => Promise<CommandResult>;
  /** The process of a node; undefined while it does not run. */
  readonly pidOf: (node: string) => number | undefined;
  /** Where a node keeps its data, log and pid file. */
  readonly dataDir: (node: string) => string;
  readonly status: () => Promise<{ readonly code: number; readonly view: ClusterView }>;
  /** Signals the node's process; after SIGKILL it resolves when the process is gone. */
  readonly signal: (node: string, signal: NodeJS.Signals) => Promise<void>;
  /** Takes it down and removes its directory, unless told to keep it. Throws where a process had to be killed. */
  readonly end: (options?: { readonly keep: boolean }) => Promise<void>;
}

export interface ClusterOptions {
  readonly nodes?: number;
  /** Further flags of `init cluster`, after the defaults, which they override. */
  readonly flags?: readonly string[];
  /** Changes the text of the manifest before the cluster is brought up. */
  readonly edit?: (manifest: string, directory: string) => string;
  /** Further environment of every command, and so of the nodes that it starts. */
  readonly env?: Readonly<Record<string, string>>;
  /** Name of the cluster. */
  readonly name?: string;
  /** Below this; default 30,000. */
  readonly portMax?: number;
  /** Further ports, at the end of `ports`, for nodes that come later. */
  readonly spare?: number;
}

/** Three nodes with three copies unless told otherwise; healthy when it resolves. */
export async function bringUpCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const cluster = await makeCluster(options);
  try {
    await succeed(await cluster.mem0ctl("up", "--timeout", "40s"));
    return cluster;
  } catch (error) {
    const logs = nodeLogs(cluster.directory);
    await cluster.end();
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${logs}`, { cause: error });
  }
}

/** The same, but for `up`: the manifest is there, and nothing runs. */
export async function makeCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { nodes = 3, flags = [], edit, env = {}, name = "e2e", spare = 0, portMax = PORT_MAX } = options;
  const directory = await mkdtemp(join(tmpdir(), "mem0ctl-e2e-"));
  const file = join(directory, "cluster.yaml");
  const ports = await freePorts(nodes + spare, portMax);
  const mem0ctl = async (...args: readonly string[]): Promise<CommandResult> =>
    runMem0ctl([...args, "-f", file], directory, env);
  const pidOf = (node: string): number | undefined =>
    runningNodes(directory).find((running) => running.node === node)?.pid;
  const end = async ({ keep } = { keep: false }): Promise<void> => {
    // A stopped process would not see the signal that `down` sends.
    for (const { pid } of runningNodes(directory)) process.kill(pid, "SIGCONT");
    const down = await mem0ctl("down").catch((error: unknown) => error);
    const left = runningNodes(directory);
    for (const { pid } of left) process.kill(pid, "SIGKILL");
    if (!keep) await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    if (left.length > 0) throw new Error(`down left ${left.length} nodes running: ${JSON.stringify(down)}`);
  };
  const cluster: TestCluster = {
    directory,
    file,
    ports,
    hosts: ports.map((port) => `http://127.0.0.1:${port}`),
    mem0ctl,
    pidOf,
    dataDir: (node) => join(directory, ".mem0ctl", name, node),
    status: async () => {
      const { code, stdout, stderr } = await mem0ctl("status", "-o", "json");
      if (stdout === "") throw new Error(`status said nothing, exit ${code}: ${stderr}`);
      const view: ClusterView = JSON.parse(stdout);
      return { code, view };
    },
    signal: async (node, signal) => {
      const pid = pidOf(node);
      if (pid === undefined) throw new Error(`${node} does not run`);
      process.kill(pid, signal);
      if (signal === "SIGKILL") await until(`${node} is gone`, () => !isAlive(pid));
    },
    end,
  };
  const copies = flags.includes("--replication") ? [] : ["--replication", "multiple", "--replicas", "2"];
  const shards = flags.includes("--sharding") || flags.includes("--engine") ? [] : ["--shards", "8"];
  const defaults = ["--name", name, "--yes", ...copies, ...shards];
  try {
    const port = ["--port", String(ports[0] ?? 0)];
    // Arbiters that the flags ask for are among the nodes that were counted.
    const arbiters = flags.includes("--arbiters") ? Number(flags[flags.indexOf("--arbiters") + 1]) : 0;
    const count = ["--nodes", String(nodes - arbiters)];
    await succeed(await mem0ctl("init", "cluster", ...defaults, ...count, ...port, ...flags));
    if (edit !== undefined) writeFileSync(file, edit(readFileSync(file, "utf8"), directory));
    return cluster;
  } catch (error) {
    await end();
    throw error;
  }
}

/** Asks again and again until the answer is neither false nor undefined; throws, named, when it never is. */
export async function until<Value>(
  what: string,
  probe: () => Value | Promise<Value>,
  timeoutMs = 30_000,
): Promise<Exclude<Value, false | undefined>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== false && value !== undefined) return value as Exclude<Value, false | undefined>;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** True for a process that runs; one that has ended and was not reaped yet is gone. */
export function isAlive(pid: number): boolean {
  try {
    const state = stateOfStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
    return state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}

/** The CLI as it is built, on any manifest. */
export async function runMem0ctl(
  args: readonly string[],
  cwd: string,
  extra: Readonly<Record<string, string>>,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [BIN, ...args],
      {
        cwd,
        timeout: COMMAND_MS_MAX,
        maxBuffer: 67_108_864,
        env: { ...process.env, NO_COLOR: "1", ...extra },
      },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
    child.stdin?.end();
  });
}

async function succeed(result: CommandResult): Promise<void> {
  if (result.code !== 0) throw new Error(`exit ${result.code}\n${result.stdout}\n${result.stderr}`);
}

/** Nodes of the cluster in this directory that run: by pid file, checked against the process itself. */
export function runningNodes(directory: string): readonly { readonly node: string; readonly pid: number }[] {
  return filesNamed(directory, PID_FILE).flatMap((file) => {
    const record = parsePidFile(readFileSync(file, "utf8"));
    return record !== undefined && isNode(record, directory) ? [{ node: record.node, pid: record.pid }] : [];
  });
}

/** A node's command line names its directory; a server that writes its own title names cluster and node. */
function isNode({ pid, cluster, node, startTime }: PidRecord, directory: string): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    const same = startTimeOfStat(readFileSync(`/proc/${pid}/stat`, "utf8")) === startTime;
    return isAlive(pid) && same && (command.includes(directory) || command.includes(`${cluster}/${node}`));
  } catch {
    return false;
  }
}

function nodeLogs(directory: string): string {
  return filesNamed(directory, "node.log")
    .map((file) => `--- ${file}\n${readFileSync(file, "utf8").split("\n").slice(-20).join("\n")}`)
    .join("\n");
}

function filesNamed(directory: string, name: string): readonly string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name === name)
    .map((entry) => join(entry.parentPath, entry.name));
}

/**
 * As many ports in a row that nothing listens on, in a block of this worker's own: between the look and the start of a
 * node another worker may look, too.
 */
async function freePorts(count: number, portMax: number): Promise<readonly number[]> {
  if (count > BLOCK_PORTS) throw new RangeError(`${count} ports are more than a block has`);
  const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % WORKERS_MAX;
  const rounds = Math.floor((portMax - PORT_MIN) / (BLOCK_PORTS * WORKERS_MAX));
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const block = Math.floor(Math.random() * rounds) * WORKERS_MAX + worker;
    const first = PORT_MIN + block * BLOCK_PORTS + Math.floor(Math.random() * (BLOCK_PORTS - count + 1));
    const ports = Array.from({ length: count }, (_, index) => first + index);
    const held = await Promise.all(ports.map(hold));
    await Promise.all(
      held.map(
        async (server) =>
          new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve())),
      ),
    );
    if (held.every((server) => server !== undefined)) return ports;
  }
  throw new Error(`found no ${count} free ports in a row`);
}

async function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
