// Starting and stopping processes, with real ones: a small program stands where the node's program is and
// behaves as the node's contract says (pid file, report, errors in its log), or breaks it on purpose.
// What matters most here is whom no signal is ever sent to.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createEmbeddedEngine } from "../../../src/engines/embedded/engine.ts";
import { identify, nodeProcess } from "../../../src/engines/local/process-identity.ts";
import { stopNode } from "../../../src/engines/local/processes.ts";
import { isNodeProcess } from "../../../src/engines/embedded/node-program.ts";
import type { Engine } from "../../../src/engines/engine.ts";
import { errorBody, Mem0ctlError } from "../../../src/model/errors.ts";
import { encodePidFile, PID_FILE, SPAWN_FILE, startTimeOfStat } from "../../../src/model/pid-file.ts";
import type { PidRecord } from "../../../src/model/pid-file.ts";
import { limitFiles } from "../file-limit.ts";
import { json, manifestOf, refusedPort, reportsOf, serve } from "./support.ts";

let folder: string;
let program: string;
const children: ChildProcess[] = [];
const spawnedPids = new Set<number>();
const cleanups: (() => Promise<unknown>)[] = [];

/** Stands in for the node's program; `plan.json`, in the manifest's place, says what each node does. */
const PROGRAM = `
import { createServer } from "node:http";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
const [, , , manifest, , id] = process.argv;
const plan = JSON.parse(readFileSync(manifest, "utf8"))[id];
if (plan.log !== undefined) process.stdout.write(plan.log + "\\n");
if (plan.exit !== undefined) process.exit(plan.exit);
const stat = readFileSync("/proc/self/stat", "utf8");
const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
const { cluster, port } = plan;
writeFileSync("node.pid", JSON.stringify({ format: 1, pid: process.pid, startTime, bootId, node: id, cluster, port }), { mode: 0o600 });
createServer((request, response) => response.end(JSON.stringify({ ...plan.report, pid: process.pid }))).listen(port, "127.0.0.1");
process.on("SIGTERM", () => {
  if (plan.stubborn) return;
  rmSync("node.pid");
  process.exit(0);
});
`;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "mem0ctl-processes-")));
  await mkdir(join(folder, "node"));
  program = join(folder, "node", "main.js");
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  await writeFile(program, PROGRAM);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const pid of spawnedPids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
  spawnedPids.clear();
  await rm(folder, { recursive: true, force: true });
});

