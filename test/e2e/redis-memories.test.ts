// Memories over real redis-server processes: the same answers as the embedded engine gives, each scope in
// one slot, writes that apply once, slots in the middle of a move, and a primary killed under writes.

import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CallOptions, Engine, Memory } from "../../src/engines/engine.ts";
import { Mem0ctlError } from "../../src/model/errors.ts";
import type { MemoryRecord } from "../../src/model/node-api.ts";
import { openCluster } from "../../src/operations/cluster.ts";
import { exportMemories, importMemories } from "../../src/operations/memories.ts";
import { slotOf } from "../../src/topology/slots.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, HAS_REDIS } from "./support/redis.ts";

const MEMORIES = fileURLToPath(new URL("../../src/cli/demo/memories.jsonl", import.meta.url));
const COUNT = 400;
const CALL: CallOptions = { timeoutMs: 20_000 };

async function linesOf(file: string, count: number): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (lines.length < count) lines.push(line);
  }
  return lines;
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

async function engineOf(cluster: TestCluster): Promise<Engine> {
  return (await openCluster(cluster.file)).engine;
}

async function exported(engine: Engine): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const line of exportMemories(engine, CALL)) lines.push(line);
  return lines.toSorted();
}

/** The code of the error that a call ends with. */
async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "done",
    (error: unknown) => (error instanceof Mem0ctlError ? error.code : String(error)),
  );
}

