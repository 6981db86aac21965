// Nodes of a redis cluster that come, are drained and go; and another cluster on the same ports, which nothing is
// done to.

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runMem0ctl, until, type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, HAS_REDIS } from "./support/redis.ts";

describe.runIf(HAS_REDIS)("nodes of a redis cluster", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bringUpRedis({ flags: ["--zones", "3"], spare: 2 });
    for (let number = 0; number < 300; number += 1) {
      const port = await portOfKey(`key:${number}`);
      await ask(port, "SET", `key:${number}`, "x");
    }
  });
  afterAll(() => cluster.end());

  it("join by one command, one as a leader without slots and one as its replica", async () => {
    const add = await cluster.mem0ctl(
      "nodes",
      "add",
      "node-7",
      "--address",
      `127.0.0.1:${cluster.ports[6]}`,
      "--zone",
      "a",
    );
    expect({ code: add.code, stderr: add.stderr.includes("error") }).toEqual({ code: 0, stderr: false });
    expect(
      (await cluster.mem0ctl("nodes", "add", "node-8", "--address", `127.0.0.1:${cluster.ports[7]}`)).code,
    ).toBe(0);
    const replica = await cluster.mem0ctl("replicas", "add", "3", "--to", "node-8");
    expect(replica.code).toBe(0);
    const { code, view } = await cluster.status();
    expect(code).toBe(0);
    expect(view.shards[3]).toMatchObject({ range: "no slots", leader: "node-7" });
    expect(view.shards[3]?.replicas.map(({ node }) => node)).toEqual(["node-7", "node-8"]);
  });

  it("are drained: all slots go to the other leaders, and the replica that is left follows one of them", async () => {
    const before = (await cluster.status()).view.shards[0];
    const leader = before?.leader ?? "";
    const drained = await cluster.mem0ctl("nodes", "drain", leader);
    expect(drained.code).toBe(0);
    const { code, view } = await cluster.status();
    expect(code).toBe(0);
    const node = view.nodes.find(({ id }) => id === leader);
    expect({ leads: node?.leads, keys: node?.keys }).toEqual({ leads: 0, keys: 0 });
    expect(
      view.shards.filter(({ slots = 0 }) => slots > 0).every(({ replicas }) => replicas.length >= 2),
    ).toBe(true);
    expect(view.shards.reduce((sum, { keys }) => sum + (keys ?? 0), 0)).toBe(300);
    const removed = await cluster.mem0ctl("nodes", "remove", leader, "--yes");
    expect(removed.code).toBe(0);
    const after = await cluster.status();
    expect({ code: after.code, nodes: after.view.totalNodes }).toEqual({ code: 0, nodes: 7 });
  });

  it("are not removed where a shard would have too few copies", async () => {
    const { view } = await cluster.status();
    // The spare copy is used first; then there is none.
    const follower = (index: number): string =>
      view.shards[index]?.replicas.find(({ role }) => role === "follower")?.node ?? "";
    const owning = view.shards.filter(({ slots = 0 }) => slots > 0);
    const [first, second] = owning
      .filter(({ replicas }) => replicas.length === 2)
      .map(({ id }) => Number(id));
    const one = await cluster.mem0ctl("nodes", "remove", follower(first ?? 0), "--yes");
    expect(one.code).toBe(0);
    await until("it is healthy", async () => (await cluster.status()).code === 0);
    const two = await cluster.mem0ctl("nodes", "remove", follower(second ?? 0), "--yes");
    expect(two.code).toBe(6);
    expect(two.stderr).toContain("error[too-few-nodes]");
    expect((await cluster.status()).code).toBe(0);
  });

  it("of another manifest on the same ports are not looked at, and nothing is done to them", async () => {
    const directory = mkdtempSync(join(tmpdir(), "mem0ctl-other-"));
    try {
      const file = join(directory, "cluster.yaml");
      copyFileSync(cluster.file, file);
      const other = async (...args: readonly string[]): Promise<Awaited<ReturnType<typeof runMem0ctl>>> =>
        runMem0ctl([...args, "-f", file], directory, {});
      const status = await other("status");
      expect(status.code).toBe(4);
      expect(status.stdout).toContain("another server has its port");
      for (const args of [["leader", "transfer", "0"], ["nodes", "drain", "node-7"], ["up"]]) {
        expect((await other(...args)).code).not.toBe(0);
      }
      await other("down");
      expect((await cluster.status()).code).toBe(0);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  async function portOfKey(key: string): Promise<number> {
    const slot = Number(await ask(cluster.ports[0] ?? 0, "CLUSTER", "KEYSLOT", key));
    return cluster.ports[slot < 5461 ? primaries[0] : slot < 10_923 ? primaries[1] : primaries[2]] ?? 0;
  }
});

/** Of six nodes in three zones, `up` lets these lead: see own-shard-placement.test.ts. */
const primaries = [0, 1, 2] as const;
