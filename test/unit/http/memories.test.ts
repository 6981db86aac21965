// mem0's routes over real HTTP: what goes in comes back, and what is wrong is named.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CallContext } from "../../../src/memory/service.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import { DIMENSIONS, REFUSED_ID } from "./support/memory-service.ts";
import { at, LIMITS, runServer, type Answer, type RunningServer } from "./support/running-server.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await runServer();
});
afterAll(async () => server.close());
beforeEach(async () => {
  for (const field of ["user_id", "agent_id", "run_id", "app_id"]) {
    await server.send("DELETE", `/v1/memories/?${field}=*`);
  }
});

async function add(body: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
  const answer = await server.send("POST", "/v3/memories/add/", body);
  const results = at(answer.json, "results");
  if (!Array.isArray(results)) throw new Error(answer.text);
  return results.map((item) => String(at(item, "id")));
}

/** What a refusal says. `isWhole`: its message is where both kinds of client look, names the field and has the id. */
function refusal(answer: Answer): object {
  const field = at(answer.json, "error", "data", "field");
  const detail = String(at(answer.json, "detail"));
  return {
    status: answer.status,
    code: at(answer.json, "error", "code"),
    field,
    isWhole:
      detail === at(answer.json, "error", "message") &&
      (field === undefined || (typeof field === "string" && detail.includes(field))) &&
      at(answer.json, "error", "requestId") === answer.headers["x-request-id"],
  };
}

function refused(status: number, code: string, field?: string): object {
  return { status, code, field, isWhole: true };
}

