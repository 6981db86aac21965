// One node over HTTP: what a request sends, how failures are worded, and above all what is said about a
// write whose answer did not arrive.

import { createServer as createSecureServer } from "node:https";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";

import { anything, number, object } from "../../../src/model/decode.ts";
import { NodeFailure } from "../../../src/engines/node-failure.ts";
import { NodeClient } from "../../../src/engines/embedded/http-client.ts";
import type { NodeRequest } from "../../../src/engines/embedded/http-client.ts";
import { errorBody, Mem0ctlError } from "../../../src/model/errors.ts";
import { selfSigned } from "../manifest/certificate.ts";
import { json, refusedPort, serve } from "./support.ts";
import type { Answer } from "./support.ts";

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const READ: NodeRequest = {
  method: "GET",
  path: "/v1/cluster/node",
  write: false,
  requestId: "request-1",
  timeoutMs: 2000,
};
const WRITE: NodeRequest = {
  ...READ,
  method: "POST",
  path: "/v3/memories/add/",
  body: { a: 1 },
  write: true,
};

async function clientOf(answer: Answer | number, token?: string): Promise<NodeClient> {
  const port = typeof answer === "number" ? answer : (await started(answer)).port;
  const client = new NodeClient({ id: "node-1", host: "127.0.0.1", port }, { token, ca: undefined });
  cleanups.push(() => client.close());
  return client;
}

async function started(answer: Answer) {
  const server = await serve(answer);
  cleanups.push(() => server.close());
  return server;
}

async function failureOf(request: Promise<unknown>): Promise<NodeFailure> {
  const error: unknown = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof NodeFailure) return error;
  throw new Error(`expected a NodeFailure, got ${String(error)}`);
}

describe("a request", () => {
  it("carries the token, the request's id, a deadline below the caller's, and JSON", async () => {
    const seen: Record<string, unknown>[] = [];
    const client = await clientOf((request, response, body) => {
      seen.push({ ...request.headers, method: request.method, url: request.url, body });
      json(response, 200, { n: 7 });
    }, "secret");
    const answer = await client.request(WRITE, object<{ n: number }>({ n: number }));
    expect(answer).toEqual({ n: 7 });
    expect(seen).toMatchObject([
      {
        method: "POST",
        url: "/v3/memories/add/",
        authorization: "Token secret",
        "x-request-id": "request-1",
        "x-timeout-ms": "1800",
        "content-type": "application/json",
        body: '{"a":1}',
      },
    ]);
  });

  it("uses one connection after another, and several at the same time", async () => {
    const ports = new Set<number | undefined>();
    const client = await clientOf((request, response) => {
      ports.add(request.socket.remotePort);
      setTimeout(() => json(response, 200, {}), 20);
    });
    await client.request(READ, anything);
    await client.request(READ, anything);
    expect(ports.size).toBe(1);
    await Promise.all([1, 2, 3].map(() => client.request(READ, anything)));
    expect(ports.size).toBe(3);
  });
});

describe("failures are worded", () => {
  it("connection refused: nothing was sent, so it is certainly not done", async () => {
    const client = await clientOf(await refusedPort());
    const failure = await failureOf(client.request(WRITE, anything));
    expect(failure).toMatchObject({
      reason: "connection refused",
      code: "connection-refused",
      kind: "unavailable",
      sent: false,
    });
  });

  it("no answer within the deadline", async () => {
    const client = await clientOf(() => undefined);
    const failure = await failureOf(client.request({ ...READ, timeoutMs: 120 }, anything));
    expect(failure).toMatchObject({ reason: "no answer within 120 ms", kind: "unavailable" });
  });

  it("HTTP 401 and 403 as denied, with or without a body that says so", async () => {
    const bare = await clientOf((_request, response) => json(response, 401, {}));
    expect(await failureOf(bare.request(READ, anything))).toMatchObject({
      reason: "HTTP 401",
      kind: "denied",
      code: "unauthenticated",
      why: "no token was sent",
    });
    const worded = await clientOf((_request, response) => {
      json(response, 403, errorBody(new Mem0ctlError("denied", "role-too-small", "needs the role admin")));
    }, "reader");
    expect(await failureOf(worded.request(READ, anything))).toMatchObject({
      kind: "denied",
      code: "role-too-small",
      message: "needs the role admin",
    });
  });

  it("no mem0ctl node of this version: HTML, other JSON, an unknown 404", async () => {
    const answers: Answer[] = [
      (_request, response) => void response.end("<html>"),
      (_request, response) => json(response, 200, { hello: "world" }),
      (_request, response) => json(response, 404, { message: "not found" }),
    ];
    for (const answer of answers) {
      const client = await clientOf(answer);
      const failure = await failureOf(client.request(READ, object<{ n: number }>({ n: number })));
      expect(failure).toMatchObject({ code: "not-a-node", reason: "no mem0ctl node of this version" });
    }
  });

  it("a token never appears in an error", async () => {
    const client = await clientOf((_request, response) => json(response, 401, {}), "very-secret");
    const failure = await failureOf(client.request(READ, anything));
    const everything = JSON.stringify([
      failure.message,
      failure.why,
      failure.hint,
      failure.data,
      failure.stack,
    ]);
    expect(everything).not.toContain("very-secret");
  });
});

