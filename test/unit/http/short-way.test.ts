// The short way and fastify answer alike: the same status, headers and body, whatever is asked. A media type
// that is spelt in another way is what sends a request past the short way here.

import { afterAll, beforeAll, expect, test } from "vitest";
import {
  runServer,
  TOKEN_DIGESTS,
  TOKENS,
  type Answer,
  type RunningServer,
} from "./support/running-server.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await runServer({ tokens: TOKEN_DIGESTS });
});
afterAll(async () => {
  await server.close();
});

const write = { authorization: `Token ${TOKENS.write}` };
const add = { messages: "Likes tea", user_id: "ada" };
const search = { query: "tea", filters: { user_id: "ada" } };

/** What differs from one request to the next, for good reasons. */
function comparable({ status, headers, text }: Answer): unknown {
  const { date: _date, "content-length": _length, ...rest } = headers;
  return {
    status,
    headers: rest,
    text: text.replaceAll(/"m-\d+"|\d{4}-\d\d-\d\dT[^"]*/g, "…"),
  };
}

test.each<[string, string, unknown, Record<string, string>]>([
  ["an add", "/v3/memories/add/", add, write],
  ["a path without its last slash", "/v3/memories/add", add, write],
  ["a search", "/v3/memories/search/", search, write],
  ["a list", "/v3/memories/", {}, write],
  ["no token", "/v3/memories/add/", add, {}],
  ["a token of a lesser role", "/v3/memories/add/", add, { authorization: `Token ${TOKENS.read}` }],
  ["a field that is not one", "/v3/memories/add/", { ...add, user: "ada" }, write],
  ["a scope that is missing", "/v3/memories/add/", { messages: "Likes tea" }, write],
  ["a body that is not an object", "/v3/memories/add/", [1], write],
  ["a timeout that is none", "/v3/memories/add/", add, { ...write, "x-timeout-ms": "soon" }],
  ["a level that is none", "/v3/memories/search/", search, { ...write, "x-consistency": "maybe" }],
  ["a query string", "/v3/memories/add/?page=1", add, write],
  ["a route that is not there", "/v3/memories/adds/", add, write],
])("%s", async (_, path, body, headers) => {
  const ask = { ...headers, "x-request-id": "the-same" };
  const short = await server.send("POST", path, body, { ...ask, "content-type": "application/json" });
  const usual = await server.send("POST", path, body, { ...ask, "content-type": "Application/JSON" });
  expect(comparable(short)).toEqual(comparable(usual));
});
