// Replicas and nodes that move while clients write, and whoever carries it out is killed in the middle.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { OperationAnswer, ShardVerification } from "../../src/model/node-api.ts";
import type { OperationReport } from "../../src/model/operation.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { call, codeOf, importRecords, record } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const COUNT = 600;
const USERS = 30;
const WRITE_EVERY_MS = 10;
const PROGRAM = join(import.meta.dirname, "../../bin/mem0ctl.js");

let cluster: TestCluster;
const acknowledged = new Set<string>();
/** What writers were told since they began, of writes that were not acknowledged. */
const refusals = new Set<string>();
let isOver = false;
let writers: Promise<void>[] = [];

beforeAll(async () => {
  cluster = await bringUpCluster({ nodes: 3, spare: 1, flags: ["--shards", "4", "--replicas", "1"] });
  const ids = Array.from({ length: COUNT }, (_, index) => `m-${index}`);
  const records = ids.map((id, index) => record(id, `user-${index % USERS}`));
  const { status } = await importRecords(cluster.hosts[0] ?? "", records);
  if (status !== 200) throw new Error(`the import was answered with ${status}`);
  for (const id of ids) acknowledged.add(id);
});
afterAll(async () => cluster?.end());

function startWriting(): void {
  isOver = false;
  refusals.clear();
  writers = [0, 1].map(async (writer) => {
    for (let at = 0; !isOver; at += 1) {
      const id = `w-${writer}-${Date.now()}-${at}`;
      const host = cluster.hosts[at % 3] ?? "";
      const answer = await importRecords(host, [record(id, `user-${at % USERS}`)]).catch(() => undefined);
      // What is not acknowledged may be there or not.
      if (answer?.status === 200) acknowledged.add(id);
      else if (answer !== undefined) refusals.add(codeOf(answer) ?? String(answer.status));
      // A machine that writes faster would have more to copy, below the same bound of bytes per second.
      await setTimeout(WRITE_EVERY_MS);
    }
  });
}

async function stopWriting(): Promise<void> {
  isOver = true;
  await Promise.all(writers);
}

async function exported(): Promise<readonly string[]> {
  const { code, stdout, stderr } = await cluster.mem0ctl("memories", "export");
  if (code !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => String(JSON.parse(line).id));
}

/** Every acknowledged memory is there, and none twice. */
async function nothingLost(): Promise<void> {
  const ids = await exported();
  expect(new Set(ids).size).toBe(ids.length);
  expect([...acknowledged].filter((id) => !ids.includes(id))).toEqual([]);
}

async function map(): Promise<ShardMap> {
  const answer = await until("a node answers", async () => {
    for (const host of cluster.hosts.slice(0, 3)) {
      const { status, body } = await call(host, { path: "/v1/cluster/map" }).catch(() => ({
        status: 0,
        body: undefined,
      }));
      if (status === 200) return body as ShardMap;
    }
    return undefined;
  });
  return answer;
}

async function operation(): Promise<OperationReport | null | undefined> {
  for (const host of cluster.hosts.slice(0, 3)) {
    const { status, body } = await call(host, { path: "/v1/cluster/operation" }).catch(() => ({
      status: 0,
      body: undefined,
    }));
    if (status === 200) return (body as OperationAnswer).operation;
  }
  return undefined;
}

function freeNode({ shards, nodes }: ShardMap, shard: string): { from: string; to: string } {
  const replicas = shards.find(({ id }) => id === shard)?.replicas ?? [];
  const to = nodes.find(({ id }) => !replicas.includes(id))?.id ?? "";
  return { from: replicas[0] ?? "", to };
}

test("a replica moves while clients write, and every acknowledged write is there once", async () => {
  startWriting();
  const { from, to } = freeNode(await map(), "0");
  const moved = await cluster.mem0ctl("shards", "move", "0", "--from", from, "--to", to, "-o", "json");
  await stopWriting();
  expect(moved).toMatchObject({ code: 0 });
  const { operation: report } = JSON.parse(moved.stdout) as OperationAnswer;
  expect(report?.progress).toMatchObject({ state: "done", steps: ["done"] });
  const replicas = (await map()).shards[0]?.replicas ?? [];
  expect(replicas).toContain(to);
  expect(replicas).not.toContain(from);
  await nothingLost();
});