describe("adding", () => {
  test("a string is stored as it is and comes back with its scope, hash and metadata", async () => {
    const answer = await server.send("POST", "/v3/memories/add/", {
      messages: "  Lives in Łódź\n",
      user_id: "ada",
      metadata: { topic: "home", nested: { n: [1, null] } },
    });
    const stored = at(answer.json, "results", 0);
    expect(stored).toMatchObject({
      memory: "  Lives in Łódź\n",
      user_id: "ada",
      event: "ADD",
      metadata: { topic: "home", nested: { n: [1, null] } },
    });
    expect(at(stored, "hash")).toMatch(/^[0-9a-f]{32}$/);
    const got = await server.send("GET", `/v1/memories/${String(at(stored, "id"))}/`);
    expect(got.json).toMatchObject({ id: at(stored, "id"), memory: "  Lives in Łódź\n" });
  });

  test("each message of a conversation is one memory", async () => {
    const ids = await add({
      messages: [
        { role: "user", content: "I moved to Turin" },
        { role: "assistant", content: "Noted" },
      ],
      agent_id: "helper",
      infer: false,
    });
    expect(ids).toHaveLength(2);
    expect(server.memories.size()).toBe(2);
  });

  test("the caller's vectors are used in place of the node's", async () => {
    const unit = (index: number): number[] =>
      Array.from({ length: DIMENSIONS }, (_, at_) => (at_ === index ? 1 : 0));
    const ids = await add({
      messages: [
        { role: "user", content: "first" },
        { role: "user", content: "second" },
      ],
      user_id: "ada",
      embeddings: [unit(0), unit(1)],
    });
    const found = await server.send("POST", "/v3/memories/search/", {
      query: "anything",
      filters: { user_id: "ada" },
      embedding: unit(1),
      top_k: 1,
    });
    expect(at(found.json, "results")).toMatchObject([{ id: ids[1], score: 1 }]);
  });

  test("infer: true is refused, since extraction belongs to the client", async () => {
    const answer = await server.send("POST", "/v3/memories/add/", {
      messages: "x",
      user_id: "a",
      infer: true,
    });
    expect(refusal(answer)).toEqual(refused(400, "extraction-not-supported", "infer"));
    expect(at(answer.json, "error", "why")).toContain("client");
    expect(server.memories.size()).toBe(0);
  });

  const zeros = Array.from({ length: DIMENSIONS }, () => 0);
  const short = Array.from({ length: DIMENSIONS - 1 }, () => 1);
  const message = { role: "user", content: "x" };
  test.each([
    ["nothing at all", undefined, "field-invalid", "body"],
    ["null", null, "field-invalid", "body"],
    ["no scope", { messages: "x" }, "scope-missing", "user_id"],
    ["a scope that is no text", { messages: "x", user_id: 7 }, "field-invalid", "user_id"],
    ["the wildcard as a name", { messages: "x", user_id: "*" }, "field-invalid", "user_id"],
    ["an empty text", { messages: "", user_id: "a" }, "field-invalid", "messages"],
    [
      "a blank message",
      { messages: [{ role: "user", content: " " }], user_id: "a" },
      "field-invalid",
      "messages[0].content",
    ],
    ["no messages", { user_id: "a" }, "field-invalid", "messages"],
    ["an empty list", { messages: [], user_id: "a" }, "field-invalid", "messages"],
    [
      "an image",
      { messages: [{ role: "user", content: { type: "image_url" } }], user_id: "a" },
      "field-invalid",
      "messages[0].content",
    ],
    ["a misspelt field", { messages: "x", user_id: "a", metdata: {} }, "field-invalid", "metdata"],
    ["metadata that is a list", { messages: "x", user_id: "a", metadata: [] }, "field-invalid", "metadata"],
    [
      "a vector of another length",
      { messages: "x", user_id: "a", embeddings: [short] },
      "field-invalid",
      "embeddings[0]",
    ],
    [
      "a vector of zeros",
      { messages: "x", user_id: "a", embeddings: [zeros] },
      "field-invalid",
      "embeddings[0]",
    ],
    [
      "a vector with NaN",
      { messages: "x", user_id: "a", embeddings: [[Number.NaN, ...short]] },
      "field-invalid",
      "embeddings[0][0]",
    ],
    [
      "too few vectors",
      { messages: [message, message], user_id: "a", embeddings: [[1, ...short]] },
      "field-invalid",
      "embeddings",
    ],
    [
      "an expiry date",
      { messages: "x", user_id: "a", expiration_date: "2030-01-01" },
      "field-invalid",
      "expiration_date",
    ],
  ])("%s is refused by the field's name and nothing is stored", async (_name, body, code, field) => {
    expect(refusal(await server.send("POST", "/v3/memories/add/", body))).toEqual(refused(400, code, field));
    expect(server.memories.size()).toBe(0);
  });

  test("a text over the limit and a batch over the limit are too large", async () => {
    const batch = Array.from({ length: LIMITS.batchMax + 1 }, () => message);
    const answer = await server.send("POST", "/v3/memories/add/", { messages: batch, user_id: "a" });
    expect(refusal(answer)).toEqual(refused(413, "batch-too-large", "messages"));
    const wide = await runServer({ limits: { ...LIMITS, bodyBytesMax: 4_194_304 } });
    try {
      const long = await wide.send("POST", "/v3/memories/add/", {
        messages: "é".repeat(1_048_576),
        user_id: "a",
      });
      expect(refusal(long)).toEqual(refused(413, "field-too-large", "messages"));
    } finally {
      await wide.close();
    }
  });
});

