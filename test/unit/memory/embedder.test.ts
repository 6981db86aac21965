// Vectors from texts: the built-in way, an endpoint over real HTTP, and none.

import { createServer, type IncomingMessage } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { lexicalEmbedding } from "../../../src/memory/lexical.ts";
import type { EmbeddingSpec } from "../../../src/model/manifest.ts";
import { createEmbedder, type Embedder } from "../../../src/memory/embedder.ts";
import { at } from "../http/support/running-server.ts";

const SPEC: EmbeddingSpec = {
  provider: "lexical",
  dimensions: 4,
  url: undefined,
  model: undefined,
  apiKey: undefined,
};
const KEY = "sk-very-secret-0123456789";

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly input: readonly string[];
  readonly dimensions: unknown;
  readonly model: unknown;
}

interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Endpoint {
  readonly asked: readonly Asked[];
  readonly embedder: Embedder;
  readonly url: string;
}

/** An OpenAI-compatible endpoint; `reply` null leaves the request without an answer. */
async function endpoint(
  reply: (asked: Asked, count: number) => Reply | null,
  path = "/v1",
  apiKey: string | undefined = KEY,
): Promise<Endpoint> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void readJson(request).then((json) => {
      const input = at(json, "input");
      const one = {
        path: request.url ?? "",
        authorization: request.headers.authorization,
        input: Array.isArray(input) ? input.map(String) : [],
        dimensions: at(json, "dimensions"),
        model: at(json, "model"),
      };
      asked.push(one);
      const answer = reply(one, asked.length);
      if (answer !== null) response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const url = `http://127.0.0.1:${port}${path}`;
  const embedder = createEmbedder({ ...SPEC, provider: "openai", url, model: "tiny" }, apiKey);
  ends.push(
    async () => embedder.close(),
    () => {
      server.closeAllConnections();
      server.close();
    },
  );
  return { asked, embedder, url };
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return JSON.parse(text);
}

/** A vector that tells its text apart: its length and its first letter. */
function vectorFor(text: string, dimensions = 4): readonly number[] {
  return Array.from({ length: dimensions }, (_, index) =>
    index === 0 ? text.length : text.charCodeAt(0) / 128,
  );
}

function answerFor(asked: Asked, dimensions = 4): Reply {
  const data = asked.input.map((text, index) => ({
    object: "embedding",
    index,
    embedding: vectorFor(text, dimensions),
  }));
  return { body: JSON.stringify({ object: "list", data: data.toReversed(), model: asked.model }) };
}

const soon = (): number => performance.now() + 5_000;

describe("lexical", () => {
  test("gives the built-in vectors in order", async () => {
    const texts = ["one", "two", "x".repeat(100_000), "three"];
    const vectors = await createEmbedder({ ...SPEC, dimensions: 32 }).embed(texts, soon());
    expect(vectors).toEqual(texts.map((text) => lexicalEmbedding(text, 32)));
  });
});

describe("none", () => {
  test("a text without a vector is refused by the field's name", async () => {
    const embedder = createEmbedder({ ...SPEC, provider: "none" });
    expect(await embedder.embed([], soon())).toEqual([]);
    await expect(embedder.embed(["x"], soon())).rejects.toMatchObject({
      kind: "invalid",
      code: "embedding-required",
      data: { field: "embedding" },
    });
  });
});

describe("an OpenAI-compatible endpoint", () => {
  test("is asked with model and key, and its vectors are put in the order of the texts", async () => {
    const { asked, embedder } = await endpoint((each) => answerFor(each));
    const vectors = await embedder.embed(["a", "bb", "ccc"], soon());
    expect(vectors).toEqual(["a", "bb", "ccc"].map((text) => Float32Array.from(vectorFor(text))));
    expect(asked).toEqual([
      {
        path: "/v1/embeddings",
        authorization: `Bearer ${KEY}`,
        input: ["a", "bb", "ccc"],
        dimensions: undefined,
        model: "tiny",
      },
    ]);
  });

  test("needs no key, and keeps the query of its URL", async () => {
    const keyless = await endpoint((each) => answerFor(each), "/openai/?api-version=1", undefined);
    const bare = createEmbedder({ ...SPEC, provider: "openai", url: keyless.url, model: "tiny" });
    ends.push(async () => bare.close());
    await bare.embed(["a"], soon());
    expect(keyless.asked).toMatchObject([
      { path: "/openai/embeddings?api-version=1", authorization: undefined },
    ]);
  });

  test("many texts are sent in batches and come back whole and in order", async () => {
    const { asked, embedder } = await endpoint((each) => answerFor(each));
    const texts = Array.from({ length: 500 }, (_, index) => "t".repeat(index + 1));
    const vectors = await embedder.embed(texts, soon());
    expect(vectors.map((vector) => vector[0])).toEqual(texts.map((text) => text.length));
    expect(asked.length).toBeGreaterThan(5);
    expect(Math.max(...asked.map(({ input }) => input.length))).toBeLessThanOrEqual(96);
    expect(await embedder.embed([], soon())).toEqual([]);
  });

  test("is told the length only after it answered with another one", async () => {
    const { asked, embedder } = await endpoint((each) =>
      answerFor(each, each.dimensions === undefined ? 8 : 4),
    );
    expect((await embedder.embed(["a"], soon()))[0]).toHaveLength(4);
    await embedder.embed(["b"], soon());
    expect(asked.map(({ dimensions }) => dimensions)).toEqual([undefined, 4, 4]);
  });

  test.each([
    ["vectors of another length", { data: [{ index: 0, embedding: [1, 2] }] }],
    ["vectors of zeros", { data: [{ index: 0, embedding: [0, 0, 0, 0] }] }],
    ["text for numbers", { data: [{ index: 0, embedding: ["1", 2, 3, 4] }] }],
    ["base64", { data: [{ index: 0, embedding: "AAAA" }] }],
    ["too few vectors", { data: [] }],
    ["an index out of range", { data: [{ index: 7, embedding: [1, 2, 3, 4] }] }],
    ["no list", { vectors: [] }],
  ])("an answer with %s is refused", async (_name, body) => {
    const { embedder } = await endpoint(() => ({ body: JSON.stringify(body) }));
    await expect(embedder.embed(["a"], soon())).rejects.toMatchObject({
      kind: "failed",
      code: "embedding-invalid",
    });
  });

  test("an answer that is not JSON, or has no end, is refused", async () => {
    const broken = await endpoint(() => ({ body: "<html>" }));
    await expect(broken.embedder.embed(["a"], soon())).rejects.toMatchObject({ code: "embedding-invalid" });
    const endless = await endpoint(() => ({ body: " ".repeat(1_000_000) }));
    await expect(endless.embedder.embed(["a"], soon())).rejects.toMatchObject({
      code: "embedding-invalid",
      why: expect.stringContaining("larger than"),
    });
  });

  test("a passing failure is tried again, a lasting one is not", async () => {
    const passing = await endpoint((each, count) =>
      count < 3 ? { status: 503, body: "busy" } : answerFor(each),
    );
    expect(await passing.embedder.embed(["a"], soon())).toHaveLength(1);
    const limited = await endpoint(() => ({ status: 429, headers: { "retry-after": "0" }, body: "{}" }));
    await expect(limited.embedder.embed(["a"], soon())).rejects.toMatchObject({
      kind: "unavailable",
      code: "embedding-unavailable",
    });
    expect(limited.asked).toHaveLength(3);
    const lasting = await endpoint(() => ({
      status: 400,
      body: JSON.stringify({ error: { message: "model not\nfound" } }),
    }));
    await expect(lasting.embedder.embed(["a"], soon())).rejects.toMatchObject({
      kind: "failed",
      code: "embedding-refused",
      why: expect.stringContaining("model not found"),
    });
    expect(lasting.asked).toHaveLength(1);
  });

  test("the key is in no error, even where the endpoint quotes it", async () => {
    for (const status of [400, 401, 403, 500]) {
      const { embedder } = await endpoint(() => ({
        status,
        body: JSON.stringify({ error: { message: `Incorrect API key provided: ${KEY}` } }),
      }));
      const error: unknown = await embedder.embed(["a"], soon()).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Error);
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(KEY);
    }
  });

  test("the deadline ends the wait, and a closed port is told apart from a silent one", async () => {
    const silent = await endpoint(() => null);
    await expect(silent.embedder.embed(["a"], performance.now() + 1_000)).rejects.toMatchObject({
      code: "embedding-unavailable",
      why: "it did not answer before the deadline",
    });
    await expect(silent.embedder.embed(["a"], performance.now() - 1)).rejects.toMatchObject({
      why: "the deadline has passed",
    });
    const closed = createEmbedder({ ...SPEC, provider: "openai", url: "http://127.0.0.1:1/v1", model: "m" });
    ends.push(async () => closed.close());
    await expect(closed.embed(["a"], soon())).rejects.toMatchObject({
      kind: "unavailable",
      code: "embedding-unavailable",
      why: "the connection was refused",
    });
  });

  test("a URL that is none is refused at the start", () => {
    for (const url of [undefined, "nowhere", "file:///etc/passwd"]) {
      expect(() => createEmbedder({ ...SPEC, provider: "openai", url, model: "m" })).toThrow(
        "spec.embedding.url",
      );
    }
  });
});
