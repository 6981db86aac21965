// Shards that are split and merged, and keys that are pinned, while clients write, and whoever carries it out is
// killed in the middle.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { OperationAnswer } from "../../src/model/node-api.ts";
import type { HandoverPlan } from "../../src/model/plan.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { shardOfKey } from "../../src/topology/shard-map.ts";
import { call, importRecords, record } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const COUNT = 600;
const USERS = Array.from({ length: 26 }, (_, at) => `${String.fromCharCode(97 + at)}-user`);
const PROGRAM = join(import.meta.dirname, "../../bin/mem0ctl.js");

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.end();
  cluster = undefined;
});

const userOf = (at: number): string => USERS[at % USERS.length] ?? "";

async function firstAnswer<Body>(hosts: readonly string[], path: string): Promise<Body> {
  return until(`a node answers ${path}`, async () => {
    for (const host of hosts) {
      const { status, body } = await call(host, { path });
      if (status === 200) return body as Body;
    }
    return undefined;
  });
}

const mapOf = ({ hosts }: TestCluster): Promise<ShardMap> => firstAnswer(hosts, "/v1/cluster/map");

/** Every memory as a line, in order of lines. */
async function exported({ mem0ctl }: TestCluster): Promise<readonly string[]> {
  const { code, stdout, stderr } = await mem0ctl("memories", "export");
  if (code !== 0) throw new Error(stderr);
  return stdout.trimEnd().split("\n").toSorted();
}

/** Writes, deletes and reads back what was acknowledged, until it is stopped; throws what was not as it has to be. */
class Writers {
  readonly there = new Set<string>();
  readonly deleted = new Set<string>();
  private readonly wrong: string[] = [];
  private isOver = false;
  private running: Promise<void>[] = [];

  start(hosts: readonly string[]): void {
    this.isOver = false;
    this.running = [0, 1].map(async (writer) => {
      for (let at = 0; !this.isOver; at += 1) await this.turn(hosts[at % hosts.length] ?? "", writer, at);
    });
  }

  private async turn(host: string, writer: number, at: number): Promise<void> {
    const id = `w-${writer}-${Date.now()}-${at}`;
    const user = userOf(7 * at + writer);
    if ((await importRecords(host, [record(id, user)])).status !== 200) return;
    this.there.add(id);
    const read = await call(host, { path: `/v1/memories/${id}/` });
    if (read.status === 404) this.wrong.push(`${id} was acknowledged and is not found`);
    const earlier = [...this.there][(31 * at) % this.there.size] ?? id;
    const again = await call(host, { path: `/v1/memories/${earlier}/` });
    if (again.status === 404 && this.there.has(earlier)) this.wrong.push(`${earlier} is not found any more`);
    if (at % 3 !== 0) return;
    // Not answered, it may be there or not.
    this.there.delete(id);
    const { status } = await call(host, { method: "DELETE", path: `/v1/memories/${id}/` });
    if (status >= 200 && status < 300) this.deleted.add(id);
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.running);
    if (this.wrong.length > 0) throw new Error(this.wrong.join("\n"));
  }
}

/** Every acknowledged memory is there once, and none that was deleted. */
async function nothingLost(running: TestCluster, { there, deleted }: Writers): Promise<void> {
  const ids = (await exported(running)).map((line) => String(JSON.parse(line).id));
  expect(new Set(ids).size).toBe(ids.length);
  expect([...there].filter((id) => !ids.includes(id))).toEqual([]);
  expect(ids.filter((id) => deleted.has(id))).toEqual([]);
  const { stdout } = await running.mem0ctl("memories", "stats", "-o", "json");
  expect(JSON.parse(stdout)).toMatchObject({ memories: ids.length });
}

async function fill({ hosts }: TestCluster, writers: Writers): Promise<void> {
  const ids = Array.from({ length: COUNT }, (_, at) => `m-${at}`);
  const records = ids.map((id, at) => record(id, userOf(at)));
  expect(await importRecords(hosts[0] ?? "", records)).toMatchObject({ status: 200 });
  for (const id of ids) writers.there.add(id);
}

async function theSame({ mem0ctl }: TestCluster): Promise<void> {
  await until("the replicas hold the same", async () => {
    const { code, stdout } = await mem0ctl("replicas", "verify", "-o", "json");
    return code === 0 && stdout.includes('"same": true');
  });
}

