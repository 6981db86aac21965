// The HTTP API of one node as a test speaks it: a request, and what came back. No retries, no cleverness.

import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { ErrorBody } from "../../../src/model/errors.ts";
import type { ExportPage, MemoryRecord } from "../../../src/model/node-api.ts";

export interface Answer {
  /** 0: no answer came, and `body` is why. */
  readonly status: number;
  readonly body: unknown;
}

export interface Call {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of `https:`: whose certificates are believed. */
  readonly ca?: Buffer;
}

/** One request on a connection of its own; never throws. */
export async function call(
  host: string,
  { method = "GET", path, body, headers = {}, ca }: Call,
): Promise<Answer> {
  return new Promise((resolve) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const url = new URL(path, host);
    const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(
      url,
      {
        ...(ca === undefined ? {} : { ca }),
        method,
        agent: false,
        timeout: 30_000,
        headers: { ...(payload === undefined ? {} : { "content-type": "application/json" }), ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", (error) => resolve({ status: 0, body: error.message }));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: text === "" ? undefined : JSON.parse(text) });
        });
      },
    );
    request.on("timeout", () => request.destroy(new Error("no answer in 30 s")));
    request.on("error", (error) => resolve({ status: 0, body: error.message }));
    request.end(payload);
  });
}

/** Stores one record under its own id; a repeated one changes nothing. */
export async function importRecords(
  host: string,
  records: readonly MemoryRecord[],
  timeoutMs = 10_000,
): Promise<Answer> {
  return call(host, {
    method: "POST",
    path: "/v1/memories/import",
    body: { records },
    headers: { "x-timeout-ms": String(timeoutMs) },
  });
}

/** The error code of an answer that is an error; undefined for one that is not. */
export function codeOf({ body }: Answer): string | undefined {
  return typeof body === "object" && body !== null && "error" in body
    ? (body as ErrorBody).error.code
    : undefined;
}

/** What one node's own replica of a shard holds, by id, as it is there, new or not: `one` in the quorum protocol. */
export async function staleExport(
  host: string,
  shard: string,
  consistency: "stale" | "one" = "stale",
): Promise<readonly MemoryRecord[]> {
  const records: MemoryRecord[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const from = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const { status, body }: Answer = await call(host, {
      path: `/v1/memories/export?shard=${shard}&limit=1000${from}`,
      headers: { "x-consistency": consistency },
    });
    if (status !== 200)
      throw new Error(`export of shard ${shard} from ${host}: ${status} ${JSON.stringify(body)}`);
    const page = body as ExportPage;
    records.push(...page.records);
    ({ cursor } = page);
  }
  return records.toSorted((left, right) => (left.id < right.id ? -1 : 1));
}

/** A plain memory for tests that care about ids and counts. */
export function record(id: string, user: string, text = `memory ${id}`): MemoryRecord {
  const at = "2026-01-02T03:04:05.000Z";
  return { id, memory: text, user_id: user, created_at: at, updated_at: at };
}
