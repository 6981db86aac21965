// Disks that are really full: each node's data directory is a small file system in memory. Writes are
// refused; votes go on, also where no disk has room; and with room again everything goes on by itself.
// Needs the right to mount; where that is missing it is skipped, with one visible line, and fails where
// everything must be run (`CI=true`).

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { NodeReport } from "../../src/model/node-api.ts";
import { call, codeOf, importRecords, record, type Answer } from "./support/api.ts";
import { makeCluster, until, type TestCluster } from "./support/cluster.ts";

const NODES = ["node-1", "node-2", "node-3"] as const;
const FILE_SYSTEM_MIB = 14;
const TEXT = "z".repeat(100_000);

let cluster: TestCluster | undefined;
const mounted: string[] = [];

beforeAll(async () => {
  const made = await makeCluster({ flags: ["--shards", "2", "--sharding", "hash"] });
  for (const node of NODES) {
    const directory = made.dataDir(node);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const options = ["-t", "tmpfs", "-o", `size=${FILE_SYSTEM_MIB}m,mode=0700`, "tmpfs", directory];
    if (spawnSync("mount", options).status !== 0) {
      await made.end();
      if (process.env["CI"] === "true") throw new Error("this user may not mount a file system");
      process.stderr.write("skipped: full-disk.test.ts: this user may not mount a file system\n");
      return;
    }
    mounted.push(directory);
  }
  cluster = made;
  const { code, stderr } = await cluster.mem0ctl("up", "--timeout", "40s");
  if (code !== 0) throw new Error(stderr);
});
afterAll(async () => {
  await cluster?.mem0ctl("down");
  for (const directory of mounted) execFileSync("umount", [directory]);
  await cluster?.end();
});

const acknowledged: string[] = [];
let written = 0;

async function write(of: TestCluster): Promise<Answer> {
  const id = `d-${(written += 1)}`;
  const host = of.hosts[written % NODES.length] ?? "";
  const answer = await importRecords(host, [record(id, `user-${written % 6}`, TEXT)], 2000);
  if (answer.status === 200) acknowledged.push(id);
  return answer;
}

async function report(of: TestCluster, node: number): Promise<NodeReport | undefined> {
  const { status, body } = await call(of.hosts[node] ?? "", { path: "/v1/cluster/node" });
  return status === 200 ? (body as NodeReport) : undefined;
}

async function missing(of: TestCluster): Promise<readonly string[]> {
  const { code, stdout } = await of.mem0ctl("memories", "export");
  expect(code).toBe(0);
  const ids = new Set(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { id: string }).id),
  );
  return acknowledged.filter((id) => !ids.has(id));
}

test("full everywhere, writes are refused with what is missing, and elections go on", async (context) => {
  if (cluster === undefined) return context.skip("this user may not mount a file system");
  const of = cluster;
  let refused: Answer | undefined;
  await until(
    "every node refuses writes",
    async () => {
      const answer = await write(of);
      if (codeOf(answer) === "disk-full") refused = answer;
      const reports = await Promise.all(NODES.map(async (_, node) => report(of, node)));
      return reports.every((one) => one !== undefined && one.writeRefusal !== null);
    },
    60_000,
  );
  expect(acknowledged.length).toBeGreaterThan(10);
  while (codeOf(refused ?? { status: 0, body: undefined }) !== "disk-full") refused = await write(of);
  expect(refused?.status).toBe(507);
  expect(JSON.stringify(refused?.body)).toContain(".mem0ctl");
  const command = await of.mem0ctl("memories", "add", "one more", "--user", "ada");
  expect(command).toMatchObject({ code: 1 });

  // The leaders go: those that are left elect others, though no disk takes an entry.
  const before = await of.status();
  await of.signal("node-1", "SIGKILL");
  await until("the others lead everything, in later terms", async () => {
    const { view } = await of.status();
    const groups = [view, ...view.shards];
    return groups.every(({ leader }) => leader === "node-2" || leader === "node-3");
  });
  const after = await of.status();
  const ledByNode1 = before.view.shards.filter(({ leader }) => leader === "node-1").map(({ id }) => id);
  for (const id of ledByNode1) {
    const termOf = (view: typeof after.view): number =>
      view.shards.find((shard) => shard.id === id)?.term ?? 0;
    expect(termOf(after.view)).toBeGreaterThan(termOf(before.view));
  }
  expect((await write(of)).status).not.toBe(200);
});

test("with room again it goes on by itself, and nothing acknowledged is lost", async (context) => {
  if (cluster === undefined) return context.skip("this user may not mount a file system");
  const of = cluster;
  const pids = ["node-2", "node-3"].map((node) => of.pidOf(node));
  for (const directory of mounted) execFileSync("mount", ["-o", "remount,size=200m", directory]);
  await until("writes are taken", async () => (await write(of)).status === 200);
  expect(["node-2", "node-3"].map((node) => of.pidOf(node))).toEqual(pids);
  expect(await of.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  expect(await missing(of)).toEqual([]);
});

test("a disk too small to begin on is named, with how much it takes, and `up` goes on once there is room", async (context) => {
  if (cluster === undefined) return context.skip("this user may not mount a file system");
  const small = await makeCluster({ flags: ["--shards", "2", "--sharding", "hash"] });
  const directory = small.dataDir("node-2");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=12k,mode=0700", "tmpfs", directory]);
  try {
    // With 12 KiB not even a log can say so; with 2 MiB the node says what it needs.
    for (const [size, told] of [
      ["12k", directory],
      ["2m", "4.0 MiB"],
    ] as const) {
      execFileSync("mount", ["-o", `remount,size=${size}`, directory]);
      const { code, stderr } = await small.mem0ctl("up", "--timeout", "20s");
      expect({ code, stderr }).toMatchObject({ code: 1 });
      expect(stderr).toContain("error[disk-full]");
      expect(stderr).toContain(told);
    }
    execFileSync("mount", ["-o", "remount,size=64m", directory]);
    expect(await small.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  } finally {
    await small.mem0ctl("down");
    execFileSync("umount", [directory]);
    await small.end();
  }
});
