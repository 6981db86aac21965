// What an admin does with the pieces of a redis cluster: slots moved by hand, replicas given and taken away, leaders
// balanced, nodes drained for good, and the manifest made true.

import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Plan } from "../../src/model/plan.ts";
import type { ClusterView } from "../../src/model/view.ts";
import { slotOf } from "../../src/topology/slots.ts";
import { until, type CommandResult, type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, HAS_REDIS, Writer } from "./support/redis.ts";

describe.runIf(HAS_REDIS)("the pieces of a redis cluster", () => {
  let cluster: TestCluster;
  let done: (...args: readonly string[]) => Promise<CommandResult>;
  let view: () => Promise<ClusterView>;
  beforeAll(async () => {
    cluster = await bringUpRedis({ flags: ["--zones", "3"], spare: 2 });
    done = async (...args) => {
      const result = await cluster.mem0ctl(...args);
      if (result.code !== 0) throw new Error(`${args.join(" ")}: exit ${result.code}\n${result.stderr}`);
      return result;
    };
    view = async () => (await cluster.status()).view;
  });
  afterAll(() => cluster.end());

  const slotsOf = async (shard: number): Promise<number | undefined> => (await view()).shards[shard]?.slots;

  it("move by hand: so many slots, or these, and again is harmless", async () => {
    for (let number = 0; number < 50; number += 1) await ask(portOf(0), "SET", `{t3}${number}`, "x");
    const before = await slotsOf(1);
    await done("shards", "move", "0", "--slots", "100", "--to", (await view()).shards[1]?.leader ?? "");
    expect(await slotsOf(1)).toBe((before ?? 0) + 100);
    expect((await view()).shards[0]?.range).toBe("slots 0-5360");
    const leader = (await view()).shards[2]?.leader ?? "";
    await done("shards", "move", "0", "--slots", "10-19,30-30", "--to", leader);
    await done("shards", "move", "0", "--slots", "10-19,30-30", "--to", leader);
    expect((await view()).shards[2]?.range).toBe("slots 10-19, 30, 10923-16383");
    await done("shards", "rebalance");
    expect((await cluster.status()).code).toBe(0);
  });

  it.each<[string, readonly string[], number, string, string]>([
    ["none", ["--slots", "0", "--to", "node-2"], 2, "invalid-argument", "from 1 to 16384"],
    ["a word", ["--slots", "all", "--to", "node-2"], 2, "invalid-argument", "100, 0-99"],
    ["too many", ["--slots", "9000", "--to", "node-2"], 6, "too-few-slots", "node-1 owns"],
    ["another shard's", ["--slots", "16000-16383", "--to", "node-2"], 6, "not-its-slots", "slot 16000"],
    ["to a replica", ["--slots", "1", "--to", "node-6"], 6, "not-a-leader", "leader transfer"],
    ["to nobody", ["--slots", "1", "--to", "node-99"], 1, "unknown-node", "node-99"],
    ["neither slots nor a replica", ["--to", "node-2"], 2, "missing-option", "--from"],
  ])("does not move slots: %s", async (_, words, code, name, said) => {
    const refused = await cluster.mem0ctl("shards", "move", "0", ...words);
    expect({ code: refused.code, said: refused.stderr }).toEqual({
      code,
      said: expect.stringContaining(`error[${name}]`),
    });
    expect(refused.stderr).toContain(said);
  });

  it("takes a replica on a node that holds nothing, and not from a shard that needs it", async () => {
    await done("nodes", "add", "node-7", "--address", `127.0.0.1:${cluster.ports[6]}`, "--zone", "a");
    const needed = await cluster.mem0ctl("replicas", "add", "0", "--to", "node-6");
    expect({ code: needed.code, said: needed.stderr }).toEqual({
      code: 6,
      said: expect.stringContaining("without it shard 1 has 1 of 2 copies"),
    });
    await done("replicas", "add", "0", "--to", "node-7");
    expect((await view()).shards[0]?.replicas.map(({ node }) => node)).toContain("node-7");
  });

  it("gives a replica up, and its node stays a member that holds nothing", async () => {
    const other = await cluster.mem0ctl("replicas", "remove", "1", "--from", "node-7", "--yes");
    expect({ code: other.code, said: other.stderr }).toEqual({
      code: 2,
      said: expect.stringContaining("error[not-a-replica]"),
    });
    const leading = await cluster.mem0ctl("replicas", "remove", "0", "--from", "node-1", "--yes");
    expect({ code: leading.code, said: leading.stderr }).toEqual({
      code: 6,
      said: expect.stringContaining("error[node-in-use]"),
    });
    await done("replicas", "remove", "0", "--from", "node-7", "--yes");
    const { code, view: after } = await cluster.status();
    expect({ code, reasons: after.reasons }).toEqual({ code: 0, reasons: [] });
    expect(after.shards[3]).toMatchObject({ range: "no slots", leader: "node-7" });
  });

  it("moves a leader's replica: the new node leads, the old one holds nothing", async () => {
    await done("shards", "move", "0", "--from", "node-1", "--to", "node-7");
    const after = await view();
    const shard = after.shards.find(({ slots = 0, leader }) => slots > 0 && leader === "node-7");
    expect(shard?.replicas).toHaveLength(2);
    expect(after.shards.find(({ leader }) => leader === "node-1")?.slots).toBe(0);
    await done("shards", "move", shard?.id ?? "", "--from", "node-7", "--to", "node-1");
    expect((await view()).shards[0]?.leader).toBe("node-1");
  });

  it("are planned by load only while somebody is at work, by where the servers had most to do", async () => {
    const idle = await cluster.mem0ctl("shards", "rebalance", "--by", "load", "--dry-run");
    expect({ code: idle.code, said: idle.stderr }).toEqual({
      code: 6,
      said: expect.stringContaining("error[no-load]: nothing was asked"),
    });
    const hot = (await view()).shards[1]?.leader ?? "";
    const keys = Array.from({ length: 400 }, (_, number) => `hot:${number}`).filter((key) => {
      const slot = slotOf(key);
      return slot > 5500 && slot < 10_900;
    });
    let planned: CommandResult | undefined;
    const planning = cluster
      .mem0ctl("shards", "rebalance", "--by", "load", "--dry-run", "-o", "json")
      .then((result) => (planned = result));
    const busy = new Writer([portOf(Number(hot.slice(5)) - 1)]);
    while (planned === undefined) await Promise.all(keys.map((key) => busy.write(key)));
    await Promise.all([planning, busy.stop()]);
    const plan: Plan = JSON.parse((await planning).stdout);
    const steps = plan.waves.flat().flatMap((step) => (step.kind === "move-slots" ? [step] : []));
    expect({ by: plan.by, from: [...new Set(steps.map(({ from }) => from))] }).toEqual({
      by: "load",
      from: [hot],
    });
    expect(plan.problems.map(({ code }) => code)).not.toContain("threshold-not-reached");
  }, 60_000);

  it("balances leaders by role, after a failover to a secondary", async () => {
    const text = readFileSync(cluster.file, "utf8");
    writeFileSync(cluster.file, text.replace(/(id: node-6,.*role: )primary/, "$1secondary"));
    await done("leader", "transfer", "1", "--to", "node-6");
    await done("leader", "balance");
    expect((await view()).shards[1]?.leader).toBe("node-2");
    const again = await done("leader", "balance", "--dry-run", "-o", "json");
    const plan: { waves: unknown[] } = JSON.parse(again.stdout);
    expect(plan.waves).toEqual([]);
    writeFileSync(cluster.file, text);
  });

  it("drains a node for good: the manifest keeps it, and a rebalance gives it nothing", async () => {
    const text = readFileSync(cluster.file, "utf8");
    const refused = await cluster.mem0ctl("nodes", "drain", "node-2", "--no-wait");
    expect(refused.code).toBe(2);
    expect(readFileSync(cluster.file, "utf8")).toBe(text);
    await done("nodes", "drain", "node-1");
    const drained = readFileSync(cluster.file, "utf8");
    expect(drained.split("\n").filter((line) => line.includes("draining: true"))).toHaveLength(1);
    await done("shards", "rebalance");
    const after = await view();
    expect(after.nodes.find(({ id }) => id === "node-1")).toMatchObject({ state: "draining", leads: 0 });
    expect((await cluster.status()).code).toBe(0);
    await done("nodes", "undrain", "node-1");
    expect(readFileSync(cluster.file, "utf8")).toBe(text);
    expect((await view()).nodes.find(({ id }) => id === "node-1")?.state).toBe("up");
  });

  it("drains a replica where another can take its place", async () => {
    await until("it is healthy", async () => (await cluster.status()).code === 0);
    const follower = (await view()).shards.find(
      ({ slots = 0, replicas }) => slots > 0 && replicas.length === 2,
    )?.replicas[1]?.node;
    await done("nodes", "drain", follower ?? "");
    const after = await view();
    expect(after.nodes.find(({ id }) => id === follower)).toMatchObject({
      state: "draining",
      leads: 0,
      keys: 0,
    });
    expect((await cluster.status()).code).toBe(0);
  });

  function portOf(index: number): number {
    return cluster.ports[index] ?? 0;
  }
});
