// Makes vectors from texts: the built-in lexical embedding, any OpenAI-compatible HTTP endpoint, or none,
// where callers bring their own vectors. An API key appears in no error and no log.

import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { Pool } from "undici";
import { lexicalEmbedding } from "./lexical.ts";
import { checkVector, isPlainObject } from "./record.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { EmbeddingSpec } from "../model/manifest.ts";

export interface Embedder {
  /**
   * One vector of `spec.dimensions` per text, in order. `deadlineMs` is on the monotonic clock. Throws
   * `embedding-required` (provider none), `embedding-unavailable` (kind `unavailable`: nothing was stored),
   * `embedding-refused` and `embedding-invalid` (kind `failed`: the endpoint and the manifest do not fit).
   */
  embed(texts: readonly string[], deadlineMs: number): Promise<Float32Array[]>;
  /** Ends its connections. */
  close(): Promise<void>;
}

/** Texts of one request; the limits of public endpoints are 96 to 2,048. */
const BATCH_TEXTS_MAX = 96;
/** UTF-16 units of one request, unless one text alone is longer. */
const BATCH_UNITS_MAX = 131_072;
/** Requests to the endpoint at a time; others wait for one of them within their deadline. */
const CONNECTIONS_MAX = 8;
const ATTEMPTS_MAX = 3;
const RETRY_DELAY_MS = 100;
const RETRY_DELAY_MS_MAX = 2_000;
/** Bytes that an answer may have for each text: 8,192 numbers, which no known model exceeds, as JSON. */
const ANSWER_BYTES_PER_TEXT = 262_144;
/** Texts are embedded in turns of about this many UTF-16 units, so that a long batch delays no heartbeat. */
const TURN_UNITS = 65_536;

export function createEmbedder(spec: EmbeddingSpec, apiKey?: string): Embedder {
  switch (spec.provider) {
    case "lexical":
      return { embed: async (texts) => embedLexically(texts, spec.dimensions), close: async () => {} };
    case "none":
      return { embed: refuseTexts, close: async () => {} };
    case "openai":
      return createEndpointEmbedder(spec, apiKey);
  }
}

async function embedLexically(texts: readonly string[], dimensions: number): Promise<Float32Array[]> {
  const vectors: Float32Array[] = [];
  let units = 0;
  for (const text of texts) {
    if (units > TURN_UNITS) {
      units = 0;
      await nextTurn();
    }
    vectors.push(lexicalEmbedding(text, dimensions));
    units += text.length;
  }
  return vectors;
}

async function refuseTexts(texts: readonly string[]): Promise<Float32Array[]> {
  if (texts.length === 0) return [];
  throw new Mem0ctlError("invalid", "embedding-required", "embedding: a vector is required", {
    why: "this cluster has no embedding provider: callers bring the vectors",
    hint: "send a vector with each text, or set spec.embedding.provider in the manifest",
    data: { field: "embedding" },
  });
}

/**
 * A vector for each text: the caller's where there is one, checked, and the embedder's for the others.
 * Throws as `embed`, and FieldError for a vector that is none.
 */
export async function embedMissing(
  { embedder, dimensions }: { readonly embedder: Embedder; readonly dimensions: number },
  texts: readonly string[],
  vectors: readonly (Float32Array | undefined)[],
  deadlineMs: number,
): Promise<Float32Array[]> {
  const missing = texts.filter((_, at) => vectors[at] === undefined);
  const made = missing.length === 0 ? [] : await embedder.embed(missing, deadlineMs);
  let next = 0;
  return texts.map((_, at) => {
    const given = vectors[at];
    // What an embedder made is sound: the node's own cannot be otherwise, and an endpoint's were looked at.
    const vector = given === undefined ? made[next++] : checkVector(given, dimensions);
    if (vector === undefined)
      throw new Mem0ctlError("failed", "embedding-missing", "the embedder gave too few vectors");
    return vector;
  });
}

/** What one attempt came to: an answer, or an error that another attempt may or may not mend. */
type Attempt =
  | { readonly vectors: Float32Array[] }
  | { readonly error: Mem0ctlError; readonly retryAfterMs: number | null };