/** A process that runs until it is killed, with any words on its command line. */
async function bystander(script: string, ...words: string[]): Promise<{ child: ChildProcess; pid: number }> {
  const child = spawn(process.execPath, [script, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  await once(child.stdout ?? child, "data");
  if (child.pid === undefined) throw new Error("the process has no pid");
  return { child, pid: child.pid };
}

async function idleScript(): Promise<string> {
  const path = join(folder, "idle.js");
  await writeFile(path, 'process.stdout.write("here\\n"); setInterval(() => undefined, 1000);');
  return path;
}

async function truthOf(pid: number): Promise<PidRecord> {
  const startTime = startTimeOfStat(await readFile(`/proc/${pid}/stat`, "utf8"));
  if (startTime === undefined) throw new Error("no start time");
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  return { pid, startTime, bootId, node: "node-1", cluster: "demo", port: 7001 };
}

async function dataDirWith(content: string): Promise<string> {
  const dataDir = join(folder, "node-1");
  await mkdir(dataDir, { recursive: true });
  await writeFile(join(dataDir, PID_FILE), content);
  return dataDir;
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

describe.runIf(process.platform === "linux")("no signal is sent", () => {
  it("to a pid that is another program's now: the stale file is removed", async () => {
    const { child, pid } = await bystander(await idleScript());
    const before = await truthOf(pid);
    const dataDir = await dataDirWith(
      encodePidFile({ ...before, startTime: String(Number(before.startTime) - 1) }),
    );
    expect(await stopNode(dataDir, "node-1", "demo", isNodeProcess)).toEqual({
      outcome: "was-not-running",
      pid: null,
    });
    expect(existsSync(join(dataDir, PID_FILE))).toBe(false);
    expect(isAlive(child)).toBe(true);
  });

  it("to a process of the same start time in another boot", async () => {
    const { child, pid } = await bystander(await idleScript());
    const dataDir = await dataDirWith(encodePidFile({ ...(await truthOf(pid)), bootId: "another-boot" }));
    expect(await stopNode(dataDir, "node-1", "demo", isNodeProcess)).toMatchObject({
      outcome: "was-not-running",
    });
    expect(isAlive(child)).toBe(true);
  });

  it("to a pid file of another node or another cluster that lies in the data directory", async () => {
    const { child, pid } = await bystander(await idleScript());
    for (const change of [{ node: "node-2" }, { cluster: "other" }]) {
      const dataDir = await dataDirWith(encodePidFile({ ...(await truthOf(pid)), ...change }));
      expect(await stopNode(dataDir, "node-1", "demo", isNodeProcess)).toMatchObject({
        outcome: "was-not-running",
      });
    }
    expect(isAlive(child)).toBe(true);
  });

  it("to a node that someone runs in the foreground: that is theirs to stop", async () => {
    const { child, pid } = await bystander(await idleScript(), "node", "run", "--node", "node-1");
    const dataDir = await dataDirWith(encodePidFile(await truthOf(pid)));
    expect(await stopNode(dataDir, "node-1", "demo", isNodeProcess)).toEqual({ outcome: "foreground", pid });
    expect(existsSync(join(dataDir, PID_FILE))).toBe(true);
    expect(isAlive(child)).toBe(true);
  });

  it("to what a link in the pid file's place points at", async () => {
    const { child, pid } = await bystander(await idleScript());
    const elsewhere = join(folder, "elsewhere");
    await writeFile(elsewhere, encodePidFile(await truthOf(pid)));
    const dataDir = join(folder, "node-1");
    await mkdir(dataDir);
    await symlink(elsewhere, join(dataDir, PID_FILE));
    expect(await stopNode(dataDir, "node-1", "demo", isNodeProcess)).toMatchObject({
      outcome: "was-not-running",
    });
    expect(existsSync(elsewhere)).toBe(true);
    expect(isAlive(child)).toBe(true);
  });

  it("for garbage, for process groups, for init", async () => {
    const { pid } = await bystander(await idleScript());
    const sound = await truthOf(pid);
    const contents = [
      "",
      "1234",
      "{",
      "[]",
      "x".repeat(5000),
      ...[-1, 0, 1, 1.5, Number.NaN].map((wrong) => encodePidFile({ ...sound, pid: wrong })),
    ];
    for (const content of contents) {
      const dataDir = await dataDirWith(content);
      expect(await nodeProcess(dataDir, "node-1", "demo", isNodeProcess)).toEqual({
        kind: "stale",
        pid: null,
      });
    }
  });

  it("to a process that has ended, whether its parent has noticed or not", async () => {
    const { child, pid } = await bystander(await idleScript());
    const record = await truthOf(pid);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await identify(record, isNodeProcess)).toEqual({ kind: "stale", pid });
  });
});

it.runIf(process.platform === "linux")(
  "a process that was killed has ended once its port is free",
  async () => {
    // What is stopped ends thread by thread, and gives much memory back before it gives its port back.
    const holder = `
    const held = Array.from({ length: 6 }, () => Buffer.alloc(64 << 20, 1));
    require("node:http").createServer(() => held).listen(0, "127.0.0.1", function () {
      console.log(this.address().port);
    });`;
    for (let time = 0; time < 4; time += 1) {
      const child = spawn(process.execPath, ["-e", holder], { stdio: ["ignore", "pipe", "inherit"] });
      children.push(child);
      const port = Number(String((await once(child.stdout, "data"))[0]));
      const record = await truthOf(child.pid ?? 0);
      child.kill("SIGSTOP");
      child.kill("SIGKILL");
      while ((await identify(record, isNodeProcess)).kind !== "stale");
      const next = createServer();
      next.listen(port, "127.0.0.1");
      await once(next, "listening");
      expect(next.address()).toMatchObject({ port });
      next.close();
    }
  },
);

interface Started {
  readonly engine: Engine;
  readonly ports: readonly number[];
}

/** An engine over the small program; `plans` say how node-1, node-2, … behave. */
async function engineOf(...plans: Record<string, unknown>[]): Promise<Started> {
  const ports: number[] = [];
  for (const _ of plans) ports.push(await refusedPort());
  return engineAt(ports, ...plans);
}

async function engineAt(ports: readonly number[], ...plans: Record<string, unknown>[]): Promise<Started> {
  const manifest = manifestOf({ ports, dataDir: folder, replicas: 0, manage: "spawn" });
  const reports = reportsOf(manifest);
  const plan = Object.fromEntries(
    plans.map((behaviour, index) => [
      `node-${index + 1}`,
      { cluster: "demo", port: ports[index], report: reports[index], ...behaviour },
    ]),
  );
  const manifestFile = join(folder, "plan.json");
  await writeFile(manifestFile, JSON.stringify(plan));
  const engine = createEmbeddedEngine(manifest, { manifestFile, program });
  cleanups.push(() => engine.close());
  return { engine, ports };
}

async function up(engine: Engine, ids: readonly string[], timeoutMs = 10_000) {
  const actions = await engine.up(ids, { timeoutMs });
  for (const { pid } of actions) if (pid !== null) spawnedPids.add(pid);
  return actions;
}

const ALL = { timeoutMs: 10_000 };

describe.runIf(process.platform === "linux")("up and down", () => {
  it("start detached processes with private files, harmlessly twice, and end them all", async () => {
    const { engine } = await engineOf({}, {});
    const ids = ["node-1", "node-2"];
    const first = await up(engine, ids);
    expect(first.map(({ outcome }) => outcome)).toEqual(["spawned", "spawned"]);
    const second = await up(engine, ids);
    expect(second).toEqual(first.map((action) => ({ ...action, outcome: "already-running" })));

    expect((await stat(join(folder, "node-1"))).mode & 0o777).toBe(0o700);
    expect((await stat(engine.logFile("node-1"))).mode & 0o777).toBe(0o600);

    const stopped = await engine.down(ids, ALL);
    expect(stopped).toEqual(first.map(({ node, pid }) => ({ node, outcome: "stopped", pid })));
    for (const { pid } of first) expect(await isRunning(pid)).toBe(false);
    const said: string[] = [];
    const again = await engine.down(ids, { ...ALL, onProgress: ({ message }) => said.push(message) });
    expect(said).toEqual(["was not running", "was not running"]);
    expect(again).toEqual(ids.map((node) => ({ node, outcome: "was-not-running", pid: null })));
  });

  it("kill a node that does not stop, after its grace, and clean up its pid file", async () => {
    const { engine } = await engineOf({ stubborn: true });
    const [action] = await up(engine, ["node-1"]);
    const dataDir = join(folder, "node-1");
    expect(await stopNode(dataDir, "node-1", "demo", isNodeProcess, 200)).toEqual({
      outcome: "stopped",
      pid: action?.pid,
    });
    expect(await isRunning(action?.pid ?? null)).toBe(false);
    expect(existsSync(join(dataDir, PID_FILE))).toBe(false);
  });

  it("put neither secrets nor a shell on the command line", async () => {
    const { engine } = await engineOf({});
    const [action] = await up(engine, ["node-1"]);
    const command = await readFile(`/proc/${action?.pid}/cmdline`, "utf8");
    const words = command.split("\0").slice(1, -1);
    const settings = words.splice(0, words.indexOf(program));
    expect(words).toEqual([program, "--manifest", join(folder, "plan.json"), "--node", "node-1"]);
    expect(settings.filter((word) => !/^--[a-z0-9-]+=\d+$/.test(word))).toEqual([]);
    await engine.down(["node-1"], ALL);
  });

  it("set a large log aside when the node is started, so that two files bound it", async () => {
    const { engine } = await engineOf({ log: "hello" });
    const logFile = engine.logFile("node-1");
    await mkdir(join(folder, "node-1"));
    await writeFile(logFile, "");
    await truncate(logFile, 17 * 1024 * 1024);
    await up(engine, ["node-1"]);
    expect((await stat(`${logFile}.1`)).size).toBe(17 * 1024 * 1024);
    expect(await readFile(logFile, "utf8")).toBe("hello\n");
    await engine.down(["node-1"], ALL);
  });

  it("find a node that has no pid file of its own yet by what its spawner noted", async () => {
    const { engine } = await engineOf({});
    const [action] = await up(engine, ["node-1"]);
    await rm(join(folder, "node-1", PID_FILE));
    const expected = { node: "node-1", outcome: "stopped", pid: action?.pid };
    expect(await engine.down(["node-1"], ALL)).toEqual([expected]);
    expect(existsSync(join(folder, "node-1", SPAWN_FILE))).toBe(false);
    expect(await isRunning(action?.pid ?? null)).toBe(false);
  });

  it("leave a running node alone of which neither pid file is left", async () => {
    const { engine } = await engineOf({});
    const [action] = await up(engine, ["node-1"]);
    await rm(join(folder, "node-1", PID_FILE));
    await rm(join(folder, "node-1", SPAWN_FILE));
    const expected = { node: "node-1", outcome: "not-managed", pid: action?.pid };
    expect(await engine.down(["node-1"], ALL)).toEqual([expected]);
    expect(await up(engine, ["node-1"])).toMatchObject([{ outcome: "already-running", pid: action?.pid }]);
    expect(await isRunning(action?.pid ?? null)).toBe(true);
  });
});

async function isRunning(pid: number | null): Promise<boolean> {
  if (pid === null) return false;
  const content = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return content !== "" && !/\) [ZX] /.test(content);
}

describe.runIf(process.platform === "linux")("a node that cannot start", () => {
  it("says why in its log, and that is what the person gets, code and all", async () => {
    for (const code of ["data-of-other-cluster", "data-newer-format", "data-locked", "disk-full"]) {
      const error = new Mem0ctlError("conflict", code, "the data says no", { why: "w", hint: "h" });
      const log = `starting\n${JSON.stringify(errorBody(error))}`;
      const { engine } = await engineOf({ log, exit: 6 });
      await expect(up(engine, ["node-1"])).rejects.toMatchObject({
        kind: "conflict",
        code,
        message: "node-1 did not start: the data says no",
        why: "w",
        hint: "h",
        data: { exitCode: 6 },
      });
    }
  });

  it("without a word: its exit code and its last lines, made safe for a terminal", async () => {
    const log = "first\n\u001b[31mred \u202e alert\u001b[0m";
    const { engine } = await engineOf({ log, exit: 9 });
    await expect(up(engine, ["node-1"])).rejects.toMatchObject({
      code: "node-died",
      message: "node-1 ended while it started (exit code 9)",
      why: "[31mred   alert [0m",
      data: { log: ["first", "[31mred   alert [0m"] },
    });
  });

  it("because its disk is full", async () => {
    const { engine } = await engineOf({ log: "Error: ENOSPC: no space left on device, write", exit: 1 });
    await expect(up(engine, ["node-1"])).rejects.toMatchObject({ kind: "full", code: "disk-full" });
  });

  it("because not even the file that names its process fits: nothing is left running", async () => {
    await writeFile(program, "setInterval(() => undefined, 1000);");
    const { engine } = await engineOf({});
    limitFiles(0);
    try {
      await expect(up(engine, ["node-1"])).rejects.toMatchObject({ kind: "full", code: "disk-full" });
    } finally {
      limitFiles("unlimited");
    }
    expect(await readdir(dirname(engine.logFile("node-1")))).toEqual(["node.log"]);
    expect((await engine.down(["node-1"], ALL))[0]?.outcome).toBe("was-not-running");
  });

  it("because its log cannot be written: where, and what to do", async () => {
    const { engine } = await engineOf({});
    await mkdir(engine.logFile("node-1"), { recursive: true });
    await expect(up(engine, ["node-1"])).rejects.toMatchObject({
      kind: "failed",
      code: "data-dir-unusable",
      message: "cannot write the log of node-1",
      why: expect.stringContaining(engine.logFile("node-1")),
    });
  });

  it("because a program has its port: which one, by pid", async () => {
    const other = await serve((_request, response) => void response.end("<html>hello</html>"));
    cleanups.push(() => other.close());
    const { engine } = await engineAt([other.port], {});
    await expect(up(engine, ["node-1"])).rejects.toMatchObject({
      code: "port-taken",
      message: expect.stringContaining(`(pid ${process.pid})`),
      data: { port: other.port, holder: { pid: process.pid } },
    });
    expect(existsSync(engine.logFile("node-1"))).toBe(false);
  });

  it("because its data directory is that of a node with another port: no other is waited for", async () => {
    const { pid } = await bystander(await idleScript());
    await dataDirWith(encodePidFile({ ...(await truthOf(pid)), port: 7001 }));
    const { engine, ports } = await engineOf({});
    await expect(up(engine, ["node-1"])).rejects.toMatchObject({
      kind: "conflict",
      code: "node-runs-elsewhere",
      message: `node-1 runs already, on port 7001, and the manifest gives it port ${ports[0]}`,
      why: expect.stringContaining(`pid ${pid} has its data directory`),
    });
  });

  it("because its port is a node of another cluster", async () => {
    const report = reportsOf(manifestOf())[0];
    const other = await serve((_request, response) => json(response, 200, { ...report, cluster: "other" }));
    cleanups.push(() => other.close());
    const { engine } = await engineAt([other.port], {});
    await expect(up(engine, ["node-1"])).rejects.toMatchObject({
      kind: "conflict",
      code: "wrong-cluster",
      message: expect.stringContaining("node-1 of the cluster other, not node-1 of demo"),
    });
  });

  it("does not keep the others from starting, and all failures are told", async () => {
    const { engine } = await engineOf({ exit: 1 }, {}, { exit: 2 });
    await expect(up(engine, ["node-1", "node-2", "node-3"])).rejects.toMatchObject({
      code: "node-died",
      message: expect.stringContaining("(and 1 more)"),
      data: {
        failures: [
          { node: "node-1", exitCode: 1 },
          { node: "node-3", exitCode: 2 },
        ],
      },
    });
    const [running] = await up(engine, ["node-2"]);
    expect(running?.outcome).toBe("already-running");
    await engine.down(["node-2"], ALL);
  });

  it("into a data directory that is a link", async () => {
    await mkdir(join(folder, "elsewhere"));
    await symlink(join(folder, "elsewhere"), join(folder, "node-1"));
    const { engine } = await engineOf({});
    await expect(up(engine, ["node-1"])).rejects.toMatchObject({ code: "unsafe-path" });
  });
});
