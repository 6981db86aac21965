// The OpenAPI document describes what the server does: the same routes, and answers that fit its schemas.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeDocument, ROUTES } from "../../../src/node/http/routes.ts";
import { problemsOf } from "./support/json-schema.ts";
import { DIMENSIONS } from "./support/memory-service.ts";
import { at, runServer, type RunningServer } from "./support/running-server.ts";

const document = nodeDocument();
let server: RunningServer;
beforeAll(async () => {
  server = await runServer();
});
afterAll(async () => server.close());

test("the node serves it, and it is plain JSON", async () => {
  const served = await server.send("GET", "/openapi.json");
  expect(served.json).toEqual(document);
  expect(at(served.json, "openapi")).toBe("3.1.0");
});

test("it has every route, each with its role and an id of its own, and no other", () => {
  const described = Object.entries(Object(at(document, "paths"))).flatMap(([path, item]) =>
    Object.entries(Object(item)).map(
      ([method, operation]) => `${method.toUpperCase()} ${path} ${String(at(operation, "x-role"))}`,
    ),
  );
  expect(described.toSorted()).toEqual(
    ROUTES.map(({ method, path, access }) => `${method} ${path} ${access}`).toSorted(),
  );
  expect(new Set(ROUTES.map(({ operation }) => operation)).size).toBe(ROUTES.length);
});

/** All `$ref` in a value. */
function referencesOf(value: unknown): readonly string[] {
  if (typeof value !== "object" || value === null) return [];
  const reference = at(value, "$ref");
  return [
    ...(typeof reference === "string" ? [reference] : []),
    ...Object.values(value).flatMap(referencesOf),
  ];
}

test("every reference in it leads somewhere, and path parameters are those of the path", () => {
  const references = referencesOf(document);
  expect(references.length).toBeGreaterThan(ROUTES.length);
  const lost = references.filter((each) => at(document, ...each.slice(2).split("/")) === undefined);
  expect(lost).toEqual([]);
  for (const { method, path } of ROUTES) {
    const parameters = at(document, "paths", path, method.toLowerCase(), "parameters");
    const named = Object.values(Object(parameters)).filter((each) => at(each, "in") === "path");
    expect(named.map((each) => `{${String(at(each, "name"))}}`)).toEqual(path.match(/\{\w+\}/g) ?? []);
  }
});

describe("what the server takes and answers fits the document", () => {
  const record = {
    id: "imported",
    memory: "imported",
    user_id: "ada",
    created_at: "2026-01-31T09:30:00Z",
    updated_at: "2026-01-31T09:30:00Z",
    embedding: Array.from({ length: DIMENSIONS }, () => 0.25),
  };
  const vector = record.embedding;
  const node = {
    id: "node-4",
    address: "127.0.0.1:7004",
    role: "secondary",
    zone: "d",
    weight: 1,
    draining: false,
  };
  const given = { id: "imported", type: "run", name: "nightly" };
  const operation = {
    name: "move",
    startedBy: "somebody",
    waves: [
      [
        { kind: "move-replica", shard: "0", from: "node-1", to: "node-2", bytes: 5 },
        { kind: "add-replica", shard: "1", to: "node-2", bytes: 5 },
      ],
      [
        { kind: "remove-replica", shard: "1", from: "node-2" },
        { kind: "transfer-leader", group: "meta" },
        { kind: "remove-node", node: "node-1" },
      ],
    ],
    concurrency: 2,
    bytesPerSecondMax: 1000,
    epoch: 1,
  };
  /** One request for each operation, in an order in which all succeed. */
  const REQUESTS: readonly (readonly [operation: string, body?: object | undefined, query?: string])[] = [
    ["importMemories", { records: [record, { ...record, id: "" }] }],
    [
      "addMemories",
      {
        messages: [{ role: "user", content: "text" }],
        user_id: "ada",
        run_id: "nightly",
        metadata: { any: { thing: [1] } },
        categories: ["c"],
        infer: false,
        embeddings: [vector],
        async_mode: true,
      },
    ],
    ["searchMemories", { query: "text", filters: { user_id: "ada" }, top_k: 5, threshold: -1, rerank: true }],
    ["listMemories", { filters: {}, categories: ["c"], start_date: "2020-01-01" }, "?page=1&page_size=10"],
    ["updateMemory", { text: "changed", metadata: {}, embedding: vector }],
    ["getMemory"],
    ["getMemoryHistory"],
    ["updateMemoryBatch", { memories: [{ memory_id: "imported", text: "again" }] }],
    ["listEntities", undefined, "?page=1"],
    ["exportMemories", undefined, "?shard=0&limit=1"],
    ["getMemoryStats"],
    ["ping"],
    ["getNode"],
    ["getShardMap"],
    ["transferLeader", { group: "0", to: "node-2" }],
    ["joinNode", { node }],
    ["admitNode", { node: "node-4", uid: "0123456789abcdef0123456789abcdef" }],
    ["removeNode", { node: "node-4" }],
    ["drainNode", { node: "node-1", draining: true }],
    ["beginOperation", operation],
    ["getOperation"],
    ["cancelOperation", {}],
    ["verifyShard", undefined, "?shard=0"],
    ["cutShard", undefined, "?shard=0&at=m"],
    ["checkHandover", undefined, "?kind=merge&shard=1&into=0"],
    ["repairReplica", { shard: "0", node: "node-1" }],
    ["stopNode", {}],
    ["getOpenApiDocument"],
    ["deleteEntityV1"],
    ["deleteEntity"],
    ["deleteMemoryBatch", { memories: [{ memory_id: "imported" }] }],
    ["deleteMemory"],
    ["deleteMemories", undefined, "?user_id=ada"],
  ];

  test("there is a request below for every operation", () => {
    expect(REQUESTS.map(([operation]) => operation).toSorted()).toEqual(
      ROUTES.map(({ operation }) => operation).toSorted(),
    );
  });

  test("each request succeeds and both sides of it fit", async () => {
    for (const [operation, body, query = ""] of REQUESTS) {
      const route = ROUTES.find((each) => each.operation === operation);
      if (route === undefined) throw new Error(operation);
      if (operation === "deleteMemory")
        await server.send("POST", "/v1/memories/import", { records: [record] });
      const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(at(given, name)));
      const described = at(document, "paths", route.path, route.method.toLowerCase());
      const bodySchema = at(described, "requestBody", "content", "application/json", "schema");
      // The import's second record is wrong on purpose.
      const sent = operation === "importMemories" ? { records: [record] } : body;
      const answer = await server.send(route.method, `${path}${query}`, body);
      const schema = at(described, "responses", "200", "content", "application/json", "schema");
      expect({
        operation,
        status: answer.status,
        request: sent === undefined ? [] : problemsOf(sent, bodySchema, document),
        answer: problemsOf(answer.json, schema, document),
      }).toEqual({ operation, status: 200, request: [], answer: [] });
    }
  });

  test("so do refusals", async () => {
    const error = at(document, "components", "schemas", "Error");
    const refusals = [
      await server.send("GET", "/v1/memories/gone/"),
      await server.send("GET", "/nowhere"),
      await server.send("POST", "/v3/memories/add/", "{"),
      await server.send("POST", "/v3/memories/add/", { messages: "x", user_id: "a", infer: true }),
    ];
    for (const refusal of refusals) expect(problemsOf(refusal.json, error, document)).toEqual([]);
  });
});