function createEndpointEmbedder(spec: EmbeddingSpec, apiKey: string | undefined): Embedder {
  const { dimensions, model } = spec;
  const endpoint = endpointOf(spec.url);
  let pool: Promise<Pool> | undefined;
  /** Whether the endpoint is told the length: not before it answered with another one. */
  let isLengthTold = false;

  // Loaded on first use: undici takes longer to load than the rest of a node.
  const connect = async (): Promise<Pool> => {
    const undici = await import("undici");
    return new undici.Pool(endpoint.origin, { connections: CONNECTIONS_MAX, pipelining: 1 });
  };

  const send = async (texts: readonly string[], deadlineMs: number): Promise<Attempt> => {
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) return { error: unavailable("the deadline has passed"), retryAfterMs: null };
    const toldLength = isLengthTold;
    const body = JSON.stringify({
      model,
      input: texts,
      encoding_format: "float",
      ...(toldLength ? { dimensions } : {}),
    });
    try {
      pool ??= connect();
      const response = await (
        await pool
      ).request({
        path: `${endpoint.pathname.replace(/\/+$/, "")}/embeddings${endpoint.search}`,
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
        },
        body,
        signal: AbortSignal.timeout(Math.ceil(leftMs)),
      });
      const answer = await readBounded(response.body, texts.length * ANSWER_BYTES_PER_TEXT);
      if (response.statusCode !== 200) {
        return refusal(response.statusCode, answer, response.headers["retry-after"], apiKey);
      }
      const lists = listsOf(answer, texts.length);
      if (!toldLength && lists.some((list) => list.length !== dimensions)) {
        isLengthTold = true;
        return { error: wrongLength(lists, dimensions), retryAfterMs: 0 };
      }
      return { vectors: lists.map((list, index) => vectorOf(list, index, dimensions)) };
    } catch (error) {
      if (error instanceof Mem0ctlError) return { error, retryAfterMs: null };
      const isTimeout = error instanceof Error && error.name === "TimeoutError";
      return isTimeout
        ? { error: unavailable("it did not answer before the deadline"), retryAfterMs: null }
        : { error: unavailable(networkReason(error), error), retryAfterMs: RETRY_DELAY_MS };
    }
  };

  /** Embedding changes nothing at the endpoint, so that trying again is safe. */
  const sendAgain = async (texts: readonly string[], deadlineMs: number): Promise<Float32Array[]> => {
    for (let attempt = 1; ; attempt += 1) {
      const result = await send(texts, deadlineMs);
      if ("vectors" in result) return result.vectors;
      const { error, retryAfterMs } = result;
      const waitMs = Math.min((retryAfterMs ?? 0) * attempt, RETRY_DELAY_MS_MAX);
      if (retryAfterMs === null || attempt >= ATTEMPTS_MAX || performance.now() + waitMs >= deadlineMs)
        throw error;
      await sleep(waitMs);
    }
  };

  return {
    embed: async (texts, deadlineMs) => {
      const batches = batchesOf(texts);
      const vectors: Float32Array[][] = [];
      let next = 0;
      const worker = async (): Promise<void> => {
        for (let index = next++; index < batches.length; index = next++) {
          vectors[index] = await sendAgain(batches[index] ?? [], deadlineMs);
        }
      };
      await Promise.all(Array.from({ length: Math.min(CONNECTIONS_MAX, batches.length) }, worker));
      return vectors.flat();
    },
    close: async () => {
      const opened = await pool;
      await opened?.destroy();
    },
  };
}

function endpointOf(url: string | undefined): URL {
  if (url !== undefined && URL.canParse(url)) {
    const parsed = new URL(url);
    if (parsed.protocol === "http:" || parsed.protocol === "https:") return parsed;
  }
  throw new Mem0ctlError(
    "invalid",
    "embedding-url-invalid",
    "spec.embedding.url: must be an http or https URL",
    {
      hint: "give the base URL of the endpoint, such as the one that ends in /v1",
    },
  );
}

