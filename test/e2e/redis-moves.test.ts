// Slots of real servers that move under writes, and slots that somebody left open.

import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../src/engines/engine.ts";
import type { Step } from "../../src/model/plan.ts";
import { openCluster } from "../../src/operations/cluster.ts";
import { slotOf } from "../../src/topology/slots.ts";
import { type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, HAS_REDIS, missingKeys, Writer } from "./support/redis.ts";

const CALL = { timeoutMs: 30_000 };

describe.runIf(HAS_REDIS)("three primaries and a fourth that comes", () => {
  let cluster: TestCluster;
  let engine: Engine;
  let writer: Writer;
  const portOf = (node: string): number => cluster.ports[Number(node.slice(5)) - 1] ?? 0;
  const execute = (step: Step): Promise<string> => engine.execute(step, CALL);

  beforeAll(async () => {
    cluster = await bringUpRedis({ nodes: 3, spare: 1, flags: ["--replication", "none"] });
    // The manifest gets a fourth node.
    const line = `    - { id: node-4, address: "127.0.0.1:${cluster.ports[3]}", role: primary, zone: d }\n`;
    const text = readFileSync(cluster.file, "utf8");
    const last = text.indexOf("node-3");
    const end = text.indexOf("\n", last) + 1;
    writeFileSync(cluster.file, `${text.slice(0, end)}${line}${text.slice(end)}`);
    engine = (await openCluster(cluster.file)).engine;
    await engine.up(["node-4"], CALL);
    writer = new Writer(cluster.ports.slice(0, 3));
  });
  afterAll(async () => {
    await engine.close();
    await cluster.end();
  });

  it("is shown as a stranger until it is let in, and then as a shard without slots", async () => {
    const before = await cluster.status();
    expect(before.code).toBe(3);
    expect(before.view.reasons.map(({ code }) => code)).toEqual(["node-not-member"]);
    const [node] = before.view.nodes.filter(({ id }) => id === "node-4");
    expect(await execute(addNode("node-4", portOf("node-4")))).toContain("without slots");
    expect(await execute(addNode("node-4", portOf("node-4")))).toContain("without slots");
    const after = await cluster.status();
    expect({ code: after.code, error: node?.error }).toEqual({
      code: 0,
      error: "runs, but is not in the cluster",
    });
    expect(after.view.shards.at(-1)).toMatchObject({ range: "no slots", leader: "node-4", slots: 0 });
  });

  it("takes slots of all three at the same time, under writes, with no error for the client", async () => {
    writer.start();
    await Promise.all([
      execute({ kind: "move-slots", slots: [{ from: 0, to: 1364 }], from: "node-1", to: "node-4", bytes: 0 }),
      execute({
        kind: "move-slots",
        slots: [{ from: 5461, to: 6825 }],
        from: "node-2",
        to: "node-4",
        bytes: 0,
      }),
      execute({
        kind: "move-slots",
        slots: [{ from: 10_923, to: 12_288 }],
        from: "node-3",
        to: "node-4",
        bytes: 0,
      }),
    ]);
    const { code, view } = await cluster.status();
    await writer.stop();
    expect({ code, errors: writer.errors }).toEqual({ code: 0, errors: [] });
    expect(view.shards.map(({ slots }) => slots)).toEqual([4096, 4097, 4095, 4096]);
    expect(view.openSlots).toBeUndefined();
    expect(view.disagreements).toEqual([]);
    expect(writer.acknowledged.length).toBeGreaterThan(100);
    await expectAllThere();
  });

  it("is harmless to move what was moved", async () => {
    const again = await execute({
      kind: "move-slots",
      slots: [{ from: 0, to: 9 }],
      from: "node-1",
      to: "node-4",
      bytes: 0,
    });
    expect(again).toContain("0 slots with 0 keys");
  });

  it("refuses to move slots that are another node's by now", async () => {
    const step: Step = {
      kind: "move-slots",
      slots: [{ from: 0, to: 9 }],
      from: "node-1",
      to: "node-2",
      bytes: 0,
    };
    await expect(execute(step)).rejects.toMatchObject({ kind: "conflict", code: "plan-outdated" });
  });

  it("completes a slot that is open on both sides with keys on both", async () => {
    const slot = 2000;
    const keys = keysOfSlot(slot, 40);
    for (const key of keys) await ask(portOf("node-1"), "SET", key, key);
    await openBoth(slot, "node-1", "node-2");
    await ask(
      portOf("node-1"),
      "MIGRATE",
      "127.0.0.1",
      portOf("node-2"),
      "",
      0,
      5000,
      "KEYS",
      ...keys.slice(0, 15),
    );
    const { code, view } = await cluster.status();
    expect(code).toBe(3);
    expect(view.openSlots).toEqual([{ slot, from: "node-1", to: "node-2" }]);
    expect(view.reasons.map((reason) => reason.code)).toEqual(["slots-open"]);
    const [settled] = await engine.settle(CALL);
    expect(settled).toMatchObject({ what: "slot 2000", outcome: "completed" });
    expect(settled?.why).toContain("25 keys were still to move");
    await expectOwner(slot, "node-2");
    for (const key of keys) expect(String(await ask(portOf("node-2"), "GET", key))).toBe(key);
  });

  it("rolls back a slot of which nothing was moved yet", async () => {
    const slot = 2001;
    const [key = ""] = keysOfSlot(slot, 1);
    await ask(portOf("node-1"), "SET", key, "x");
    await ask(portOf("node-1"), "CLUSTER", "SETSLOT", slot, "MIGRATING", await idOf("node-3"));
    const [settled] = await engine.settle(CALL);
    expect(settled).toMatchObject({ outcome: "rolled-back" });
    await expectOwner(slot, "node-1");
    expect(String(await ask(portOf("node-1"), "GET", key))).toBe("x");
  });

  it("completes a slot whose target lost its mark but has keys", async () => {
    const slot = 2002;
    const keys = keysOfSlot(slot, 10);
    for (const key of keys) await ask(portOf("node-1"), "SET", key, key);
    await openBoth(slot, "node-1", "node-3");
    await ask(
      portOf("node-1"),
      "MIGRATE",
      "127.0.0.1",
      portOf("node-3"),
      "",
      0,
      5000,
      "KEYS",
      ...keys.slice(0, 4),
    );
    await ask(portOf("node-3"), "CLUSTER", "SETSLOT", slot, "STABLE");
    const [settled] = await engine.settle(CALL);
    expect(settled).toMatchObject({ outcome: "completed" });
    await expectOwner(slot, "node-3");
    for (const key of keys) expect(String(await ask(portOf("node-3"), "GET", key))).toBe(key);
  });

  it("closes a slot that the target owns already", async () => {
    const slot = 2003;
    const keys = keysOfSlot(slot, 10);
    for (const key of keys) await ask(portOf("node-1"), "SET", key, key);
    await openBoth(slot, "node-1", "node-2");
    await ask(portOf("node-1"), "MIGRATE", "127.0.0.1", portOf("node-2"), "", 0, 5000, "KEYS", ...keys);
    // Killed between the two: the target was told, the source was not.
    await ask(portOf("node-2"), "CLUSTER", "SETSLOT", slot, "NODE", await idOf("node-2"));
    await engine.settle(CALL);
    await expectOwner(slot, "node-2");
    expect((await cluster.status()).code).toBe(0);
    for (const key of keys) expect(String(await ask(portOf("node-2"), "GET", key))).toBe(key);
  });

  it("refuses a second run, and says which the first one is", async () => {
    const slow = execute({
      kind: "move-slots",
      slots: [{ from: 13_000, to: 15_999 }],
      from: "node-3",
      to: "node-1",
      bytes: 0,
    });
    const { engine: second } = await openCluster(cluster.file);
    const step: Step = {
      kind: "move-slots",
      slots: [{ from: 7000, to: 7009 }],
      from: "node-2",
      to: "node-3",
      bytes: 0,
    };
    const refusal = await new Promise((resolve) => {
      setTimeout(() => void second.execute(step, CALL).catch(resolve), 100);
    });
    expect(refusal).toMatchObject({
      kind: "conflict",
      code: "operation-running",
      data: { pid: process.pid },
    });
    await second.close();
    await slow;
    await expectAllThere();
  });

  it("lets a node go once it owns nothing, and every other one forgets it", async () => {
    await expect(execute({ kind: "remove-node", node: "node-4" })).rejects.toMatchObject({
      code: "node-in-use",
    });
    const owned = (await engine.shardMap(CALL)).map.shards.find(({ replicas }) => replicas[0] === "node-4");
    await execute({ kind: "move-slots", slots: owned?.slots ?? [], from: "node-4", to: "node-2", bytes: 0 });
    expect(await execute({ kind: "remove-node", node: "node-4" })).toContain("3 nodes have forgotten it");
    const known = String(await ask(portOf("node-1"), "CLUSTER", "NODES"));
    expect(known).not.toContain(`:${portOf("node-4")}@`);
    await expectAllThere();
  });

  /** Every write that was acknowledged is where the map says, once. */
  async function expectAllThere(): Promise<void> {
    const { map } = await engine.shardMap(CALL);
    expect(await missingKeys(cluster, map, writer.acknowledged)).toEqual([]);
    let keys = 0;
    for (const node of ["node-1", "node-2", "node-3", "node-4"])
      keys += Number(await ask(portOf(node), "DBSIZE"));
    expect(keys).toBeGreaterThanOrEqual(writer.acknowledged.length);
  }

  async function idOf(node: string): Promise<string> {
    return String(await ask(portOf(node), "CLUSTER", "MYID"));
  }

  async function openBoth(slot: number, from: string, to: string): Promise<void> {
    await ask(portOf(to), "CLUSTER", "SETSLOT", slot, "IMPORTING", await idOf(from));
    await ask(portOf(from), "CLUSTER", "SETSLOT", slot, "MIGRATING", await idOf(to));
  }

  async function expectOwner(slot: number, node: string): Promise<void> {
    const { map } = await engine.shardMap(CALL);
    const shard = map.shards.find(({ slots }) => slots.some(({ from, to }) => from <= slot && slot <= to));
    expect(shard?.replicas[0]).toBe(node);
    expect((await engine.view(CALL)).openSlots).toBeUndefined();
  }
});

function addNode(id: string, port: number): Step {
  const node = {
    id,
    address: `127.0.0.1:${port}`,
    role: "primary",
    zone: "d",
    weight: 1,
    draining: false,
  } as const;
  return { kind: "add-node", node };
}

/** Keys that all fall into the slot. */
function keysOfSlot(slot: number, count: number): string[] {
  let tag = 0;
  while (slotOf(`t${tag}`) !== slot) tag += 1;
  return Array.from({ length: count }, (_, index) => `{t${tag}}:${index}`);
}