describe("searching", () => {
  beforeEach(async () => {
    await add({
      messages: "prefers window seats",
      user_id: "ada",
      metadata: { topic: "travel" },
      categories: ["trips"],
    });
    await add({ messages: "allergic to peanuts", user_id: "ada", metadata: { topic: "health" } });
    await add({ messages: "prefers window seats too", user_id: "bob" });
  });

  test("finds the best first, within the scope only", async () => {
    const answer = await server.send("POST", "/v3/memories/search/", {
      query: "window seats",
      filters: { user_id: "ada" },
    });
    const results = at(answer.json, "results");
    expect(Array.isArray(results) && results.map((item) => at(item, "memory"))).toEqual([
      "prefers window seats",
      "allergic to peanuts",
    ]);
    expect(Number(at(results, 0, "score"))).toBeGreaterThan(Number(at(results, 1, "score")));
  });

  test("top_k, threshold, categories and metadata narrow it", async () => {
    const search = async (more: object): Promise<number> => {
      const body = { query: "window seats", filters: { user_id: "ada" }, ...more };
      const answer = await server.send("POST", "/v3/memories/search/", body);
      return Object.keys(Object(at(answer.json, "results"))).length;
    };
    expect(await search({})).toBe(2);
    expect(await search({ top_k: 1 })).toBe(1);
    expect(await search({ threshold: 1 })).toBe(0);
    expect(await search({ categories: ["trips"] })).toBe(1);
    expect(await search({ metadata: { topic: "health" } })).toBe(1);
    expect(await search({ filters: { AND: [{ user_id: "*" }, { metadata: { topic: "travel" } }] } })).toBe(1);
  });

  test.each([
    ["without filters", { query: "x" }, "field-invalid", "filters"],
    [
      "without a scope in the filters",
      { query: "x", filters: { metadata: { a: 1 } } },
      "scope-missing",
      "filters",
    ],
    ["with an empty query", { query: "", filters: { user_id: "a" } }, "field-invalid", "query"],
    ["with a query that is a list", { query: ["x"], filters: { user_id: "a" } }, "field-invalid", "query"],
    [
      "with an unknown operator",
      { query: "x", filters: { user_id: { like: "a" } } },
      "filter-invalid",
      "filters.user_id.like",
    ],
    ["with top_k of 0", { query: "x", filters: { user_id: "a" }, top_k: 0 }, "field-invalid", "top_k"],
    [
      "with a threshold of 2",
      { query: "x", filters: { user_id: "a" }, threshold: 2 },
      "field-invalid",
      "threshold",
    ],
    [
      "with a scope beside the filters",
      { query: "x", filters: { user_id: "a" }, user_id: "a" },
      "field-invalid",
      "user_id",
    ],
  ])("%s it is refused", async (_name, body, code, field) => {
    expect(refusal(await server.send("POST", "/v3/memories/search/", body))).toEqual(
      refused(400, code, field),
    );
  });
});