test("the command, then the cluster leader, are killed in the middle: the move goes on by itself", async () => {
  startWriting();
  const { from, to } = freeNode(await map(), "1");
  const command = spawn(
    process.execPath,
    [PROGRAM, "shards", "move", "1", "--from", from, "--to", to, "--throttle", "20KiB/s", "-f", cluster.file],
    { stdio: "ignore" },
  );
  await until("the step runs", async () => (await operation())?.progress.steps[0] === "running");
  command.kill("SIGKILL");
  const refused = await cluster.mem0ctl("shards", "move", "2", "--from", from, "--to", to, "-o", "json");
  expect(refused.code).toBe(6);
  expect(refused.stderr).toContain("operation-running");
  const { view } = await cluster.status();
  expect(view.operation).toMatchObject({ name: "move shard 1", steps: 1, done: 0 });
  const leader = view.leader ?? "";
  await cluster.signal(leader, "SIGKILL");
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: expect.any(Number) });
  const watched = await cluster.mem0ctl("shards", "rebalance", "--watch", "-o", "json", "--timeout", "60s");
  await stopWriting();
  // It may have ended before it was watched: then there is nothing to watch.
  expect([0, 6]).toContain(watched.code);
  expect((await operation())?.progress).toMatchObject({ state: "done" });
  const replicas = (await map()).shards[1]?.replicas ?? [];
  expect(replicas).toContain(to);
  expect(replicas).not.toContain(from);
  await nothingLost();
});

test("a move that is cancelled leaves the shard where it was, and the cluster free for the next", async () => {
  const before = await map();
  const { from, to } = freeNode(before, "2");
  const args = ["--from", from, "--to", to, "--throttle", "1KiB/s", "--no-wait"];
  expect(await cluster.mem0ctl("shards", "move", "2", ...args)).toMatchObject({ code: 0 });
  await until("the step runs", async () => (await operation())?.progress.steps[0] === "running");
  expect(await cluster.mem0ctl("shards", "rebalance", "--cancel")).toMatchObject({ code: 0 });
  await until("it is over", async () => (await operation())?.progress.state === "cancelled", 30_000);
  expect((await map()).shards[2]?.replicas).toEqual(before.shards[2]?.replicas);
  await nothingLost();
});

test("an operation waits while a node that it does not empty is down, says so, and goes on by itself", async () => {
  const { nodes } = await map();
  const { from, to } = freeNode(await map(), "2");
  const other = nodes.find(({ id }) => id !== from && id !== to)?.id ?? "";
  await cluster.signal(other, "SIGKILL");
  // Only what has not begun can wait: the second step does, whatever becomes of the first.
  const step = { kind: "move-replica", shard: "2", from, to, bytes: 0 };
  const back = { kind: "move-replica", shard: "2", from: to, to: from, bytes: 0 };
  const host = cluster.hosts[nodes.findIndex(({ id }) => id === from)] ?? "";
  await until("it is begun", async () => {
    const { status } = await call(host, {
      method: "POST",
      path: "/v1/cluster/operation",
      body: { name: "to and fro", startedBy: "test", waves: [[step], [back]], concurrency: 1 },
    });
    return status === 200;
  });
  await until("it waits", async () => (await operation())?.progress.state === "paused");
  const { view } = await cluster.status();
  expect(view.operation).toMatchObject({ state: "paused", why: `${other} is down` });
  expect((await cluster.mem0ctl("status")).stdout).toContain(`${other} is down`);
  await cluster.mem0ctl("up", "--timeout", "40s");
  await until("it goes on", async () => (await operation())?.progress.state === "done", 40_000);
  await nothingLost();
});

