// An application that uses mem0's own client needs nothing but another host: the real package `mem0ai`
// against a real cluster of three nodes, and against two gateways in front of a real redis cluster; each
// call on the next of them.

import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { bringUpCluster } from "./support/cluster.ts";
import { startGateway } from "./support/gateway.ts";
import { loadClient, MEM0AI_VERSION, type ClientModule, type MemoryClient } from "./support/mem0ai/client.ts";
import { bringUpRedis, HAS_REDIS } from "./support/redis.ts";

interface Servers {
  readonly hosts: readonly string[];
  readonly end: () => Promise<unknown>;
}

async function threeNodes(): Promise<Servers> {
  const cluster = await bringUpCluster();
  return { hosts: cluster.hosts, end: () => cluster.end() };
}

async function twoGateways(): Promise<Servers> {
  const cluster = await bringUpRedis({ spare: 2 });
  const ports = cluster.ports.slice(-2);
  const gateways = await Promise.all(ports.map((port) => startGateway(cluster.file, port)));
  return {
    hosts: gateways.map(({ host }) => host),
    end: async () => {
      const codes = await Promise.all(gateways.map((gateway) => gateway.stop()));
      await cluster.end();
      if (codes.some((code) => code !== 0)) throw new Error(`gateways ended with ${codes.join(", ")}`);
    },
  };
}

const SERVERS: readonly (readonly [what: string, start: () => Promise<Servers>])[] = [
  ["three nodes", threeNodes],
  ...(HAS_REDIS ? ([["two gateways of a redis cluster", twoGateways]] as const) : []),
];

const loaded: Promise<ClientModule | string> = loadClient();

const textsOf = (memories: readonly { readonly memory: string }[]): readonly string[] =>
  memories.map(({ memory }) => memory);

