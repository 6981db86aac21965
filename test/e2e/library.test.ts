// The library as a program that depends on it has it: installed as a package, its types as they are
// published, its example run from end to end against nodes that it starts itself.

import { execFile } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parsePidFile, PID_FILE } from "../../src/model/pid-file.ts";
import { isAlive } from "./support/cluster.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const EXAMPLE = join(root, "docs/examples/library.ts");

/** A package of somebody's that depends on this one. */
let home: string;
/** Where the example makes its temporary folder, so that what it leaves can be seen. */
let temporary: string;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "mem0ctl-library-"));
  temporary = join(home, "tmp");
  mkdirSync(temporary);
  mkdirSync(join(home, "node_modules"));
  symlinkSync(root, join(home, "node_modules", "mem0ctl"), "dir");
  writeFileSync(join(home, "package.json"), '{ "type": "module" }');
});

afterAll(() => {
  for (const pid of pidsLeft()) process.kill(pid, "SIGKILL");
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
});

/** Processes of nodes that the example started and that still run. */
function pidsLeft(): readonly number[] {
  return readdirSync(temporary, { recursive: true, withFileTypes: true })
    .filter(({ name }) => name === PID_FILE)
    .map(({ parentPath, name }) => parsePidFile(readFileSync(join(parentPath, name), "utf8"))?.pid)
    .filter((pid): pid is number => pid !== undefined && isAlive(pid));
}

async function node(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      args,
      { cwd: home, timeout: 100_000, env: { ...process.env, TMPDIR: temporary } },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

it("the example agrees with the types that are published", async () => {
  copyFileSync(EXAMPLE, join(home, "example.ts"));
  const outcome = await node(
    join(root, "node_modules/typescript/bin/tsc"),
    ..."--noEmit --strict --exactOptionalPropertyTypes --skipLibCheck".split(" "),
    ..."--module nodenext --target es2023 --types node --typeRoots".split(" "),
    join(root, "node_modules/@types"),
    "example.ts",
  );
  expect(outcome).toEqual({ code: 0, stdout: "", stderr: "" });
});

it("the example brings a cluster up, uses it, and leaves nothing behind", { timeout: 120_000 }, async () => {
  const { code } = await transform(readFileSync(EXAMPLE, "utf8"), { loader: "ts", format: "esm" });
  writeFileSync(join(home, "example.js"), code);
  const outcome = await node("example.js");
  expect({ code: outcome.code, stderr: outcome.stderr }).toEqual({ code: 0, stderr: "" });
  expect(outcome.stdout.trim().split("\n")).toEqual([
    "example is healthy: 3 nodes, 8 shards",
    "best match: Ada drinks tea, never coffee.",
    expect.stringMatching(/^ada is on shard \d: led by node-\d, replicas on (node-\d(, )?){3}$/),
    expect.stringMatching(/^shard \d is now led by node-\d in term \d+$/),
    expect.stringMatching(/^replicated \d+ entries, 0 replicas failed$/),
    "as expected: memory-not-found",
    "stopped 3 nodes",
  ]);
  expect(pidsLeft()).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
});
