// The server's own promises: limits, timeouts, ids, deadlines, peers, TLS, a clean end.

import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Writable } from "node:stream";
import { pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { StoredMemory } from "../../../src/memory/service.ts";
import { createHttpServer } from "../../../src/http/server.ts";
import { PEER_PROTOCOL } from "../../../src/node/transport/network.ts";
import { selfSigned } from "../manifest/certificate.ts";
import { inProcessMemories } from "./support/memory-service.ts";
import {
  at,
  LIMITS,
  runServer,
  send,
  TOKEN_DIGESTS,
  TOKENS,
  type RunningServer,
  type ServerOverrides,
  LEVELS,
  type Answer,
} from "./support/running-server.ts";

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function run(overrides: ServerOverrides = {}): Promise<RunningServer> {
  const server = await runServer(overrides);
  ends.push(server.close);
  return server;
}

/** Everything that a raw connection receives until it is ended. */
async function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let received = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (received += chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(received));
  });
}

async function connected(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
    ends.push(() => {
      socket.destroy();
    });
  });
}

function gateOf(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

describe("what a body may be", () => {
  test.each([
    ["larger than the limit", JSON.stringify("x".repeat(LIMITS.bodyBytesMax)), 413, "body-too-large"],
    ["not JSON", '{"messages": "x"', 400, "json-invalid"],
    ["not UTF-8", Buffer.from([0x22, 0xff, 0x22]), 400, "json-invalid"],
    ["nested too deep", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, 400, "json-too-deep"],
    [
      "reaching for a prototype",
      '{"messages":"x","user_id":"a","metadata":{"__proto__":{"a":1}}}',
      400,
      "key-forbidden",
    ],
    [
      "reaching in disguise",
      '{"messages":"x","user_id":"a","metadata":{"\\u005f_proto__":1}}',
      400,
      "key-forbidden",
    ],
    ["a list", "[]", 400, "field-invalid"],
    ["empty", "", 400, "field-invalid"],
  ])("%s is refused", async (_name, body, status, code) => {
    const server = await run();
    const answer = await server.send("POST", "/v3/memories/add/", body);
    expect([answer.status, at(answer.json, "error", "code")]).toEqual([status, code]);
    expect(at(answer.json, "detail")).toBe(at(answer.json, "error", "message"));
    expect(server.memories.size()).toBe(0);
  });

  test("other media types are refused, so that a form on a web page cannot write", async () => {
    const server = await run();
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ]) {
      const answer = await server.send("POST", "/v1/cluster/stop", "{}", { "content-type": type });
      expect([answer.status, at(answer.json, "error", "code")]).toEqual([415, "media-type-unsupported"]);
    }
    expect(server.admin.calls).toEqual([]);
  });

  test("mem0's clients announce JSON on requests without a body", async () => {
    const server = await run();
    const answer = await server.send("DELETE", "/v1/memories/?user_id=a", undefined, {
      "content-type": "application/json",
    });
    expect(answer.json).toMatchObject({ deleted: 0 });
  });
});

