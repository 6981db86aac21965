// One process per data directory. The pid file is made exclusively; one that was left behind by a process
// that is gone (or whose pid is now another program's) is replaced.

import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Mem0ctlError } from "../model/errors.ts";
import {
  encodePidFile,
  parsePidFile,
  PID_FILE,
  startTimeOfStat,
  stateOfStat,
  type PidRecord,
} from "../model/pid-file.ts";
import { isNoRoom } from "../model/no-room.ts";

/** Start time as `PidRecord.startTime` defines it; undefined when there is no such process. */
function startTimeOf(pid: number): string | undefined {
  try {
    if (process.platform === "linux") {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      return hasEnded(stateOfStat(stat)) ? undefined : startTimeOfStat(stat);
    }
    const line = execFileSync("ps", ["-o", "stat=", "-o", "lstart=", "-p", String(pid)], {
      encoding: "utf8",
      // As the CLI asks, so that both read the same words.
      env: { ...process.env, LC_ALL: "C" },
    });
    const [, state, startTime] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
    return hasEnded(state) ? undefined : startTime;
  } catch {
    return undefined;
  }
}

/** A killed process that nobody has reaped (common in containers) still has an entry, and no files. */
function hasEnded(state: string | undefined): boolean {
  return state === undefined || state.startsWith("Z") || state.startsWith("X");
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/**
 * Takes the directory for this process and returns how to give it back. Throws `data-locked` (conflict)
 * while another live process has it, `disk-full` (full).
 */
export function lockDataDirectory(
  folder: string,
  owner: Pick<PidRecord, "node" | "cluster" | "port">,
): () => void {
  const file = join(folder, PID_FILE);
  const record: PidRecord = {
    pid: process.pid,
    startTime: startTimeOf(process.pid) ?? "",
    bootId: bootId(),
    ...owner,
  };
  // Made whole under another name, then linked: nobody ever sees a pid file that is still being written.
  const made = `${file}.${process.pid}`;
  rmSync(made, { force: true });
  try {
    writeFileSync(made, encodePidFile(record), { flag: "wx", mode: 0o600 });
    while (!linked(made, file)) {
      const text = readText(file);
      const held = text === undefined ? undefined : parsePidFile(text);
      if (held !== undefined && held.bootId === record.bootId && startTimeOf(held.pid) === held.startTime) {
        throw new Mem0ctlError("conflict", "data-locked", `${folder} is in use by the process ${held.pid}`, {
          why: `${held.node} of the cluster ${held.cluster} runs there`,
          hint: "stop that process first; `mem0ctl down` stops the nodes that `up` started",
          data: { pid: held.pid },
        });
      }
      if (text !== undefined) moveAside(file, text);
    }
  } catch (error) {
    if (!isNoRoom(error)) throw error;
    throw new Mem0ctlError("full", "disk-full", `nothing more fits into ${folder}`, {
      why: "not even the file that says which process has it",
      hint: "free space there, and start the node again",
      cause: error,
    });
  } finally {
    rmSync(made, { force: true });
  }
  return () => {
    if (parsePidFile(readText(file) ?? "")?.pid === process.pid) rmSync(file, { force: true });
  };
}

/** False when `file` is there already. */
function linked(made: string, file: string): boolean {
  try {
    linkSync(made, file);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Moved, not removed: where another starter was faster, what was moved is its file, and goes back. */
function moveAside(file: string, stale: string): void {
  const aside = `${file}.stale-${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  if (readText(aside) !== stale) linked(aside, file);
  rmSync(aside, { force: true });
}

/** undefined when there is no such file. */
function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