function batchesOf(texts: readonly string[]): readonly (readonly string[])[] {
  const batches: string[][] = [];
  let batch: string[] = [];
  let units = 0;
  for (const text of texts) {
    if (batch.length > 0 && (batch.length >= BATCH_TEXTS_MAX || units + text.length > BATCH_UNITS_MAX)) {
      batches.push(batch);
      batch = [];
      units = 0;
    }
    batch.push(text);
    units += text.length;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

async function readBounded(body: AsyncIterable<unknown>, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    if (!(chunk instanceof Buffer)) continue;
    bytes += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (bytes > bytesMax) throw invalid(`its answer is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The vectors as lists, in the order of the texts: `{"data": [{"index": 0, "embedding": [...]}]}`. */
function listsOf(answer: string, count: number): readonly (readonly unknown[])[] {
  const json = parseJson(answer);
  const data = isPlainObject(json) ? json["data"] : undefined;
  if (!Array.isArray(data) || data.length !== count)
    throw invalid(`its answer has no list of ${count} vectors`);
  const lists: unknown[][] = [];
  for (const [position, item] of data.entries()) {
    const entry: unknown = item;
    const list = isPlainObject(entry) ? entry["embedding"] : undefined;
    const index = isPlainObject(entry) ? (entry["index"] ?? position) : undefined;
    if (!Array.isArray(list)) throw invalid(`data[${position}].embedding is not a list of numbers`);
    if (typeof index !== "number" || !(index >= 0 && index < count) || lists[index] !== undefined) {
      throw invalid(`data[${position}].index is missing, out of range or given twice`);
    }
    lists[index] = list;
  }
  return lists;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid("its answer is not JSON");
  }
}

function vectorOf(list: readonly unknown[], index: number, dimensions: number): Float32Array {
  try {
    return checkVector(list, dimensions, `data[${index}].embedding`);
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : "a vector is not one");
  }
}

function wrongLength(lists: readonly (readonly unknown[])[], dimensions: number): Mem0ctlError {
  const found = lists.find((list) => list.length !== dimensions)?.length ?? 0;
  return invalid(`its vectors have ${found} numbers, the manifest says ${dimensions}`);
}

/** An answer other than 200; 429 and the 5xx of proxies and restarts are worth another attempt. */
function refusal(
  status: number,
  answer: string,
  retryAfter: string | string[] | undefined,
  apiKey: string | undefined,
): Attempt {
  const isPassing = status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
  const seconds = typeof retryAfter === "string" ? Number(retryAfter) : Number.NaN;
  const why = `it answered HTTP ${status}${excerptOf(status, answer, apiKey)}`;
  if (isPassing) {
    return { error: unavailable(why), retryAfterMs: seconds >= 0 ? seconds * 1000 : RETRY_DELAY_MS };
  }
  return {
    error: new Mem0ctlError("failed", "embedding-refused", "the embedding endpoint refused the request", {
      why,
      hint:
        status === 401 || status === 403
          ? "check spec.embedding.apiKey in the manifest"
          : "check spec.embedding.url and spec.embedding.model in the manifest, and the length of the text",
    }),
    retryAfterMs: null,
  };
}

/** What the endpoint said, one short line; nothing where it may quote the key. */
function excerptOf(status: number, answer: string, apiKey: string | undefined): string {
  if (status === 401 || status === 403) return "";
  let message: unknown;
  try {
    const json: unknown = JSON.parse(answer);
    const error = isPlainObject(json) ? json["error"] : undefined;
    message = isPlainObject(error) ? error["message"] : error;
  } catch {
    return "";
  }
  if (typeof message !== "string" || (apiKey !== undefined && message.includes(apiKey))) return "";
  return `: ${message.replaceAll(/\p{C}+/gu, " ").slice(0, 200)}`;
}

function networkReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ECONNREFUSED") return "the connection was refused";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "its name does not resolve";
  if (code === "UND_ERR_CONNECT_TIMEOUT") return "it did not accept a connection in time";
  return "the connection broke";
}

function unavailable(why: string, cause?: unknown): Mem0ctlError {
  return new Mem0ctlError(
    "unavailable",
    "embedding-unavailable",
    "the embedding endpoint cannot be used now",
    {
      why,
      hint: "nothing was stored; try again, or send vectors with the texts",
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

function invalid(why: string): Mem0ctlError {
  return new Mem0ctlError("failed", "embedding-invalid", "the embedding endpoint's answer cannot be used", {
    why,
    hint: "spec.embedding.dimensions must be the length of the model's vectors",
  });
}