describe("ids and deadlines", () => {
  test("a sane request id is kept, any other replaced, and each answer has one", async () => {
    const server = await run();
    const idOf = async (id?: string): Promise<unknown> => {
      const answer = await server.send(
        "GET",
        "/v1/memories/gone/",
        undefined,
        id === undefined ? {} : { "x-request-id": id },
      );
      expect(at(answer.json, "error", "requestId")).toBe(answer.headers["x-request-id"]);
      return answer.headers["x-request-id"];
    };
    expect(await idOf("job-7:step.2")).toBe("job-7:step.2");
    for (const bad of [undefined, "", "a b", "x".repeat(65), "\u001b[31m".slice(1), "é"]) {
      expect(await idOf(bad)).toMatch(/^[a-z0-9]+-[a-z0-9]+-[a-z0-9]+$/);
    }
  });

  test("deadline and consistency reach the service, within their bounds", async () => {
    const server = await run();
    const list = async (headers: Readonly<Record<string, string>>): Promise<number> =>
      (await server.send("POST", "/v3/memories/", {}, headers)).status;
    const before = performance.now();
    expect(await list({ "x-timeout-ms": "1500", "x-consistency": "stale", "x-request-id": "r-1" })).toBe(200);
    expect(await list({})).toBe(200);
    const after = performance.now();
    const [asked, usual] = server.memories.contexts;
    expect(asked).toMatchObject({ requestId: "r-1", consistency: { read: "stale" } });
    expect(usual).toMatchObject({ consistency: { read: "linearizable" } });
    expect(asked?.deadlineMs).toBeGreaterThanOrEqual(before + 1500);
    expect(asked?.deadlineMs).toBeLessThanOrEqual(after + 1500);
    expect(usual?.deadlineMs).toBeGreaterThanOrEqual(before + 10_000);
    for (const bad of ["0", "60001", "-1", "1.5", "soon", "", "1e99"]) {
      expect([bad, await list({ "x-timeout-ms": bad })]).toEqual([bad, 400]);
    }
    expect(await list({ "x-consistency": "eventual" })).toBe(400);
    expect(await list({ "x-consistency": "stale", "x-max-staleness-ms": "soon" })).toBe(400);
  });

  test("a level that the protocol does not have is refused with the reason", async () => {
    const server = await run({
      consistency: { protocol: "quorum", copies: 3, defaults: { read: "quorum", write: "quorum" } },
    });
    const list = (headers: Readonly<Record<string, string>>): Promise<Answer> =>
      server.send("POST", "/v3/memories/", {}, headers);
    const refused = await list({ "x-consistency": "linearizable" });
    expect(refused.status).toBe(400);
    expect(refused.json).toMatchObject({ error: { code: "quorum-not-linearizable" } });
    expect(await list({ "x-consistency": "4" })).toMatchObject({
      status: 400,
      json: { error: { code: "consistency-out-of-range" } },
    });
    expect(await list({ "x-write-consistency": "all", "x-consistency": "2" })).toMatchObject({ status: 200 });
    expect(server.memories.contexts).toMatchObject([{ consistency: { read: 2, write: "all" } }]);
  });

  test("the manifest's consistency is the default", async () => {
    const stale = { read: "stale", write: "quorum", maxStalenessMs: 2000 } as const;
    const server = await run({ consistency: { ...LEVELS, defaults: stale } });
    await server.send("POST", "/v3/memories/", {});
    expect(server.memories.contexts).toMatchObject([{ consistency: stale }]);
  });
});

describe("failures", () => {
  test("a failure of ours keeps its status, one that nobody foresaw tells nothing of its insides", async () => {
    const lines: string[] = [];
    const logger = pino(
      new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          lines.push(chunk.toString());
          done();
        },
      }),
    );
    const failures: Error[] = [
      new Mem0ctlError("unknown-outcome", "write-timeout", "the outcome is unknown"),
      new Mem0ctlError("unavailable", "no-quorum", "no quorum"),
      new Mem0ctlError("full", "disk-full", "the disk is full"),
      new Error("secret path /var/lib"),
    ];
    const memories = {
      ...inProcessMemories(),
      get: async () => Promise.reject(failures.shift() ?? new Error("none left")),
    };
    const server = await run({ memories, logger, tokens: TOKEN_DIGESTS });
    const get = async () =>
      server.send("GET", "/v1/memories/x/", undefined, { authorization: `Token ${TOKENS.read}` });
    expect((await get()).status).toBe(504);
    const unavailable = await get();
    expect([unavailable.status, unavailable.headers["retry-after"]]).toEqual([503, "1"]);
    expect((await get()).status).toBe(507);
    const unforeseen = await get();
    expect([unforeseen.status, at(unforeseen.json, "error", "code")]).toEqual([500, "internal"]);
    expect(unforeseen.text).not.toContain("secret path");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("secret path");
    expect(lines[0]).toContain(String(unforeseen.headers["x-request-id"]));
    expect(lines[0]).not.toContain(TOKENS.read);
  });

  test("bytes that are no HTTP get an answer in the same form", async () => {
    const server = await run();
    expect(await raw(server.port, "\u0000\u0001nonsense\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 400 .*"http-invalid"/s,
    );
    const long = `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`;
    expect(await raw(server.port, long)).toMatch(/^HTTP\/1\.1 431 .*"header-too-large"/s);
  });

  test("a request that does not arrive in time is ended", async () => {
    const server = await run({ requestTimeoutMs: 200 });
    const cut =
      "POST /v3/memories/add/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    expect(await raw(server.port, cut)).toMatch(/^HTTP\/1\.1 408 .*"request-timeout"/s);
    expect(await raw(server.port, "GET / HT")).toMatch(/^HTTP\/1\.1 408 /);
  });
});

