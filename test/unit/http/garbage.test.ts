// Whatever is sent, the answer is a refusal in our form or a success; never a 500, never silence.

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROUTES } from "../../../src/node/http/routes.ts";
import { at, runServer, type Answer, type RunningServer } from "./support/running-server.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await runServer();
});
afterAll(async () => server.close());

/** What is wrong with the form of an answer, with what was sent; undefined where nothing is. */
function problemOf(answer: Answer, sent: string): string | undefined {
  const isForm =
    answer.status < 400 ||
    (typeof at(answer.json, "detail") === "string" &&
      /^[a-z0-9-]+$/.test(String(at(answer.json, "error", "code"))));
  const isGood = answer.status < 500 && answer.headers["x-request-id"] !== undefined && isForm;
  return isGood ? undefined : `${sent} got ${answer.status} ${answer.text}`;
}

const FIELDS = [
  "messages",
  "user_id",
  "agent_id",
  "metadata",
  "filters",
  "query",
  "top_k",
  "threshold",
  "embedding",
  "embeddings",
  "categories",
  "text",
  "memories",
  "memory_id",
  "records",
  "node",
  "group",
  "to",
  "role",
  "content",
  "AND",
  "NOT",
  "constructor",
  "toString",
];
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, 0, -1, 1.5, 1e308, "", "*", "x", "\u0000", "\ud800", "__proto__"),
    fc.string({ unit: "binary" }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...FIELDS), fc.string()), tie("value"), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  ),
})).value;

const withBody = ROUTES.filter((route) => route.body !== undefined);
const withoutStop = ROUTES.filter((route) => route.operation !== "stopNode");

test("any JSON as a body", async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...withBody), json, async (route, body) => {
      const answer = await server.send(route.method, route.path.replaceAll(/\{\w+\}/g, "x"), body);
      expect(problemOf(answer, `${route.path} ${JSON.stringify(body)}`)).toBeUndefined();
    }),
    { numRuns: 400 },
  );
});

test("any bytes as a body", async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...withBody), fc.uint8Array(), async (route, bytes) => {
      const answer = await server.send(
        route.method,
        route.path.replaceAll(/\{\w+\}/g, "x"),
        Buffer.from(bytes),
      );
      expect(problemOf(answer, route.path)).toBeUndefined();
    }),
    { numRuns: 150 },
  );
});

test("any path part and any query", async () => {
  const part = fc.oneof(
    fc.string({ unit: "binary", minLength: 1 }),
    fc.constantFrom("..", "%2e", "x".repeat(4_000)),
  );
  const escaped = part.map((each) => (/\p{Surrogate}/u.test(each) ? "%ff" : encodeURIComponent(each)));
  const pair = fc.tuple(
    fc.constantFrom("page", "page_size", "user_id", "shard", "limit", "cursor", "zzz"),
    escaped,
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...withoutStop),
      escaped,
      fc.array(pair, { maxLength: 3 }),
      async (route, id, query) => {
        const path = route.path.replaceAll(/\{\w+\}/g, () => id);
        const search = query.map(([name, value]) => `${name}=${value}`).join("&");
        const answer = await server.send(route.method, `${path}?${search}`);
        expect(problemOf(answer, `${route.method} ${path}?${search}`)).toBeUndefined();
      },
    ),
    { numRuns: 300 },
  );
});

test("any of the headers that are read", async () => {
  const value = fc.string().map((each) => each.replaceAll(/[^\u0020-\u007e]/g, "?"));
  await fc.assert(
    fc.asyncProperty(value, value, value, value, async (timeout, consistency, id, authorization) => {
      const headers = {
        "x-timeout-ms": timeout,
        "x-consistency": consistency,
        "x-write-consistency": id,
        "x-max-staleness-ms": timeout,
        "x-request-id": id,
        authorization,
      };
      expect(
        problemOf(await server.send("GET", "/v1/memories/x/", undefined, headers), JSON.stringify(headers)),
      ).toBeUndefined();
    }),
    { numRuns: 100 },
  );
});
