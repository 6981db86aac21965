// A failed flush ends the process at once: after it nobody can say what is on disk, not even the kernel, which
// may call the same pages clean a moment later. Real nodes on a disk that fails on demand.

import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, importRecords, record, staleExport } from "./support/api.ts";
import { bringUpCluster, makeCluster, until, type TestCluster } from "./support/cluster.ts";
import { compileShim, type Shim } from "./support/shim.ts";

const NODES = ["node-1", "node-2", "node-3"] as const;
const SHARDS = 2;

let shim: Shim | undefined;
let cluster: TestCluster | undefined;

beforeAll(async () => {
  shim = compileShim("failing-disk", "disk-failure.test.ts");
  if (shim === undefined) return;
  cluster = await bringUpCluster({
    flags: ["--shards", String(SHARDS), "--sharding", "hash"],
    env: { LD_PRELOAD: shim.library },
  });
});
afterAll(async () => {
  await cluster?.end();
  shim?.remove();
});

/** The last line that a node wrote before it ended. */
function lastWords(of: TestCluster, node: string): string {
  return (
    readFileSync(join(of.dataDir(node), "node.log"), "utf8")
      .trimEnd()
      .split("\n")
      .at(-1) ?? ""
  );
}

async function write(of: TestCluster, through: number, id: string): Promise<number> {
  const answer = await importRecords(of.hosts[through] ?? "", [record(id, `user ${id}`, `text ${id}`)]);
  return answer.status;
}

describe.each([
  ["the log", ["store"]],
  ["the state", ["store", "state"]],
] as const)("a node whose flush of %s fails", (what, folder) => {
  test("ends at once, says why, and loses nothing that was acknowledged", async (context) => {
    if (cluster === undefined) return context.skip("no C compiler is installed");
    const { pidOf, dataDir, mem0ctl, hosts } = cluster;
    const failing = "node-2";
    const trigger = join(dataDir(failing), ...folder, "fail-flushes");
    const acknowledged: string[] = [];
    const pid = pidOf(failing);
    writeFileSync(trigger, "");
    // Through the other nodes, until the failing one has met its disk; and then some more.
    let after = 0;
    for (let count = 0; after < 10; count += 1) {
      const id = `${what.replaceAll(" ", "-")}-${count}`;
      if ((await write(cluster, count % 2 === 0 ? 0 : 2, id)) === 200) acknowledged.push(id);
      if (pidOf(failing) === undefined) after += 1;
      expect(count, `${failing} goes on after a failed flush`).toBeLessThan(5000);
    }
    const said: unknown = JSON.parse(lastWords(cluster, failing));
    expect(said).toMatchObject({ error: { code: "disk-failed", message: `the disk of ${failing} failed` } });
    // Neither a clean stop nor its hooks: a pid file that names a process which is no more.
    expect(readFileSync(join(dataDir(failing), "node.pid"), "utf8")).toContain(String(pid));

    rmSync(trigger);
    expect(await mem0ctl("up", "--timeout", "30s")).toMatchObject({ code: 0 });
    await until("all copies are equal and hold what was acknowledged", async () => {
      const present = new Set<string>();
      for (let shard = 0; shard < SHARDS; shard += 1) {
        const copies = await Promise.all(hosts.map(async (host) => staleExport(host, String(shard))));
        const [first = [], ...others] = copies;
        if (others.some((other) => JSON.stringify(other) !== JSON.stringify(first))) return false;
        for (const { id } of first) present.add(id);
      }
      return acknowledged.every((id) => present.has(id));
    });
  });
});

test("a node in the foreground ends by a signal, so that what runs it sees a failure", async (context) => {
  if (shim === undefined) return context.skip("no C compiler is installed");
  const alone = await makeCluster({ nodes: 1, flags: ["--replication", "none", "--shards", "1"] });
  const BIN = fileURLToPath(new URL("../../bin/mem0ctl.js", import.meta.url));
  const node = spawn(process.execPath, [BIN, "node", "run", "--node", "node-1", "-f", alone.file], {
    cwd: alone.directory,
    env: { ...process.env, LD_PRELOAD: shim.library },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  node.stdout.on("data", (chunk: Buffer) => (said += String(chunk)));
  const ended = new Promise<unknown>((resolve) => {
    node.once("close", (code, signal) => resolve({ code, signal }));
  });
  try {
    await until("the node has started", () => said.includes("node started"));
    expect(await write(alone, 0, "before")).toBe(200);
    writeFileSync(join(alone.dataDir("node-1"), "store", "fail-flushes"), "");
    expect(await write(alone, 0, "after")).not.toBe(200);
    expect(await ended).toEqual({ code: null, signal: "SIGKILL" });
    expect(said).toContain("disk-failed");
  } finally {
    node.kill("SIGKILL");
    await alone.end();
  }
});

test("nothing is acknowledged that needed the flush which failed", async (context) => {
  if (cluster === undefined) return context.skip("no C compiler is installed");
  const { dataDir, pidOf, hosts, mem0ctl } = cluster;
  expect(await write(cluster, 0, "before")).toBe(200);
  // Two of three: no write has a quorum on disk any more.
  const triggers = ["node-2", "node-3"].map((node) => join(dataDir(node), "store", "fail-flushes"));
  for (const trigger of triggers) writeFileSync(trigger, "");
  const { status } = await call(hosts[0] ?? "", {
    method: "POST",
    path: "/v1/memories/import",
    body: { records: [record("after", "user after", "text")] },
    headers: { "x-timeout-ms": "3000" },
  });
  expect([503, 504]).toContain(status);
  await until("both have ended", () => NODES.slice(1).every((node) => pidOf(node) === undefined));
  for (const trigger of triggers) rmSync(trigger);
  expect(await mem0ctl("up", "--timeout", "30s")).toMatchObject({ code: 0 });
});