describe.each(SERVERS)("mem0's client with %s", (_what, start) => {
  let servers: Servers | undefined;
  let mem0ai: ClientModule | string;
  let clients: readonly MemoryClient[] = [];
  let calls = 0;

  beforeAll(async () => {
    mem0ai = await loaded;
    if (typeof mem0ai === "string") {
      if (process.env["CI"] === "true") throw new Error(mem0ai);
      process.stderr.write(`skipped: mem0ai ${MEM0AI_VERSION}: ${mem0ai}\n`);
      return;
    }
    const { MemoryClient } = mem0ai;
    const running = await start();
    servers = running;
    clients = running.hosts.map((host) => new MemoryClient({ apiKey: "any", host }));
  }, 240_000);
  afterAll(async () => servers?.end());

  /** The client of the next server, since any of them takes any request. */
  function next(context: TestContext): MemoryClient {
    if (typeof mem0ai === "string") context.skip(mem0ai);
    const client = clients[(calls += 1) % clients.length];
    if (client === undefined) throw new Error("there is no client");
    return client;
  }

  test("takes the node for mem0", async (context) => {
    await expect(next(context).ping()).resolves.toBeUndefined();
  });

  test("add stores the messages as given, with its default options; get gives them back", async (context) => {
    const messages = [
      { role: "user", content: "I moved to Turin in May." },
      { role: "assistant", content: "Noted: Turin, since May." },
    ];
    const metadata = { source: "chat", camelKey: { snake_key: [1, true, null] } };
    const added = await next(context).add(messages, { userId: "ada", metadata });
    expect(textsOf(added.results)).toEqual(messages.map(({ content }) => content));
    for (const { id, memory, event } of added.results) {
      expect(event).toBe("ADD");
      expect(await next(context).get(id)).toMatchObject({ id, memory, userId: "ada", metadata });
    }
  });

  test("add with infer: true is refused, and says why", async (context) => {
    const refused = next(context).add([{ role: "user", content: "x" }], { userId: "ada", infer: true });
    await expect(refused).rejects.toMatchObject({
      name: "ValidationError",
      message: expect.stringContaining("extraction"),
    });
  });

  test("getAll goes through all pages and takes filters", async (context) => {
    const texts = Array.from({ length: 7 }, (_, index) => `Fact number ${index + 1} about Grace.`);
    for (const [index, content] of texts.entries()) {
      await next(context).add([{ role: "user", content }], {
        userId: "grace",
        metadata: { odd: index % 2 === 0 },
      });
    }
    const seen: string[] = [];
    for (let page = 1; ; page += 1) {
      const answer = await next(context).getAll({ filters: { user_id: "grace" }, page, pageSize: 3 });
      expect(answer.count).toBe(7);
      expect(answer.previous === null).toBe(page === 1);
      seen.push(...textsOf(answer.results));
      if (answer.next === null) break;
    }
    expect(seen).toEqual(texts.toReversed());
    const odd = await next(context).getAll({
      filters: {
        AND: [{ user_id: "grace" }, { metadata: { odd: true } }, { NOT: [{ keywords: { contains: "7" } }] }],
      },
    });
    expect(textsOf(odd.results)).toEqual([texts[4], texts[2], texts[0]]);
    expect((await next(context).getAll({ filters: { user_id: "nobody" } })).results).toEqual([]);
  });

  test("search finds the nearest within the scope", async (context) => {
    const facts = [
      "Prefers a window seat on trains.",
      "Is allergic to peanuts.",
      "Plays the cello on Sundays.",
    ];
    for (const content of facts)
      await next(context).add([{ role: "user", content }], { userId: "lin", agentId: "concierge" });
    await next(context).add([{ role: "user", content: "Prefers a window seat on planes." }], {
      userId: "other",
    });
    const found = await next(context).search("window seat on trains", {
      filters: { user_id: "lin" },
      topK: 2,
      threshold: 0,
      rerank: true,
    });
    expect(found.results[0]).toMatchObject({ memory: facts[0], userId: "lin" });
    expect(found.results.length).toBeLessThanOrEqual(2);
    const scores = found.results.map(({ score }) => score ?? Number.NaN);
    expect(scores).toEqual(scores.toSorted((left, right) => right - left));
    const either = await next(context).search("window seat", {
      filters: { OR: [{ user_id: "other" }, { agent_id: "nobody" }] },
    });
    expect(textsOf(either.results)).toEqual(["Prefers a window seat on planes."]);
  });

  test("update changes text and metadata, and history remembers", async (context) => {
    const { results } = await next(context).add([{ role: "user", content: "Drinks tea." }], {
      userId: "mae",
    });
    const id = results[0]?.id ?? "";
    await next(context).update(id, { text: "Drinks coffee.", metadata: { since: "2026" } });
    expect(await next(context).get(id)).toMatchObject({
      memory: "Drinks coffee.",
      metadata: { since: "2026" },
    });
    expect(await next(context).history(id)).toMatchObject([
      { memoryId: id, event: "ADD", oldMemory: null, newMemory: "Drinks tea." },
      { memoryId: id, event: "UPDATE", oldMemory: "Drinks tea.", newMemory: "Drinks coffee." },
    ]);
    await next(context).batchUpdate([{ memoryId: id, text: "Drinks water." }]);
    expect(await next(context).get(id)).toMatchObject({ memory: "Drinks water." });
  });

  test("users lists who has memories, by type", async (context) => {
    await next(context).add([{ role: "user", content: "One." }], { userId: "uma", runId: "run-7" });
    const { results } = await next(context).users({ pageSize: 1000 });
    expect(results.find(({ type, name }) => type === "user" && name === "uma")).toMatchObject({
      totalMemories: 1,
    });
    expect(results.find(({ type, name }) => type === "run" && name === "run-7")).toMatchObject({
      totalMemories: 1,
    });
  });

  test("delete, batchDelete, deleteAll and deleteUsers delete what they name and nothing else", async (context) => {
    const add = async (content: string, scope: object): Promise<string> => {
      const { results } = await next(context).add([{ role: "user", content }], { ...scope });
      return results[0]?.id ?? "";
    };
    const [first, second, third] = [
      await add("first", { userId: "dee" }),
      await add("second", { userId: "dee" }),
      await add("third", { userId: "dee", agentId: "a1" }),
    ];
    const kept = await add("kept", { userId: "eve" });
    const remaining = async (): Promise<readonly string[]> =>
      textsOf((await next(context).getAll({ filters: { user_id: "dee" } })).results);

    await next(context).delete(first);
    expect(await remaining()).toEqual(["third", "second"]);
    await expect(next(context).get(first)).rejects.toMatchObject({ name: "MemoryNotFoundError" });
    await next(context).batchDelete([second]);
    expect(await remaining()).toEqual(["third"]);
    await next(context).deleteAll({ userId: "dee", agentId: "a1" });
    expect(await remaining()).toEqual([]);
    await expect(next(context).get(third)).rejects.toMatchObject({ name: "MemoryNotFoundError" });
    await expect(next(context).deleteAll({})).rejects.toMatchObject({ name: "ValidationError" });
    expect(await next(context).get(kept)).toMatchObject({ memory: "kept" });
    await next(context).deleteUsers({ userId: "eve" });
    await expect(next(context).get(kept)).rejects.toMatchObject({ name: "MemoryNotFoundError" });
  });
});
