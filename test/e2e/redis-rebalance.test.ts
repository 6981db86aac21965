// `shards rebalance` over real servers, under writes, by a command that is killed in the middle and run again.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCluster } from "../../src/operations/cluster.ts";
import { until, type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, HAS_REDIS, missingKeys, Writer } from "./support/redis.ts";

const BIN = fileURLToPath(new URL("../../bin/mem0ctl.js", import.meta.url));

describe.runIf(HAS_REDIS)("a rebalance of three primaries and a fourth", () => {
  let cluster: TestCluster;
  let writer: Writer;
  beforeAll(async () => {
    cluster = await bringUpRedis({ nodes: 3, spare: 1, flags: ["--replication", "none"] });
    const added = await cluster.mem0ctl(
      "nodes",
      "add",
      "node-4",
      "--address",
      `127.0.0.1:${cluster.ports[3]}`,
    );
    if (added.code !== 0) throw new Error(added.stderr);
    writer = new Writer(cluster.ports);
    writer.start();
    await until("enough is written", () => writer.acknowledged.length > 2000, 40_000);
  });
  afterAll(async () => {
    await writer.stop();
    await cluster.end();
  });

  it("is planned with the fewest moves, and nothing is moved for it", async () => {
    const { code, stdout } = await cluster.mem0ctl("shards", "rebalance", "--dry-run", "-o", "json");
    const plan: { optimal: boolean; predicted: { moves: number } } = JSON.parse(stdout);
    expect({ code, optimal: plan.optimal, moves: plan.predicted.moves }).toEqual({
      code: 0,
      optimal: true,
      moves: 4096,
    });
    expect((await slotCounts()).toSorted((a, b) => a - b)).toEqual([0, 5461, 5461, 5462]);
  });

  it("is gone on with after a kill -9 in the middle, and no client saw an error or lost a write", async () => {
    const run = spawn(
      process.execPath,
      [BIN, "shards", "rebalance", "--throttle", "200KiB/s", "-f", cluster.file],
      { stdio: "ignore" },
    );
    await until("some slots are moved", async () => ((await slotCounts())[3] ?? 0) > 200, 30_000);
    run.kill("SIGKILL");
    await until("it is gone", () => run.signalCode !== null);
    const moved = (await slotCounts())[3] ?? 0;
    expect(moved).toBeLessThan(4096);

    const again = await cluster.mem0ctl("shards", "rebalance");
    expect({ code: again.code, done: again.stdout.includes("done") }).toEqual({ code: 0, done: true });
    expect((await slotCounts()).toSorted((a, b) => a - b)).toEqual([4096, 4096, 4096, 4096]);
    const { code, view } = await cluster.status();
    expect({ code, open: view.openSlots }).toEqual({ code: 0, open: undefined });
    await writer.stop();
    expect(writer.errors).toEqual([]);
    expect(await missing()).toEqual([]);
  });

  it("finds nothing to do then", async () => {
    const { code, stdout } = await cluster.mem0ctl("shards", "rebalance");
    expect({ code, said: stdout.includes("nothing to do") }).toEqual({ code: 0, said: true });
  });

  it("can be by keys, saved, and applied exactly as it was shown", async () => {
    // One slot becomes heavy: a fifth of what a node holds, however much the writer wrote until now.
    const { engine } = await openCluster(cluster.file);
    const leader = (await engine.shardMap({ timeoutMs: 5000 })).map.shards.find(({ slots }) =>
      slots.some(({ from, to }) => from <= 749 && 749 <= to),
    )?.replicas[0];
    await engine.close();
    const port = cluster.ports[Number(leader?.slice(5)) - 1] ?? 0;
    const before = (await cluster.status()).view.shards.map((shard) => shard.keys ?? 0);
    const heavy = Math.ceil((0.2 * before.reduce((sum, count) => sum + count, 0)) / before.length);
    for (let from = 0; from < heavy; from += 500) {
      const some = Array.from({ length: 500 }, (_, at) => [`{alice}${from + at}`, "x"]);
      await ask(port, "MSET", ...some.flat());
    }
    const saved = await cluster.mem0ctl(
      "shards",
      "rebalance",
      "--by",
      "memories",
      "--threshold",
      "5%",
      "--out",
      "plan.json",
    );
    expect(saved.code).toBe(0);
    const plan: { by: string; waves: unknown[] } = JSON.parse(
      readFileSync(join(cluster.directory, "plan.json"), "utf8"),
    );
    expect(plan.by).toBe("memories");
    expect(plan.waves.length).toBeGreaterThan(0);
    const applied = await cluster.mem0ctl("apply", "plan.json");
    expect(applied.code).toBe(0);
    const { view } = await cluster.status();
    const keys = view.shards.map((shard) => shard.keys ?? 0);
    const mean = keys.reduce((sum, count) => sum + count, 0) / keys.length;
    for (const count of keys) expect(Math.abs(count - mean) / mean).toBeLessThan(0.06);
    const stale = await cluster.mem0ctl("apply", "plan.json");
    expect(stale.code).toBe(6);
    expect(await missing()).toEqual([]);
  });

  /** Of each node, in their order. */
  async function slotCounts(): Promise<number[]> {
    const { view } = await cluster.status();
    return view.nodes.map(({ id }) => view.shards.find(({ leader }) => leader === id)?.slots ?? 0);
  }

  /** Acknowledged writes that are not where the map says. */
  async function missing(): Promise<readonly string[]> {
    const { engine } = await openCluster(cluster.file);
    const { map } = await engine.shardMap({ timeoutMs: 5000 });
    await engine.close();
    return missingKeys(cluster, map, writer.acknowledged);
  }
});
