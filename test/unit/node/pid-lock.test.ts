// A data directory has one owner, and a pid file alone proves none: real processes stand behind each one.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  encodePidFile,
  parsePidFile,
  PID_FILE,
  startTimeOfStat,
  stateOfStat,
} from "../../../src/model/pid-file.ts";
import { limitFiles } from "../file-limit.ts";
import { lockDataDirectory } from "../../../src/node/pid-lock.ts";

const OWNER = { node: "node-1", cluster: "demo", port: 7001 };

let folder: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-lock-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const pidFile = (): string => join(folder, PID_FILE);
const statOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, "utf8");
const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

/** A shell that says a pid, its own or that of a child that it never asks for its exit code. */
async function processSaying(script: string): Promise<number> {
  const child = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const [line] = await once(child.stdout, "data");
  return Number(String(line));
}

/** The pid file that this process would have written when it took the directory. */
function leavePidFile(pid: number, startTime = startTimeOfStat(statOf(pid)) ?? ""): void {
  writeFileSync(pidFile(), encodePidFile({ ...OWNER, pid, startTime, bootId: bootId() }));
}

function lock(): () => void {
  return lockDataDirectory(folder, OWNER);
}

const isTaken = (): boolean => parsePidFile(readFileSync(pidFile(), "utf8"))?.pid === process.pid;

describe.skipIf(process.platform !== "linux")("a data directory", () => {
  it("is refused while the process that has it lives", async () => {
    const pid = await processSaying("echo $$; exec sleep 60");
    leavePidFile(pid);
    expect(lock).toThrow(expect.objectContaining({ code: "data-locked", kind: "conflict", data: { pid } }));
    expect(parsePidFile(readFileSync(pidFile(), "utf8"))?.pid).toBe(pid);
  });

  it("is refused to a second start within one process, until it is given back", () => {
    const giveBack = lock();
    expect(lock).toThrow(expect.objectContaining({ code: "data-locked" }));
    giveBack();
    expect(readdirSync(folder)).toEqual([]);
    lock();
    expect(isTaken()).toBe(true);
  });

  it("is taken from a process that has ended", async () => {
    const pid = await processSaying("echo $$; exec sleep 60");
    leavePidFile(pid);
    const [child] = children;
    child?.kill("SIGKILL");
    if (child !== undefined) await once(child, "exit");
    lock();
    expect(isTaken()).toBe(true);
  });

  it("is taken from a zombie, which has ended though its pid and start time are still there", async () => {
    const pid = await processSaying("sleep 0.3 & echo $!; exec sleep 60");
    while (stateOfStat(statOf(pid)) !== "Z") await new Promise((resolve) => setTimeout(resolve, 5));
    leavePidFile(pid);
    lock();
    expect(isTaken()).toBe(true);
  });

  it("is taken when the pid is another program's by now", async () => {
    const pid = await processSaying("echo $$; exec sleep 60");
    const startTime = startTimeOfStat(statOf(pid)) ?? "";
    leavePidFile(pid, String(Number(startTime) - 1));
    lock();
    expect(isTaken()).toBe(true);
    // Nobody was signalled.
    expect(startTimeOfStat(statOf(pid))).toBe(startTime);
  });

  it("is taken when the pid file is of an earlier boot", async () => {
    const pid = await processSaying("echo $$; exec sleep 60");
    const startTime = startTimeOfStat(statOf(pid)) ?? "";
    writeFileSync(pidFile(), encodePidFile({ ...OWNER, pid, startTime, bootId: "another boot" }));
    lock();
    expect(isTaken()).toBe(true);
  });

  it.each(["", "12345\n", '{"format":1'])("is taken when the pid file is not one: %j", (text) => {
    writeFileSync(pidFile(), text);
    lock();
    expect(isTaken()).toBe(true);
    expect(readdirSync(folder)).toEqual([PID_FILE]);
  });

  it("keeps its pid file from others", () => {
    lock();
    expect(statSync(pidFile()).mode & 0o777).toBe(0o600);
  });
});

it("is not given back by a process that no longer has it", () => {
  const giveBack = lock();
  const other = encodePidFile({ ...OWNER, pid: process.pid + 1, startTime: "1", bootId: "" });
  writeFileSync(pidFile(), other);
  giveBack();
  expect(readFileSync(pidFile(), "utf8")).toBe(other);
});

it("a full disk is said, and nothing is left of the attempt", () => {
  limitFiles(0);
  try {
    expect(() => lockDataDirectory(folder, OWNER)).toThrow(
      expect.objectContaining({ kind: "full", code: "disk-full" }),
    );
  } finally {
    limitFiles("unlimited");
  }
  expect(readdirSync(folder)).toEqual([]);
});