describe.runIf(HAS_REDIS)("memories in a redis cluster", () => {
  let cluster: TestCluster;
  let embedded: TestCluster;
  let redis: Engine;
  let other: Engine;
  let lines: readonly string[];
  beforeAll(async () => {
    cluster = await bringUpRedis();
    embedded = await bringUpCluster({ nodes: 1, flags: ["--replication", "none"] });
    [redis, other] = [await engineOf(cluster), await engineOf(embedded)];
    lines = await linesOf(MEMORIES, COUNT);
  });
  afterAll(async () => {
    await redis?.close();
    await other?.close();
    await cluster?.end();
    await embedded?.end();
  });

  /** What both engines answer to the same call. */
  async function both<Answer>(call: (engine: Engine) => Promise<Answer>): Promise<readonly [Answer, Answer]> {
    return [await call(redis), await call(other)];
  }

  /** What the two engines answer differently; undefined where they answer alike. */
  async function difference(call: (engine: Engine) => Promise<unknown>): Promise<unknown> {
    const [one, two] = await both(call);
    return isDeepStrictEqual(one, two) ? undefined : { redis: one, embedded: two };
  }

  it("an import and an export lose nothing, and imported twice is imported once", async () => {
    const options = { dimensions: 384, timeoutMs: CALL.timeoutMs };
    for (let time = 1; time <= 2; time += 1) {
      const [one, two] = await both((engine) => importMemories(engine, each(lines), options));
      expect(one).toEqual(two);
    }
    expect(await exported(redis)).toEqual(await exported(other));
  });

  const FILTERS: readonly (readonly [what: string, filters: Readonly<Record<string, unknown>>])[] = [
    ["one user", { user_id: "elena-popescu" }],
    ["two users", { user_id: { in: ["elena-popescu", "ben-whitaker", "nobody"] } }],
    ["a user and a topic", { AND: [{ user_id: "hannah-vogel" }, { metadata: { topic: "home" } }] }],
    ["an agent, whoever the user is", { agent_id: "home-assistant" }],
    ["all users", { user_id: "*" }],
    [
      "not a category",
      { AND: [{ user_id: "hannah-vogel" }, { NOT: [{ categories: { contains: "home" } }] }] },
    ],
    ["a time", { AND: [{ user_id: "*" }, { created_at: { gte: "2025-03-10" } }] }],
    ["nobody", { user_id: "nobody" }],
  ];

  it.each(FILTERS)("lists %s as the embedded engine does, page by page", async (_what, filters) => {
    for (const page of [1, 2, 3]) {
      expect(
        await difference((engine) => engine.memories.list({ filters, page, pageSize: 7 }, CALL)),
      ).toBeUndefined();
    }
  });

  it.each(FILTERS)("searches %s with the same results and scores", async (_what, filters) => {
    const rounded = (found: readonly Memory[]): unknown =>
      found.map((memory) => ({ ...memory, score: Math.fround(memory.score ?? 0).toFixed(5) }));
    // Twice, because the second may come from vectors that were kept.
    for (const query of ["garden on saturdays", "garden on saturdays", "birthday present"]) {
      const search = { query, filters, topK: 5, threshold: 0 };
      expect(
        await difference(async (engine) => rounded(await engine.memories.search(search, CALL))),
      ).toBeUndefined();
    }
  });

  it("counts the same, in all and by whom they belong to", async () => {
    const counted = async (engine: Engine): Promise<unknown> => {
      const { memories, entities } = await engine.memories.stats(CALL);
      return { memories, entities };
    };
    expect(await difference(counted)).toBeUndefined();
  });

  it("a search sees what was added, updated and deleted since the search before", async () => {
    const found = async (query: string): Promise<readonly string[]> => {
      const search = { query, filters: { user_id: "searcher" }, topK: 10, threshold: 0.2 };
      return (await redis.memories.search(search, CALL)).map(({ memory }) => memory);
    };
    const [first] = await redis.memories.add({ texts: ["Rides a red bicycle"], user_id: "searcher" }, CALL);
    expect(await found("red bicycle")).toEqual(["Rides a red bicycle"]);
    await redis.memories.update(first?.id ?? "", { text: "Sails a green boat" }, CALL);
    expect([await found("red bicycle"), await found("green boat")]).toEqual([[], ["Sails a green boat"]]);
    await redis.memories.delete(first?.id ?? "", CALL);
    expect(await found("green boat")).toEqual([]);
  });

  it("updates and their history are those of the embedded engine", async () => {
    const { id } = JSON.parse(lines[7] ?? "") as MemoryRecord;
    const untimed = <Item extends object>(item: Item): object => ({
      ...item,
      updated_at: "",
      created_at: "",
    });
    for (const change of [{ text: "Changed." }, { metadata: { a: [1] } }, { text: "Again.", metadata: {} }]) {
      expect(
        await difference(async (engine) => untimed(await engine.memories.update(id, change, CALL))),
      ).toBeUndefined();
    }
    expect(
      await difference(async (engine) => (await engine.memories.history(id, CALL)).map(untimed)),
    ).toBeUndefined();
    expect(await difference(async (engine) => untimed(await engine.memories.get(id, CALL)))).toBeUndefined();
  });

  it("refuses what the embedded engine refuses, by the same codes", async () => {
    const calls: readonly ((engine: Engine) => Promise<unknown>)[] = [
      (engine) => engine.memories.add({ texts: ["x"] }, CALL),
      (engine) => engine.memories.add({ texts: [" "], user_id: "a" }, CALL),
      (engine) => engine.memories.add({ texts: ["x"], user_id: "a", embeddings: [[1, 2]] }, CALL),
      (engine) => engine.memories.get("no-such-id", CALL),
      (engine) => engine.memories.delete("019551ff-1738-7252-8008-000000000000", CALL),
      (engine) => engine.memories.update("gone", { text: "x", ifHash: "0".repeat(32) }, CALL),
      (engine) => engine.memories.search({ query: "x", filters: {}, topK: 1 }, CALL),
      (engine) => engine.memories.list({ filters: { what: 1 }, page: 1, pageSize: 1 }, CALL),
      (engine) => engine.memories.export({ shard: "99", cursor: null, limit: 1 }, CALL),
      (engine) => engine.memories.deleteAll({}, CALL),
    ];
    for (const call of calls) {
      const [one, two] = await both((engine) => codeOf(call(engine)));
      expect([one, two]).toEqual([two, two]);
      expect(one).not.toBe("done");
    }
  });

  it("of updates on the same condition exactly one is done", async () => {
    const [added] = await redis.memories.add({ texts: ["first"], user_id: "cas" }, CALL);
    const { id = "", hash = "" } = added ?? {};
    const outcomes = await Promise.all(
      Array.from({ length: 9 }, (_, at) =>
        codeOf(redis.memories.update(id, { text: `change ${at}`, ifHash: hash }, CALL)),
      ),
    );
    expect(outcomes.toSorted()).toEqual([...Array(1).fill("done"), ...Array(8).fill("memory-changed")]);
    expect((await redis.memories.history(id, CALL)).length).toBe(2);
  });

  it("keeps a scope in the slot that its key has on every engine, whatever is in the key", async () => {
    for (const user_id of ["alice", "{a}b", "a}b{c", "{}", "ü {", "}{"]) {
      const [added] = await redis.memories.add({ texts: ["here"], user_id }, CALL);
      const id = added?.id ?? "";
      const keys = await Promise.all(
        cluster.ports.map((port) => ask(port, "KEYS", `*${id}`).catch(() => [])),
      );
      const slots = await Promise.all(
        keys.flat().map((key) => ask(cluster.ports[0] ?? 0, "CLUSTER", "KEYSLOT", key as Buffer)),
      );
      expect(new Set(slots)).toEqual(new Set([slotOf(user_id)]));
      expect((await redis.memories.list({ filters: { user_id }, page: 1, pageSize: 9 }, CALL)).count).toBe(1);
      expect((await redis.memories.get(id, CALL)).user_id).toBe(user_id);
    }
  });

  it("an id that is imported under another user is there alone", async () => {
    const record = JSON.parse(lines[3] ?? "") as MemoryRecord;
    const moved = { ...record, user_id: "somebody-else" };
    const before = await redis.memories.stats(CALL);
    await redis.memories.import({ records: [moved] }, CALL);
    expect((await redis.memories.get(record.id, CALL)).user_id).toBe("somebody-else");
    expect((await redis.memories.stats(CALL)).memories).toBe(before.memories);
    await redis.memories.import({ records: [record] }, CALL);
    expect((await redis.memories.get(record.id, CALL)).user_id).toBe(record.user_id);
    expect((await redis.memories.stats(CALL)).memories).toBe(before.memories);
  });

  it("a write whose connection is cut is sent again and applies once", async () => {
    let cutting = true;
    const cut = async (): Promise<void> => {
      while (cutting) {
        await Promise.all(
          cluster.ports.map((port) =>
            ask(port, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").catch(() => 0),
          ),
        );
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const cutter = cut();
    const stored: Memory[] = [];
    try {
      for (let at = 0; at < 40; at += 1) {
        stored.push(...(await redis.memories.add({ texts: [`text ${at}`], user_id: `cut-${at % 5}` }, CALL)));
        await redis.memories.update(stored.at(-1)?.id ?? "", { text: `text ${at}, changed` }, CALL);
      }
    } finally {
      cutting = false;
      await cutter;
    }
    for (const { id, memory } of stored) {
      const events = await redis.memories.history(id, CALL);
      expect(events.map((event) => event.new_memory)).toEqual([memory, `${memory}, changed`]);
    }
    const filters = { user_id: { in: [0, 1, 2, 3, 4].map((at) => `cut-${at}`) } };
    expect((await redis.memories.list({ filters, page: 1, pageSize: 1 }, CALL)).count).toBe(40);
  });

  it("answers from a slot in the middle of a move, and writes to it when it is closed", async () => {
    const user_id = "mover";
    const slot = slotOf(user_id);
    const added = await redis.memories.add({ texts: ["one", "two", "three"], user_id }, CALL);
    const { memories: total } = await redis.memories.stats(CALL);
    const { view } = await cluster.status();
    const portOf = (node: string): number =>
      Number(view.nodes.find(({ id }) => id === node)?.address.split(":")[1]);
    const leaders = view.shards.map(({ leader }) => portOf(leader ?? ""));
    const owners = await Promise.all(
      leaders.map(async (port) => Number(await ask(port, "CLUSTER", "COUNTKEYSINSLOT", slot))),
    );
    const from = leaders[owners.findIndex((count) => count > 0)] ?? 0;
    const to = leaders.find((port) => port !== from) ?? 0;
    const nameOf = async (port: number): Promise<string> => String(await ask(port, "CLUSTER", "MYID"));
    await ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", await nameOf(from));
    await ask(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", await nameOf(to));
    const keys = (await ask(from, "CLUSTER", "GETKEYSINSLOT", slot, 100)) as readonly Buffer[];
    const half = Math.ceil(keys.length / 2);
    const move = (part: readonly Buffer[]): Promise<unknown> =>
      ask(from, "MIGRATE", "127.0.0.1", to, "", 0, 5000, "KEYS", ...part);
    await move(keys.slice(0, half));
    const stale: CallOptions = { ...CALL, consistency: { read: "stale" } };
    for (const { id, memory } of added) {
      expect((await redis.memories.get(id, CALL)).memory).toBe(memory);
      expect((await redis.memories.get(id, stale)).memory).toBe(memory);
    }
    for (const options of [CALL, stale]) expect((await redis.memories.stats(options)).memories).toBe(total);
    const write = redis.memories.add({ texts: ["four"], user_id }, { timeoutMs: 300 });
    expect(await codeOf(write)).toBe("slot-unavailable");
    const patient = redis.memories.add({ texts: ["five"], user_id }, CALL);
    await move(keys.slice(half));
    for (const port of [to, from, ...leaders])
      await ask(port, "CLUSTER", "SETSLOT", slot, "NODE", await nameOf(to));
    await patient;
    const { results } = await redis.memories.list({ filters: { user_id }, page: 1, pageSize: 9 }, CALL);
    expect(results.map(({ memory }) => memory).toSorted()).toEqual(["five", "one", "three", "two"]);
  });

  it("deletes what it is told to, and nothing else", async () => {
    const user_id = "hannah-vogel";
    const [one, two] = await both((engine) => engine.memories.deleteAll({ user_id }, CALL));
    expect(one).toBe(two);
    expect(one).toBeGreaterThan(0);
    expect(
      await difference((engine) =>
        engine.memories.list({ filters: { user_id }, page: 1, pageSize: 9 }, CALL),
      ),
    ).toBeUndefined();
    const { id } = JSON.parse(lines.find((line) => line.includes(`"${user_id}"`)) ?? "") as MemoryRecord;
    expect(await codeOf(redis.memories.get(id, CALL))).toBe("memory-not-found");
  });

  it("goes on without a primary that hangs, once another has taken over", async () => {
    const { view } = await cluster.status();
    const hanging = view.shards[2]?.leader ?? "";
    await cluster.signal(hanging, "SIGSTOP");
    try {
      const users = Array.from({ length: 30 }, (_, at) => `hang-${at}`);
      await Promise.all(users.map((user_id) => redis.memories.add({ texts: ["there"], user_id }, CALL)));
      const filters = { user_id: { in: users } };
      expect((await redis.memories.list({ filters, page: 1, pageSize: 1 }, CALL)).count).toBe(users.length);
    } finally {
      await cluster.signal(hanging, "SIGCONT");
    }
    await until(
      "it is a replica, and the cluster is healthy",
      async () => (await cluster.status()).code === 0,
      30_000,
    );
  });

  it("loses no write that every copy had when a primary is killed, and goes on", async () => {
    const { view } = await cluster.status();
    const [shard] = view.shards;
    const [range] = (shard?.range.match(/\d+/g) ?? []).map(Number);
    const users = Array.from({ length: 400 }, (_, at) => `crash-${at}`);
    const acknowledged: string[] = [];
    const others: string[] = [];
    let consistency: CallOptions["consistency"] = { write: "all" };
    let stopped = false;
    let at = 0;
    const writer = async (): Promise<void> => {
      while (!stopped) {
        const user_id = users[(at += 1) % users.length] ?? "";
        try {
          const options = { ...CALL, ...(consistency === undefined ? {} : { consistency }) };
          const [added] = await redis.memories.add({ texts: [`of ${user_id}`], user_id }, options);
          acknowledged.push(added?.id ?? "");
        } catch (error) {
          others.push(error instanceof Mem0ctlError ? error.kind : String(error));
        }
      }
    };
    const writers = [writer(), writer(), writer()];
    await until("some writes", () => acknowledged.length > 100);
    await cluster.signal(shard?.leader ?? "", "SIGKILL");
    // One of its two copies is left: what asks for all of them is not to be had until the node is back.
    consistency = undefined;
    const before = acknowledged.length;
    await until(
      "another leader",
      async () => (await cluster.status()).view.shards[0]?.leader !== shard?.leader,
      30_000,
    );
    await until("writes go on", () => acknowledged.length > before + 200, 30_000);
    stopped = true;
    await Promise.all(writers);
    expect(others.filter((kind) => kind !== "unknown-outcome" && kind !== "unavailable")).toEqual([]);
    expect(range).toBeDefined();
    const kept = new Set((await exported(redis)).map((line) => (JSON.parse(line) as MemoryRecord).id));
    expect(acknowledged.filter((id) => !kept.has(id))).toEqual([]);
    expect((await cluster.mem0ctl("up")).code).toBe(0);
  });
});

describe.runIf(HAS_REDIS)("memories while slots move", () => {
  let cluster: TestCluster;
  let redis: Engine;
  beforeAll(async () => {
    cluster = await bringUpRedis({ nodes: 4, flags: ["--replication", "none"] });
    redis = await engineOf(cluster);
  });
  afterAll(async () => {
    await redis?.close();
    await cluster?.end();
  });

  it("are read and written without an error, and none is lost", async () => {
    const options = { dimensions: 384, timeoutMs: CALL.timeoutMs };
    await importMemories(redis, each(await linesOf(MEMORIES, 1000)), options);
    const texts = new Map<string, string>();
    let moving = true;
    let at = 0;
    const writer = async (): Promise<void> => {
      while (moving) {
        const number = (at += 1);
        const [added] = await redis.memories.add(
          { texts: [`text ${number}`], user_id: `mover-${number}` },
          CALL,
        );
        const { id = "" } = added ?? {};
        await redis.memories.update(id, { text: `text ${number}, changed` }, CALL);
        texts.set(id, (await redis.memories.get(id, CALL)).memory);
      }
    };
    const writers = [writer(), writer(), writer(), writer()];
    const text = readFileSync(cluster.file, "utf8");
    writeFileSync(cluster.file, text.replace("role: primary", "role: primary, weight: 4"));
    const moved = await cluster.mem0ctl("shards", "rebalance", "--yes", "--timeout", "60s");
    moving = false;
    await Promise.all(writers);
    expect(moved.code).toBe(0);
    const { view } = await cluster.status();
    expect(view.shards[0]?.range).not.toBe("slots 0-4095");
    expect(texts.size).toBeGreaterThan(20);
    const kept = new Map(
      (await exported(redis)).map((line): [string, string] => {
        const { id, memory } = JSON.parse(line) as MemoryRecord;
        return [id, memory];
      }),
    );
    expect(kept.size).toBe(1000 + texts.size);
    expect(
      [...texts].filter(([id, memory]) => kept.get(id) !== memory || !memory.endsWith("changed")),
    ).toEqual([]);
  });
});