describe("bounds on load", () => {
  test("a client that does not read its answer does not keep it, and its place, for ever", async () => {
    const memories = inProcessMemories();
    const text = "x".repeat(40 << 20);
    const get = async (id: string): Promise<StoredMemory> => {
      const at = "2026-01-01T00:00:00.000Z";
      return { id, memory: text, created_at: at, updated_at: at, hash: "" };
    };
    const server = await run({ memories: { ...memories, get }, silenceMs: 300 });
    const received = async (pauseMs: number): Promise<number> => {
      const socket = await connected(server.port);
      let bytes = 0;
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      socket.pause();
      socket.write("GET /v1/memories/m/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      socket.on("data", (chunk: Buffer) => (bytes += chunk.length));
      socket.resume();
      await closed;
      return bytes;
    };
    expect(await received(50)).toBeGreaterThan(text.length);
    expect(await received(1500)).toBeLessThan(text.length);
  });

  test("requests beyond the bound are told to come again, and room is made when others end", async () => {
    const gate = gateOf();
    const own = inProcessMemories();
    const memories = {
      ...own,
      stats: async (context: Parameters<typeof own.stats>[0]) => {
        await gate.opened;
        return own.stats(context);
      },
    };
    const server = await run({ memories, limits: { ...LIMITS, connectionsMax: 5_000 } });
    const running = Array.from({ length: 1_024 }, async () => server.send("GET", "/v1/memories/stats"));
    let refused = await server.send("GET", "/v1/ping/");
    // The 1,024 arrive on connections of their own, in whatever order the machine takes them in.
    while (refused.status === 200) refused = await server.send("GET", "/v1/ping/");
    expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "1"]);
    gate.open();
    const statuses = (await Promise.all(running)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(1_000);
    expect((await server.send("GET", "/v1/ping/")).status).toBe(200);
  });

  test("connections beyond the limit serve peers only", async () => {
    const peers: string[] = [];
    const server = await run({
      limits: { ...LIMITS, connectionsMax: 2 },
      onPeerUpgrade: (request, socket) => {
        peers.push(String(request.headers["x-node"]));
        socket.end("HTTP/1.1 101 Switching Protocols\r\n\r\n");
      },
    });
    const first = await connected(server.port);
    await connected(server.port);
    const refused = await server.send("GET", "/v1/ping/");
    expect([refused.status, at(refused.json, "error", "code")]).toEqual([429, "too-many-connections"]);
    expect(refused.headers.connection).toBe("close");
    const upgrade = `GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: ${PEER_PROTOCOL}\r\nX-Node: node-2\r\n\r\n`;
    expect(await raw(server.port, upgrade)).toContain("101");
    expect(peers).toEqual(["node-2"]);
    const left = new Promise((resolve) => first.once("close", resolve));
    first.destroy();
    await left;
    let again = await server.send("GET", "/v1/ping/");
    while (again.status === 429) again = await server.send("GET", "/v1/ping/");
    expect(again.status).toBe(200);
  });
});

