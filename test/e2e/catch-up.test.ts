// A node that was away has, a moment after it is back, what the others have: from the leader's log where
// that still reaches back far enough, else from a snapshot.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { MemoryRecord, NodeReport } from "../../src/model/node-api.ts";
import { openLogFolder } from "../../src/node/storage/log-folder.ts";
import { LogStore } from "../../src/node/storage/log-store.ts";
import { systemClock } from "../../src/node/system-clock.ts";
import { join } from "node:path";
import { call, importRecords, record, staleExport } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

/** So many that the log of each may keep no more than its least, 1 MiB. */
const SHARDS = 64;
const AWAY = "node-3";

let cluster: TestCluster;
let shard = "";

beforeAll(async () => {
  cluster = await bringUpCluster({ flags: ["--shards", String(SHARDS), "--sharding", "hash"] });
  const { stdout } = await cluster.mem0ctl("shards", "locate", "ada", "-o", "json");
  shard = String(JSON.parse(stdout).shard);
});
afterAll(async () => cluster?.end());

async function write(first: number, count: number, bytes: number): Promise<void> {
  const embedding = Array.from({ length: 384 }, (_, at) => Math.fround(1 / (at + 1)));
  for (let index = first; index < first + count; index += 1) {
    const made: MemoryRecord = { ...record(`c-${index}`, "ada", `${index} ${"y".repeat(bytes)}`), embedding };
    const answer = await importRecords(cluster.hosts[0] ?? "", [made]);
    if (answer.status !== 200)
      throw new Error(`write ${index}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
}

/** Resolves when the returned node's own replica of the shard is, field by field, what another one has. */
async function untilEqual(count: number): Promise<void> {
  await until("the node that was away has the same memories", async () => {
    const [one, other] = await Promise.all([
      staleExport(cluster.hosts[0] ?? "", shard),
      staleExport(cluster.hosts[2] ?? "", shard),
    ]);
    return one.length === count && JSON.stringify(one) === JSON.stringify(other);
  });
}

/** How often the replica's state was replaced by a snapshot; read from the log of a node that does not run. */
async function snapshotsInstalled(): Promise<number> {
  const log = new LogStore({
    folder: openLogFolder(join(cluster.dataDir(AWAY), "store")),
    clock: systemClock,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
  const generation = log.groups.get(shard)?.record.generation ?? 0;
  await log.close();
  return generation - 1;
}

async function reportOf(host: string): Promise<NodeReport> {
  return (await call(host, { path: "/v1/cluster/node" })).body as NodeReport;
}

test("by the log: what was written meanwhile is sent, and nothing else", async () => {
  await write(0, 5, 100);
  await cluster.signal(AWAY, "SIGKILL");
  await write(5, 20, 100);
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  await untilEqual(25);
  await cluster.signal(AWAY, "SIGKILL");
  expect(await snapshotsInstalled()).toBe(0);
});

test("by a snapshot: when the leader's log no longer reaches back", async () => {
  // AWAY is still down. 4 MiB are more than any log of this cluster keeps.
  await write(25, 40, 100_000);
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  await untilEqual(65);
  // It goes on from there: a later write reaches it by the log again.
  await write(65, 1, 100);
  await untilEqual(66);
  const [leader, back] = await Promise.all([
    reportOf(cluster.hosts[0] ?? ""),
    reportOf(cluster.hosts[2] ?? ""),
  ]);
  const group = (report: NodeReport): object => {
    const { appliedIndex, memories, bytes } = report.groups.find(({ id }) => id === shard) ?? {};
    return { appliedIndex, memories, bytes };
  };
  expect(group(back)).toEqual(group(leader));
  await cluster.signal(AWAY, "SIGKILL");
  expect(await snapshotsInstalled()).toBe(1);
});

test("and after a restart it still has what the snapshot brought", async () => {
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  await untilEqual(66);
});