describe("listing, changing, deleting", () => {
  test("pages are newest first and say what comes before and after", async () => {
    for (let index = 1; index <= 5; index += 1) await add({ messages: `fact ${index}`, user_id: "ada" });
    await add({ messages: "other", user_id: "bob" });
    const page = await server.send("POST", "/v3/memories/?page=2&page_size=2", {
      filters: { user_id: "ada" },
    });
    expect(page.json).toMatchObject({
      count: 5,
      next: "/v3/memories/?page=3&page_size=2",
      previous: "/v3/memories/?page=1&page_size=2",
      results: [{ memory: "fact 3" }, { memory: "fact 2" }],
    });
    const last = await server.send("POST", "/v3/memories?page=3&page_size=2", {
      filters: { user_id: "ada" },
    });
    expect(last.json).toMatchObject({ next: null, results: [{ memory: "fact 1" }] });
    const all = await server.send("POST", "/v3/memories/", {});
    expect(all.json).toMatchObject({ count: 6, next: null, previous: null });
  });

  test.each(["page=0", "page=x", "page_size=1001", "page=1&page=2", "pgae=1"])(
    "?%s is refused",
    async (query) => {
      const field = query.split("=")[0] ?? "";
      expect(refusal(await server.send("POST", `/v3/memories/?${query}`, {}))).toEqual(
        refused(400, "field-invalid", field),
      );
    },
  );

  test("an update replaces the text and leaves its trace in the history", async () => {
    const [id = ""] = await add({ messages: "likes tea", user_id: "ada" });
    const updated = await server.send("PUT", `/v1/memories/${id}/`, {
      text: "likes coffee",
      metadata: { sure: true },
    });
    expect(updated.json).toMatchObject({ id, memory: "likes coffee", metadata: { sure: true } });
    const history = await server.send("GET", `/v1/memories/${id}/history/`);
    expect(history.json).toMatchObject([
      { memory_id: id, event: "ADD", old_memory: null, new_memory: "likes tea" },
      { memory_id: id, event: "UPDATE", old_memory: "likes tea", new_memory: "likes coffee" },
    ]);
    expect(refusal(await server.send("PUT", `/v1/memories/${id}/`, {}))).toEqual(
      refused(400, "field-invalid", "text"),
    );
  });

  test("a deleted memory is gone", async () => {
    const [id = ""] = await add({ messages: "likes tea", user_id: "ada" });
    const deleted = await server.send("DELETE", `/v1/memories/${id}/?delete_linked=true`);
    expect(deleted.json).toEqual({ message: "Memory deleted successfully!" });
    expect(refusal(await server.send("GET", `/v1/memories/${id}/`))).toEqual(refused(404, "memory-unknown"));
  });

  test("deleting a scope deletes that scope only, and no scope deletes nothing", async () => {
    await add({ messages: "one", user_id: "ada" });
    await add({ messages: "two", user_id: "ada", agent_id: "helper" });
    await add({ messages: "three", user_id: "bob" });
    expect(refusal(await server.send("DELETE", "/v1/memories/"))).toEqual(
      refused(400, "scope-missing", "user_id"),
    );
    expect(refusal(await server.send("DELETE", "/v1/memories/?usr_id=ada"))).toEqual(
      refused(400, "field-invalid", "usr_id"),
    );
    expect(refusal(await server.send("DELETE", "/v1/memories/?user_id=ada&user_id=bob"))).toEqual(
      refused(400, "field-invalid", "user_id"),
    );
    expect(server.memories.size()).toBe(3);
    const both = await server.send("DELETE", "/v1/memories/?user_id=ada&agent_id=*");
    expect(both.json).toMatchObject({ deleted: 1 });
    const rest = await server.send("DELETE", "/v1/memories/?user_id=ada");
    expect(rest.json).toMatchObject({ deleted: 1 });
    expect(server.memories.size()).toBe(1);
  });

  test("an update on a condition is a conflict where the text is another by now", async () => {
    const [id = ""] = await add({ messages: "likes tea", user_id: "ada" });
    const { json } = await server.send("GET", `/v1/memories/${id}/`);
    const hash = at(json, "hash");
    const change = (text: string, condition: unknown): Promise<Answer> =>
      server.send("PUT", `/v1/memories/${id}/`, { text, if_hash: condition });
    expect((await change("likes coffee", hash)).status).toBe(200);
    const late = await change("likes cocoa", hash);
    expect([late.status, at(late.json, "error", "code")]).toEqual([409, "memory-changed"]);
    expect((await change("likes cocoa", "not a hash")).status).toBe(400);
  });

  test("a batch updates and deletes, and says which of it failed", async () => {
    const [first = ""] = await add({ messages: "one", user_id: "ada" });
    const [second = ""] = await add({ messages: "two", user_id: "ada" });
    const updated = await server.send("PUT", "/v1/batch/", {
      memories: [
        { memory_id: first, text: "1" },
        { memory_id: second, text: "2" },
      ],
    });
    expect(updated.json).toEqual({ message: "Successfully updated 2 memories" });
    const deleted = await server.send("DELETE", "/v1/batch/", {
      memories: [{ memory_id: first }, { memory_id: "gone" }],
    });
    expect(refusal(deleted)).toEqual(refused(404, "memory-unknown"));
    expect(at(deleted.json, "error", "data")).toMatchObject({ done: 1, failed: [{ id: "gone" }] });
    expect(server.memories.size()).toBe(1);
  });

  test("a batch of which one's outcome is unknown says so, whatever else failed before", async () => {
    const unanswered = new Mem0ctlError("unknown-outcome", "timed-out", "no answer in time");
    const memories = {
      ...server.memories,
      delete: async (id: string, context: CallContext) => {
        if (id !== "slow") return server.memories.delete(id, context);
        await new Promise((resolve) => setTimeout(resolve, 20));
        throw unanswered;
      },
    };
    const other = await runServer({ memories });
    try {
      const deleted = await other.send("DELETE", "/v1/batch/", {
        memories: [{ memory_id: "gone" }, { memory_id: "slow" }],
      });
      expect(refusal(deleted)).toEqual(refused(504, "timed-out"));
      expect(at(deleted.json, "error", "message")).toContain("2 of 2 memories were not deleted for certain");
      expect(at(deleted.json, "error", "data")).toMatchObject({
        done: 0,
        failed: [
          { id: "gone", code: "memory-unknown" },
          { id: "slow", code: "timed-out" },
        ],
      });
    } finally {
      await other.close();
    }
  });

  test("entities are counted by pages and can be deleted", async () => {
    await add({ messages: "one", user_id: "ada", agent_id: "helper" });
    await add({ messages: "two", user_id: "ada" });
    const listed = await server.send("GET", "/v1/entities/?page_size=1");
    expect(listed.json).toMatchObject({
      count: 2,
      next: "/v1/entities/?page=2&page_size=1",
      results: [{ type: "user", name: "ada", total_memories: 2 }],
    });
    const deleted = await server.send("DELETE", "/v2/entities/user/ada/");
    expect(deleted.json).toMatchObject({ deleted: 2 });
    expect(refusal(await server.send("DELETE", "/v2/entities/planet/ada/"))).toEqual(
      refused(400, "field-invalid", "type"),
    );
  });

  test("a name with any characters survives the way through a path", async () => {
    const name = "Ünï/cödé %2F ✓ ".repeat(16).trim();
    await add({ messages: "one", user_id: name });
    const deleted = await server.send("DELETE", `/v2/entities/user/${encodeURIComponent(name)}/`);
    expect(deleted.json).toMatchObject({ deleted: 1 });
  });
});