describe("peers", () => {
  const upgrade = (headers: Readonly<Record<string, string>>, method = "GET"): string =>
    `${method} / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join("")}\r\n`;

  test("a peer is handed over with its first bytes, and whether its token is an admin's", async () => {
    const server = await run({
      tokens: TOKEN_DIGESTS,
      onPeerUpgrade: (_request, socket, head, authorised) => {
        socket.end(`${String(authorised)} ${head.toString()}`);
      },
    });
    const ask = async (authorization: string | undefined): Promise<string> =>
      raw(
        server.port,
        `${upgrade({ Upgrade: PEER_PROTOCOL, ...(authorization === undefined ? {} : { Authorization: authorization }) })}frame`,
      );
    expect(await ask(`Token ${TOKENS.admin}`)).toBe("true frame");
    expect(await ask(`Token ${TOKENS.write}`)).toBe("false frame");
    expect(await ask(undefined)).toBe("false frame");
  });

  test("any other upgrade is refused and never handed over", async () => {
    const server = await run({
      onPeerUpgrade: () => {
        throw new Error("must not come here");
      },
    });
    for (const bytes of [
      upgrade({ Upgrade: "websocket" }),
      upgrade({ Upgrade: "h2c" }),
      upgrade({ Upgrade: `${PEER_PROTOCOL}0` }),
      upgrade({ Upgrade: PEER_PROTOCOL }, "POST"),
    ]) {
      const answer = await raw(server.port, bytes);
      expect(answer).toMatch(/^HTTP\/1\.1 426 Upgrade Required\r\n/);
      expect(answer).toContain(`upgrade: ${PEER_PROTOCOL}`);
      expect(answer).toContain('"upgrade-required"');
    }
  });

  test("closing waits for running requests, not for peers and silent connections", async () => {
    const gate = gateOf();
    const started = gateOf();
    const own = inProcessMemories();
    const memories = {
      ...own,
      stats: async (context: Parameters<typeof own.stats>[0]) => {
        started.open();
        await gate.opened;
        return own.stats(context);
      },
    };
    const taken: { end: () => void }[] = [];
    const server = await run({
      memories,
      onPeerUpgrade: (_request, socket) => {
        taken.push(socket);
        socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n");
      },
    });
    const peer = await connected(server.port);
    const switched = new Promise<string>((resolve) => peer.once("data", (data) => resolve(data.toString())));
    peer.write(upgrade({ Upgrade: PEER_PROTOCOL }));
    expect(await switched).toContain("101");
    await connected(server.port);
    const running = server.send("GET", "/v1/memories/stats");
    await started.opened;
    const closing = server.close();
    gate.open();
    expect((await running).status).toBe(200);
    await closing;
    expect(peer.destroyed).toBe(false);
    await expect(server.send("GET", "/v1/ping/")).rejects.toThrow("ECONNREFUSED");
    for (const socket of taken) socket.end();
  });
});

describe("listening", () => {
  test("a taken port is named", async () => {
    const server = await run();
    const second = createHttpServer({
      routes: [],
      tokens: [],
      limits: LIMITS,
      consistency: LEVELS,
      logger: false,
      requestTimeoutMs: 1_000,
    });
    await expect(second.listen("127.0.0.1", server.port)).rejects.toMatchObject({
      code: "port-taken",
      message: expect.stringContaining(String(server.port)),
    });
    await second.close();
  });
});

describe("TLS", () => {
  test("clients come with a token alone; a peer must also show a certificate that the CA signed", async () => {
    const valid = { from: new Date(Date.now() - 60_000), to: new Date(Date.now() + 3_600_000) };
    const node = selfSigned(valid);
    const stranger = selfSigned(valid);
    const server = await run({
      tokens: TOKEN_DIGESTS,
      tls: { cert: Buffer.from(node.cert), key: Buffer.from(node.key), ca: Buffer.from(node.cert) },
      onPeerUpgrade: (_request, socket, _head, authorised) => {
        socket.end(`authorised: ${String(authorised)}`);
      },
    });
    const ask = async (bytes: string, identity: object): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connectTls(
          {
            port: server.port,
            host: "127.0.0.1",
            ca: node.cert,
            checkServerIdentity: () => undefined,
            ...identity,
          },
          () => socket.write(bytes),
        );
        let received = "";
        socket.on("data", (chunk: Buffer) => (received += chunk.toString()));
        socket.on("error", reject);
        socket.on("close", () => resolve(received));
      });
    const token = `Authorization: Token ${TOKENS.admin}\r\n`;
    const plain = `GET /v1/cluster/node HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${token}\r\n`;
    const peer = (authorization: string): string =>
      `GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${PEER_PROTOCOL}\r\n${authorization}\r\n`;
    expect(await ask(plain, {})).toMatch(/^HTTP\/1\.1 200 /);
    expect(await ask(peer(token), node)).toBe("authorised: true");
    expect(await ask(peer(""), node)).toBe("authorised: false");
    expect(await ask(peer(token), {})).toBe("authorised: false");
    expect(await ask(peer(token), stranger)).toBe("authorised: false");
    await expect(send(server.port, "GET", "/v1/ping/")).rejects.toThrow(/socket hang up|ECONNRESET/);
  });
});
