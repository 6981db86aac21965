// `plan` and `apply` of a manifest over real servers: nodes join, shards are founded and dissolved, copies are made,
// nodes leave; and a plan of what was applied is empty.

import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ManifestPlan } from "../../src/model/plan.ts";
import { openCluster } from "../../src/operations/cluster.ts";
import { until, type TestCluster } from "./support/cluster.ts";
import { bringUpRedis, HAS_REDIS, missingKeys, Writer } from "./support/redis.ts";

describe.runIf(HAS_REDIS)("the manifest of a redis cluster", () => {
  let cluster: TestCluster;
  let writer: Writer;
  beforeAll(async () => {
    cluster = await bringUpRedis({ flags: ["--zones", "3"], spare: 2 });
    writer = new Writer(cluster.ports.slice(0, 6));
    writer.start();
    await until("some writes", () => writer.acknowledged.length > 200);
  }, 60_000);
  afterAll(async () => {
    await writer.stop();
    await cluster.end();
  });

  const edit = (change: (text: string) => string): void =>
    writeFileSync(cluster.file, change(readFileSync(cluster.file, "utf8")));

  async function plan(): Promise<{ readonly code: number; readonly messages: readonly string[] }> {
    const { code, stdout } = await cluster.mem0ctl("plan", "--detailed-exitcode", "-o", "json");
    const planned: ManifestPlan = JSON.parse(stdout);
    return { code, messages: planned.changes.map(({ message }) => message) };
  }

  async function apply(): Promise<void> {
    const applied = await cluster.mem0ctl("apply", "--yes");
    if (applied.code !== 0) throw new Error(`exit ${applied.code}\n${applied.stdout}\n${applied.stderr}`);
  }

  /** What is left to do, whether the cluster is healthy, and which acknowledged writes are not where they should be. */
  async function look(): Promise<object> {
    const { code, messages } = await plan();
    const { view } = await cluster.status();
    const acknowledged = [...writer.acknowledged];
    const { engine } = await openCluster(cluster.file);
    const { map } = await engine.shardMap({ timeoutMs: 5000 });
    await engine.close();
    const missing = await missingKeys(cluster, map, acknowledged);
    return { code, messages, reasons: view.reasons, missing };
  }

  const AS_PLANNED = { code: 0, messages: [], reasons: [], missing: [] };

  it("is what the cluster is, after `up`", async () => {
    expect(await look()).toEqual(AS_PLANNED);
  }, 60_000);

  it("with two nodes more: they join, and are a shard without slots, of two copies", async () => {
    const line = (number: number, zone: string): string =>
      `    - { id: node-${number}, address: "127.0.0.1:${cluster.ports[number - 1]}", zone: ${zone} }\n`;
    edit((text) => text.replace(/( +- { id: node-6,.*\n)/, `$1${line(7, "a")}${line(8, "b")}`));
    const { code, messages } = await plan();
    expect(code).toBe(10);
    expect(messages).toEqual([
      expect.stringContaining("node-7 joins"),
      expect.stringContaining("node-8 joins"),
      expect.stringContaining("gets a copy on node-8"),
    ]);
    await apply();
    expect(await look()).toEqual(AS_PLANNED);
    const { view } = await cluster.status();
    expect(view.shards[3]).toMatchObject({ range: "no slots", leader: "node-7" });
    expect(view.shards[3]?.replicas.map(({ node }) => node)).toEqual(["node-7", "node-8"]);
    expect((await cluster.mem0ctl("shards", "rebalance")).code).toBe(0);
    expect((await cluster.status()).view.shards.map(({ slots }) => slots)).toEqual([4096, 4096, 4096, 4096]);
    expect(await look()).toEqual(AS_PLANNED);
  }, 90_000);

  it("without a leader, and with too few nodes for its shard: its slots go to the others before it leaves", async () => {
    edit((text) => text.replace(/ +- { id: node-1,.*\n/, ""));
    const { code, messages } = await plan();
    expect(code).toBe(10);
    expect(messages).toEqual([
      expect.stringMatching(/^shard \d is dissolved: nodes and copies make 3 shards$/),
      expect.stringMatching(/^shard \d gets a copy on node-\d, which holds shard \d now$/),
      `127.0.0.1:${cluster.ports[0]} leaves the cluster`,
    ]);
    await apply();
    expect(await look()).toEqual(AS_PLANNED);
    const { view } = await cluster.status();
    expect(view.totalNodes).toBe(7);
    expect(view.shards.filter(({ slots = 0 }) => slots > 0)).toHaveLength(3);
    expect(view.shards.reduce((sum, { replicas }) => sum + replicas.length, 0)).toBe(7);
    await cluster.signal("node-1", "SIGKILL");
  }, 90_000);

  it("with a copy more of each shard: fewer shards, and every node at work", async () => {
    edit((text) => text.replace(/strategy: single/, "strategy: multiple\n    replicas: 2"));
    await apply();
    expect(await look()).toEqual(AS_PLANNED);
    const { view } = await cluster.status();
    const owning = view.shards.filter(({ slots = 0 }) => slots > 0);
    expect(owning.map(({ replicas }) => replicas.length).toSorted((a, b) => a - b)).toEqual([3, 4]);
  }, 90_000);

  it("with a node that shall hold nothing: another takes its place", async () => {
    const { view: before } = await cluster.status();
    const leader = before.shards.find(({ slots = 0 }) => slots > 0)?.leader ?? "";
    edit((text) => text.replace(new RegExp(`(id: ${leader},.*) }`), "$1, draining: true }"));
    await apply();
    expect(await look()).toEqual(AS_PLANNED);
    const { view } = await cluster.status();
    expect(view.nodes.find(({ id }) => id === leader)).toMatchObject({
      state: "draining",
      leads: 0,
      keys: 0,
    });
    await writer.stop();
    expect(writer.errors.filter((error) => !/CLUSTERDOWN|connection/i.test(error))).toEqual([]);
  }, 90_000);
});