describe("import and export", () => {
  const record = (id: string): Readonly<Record<string, unknown>> => ({
    id,
    memory: `text of ${id}`,
    user_id: "ada",
    created_at: "2026-01-31T09:30:00Z",
    updated_at: "2026-01-31T09:30:00Z",
    embedding: Array.from({ length: DIMENSIONS }, (_, index) => Math.fround(0.1 * (index + 1))),
  });

  test("what was exported is what was imported, vectors included", async () => {
    const records = ["a", "b", "c"].map(record);
    const imported = await server.send("POST", "/v1/memories/import", { records });
    expect(imported.json).toEqual({ imported: 3, failed: [] });
    const first = await server.send("GET", "/v1/memories/export?shard=0&limit=2");
    expect(at(first.json, "cursor")).toBe("b");
    const second = await server.send("GET", "/v1/memories/export?shard=0&limit=2&cursor=b");
    expect(at(second.json, "cursor")).toBe(null);
    const exported = [
      at(first.json, "records", 0),
      at(first.json, "records", 1),
      at(second.json, "records", 0),
    ];
    expect(exported).toMatchObject(records);
  });

  test("bad records are named by their place in the request and the good ones are stored", async () => {
    const records = [record("a"), { ...record("b"), memory: "" }, record("c"), record(REFUSED_ID), null];
    const answer = await server.send("POST", "/v1/memories/import", { records });
    expect(at(answer.json, "imported")).toBe(2);
    expect(at(answer.json, "failed")).toMatchObject([
      { index: 1, field: "memory" },
      { index: 3, field: "id" },
      { index: 4, field: "record" },
    ]);
  });

  test("stats answer", async () => {
    await add({ messages: "one", user_id: "ada" });
    expect((await server.send("GET", "/v1/memories/stats")).json).toMatchObject({ memories: 1 });
  });
});