test("a node joins, another is drained and removed, and the manifest says so with its comments", async () => {
  startWriting();
  const address = `127.0.0.1:${cluster.ports[3] ?? 0}`;
  const added = await cluster.mem0ctl("nodes", "add", "node-4", "--address", address, "--zone", "d");
  expect(added).toMatchObject({ code: 0 });
  expect(readFileSync(cluster.file, "utf8")).toContain("node-4");
  expect(await cluster.mem0ctl("nodes", "drain", "node-2")).toMatchObject({ code: 0 });
  const drained = await map();
  expect(drained.shards.some(({ replicas }) => replicas.includes("node-2"))).toBe(false);
  expect(drained.nodes.find(({ id }) => id === "node-2")?.draining).toBe(true);
  expect(await cluster.mem0ctl("nodes", "undrain", "node-2")).toMatchObject({ code: 0 });
  const comments = readFileSync(cluster.file, "utf8").match(/#.*/g);
  const removed = await cluster.mem0ctl("nodes", "remove", "node-2", "--yes");
  await stopWriting();
  expect(removed).toMatchObject({ code: 0 });
  // Clients of the node that leaves are told so, and do not wait for leaders that would not answer it.
  const whenItStops = ["peer-did-not-answer", "partly-done", "0"];
  expect([...refusals].filter((code) => !whenItStops.includes(code))).toEqual(["not-a-member"]);
  expect((await map()).nodes.map(({ id }) => id).toSorted()).toEqual(["node-1", "node-3", "node-4"]);
  const text = readFileSync(cluster.file, "utf8");
  expect(text).not.toContain("node-2");
  expect(text.match(/#.*/g)).toEqual(comments);
  await until("it is healthy", async () => (await cluster.status()).code === 0, 30_000);
  await nothingLost();
});

test("a shard gets a replica more, and gives it up again; the last one stays", async () => {
  const { to } = freeNode(await map(), "3");
  expect(await cluster.mem0ctl("replicas", "add", "3", "--to", to)).toMatchObject({ code: 0 });
  expect((await map()).shards[3]?.replicas).toHaveLength(3);
  const again = await cluster.mem0ctl("replicas", "add", "3", "--to", to);
  expect({ code: again.code, said: again.stdout }).toEqual({
    code: 0,
    said: `nothing to do: ${to} holds a replica of shard 3 already\n`,
  });
  const nowhere = await cluster.mem0ctl("shards", "move", "3", "--from", to, "--to", to, "-o", "json");
  expect(nowhere.code).toBe(0);
  expect((JSON.parse(nowhere.stdout) as OperationAnswer).operation?.progress.state).toBe("done");
  expect((await map()).shards[3]?.replicas).toHaveLength(3);
  expect(await cluster.mem0ctl("replicas", "remove", "3", "--from", to, "--yes")).toMatchObject({ code: 0 });
  const [one = "", other = ""] = (await map()).shards[3]?.replicas ?? [];
  expect(await cluster.mem0ctl("replicas", "remove", "3", "--from", one, "--yes")).toMatchObject({ code: 0 });
  const last = await cluster.mem0ctl("replicas", "remove", "3", "--from", other, "--yes", "-o", "json");
  expect(last.code).toBe(6);
  expect(last.stderr).toContain("step-outdated");
  await nothingLost();
});

test("the replicas hold the same, also one that was made anew", async () => {
  startWriting();
  const verified = await cluster.mem0ctl("replicas", "verify", "-o", "json");
  expect(verified.stdout).toContain('"same": true');
  const { shards } = JSON.parse(verified.stdout) as { readonly shards: readonly ShardVerification[] };
  expect(shards.map(({ shard }) => shard)).toEqual(["0", "1", "2", "3"]);
  const node = (await map()).shards[0]?.replicas[0] ?? "";
  const repaired = await cluster.mem0ctl("replicas", "repair", "0", "--node", node, "-o", "json");
  await stopWriting();
  expect(repaired).toMatchObject({ code: 0 });
  await nothingLost();
});
