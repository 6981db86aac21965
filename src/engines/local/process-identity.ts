// Is the process behind a pid file the node that wrote it? A pid alone proves nothing: pids are given
// out again. The proof is the time the process started (and, on Linux, the boot it belongs to); only then
// does the command line say whether `up` spawned it or someone runs it in the foreground. Sends no signal.

import { execFile } from "node:child_process";
import { lstat, open, readdir, readFile } from "node:fs/promises";
import { constants } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

import type { NodeId } from "../../model/ids.ts";
import {
  parsePidFile,
  PID_FILE,
  PID_FILE_BYTES_MAX,
  SPAWN_FILE,
  startTimeOfStat,
  stateOfStat,
} from "../../model/pid-file.ts";
import type { PidRecord } from "../../model/pid-file.ts";

export type NodeProcess =
  /** The node, spawned by `up`: it may be signalled. */
  | { readonly kind: "spawned"; readonly record: PidRecord }
  /** The node, but run by someone else: in a terminal, by systemd. Theirs to stop. */
  | { readonly kind: "foreground"; readonly record: PidRecord }
  /** A pid file whose process has ended, or whose pid is another program's now. */
  | { readonly kind: "stale"; readonly pid: number | null }
  | { readonly kind: "none" };

/**
 * Whether a command line is that of a node that `up` spawned. Words are separated by NUL, or by spaces where
 * the program wrote its own title.
 */
export type Recognise = (command: string, record: PidRecord) => boolean;

/** What `ps` or `/proc` tells of a running process; undefined when there is none. */
interface Running {
  readonly startTime: string;
  readonly bootId: string;
  readonly command: string;
}

/** By the node's own pid file; while there is none of a live process, by what its spawner wrote. */
export async function nodeProcess(
  dataDir: string,
  node: NodeId,
  cluster: string,
  recognise: Recognise,
): Promise<NodeProcess> {
  const own = await processOf(join(dataDir, PID_FILE), node, cluster, recognise);
  if (own.kind === "spawned" || own.kind === "foreground") return own;
  const starting = await processOf(join(dataDir, SPAWN_FILE), node, cluster, recognise);
  return starting.kind === "spawned" ? starting : own;
}

async function processOf(
  file: string,
  node: NodeId,
  cluster: string,
  recognise: Recognise,
): Promise<NodeProcess> {
  const content = await readPidFile(file);
  if (content === undefined) return { kind: "none" };
  const record = parsePidFile(content);
  if (record === undefined) return { kind: "stale", pid: null };
  if (record.node !== node || record.cluster !== cluster) return { kind: "stale", pid: record.pid };
  return identify(record, recognise);
}

/**
 * The pids that this machine started for a node, as its files say: whether a server that answers is one of them, and
 * not somebody else's that has the port by chance. No proof for a signal.
 */
export async function recordedPids(dataDir: string): Promise<readonly number[]> {
  const files = await Promise.all([PID_FILE, SPAWN_FILE].map((name) => readPidFile(join(dataDir, name))));
  return files.flatMap((content) => {
    const record = content === undefined ? undefined : parsePidFile(content);
    return record === undefined ? [] : [record.pid];
  });
}

/** What makes a process checkable later; undefined when it has ended already. */
export async function proofOf(pid: number): Promise<Pick<PidRecord, "startTime" | "bootId"> | undefined> {
  const running = await runningProcess(pid);
  return running === undefined ? undefined : { startTime: running.startTime, bootId: running.bootId };
}

/** Looks at the process again: to be called right before every signal. */
export async function identify(record: PidRecord, recognise: Recognise): Promise<NodeProcess> {
  const running = await runningProcess(record.pid);
  const same =
    running !== undefined && running.startTime === record.startTime && running.bootId === record.bootId;
  if (!same) return { kind: "stale", pid: record.pid };
  return recognise(running.command, record) ? { kind: "spawned", record } : { kind: "foreground", record };
}

async function readPidFile(path: string): Promise<string | undefined> {
  // A link or a device in its place is not the node's: it is not followed, and not read.
  const status = await lstat(path).catch(() => undefined);
  if (status === undefined) return undefined;
  if (!status.isFile() || status.size > PID_FILE_BYTES_MAX) return "";
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

async function runningProcess(pid: number): Promise<Running | undefined> {
  return process.platform === "linux" ? runningOnLinux(pid) : runningElsewhere(pid);
}

async function runningOnLinux(pid: number): Promise<Running | undefined> {
  try {
    const [stat, command, bootId] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile(`/proc/${pid}/cmdline`, "utf8"),
      readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    ]);
    const startTime = startTimeOfStat(stat);
    const state = stateOfStat(stat);
    if (startTime === undefined || state === "X") return undefined;
    if (state === "Z") {
      await untilReleased(pid);
      return undefined;
    }
    return { startTime, command, bootId: bootId.trim() };
  } catch {
    return undefined;
  }
}

const RELEASE_POLL_MS = 5;
/** Memory is given back before ports are: of a large process in tenths of a second. */
const RELEASE_MS_MAX = 5000;

/**
 * A zombie has ended; only its parent has not asked for its exit code yet. Its first thread is one before the others
 * have ended, though, and what it had open, its port among it, is free only then.
 */
async function untilReleased(pid: number): Promise<void> {
  const deadlineMs = performance.now() + RELEASE_MS_MAX;
  while (performance.now() < deadlineMs) {
    const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
    if (threads.length < 2) return;
    await pause(RELEASE_POLL_MS);
  }
}

const run = promisify(execFile);
const LSTART = /^(\w{3} +\w{3} +\d+ +[\d:]+ +\d{4}) +(.*)$/s;

async function runningElsewhere(pid: number): Promise<Running | undefined> {
  try {
    const { stdout } = await run("ps", ["-o", "lstart=", "-o", "command=", "-p", String(pid)], {
      env: { ...process.env, LC_ALL: "C" },
      timeout: 5000,
    });
    const match = LSTART.exec(stdout.trim());
    const startTime = match?.[1];
    return startTime === undefined ? undefined : { startTime, command: match?.[2] ?? "", bootId: "" };
  } catch {
    return undefined;
  }
}