it("an error of the node arrives as it was thrown there", async () => {
  const thrown = new Mem0ctlError("conflict", "stale-epoch", "the map is newer", {
    why: "epoch 7",
    hint: "ask again",
    data: { epoch: 7 },
  });
  const client = await clientOf((_request, response) => json(response, 409, errorBody(thrown, "r")));
  await expect(client.request(WRITE, anything)).rejects.toMatchObject({
    kind: "conflict",
    code: "stale-epoch",
    why: "epoch 7",
    hint: "ask again",
    data: { epoch: 7 },
  });
});

describe("a write whose answer did not arrive has an unknown outcome, and the request's id is told", () => {
  const unknown = { kind: "unknown-outcome", code: "outcome-unknown", data: { requestId: "request-1" } };

  it("when the node is silent", async () => {
    const client = await clientOf(() => undefined);
    const failure = await failureOf(client.request({ ...WRITE, timeoutMs: 120 }, anything));
    expect(failure).toMatchObject({ ...unknown, sent: true });
    expect(failure.why).toContain("request-1");
  });

  it("when the connection breaks", async () => {
    const client = await clientOf((request) => void request.socket.destroy());
    expect(await failureOf(client.request(WRITE, anything))).toMatchObject({ ...unknown, sent: true });
  });

  it("when the caller interrupts it", async () => {
    const interruption = new AbortController();
    const client = await clientOf(() => interruption.abort());
    const request = client.request({ ...WRITE, signal: interruption.signal }, anything);
    expect(await failureOf(request)).toMatchObject(unknown);
  });

  it("but a read that is interrupted is only interrupted", async () => {
    const interruption = new AbortController();
    const client = await clientOf(() => interruption.abort());
    const request = client.request({ ...READ, signal: interruption.signal }, anything);
    await expect(request).rejects.toMatchObject({ kind: "failed", code: "interrupted" });
  });
});

describe("with TLS", () => {
  const year = 365 * 86_400_000;
  const valid = { from: new Date(Date.now() - year), to: new Date(Date.now() + year) };
  const own = selfSigned(valid);

  async function reasonFrom(port: number, ca: string): Promise<NodeFailure> {
    const endpoint = { id: "node-1", host: "127.0.0.1", port };
    const client = new NodeClient(endpoint, { token: "secret", ca: Buffer.from(ca) });
    cleanups.push(() => client.close());
    return failureOf(client.request(WRITE, anything));
  }

  it("nothing is sent to a server that the CA did not sign, or whose certificate is for another host", async () => {
    let requests = 0;
    const server = createSecureServer({ cert: own.cert, key: own.key }, (_request, response) => {
      requests += 1;
      response.end("{}");
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    // An address of a listening TCP server is never a string or null.
    const { port } = server.address() as AddressInfo;
    expect(await reasonFrom(port, selfSigned(valid).cert)).toMatchObject({
      reason: "certificate not signed by the CA",
      sent: false,
    });
    expect(await reasonFrom(port, own.cert)).toMatchObject({
      reason: "certificate is for another host",
      sent: false,
    });
    expect(requests).toBe(0);
  });

  it("a server without TLS is recognised as one", async () => {
    const { port, seen } = await started((_request, response) => json(response, 200, {}));
    expect(await reasonFrom(port, own.cert)).toMatchObject({ reason: "does not speak TLS", sent: false });
    expect(seen).toEqual([]);
  });
});

it("an answer without end is cut off at its bound", async () => {
  // A plain socket, because a well-behaved server would stop writing when nobody reads.
  const endless = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    const piece = `100000\r\n${"x".repeat(0x100000)}\r\n`;
    const more = (): void => {
      while (!socket.destroyed && socket.write(piece));
      if (!socket.destroyed) socket.once("drain", more);
    };
    more();
  });
  await new Promise<void>((resolve) => {
    endless.listen(0, "127.0.0.1", resolve);
  });
  cleanups.push(() => new Promise((resolve) => endless.close(resolve)));
  // An address of a listening TCP server is never a string or null.
  const client = await clientOf((endless.address() as AddressInfo).port);
  const failure = await failureOf(client.request({ ...READ, timeoutMs: 15_000 }, anything));
  expect(failure).toMatchObject({ code: "answer-too-large", reason: "answer above 64 MiB" });
});
