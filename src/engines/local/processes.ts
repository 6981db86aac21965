// Starts and stops node processes on this machine. A node is spawned detached, by path, without a shell
// and without secrets on its command line; it is signalled only while process-identity.ts can prove that
// it is the node. Talking to a node is not done here.

import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:fs";
import { lstat, mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { NodeSpec } from "../../model/manifest.ts";
import { isNoRoom } from "../../model/no-room.ts";
import { encodePidFile, LOG_FILE, PID_FILE, SPAWN_FILE } from "../../model/pid-file.ts";
import type { PidRecord } from "../../model/pid-file.ts";
import { identify, nodeProcess, proofOf } from "./process-identity.ts";
import type { Recognise } from "./process-identity.ts";
import { diskFull } from "./start-failure.ts";

export interface SpawnedNode {
  readonly pid: number;
  readonly logFile: string;
  /** Where in the log this start begins. */
  readonly logOffset: number;
  /** undefined while it runs. */
  exit(): NodeExit | undefined;
}

export interface NodeExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A log above this is set aside as `node.log.1` when its node is started, so that two files bound it. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;
const STOP_POLL_MS = 50;
/** How long a node has to stop cleanly before it is killed. */
const STOP_GRACE_MS = 10_000;
/** A killed process ends at once, unless the kernel holds it in a disk wait. */
const KILL_WAIT_MS = 5000;

/** How a node is started: without a shell, and without secrets. */
export interface NodeCommand {
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * The data directory has been prepared. Nothing runs when it throws.
 * @throws Mem0ctlError `spawn-failed`, `disk-full`, `data-dir-unusable`.
 */
export async function spawnNode(
  node: NodeSpec,
  cluster: string,
  { program, args }: NodeCommand,
): Promise<SpawnedNode> {
  const logFile = join(node.dataDir, LOG_FILE);
  const { descriptor, offset } = await openLog(logFile).catch((cause: unknown) => {
    throw dataDirUnusable(node, `cannot write the log of ${node.id}`, cause);
  });
  let child: ChildProcess | undefined;
  try {
    const started = (child = spawn(program, [...args], {
      cwd: node.dataDir,
      detached: true,
      stdio: ["ignore", descriptor.fd, descriptor.fd],
      windowsHide: true,
    }));
    let exit: NodeExit | undefined;
    started.once("exit", (code, signal) => {
      exit = { code, signal };
    });
    const pid = await new Promise<number>((resolve, reject) => {
      started.once("error", reject);
      started.once("spawn", () => {
        if (started.pid === undefined) reject(new Error("it has no pid"));
        else resolve(started.pid);
      });
    });
    started.unref();
    await notePid(node, cluster, pid, SPAWN_FILE);
    return { pid, logFile, logOffset: offset, exit: () => exit };
  } catch (cause) {
    // Without the file that names it nobody would find it again.
    child?.kill("SIGKILL");
    if (isNoRoom(cause)) throw diskFull(node, { node: node.id });
    throw new Mem0ctlError("failed", "spawn-failed", `cannot start ${node.id}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      hint: "look whether this user may start another process",
      cause,
    });
  } finally {
    await descriptor.close();
  }
}

/**
 * When it is spawned, so that a `down` finds a node that has not yet got as far as its own pid file; and as that file
 * once it answers, for a program that writes none.
 */
export async function notePid(
  node: NodeSpec,
  cluster: string,
  pid: number,
  name: typeof PID_FILE | typeof SPAWN_FILE,
): Promise<void> {
  const proof = await proofOf(pid);
  if (proof === undefined) return;
  const file = join(node.dataDir, name);
  const made = `${file}.${process.pid}`;
  const { port } = node.listen ?? node;
  try {
    await writeFile(made, encodePidFile({ pid, ...proof, node: node.id, cluster, port }), {
      mode: 0o600,
    });
    await rename(made, file);
  } catch (error) {
    await rm(made, { force: true });
    throw error;
  }
}

/** @throws Mem0ctlError `unsafe-path`, `disk-full`, `data-dir-unusable`. */
export async function prepareDataDir(node: NodeSpec): Promise<void> {
  const { dataDir, id } = node;
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw dataDirUnusable(node, `cannot make the data directory of ${id}`, cause);
  }
  if (!(await lstat(dataDir)).isDirectory()) {
    throw new Mem0ctlError("invalid", "unsafe-path", `the data directory of ${id} is a link`, {
      why: `${dataDir} points somewhere else`,
      hint: "name the directory itself in the manifest",
    });
  }
}

function dataDirUnusable(node: NodeSpec, message: string, cause: unknown): Mem0ctlError {
  if (isNoRoom(cause)) return diskFull(node, { node: node.id });
  return new Mem0ctlError("failed", "data-dir-unusable", message, {
    why: cause instanceof Error ? cause.message : String(cause),
    hint: "set `spec.dataDir` to a directory that this user may write to",
    cause,
  });
}

async function openLog(
  logFile: string,
): Promise<{ descriptor: Awaited<ReturnType<typeof open>>; offset: number }> {
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  if (size > LOG_BYTES_MAX) await rename(logFile, `${logFile}.1`);
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const descriptor = await open(logFile, flags, 0o600);
  return { descriptor, offset: (await descriptor.stat()).size };
}

export interface StopResult {
  readonly outcome: "stopped" | "was-not-running" | "foreground";
  readonly pid: number | null;
}

/**
 * Stops the node that `up` spawned in this data directory: SIGTERM, and after `graceMs` SIGKILL. A stale
 * pid file is removed and nobody is signalled; a node run in the foreground is left alone.
 * @throws Mem0ctlError `stop-failed` when it is still there in the end, `not-allowed-to-signal`.
 */
export async function stopNode(
  dataDir: string,
  node: NodeId,
  cluster: string,
  recognise: Recognise,
  graceMs: number = STOP_GRACE_MS,
): Promise<StopResult> {
  const found = await nodeProcess(dataDir, node, cluster, recognise);
  if (found.kind === "none") return { outcome: "was-not-running", pid: null };
  if (found.kind === "foreground") return { outcome: "foreground", pid: found.record.pid };
  if (found.kind === "stale") {
    await rm(join(dataDir, PID_FILE), { force: true });
    await rm(join(dataDir, SPAWN_FILE), { force: true });
    return { outcome: "was-not-running", pid: null };
  }
  const { record } = found;
  const ended =
    (await end(record, recognise, "SIGTERM", graceMs)) ||
    (await end(record, recognise, "SIGKILL", KILL_WAIT_MS));
  if (!ended) {
    throw new Mem0ctlError("failed", "stop-failed", `${node} (pid ${record.pid}) does not end`, {
      why: "it was killed, but the kernel keeps it: it may be waiting for a disk",
      hint: "try again once the disk answers",
    });
  }
  // A node that stops cleanly removes the file itself; a killed one cannot.
  await removePidFileOf(record, dataDir, node, cluster, recognise);
  return { outcome: "stopped", pid: record.pid };
}

/** Proves the identity, signals, and waits; true once the process has ended. */
async function end(
  record: PidRecord,
  recognise: Recognise,
  signal: "SIGTERM" | "SIGKILL",
  waitMs: number,
): Promise<boolean> {
  // Between this look and the signal lies less than a millisecond; POSIX offers Node nothing tighter.
  if ((await identify(record, recognise)).kind === "stale") return true;
  try {
    process.kill(record.pid, signal);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ESRCH") return true;
    throw new Mem0ctlError("failed", "not-allowed-to-signal", `cannot stop ${record.node}`, {
      why: `pid ${record.pid} belongs to another user`,
      hint: "run this as the user that started the cluster",
      cause,
    });
  }
  const deadlineMs = performance.now() + waitMs;
  while (performance.now() < deadlineMs) {
    // A process that is ending loses its command line first, so it may look like another for a moment.
    if ((await identify(record, recognise)).kind === "stale") return true;
    await pause(STOP_POLL_MS);
  }
  return false;
}

/** Only the file of the process that ended: a node started meanwhile has written its own. */
async function removePidFileOf(
  record: PidRecord,
  dataDir: string,
  node: NodeId,
  cluster: string,
  recognise: Recognise,
): Promise<void> {
  const left = await nodeProcess(dataDir, node, cluster, recognise);
  if (left.kind === "stale" && left.pid === record.pid) await rm(join(dataDir, PID_FILE), { force: true });
  if (left.kind !== "spawned") await rm(join(dataDir, SPAWN_FILE), { force: true });
}