test.each(["raft", "paxos", "quorum"])(
  "by %s a range is split at its median and merged again while clients write: nothing is lost or doubled",
  async (protocol) => {
    const flags = `--sharding range --ranges g,n --consensus ${protocol}`.split(" ");
    const running = await bringUpCluster({ flags });
    cluster = running;
    const { mem0ctl, hosts } = running;
    const writers = new Writers();
    await fill(running, writers);
    const before = await exported(running);

    const shown = await mem0ctl("shards", "split", "2", "--dry-run", "-o", "json");
    expect(shown).toMatchObject({ code: 0, stderr: "" });
    const plan = JSON.parse(shown.stdout) as HandoverPlan;
    expect(plan.step).toEqual({ kind: "split", shard: "2", at: "t-user", into: "3" });
    expect(plan.shards.map(({ keysAfter }) => keysAfter)).toEqual(["keys [n, t-user)", "keys from t-user"]);
    expect(await exported(running)).toEqual(before);

    writers.start(hosts);
    const split = await mem0ctl("shards", "split", "2", "-o", "json");
    await writers.stop();
    expect(split).toMatchObject({ code: 0 });
    const { shards } = await mapOf(running);
    expect(shards.map(({ id, start, end }) => [id, start, end])).toEqual([
      ["0", "", "g"],
      ["1", "g", "n"],
      ["2", "n", "t-user"],
      ["3", "t-user", null],
    ]);
    await nothingLost(running, writers);
    await theSame(running);
    expect((await running.status()).view).toMatchObject({ health: "healthy", totalShards: 4 });

    writers.start(hosts);
    expect(await mem0ctl("shards", "merge", "3", "2", "-o", "json")).toMatchObject({ code: 0 });
    await writers.stop();
    const merged = await mapOf(running);
    expect(merged.shards.map(({ id, start, end }) => [id, start, end])).toEqual([
      ["0", "", "g"],
      ["1", "g", "n"],
      ["2", "n", null],
    ]);
    await nothingLost(running, writers);
    await theSame(running);
  },
  120_000,
);

test("the command, then the cluster leader, are killed in the middle of a split: it goes on by itself", async () => {
  const running = await bringUpCluster({ flags: ["--shards", "2"] });
  cluster = running;
  const { mem0ctl, hosts } = running;
  const writers = new Writers();
  await fill(running, writers);
  writers.start(hosts);
  const command = spawn(
    process.execPath,
    [PROGRAM, "shards", "split", "1", "--throttle", "100KiB/s", "-f", running.file],
    { stdio: "ignore" },
  );
  const operation = (): Promise<OperationAnswer> => firstAnswer(hosts, "/v1/cluster/operation");
  await until("the step runs", async () => (await operation()).operation?.progress.steps[0] === "running");
  command.kill("SIGKILL");
  const refused = await mem0ctl("shards", "merge", "1", "0", "-o", "json");
  expect(refused.code).toBe(6);
  expect(refused.stderr).toMatch(/operation-running|handover-running/);
  await running.signal((await running.status()).view.leader ?? "", "SIGKILL");
  await mem0ctl("up", "--timeout", "40s");
  // The same command follows what runs, or finds it done and would split once more: so it is only watched.
  const watched = await mem0ctl("shards", "rebalance", "--watch", "-o", "json", "--timeout", "60s");
  await writers.stop();
  expect([0, 6]).toContain(watched.code);
  expect((await operation()).operation?.progress).toMatchObject({ state: "done" });
  const { shards, handover } = await mapOf(running);
  expect(handover).toBeUndefined();
  expect(shards.map(({ slots }) => slots)).toEqual([
    [{ from: 0, to: 8191 }],
    [{ from: 8192, to: 12_287 }],
    [{ from: 12_288, to: 16_383 }],
  ]);
  await nothingLost(running, writers);
  await theSame(running);
  // Of hash shards any two may be merged: slots need not be neighbours.
  expect(await mem0ctl("shards", "merge", "2", "0")).toMatchObject({ code: 0 });
  expect((await mapOf(running)).shards.map(({ slots }) => slots)).toEqual([
    [
      { from: 0, to: 8191 },
      { from: 12_288, to: 16_383 },
    ],
    [{ from: 8192, to: 12_287 }],
  ]);
  await nothingLost(running, writers);
}, 120_000);

