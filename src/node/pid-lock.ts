// One process per data directory. The pid file is made exclusively; one that was left behind by a process
// that is gone (or whose pid is now another program's) is replaced.

import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Mem0ctlError } from "../model/errors.ts";
import { encodePidFile, parsePidFile, PID_FILE, startTimeOfStat, type PidRecord } from "../model/pid-file.ts";

/** Start time as `PidRecord.startTime` defines it; undefined when there is no such process. */
function startTimeOf(pid: number): string | undefined {
  try {
    if (process.platform === "linux") return startTimeOfStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
    const line = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim();
    return line === "" ? undefined : line;
  } catch {
    return undefined;
  }
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
 * while another live process has it.
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
  for (let attempt = 0; ; attempt += 1) {
    try {
      writeFileSync(file, encodePidFile(record), { flag: "wx", mode: 0o600 });
      break;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST") || attempt > 0) throw error;
    }
    const held = readPidFile(file);
    if (held !== undefined && held.bootId === record.bootId && startTimeOf(held.pid) === held.startTime) {
      throw new Mem0ctlError("conflict", "data-locked", `${folder} is in use by the process ${held.pid}`, {
        why: `${held.node} of the cluster ${held.cluster} runs there`,
        hint: "stop that process first; `mem0ctl down` stops the nodes that `up` started",
        data: { pid: held.pid },
      });
    }
    // Moved aside, not removed: of two starters only one can move it.
    const aside = `${file}.stale-${process.pid}`;
    renameSync(file, aside);
    rmSync(aside, { force: true });
  }
  return () => {
    if (readPidFile(file)?.pid === process.pid) rmSync(file, { force: true });
  };
}

function readPidFile(file: string): PidRecord | undefined {
  try {
    return parsePidFile(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}
