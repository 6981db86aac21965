// `mem0ctl demo` that is not let finish: whatever it began, it takes away again.

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BIN, isAlive, runningNodes } from "./support/cluster.ts";

describe("a demo that is interrupted", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "mem0ctl-e2e-"));
  });
  afterEach(() => {
    for (const { pid } of runningNodes(folder)) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  test.each([
    ["leaves neither nodes nor a folder behind", "SIGINT", 130, false],
    ["leaves nothing behind when its terminal is closed", "SIGHUP", null, false],
    ["waits for a node that does not stop by itself, and leaves nothing behind", "SIGINT", 130, true],
  ] as const)("%s", async (_, signal, code, isStopped) => {
    const demo = spawn(process.execPath, [BIN, "demo"], { env: { ...process.env, TMPDIR: folder } });
    let said = "";
    let nodes: readonly number[] = [];
    demo.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString("utf8");
      if (nodes.length > 0 || !said.includes("up and healthy")) return;
      nodes = runningNodes(folder).map(({ pid }) => pid);
      if (isStopped) process.kill(nodes[1] ?? 0, "SIGSTOP");
      demo.kill(signal);
    });
    const exit = await new Promise((resolve) => demo.on("close", resolve));
    expect({ exit, nodes: nodes.length }).toEqual({ exit: code, nodes: 3 });
    expect(nodes.filter(isAlive)).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });
});