test("a key is pinned, and let go again, while clients write; a pin that is cancelled changes nothing", async () => {
  const running = await bringUpCluster({ flags: ["--shards", "4", "--sharding", "directory"] });
  cluster = running;
  const { mem0ctl, hosts } = running;
  const writers = new Writers();
  await fill(running, writers);
  const key = userOf(0);
  const shardOf = async (): Promise<{ readonly shard: string; readonly pinned: boolean }> =>
    JSON.parse((await mem0ctl("shards", "locate", key, "-o", "json")).stdout);
  const home = (await shardOf()).shard;
  const other = home === "0" ? "1" : "0";

  expect(await mem0ctl("shards", "pin", key, other, "--throttle", "1KiB/s", "--no-wait")).toMatchObject({
    code: 0,
  });
  expect(await mem0ctl("shards", "rebalance", "--cancel")).toMatchObject({ code: 0 });
  await until("it is over", async () => {
    const { operation } = await firstAnswer<OperationAnswer>(hosts, "/v1/cluster/operation");
    return operation?.progress.state === "cancelled";
  });
  expect(await shardOf()).toMatchObject({ shard: home, pinned: false });
  expect((await mapOf(running)).handover).toBeUndefined();
  await nothingLost(running, writers);

  writers.start(hosts);
  expect(await mem0ctl("shards", "pin", key, other)).toMatchObject({ code: 0 });
  await writers.stop();
  expect(await shardOf()).toMatchObject({ shard: other, pinned: true });
  await nothingLost(running, writers);

  writers.start(hosts);
  expect(await mem0ctl("shards", "pin", key, "--unpin")).toMatchObject({ code: 0 });
  await writers.stop();
  expect(await shardOf()).toMatchObject({ shard: home, pinned: false });
  await nothingLost(running, writers);
  await theSame(running);

  for (const [args, code, said] of [
    [["split", "9"], 1, "unknown-shard"],
    [["split", home, "--at", "x"], 2, "step-impossible"],
    [["merge", home, home], 2, "step-impossible"],
    [["pin", key, "99"], 1, "unknown-shard"],
    [["pin", key], 2, "usage"],
  ] as const) {
    const answer = await mem0ctl("shards", ...args, "-o", "json");
    expect([args, answer.code]).toEqual([args, code]);
    expect(answer.stderr).toContain(said);
  }
}, 120_000);

test("of a leaderless cluster a key is pinned to copies on other nodes, while clients write and a node is killed", async () => {
  const flags = "--consensus quorum --shards 4 --sharding directory".split(" ");
  const running = await bringUpCluster({ nodes: 4, flags });
  cluster = running;
  const { mem0ctl, hosts } = running;
  const writers = new Writers();
  await fill(running, writers);
  const before = await mapOf(running);
  const key = userOf(0);
  const home = shardOfKey(before, key);
  const away = before.shards.find(({ replicas }) => home.replicas.some((node) => !replicas.includes(node)));
  if (away === undefined) throw new Error("all shards are on the same nodes");

  writers.start(hosts);
  const pinned = mem0ctl("shards", "pin", key, away.id, "-o", "json");
  const operation = (): Promise<OperationAnswer> => firstAnswer(hosts, "/v1/cluster/operation");
  await until("a copy moves", async () => (await operation()).operation?.progress.steps[1] === "running");
  await running.signal((await running.status()).view.leader ?? "", "SIGKILL");
  await mem0ctl("up", "--timeout", "40s");
  expect(await pinned).toMatchObject({ code: 0 });
  await writers.stop();
  const after = await mapOf(running);
  expect(after.directory).toEqual({ [key]: away.id });
  expect(after.shards.map(({ id }) => id)).toEqual(["0", "1", "2", "3"]);
  await nothingLost(running, writers);

  writers.start(hosts);
  expect(await mem0ctl("shards", "pin", key, "--unpin")).toMatchObject({ code: 0 });
  await writers.stop();
  expect(shardOfKey(await mapOf(running), key).id).toBe(home.id);
  await nothingLost(running, writers);
  await theSame(running);
}, 120_000);

test.each(["raft", "quorum"])(
  "by %s shards that have an id each under another key are not merged: nothing is lost, and it says what to do",
  async (protocol) => {
    const flags = `--sharding range --ranges n --consensus ${protocol}`.split(" ");
    const running = await bringUpCluster({ flags });
    cluster = running;
    const { mem0ctl, hosts } = running;
    const twins = [
      record("twin", "a-user"),
      record("other", "b-user"),
      record("twin", "z-user"),
      record("last", "z-user"),
    ];
    for (const one of twins)
      expect(await importRecords(hosts[0] ?? "", [one])).toMatchObject({ status: 200 });
    const before = await exported(running);
    expect(before).toHaveLength(4);
    for (const flags of [["--dry-run"], []]) {
      const refused = await mem0ctl("shards", "merge", "1", "0", ...flags, "-o", "json");
      expect(refused.code).toBe(6);
      expect(JSON.parse(refused.stderr)).toMatchObject({
        error: {
          code: "ids-clash",
          data: { ids: ["twin"] },
          hint: expect.stringContaining("memories delete"),
        },
      });
      expect(await exported(running)).toEqual(before);
      expect((await mapOf(running)).epoch).toBe(1);
    }

    expect(await mem0ctl("memories", "delete", "twin", "--yes")).toMatchObject({ code: 0 });
    expect(await exported(running)).toHaveLength(2);
    const again = [record("twin", "a-user"), record("twin-2", "z-user")];
    expect(await importRecords(hosts[0] ?? "", again)).toMatchObject({ status: 200 });
    const dry = await mem0ctl("shards", "merge", "1", "0", "--dry-run", "-o", "json");
    expect(dry).toMatchObject({ code: 0 });
    expect((await mapOf(running)).epoch).toBe(1);
    expect(await mem0ctl("shards", "merge", "1", "0", "-o", "json")).toMatchObject({ code: 0 });
    expect(await exported(running)).toHaveLength(4);
  },
  120_000,
);

test.each(["raft", "quorum"])(
  "by %s a dry run of a pin shows the plan, or refuses ids that clash as the pin itself would; it changes nothing",
  async (protocol) => {
    const flags = `--shards 2 --sharding directory --consensus ${protocol}`.split(" ");
    const running = await bringUpCluster({ flags });
    cluster = running;
    const { mem0ctl, hosts } = running;
    const map = await mapOf(running);
    const users = Array.from({ length: 64 }, (_, at) => `user-${at}`);
    const [key = "", other = ""] = map.shards.map(({ id }) =>
      users.find((user) => shardOfKey(map, user).id === id),
    );
    const [home = "", away = ""] = [key, other].map((user) => shardOfKey(map, user).id);
    for (const one of [record("first", key), record("twin", key), record("twin", other)])
      expect(await importRecords(hosts[0] ?? "", [one])).toMatchObject({ status: 200 });
    const before = await exported(running);
    expect(before).toHaveLength(3);
    const nothingChanged = async (): Promise<void> => {
      expect(await exported(running)).toEqual(before);
      expect(await mapOf(running)).toEqual(map);
      expect(await firstAnswer<OperationAnswer>(hosts, "/v1/cluster/operation")).toEqual({ operation: null });
    };

    for (const dry of [["--dry-run"], []]) {
      const refused = await mem0ctl("shards", "pin", key, away, ...dry, "-o", "json");
      expect(refused).toMatchObject({ code: 6, stdout: "" });
      expect(JSON.parse(refused.stderr)).toMatchObject({
        error: { code: "ids-clash", data: { ids: ["twin"] } },
      });
      await nothingChanged();
    }

    // It is there already: only the directory would change.
    const stays = await mem0ctl("shards", "pin", key, home, "--dry-run", "-o", "json");
    expect(JSON.parse(stays.stdout)).toMatchObject({ moved: { memories: 0 } });
    await nothingChanged();

    expect(await mem0ctl("memories", "delete", "twin", "--yes")).toMatchObject({ code: 0 });
    const left = await exported(running);
    const dry = await mem0ctl("shards", "pin", key, away, "--dry-run", "-o", "json");
    expect(dry).toMatchObject({ code: 0 });
    const plan: HandoverPlan = JSON.parse(dry.stdout);
    expect(plan).toMatchObject({
      kind: "HandoverPlan",
      epoch: map.epoch,
      step: { kind: "pin", key, shard: away },
      moved: { memories: 1 },
    });
    expect(plan.shards.map(({ shard }) => shard)).toEqual([home, away]);
    const table = await mem0ctl("shards", "pin", key, away, "--dry-run");
    expect(table.stdout).toContain("1 memory is copied");
    expect([await mapOf(running), await exported(running)]).toEqual([map, left]);

    expect(await mem0ctl("shards", "pin", key, away)).toMatchObject({ code: 0 });
    expect(shardOfKey(await mapOf(running), key).id).toBe(away);
    expect(await exported(running)).toEqual(left);
  },
  120_000,
);
