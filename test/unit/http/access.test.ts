// Who may call what: every route of the table, over real HTTP, with every token.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAdmission } from "../../../src/http/admission.ts";
import { createApp } from "../../../src/http/app.ts";
import type { TokenRole } from "../../../src/model/manifest.ts";
import { createGate } from "../../../src/http/access.ts";
import { nodeRoutes, ROUTES } from "../../../src/node/http/routes.ts";
import { DIMENSIONS } from "./support/memory-service.ts";
import {
  at,
  LIMITS,
  runServer,
  TOKEN_DIGESTS,
  TOKENS,
  type RunningServer,
  LEVELS,
} from "./support/running-server.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await runServer({ tokens: TOKEN_DIGESTS });
});
afterAll(async () => server.close());

const concrete = (path: string): string => path.replaceAll(/\{\w+\}/g, "x");
const RANK = { read: 1, write: 2, admin: 3 } as const;

describe("every route", () => {
  test.each(ROUTES.map((route) => [`${route.method} ${route.path}`, route] as const))(
    "%s asks for a token of its role",
    async (_name, route) => {
      const body = route.body === undefined ? undefined : "not JSON: whoever may come in gets 400";
      const outcome = async (authorization?: string): Promise<string> => {
        const headers = authorization === undefined ? {} : { authorization };
        const { status } = await server.send(route.method, concrete(route.path), body, headers);
        return status === 401 ? "no token" : status === 403 ? "role too small" : "let in";
      };
      const needed = route.access === "ping" ? "read" : route.access;
      const ofRole = (role: TokenRole): string => (RANK[role] < RANK[needed] ? "role too small" : "let in");
      expect({
        none: await outcome(),
        wrong: await outcome("Token wrong"),
        read: await outcome(`Token ${TOKENS.read}`),
        write: await outcome(`Token ${TOKENS.write}`),
        admin: await outcome(`Token ${TOKENS.admin}`),
      }).toEqual({
        none: route.access === "ping" ? "let in" : "no token",
        wrong: "no token",
        read: ofRole("read"),
        write: ofRole("write"),
        admin: "let in",
      });
    },
  );

  test("only reads are open to readers, and the cluster's operations to admins alone", () => {
    const roleOf = (method: string, path: string): string => {
      if (path === "/v1/ping/") return "ping";
      if (method === "POST" && path.startsWith("/v1/cluster/")) return "admin";
      const isRead = method === "GET" || path === "/v3/memories/" || path === "/v3/memories/search/";
      return isRead ? "read" : "write";
    };
    for (const { method, path, access } of ROUTES) {
      expect(`${method} ${path} ${access}`).toBe(`${method} ${path} ${roleOf(method, path)}`);
    }
  });

  test("the router knows no route that is not in the table", async () => {
    const app = createApp({
      routes: nodeRoutes({ dimensions: DIMENSIONS, batchMax: LIMITS.batchMax }, () => server),
      tokens: [],
      limits: LIMITS,
      consistency: LEVELS,
      logger: false,
      admission: createAdmission({ requestsMax: 1, bytesMax: 1 }),
      checkConnection: () => {},
    });
    expect(() => app.get("/backdoor", async () => "open")).toThrow("declares no access");
    await app.ready();
    const drawn = app.printRoutes({ commonPrefix: false });
    const methods = [...drawn.matchAll(/\(([A-Z, ]+)\)/g)].flatMap(([, names]) => (names ?? "").split(", "));
    expect(methods.toSorted()).toEqual(ROUTES.map((route) => route.method).toSorted());
    await app.close();
  });
});

describe("tokens", () => {
  const get = async (authorization: string): Promise<number> =>
    (await server.send("GET", "/v1/cluster/node", undefined, { authorization })).status;

  test("both schemes are taken, in any case of the scheme's name", async () => {
    expect(await get(`Token ${TOKENS.read}`)).toBe(200);
    expect(await get(`Bearer ${TOKENS.read}`)).toBe(200);
    expect(await get(`bearer ${TOKENS.read}`)).toBe(200);
  });

  test.each([
    `Basic ${TOKENS.read}`,
    TOKENS.read,
    "Token",
    "Token ",
    `Token ${TOKENS.read} `.repeat(2),
    `Token ${TOKENS.read.slice(0, -1)}`,
    `Token ${TOKENS.read.toUpperCase()}`,
    `Token ${"x".repeat(5000)}`,
    `Token ${TOKEN_DIGESTS[0]?.sha256 ?? ""}`,
  ])("%s opens nothing", async (authorization) => {
    expect(await get(authorization)).toBe(401);
  });

  test("a refusal names the header to send and repeats no token", async () => {
    const secret = "hunter2-hunter2-hunter2";
    const answer = await server.send("GET", "/v1/cluster/node", undefined, {
      authorization: `Token ${secret}`,
    });
    expect(answer.headers["www-authenticate"]).toContain("Bearer");
    expect(at(answer.json, "error", "code")).toBe("unauthenticated");
    expect(answer.text).not.toContain(secret);
  });

  test("without a token an unknown route looks like any other", async () => {
    expect((await server.send("GET", "/nowhere")).status).toBe(401);
    expect((await server.send("GET", "/%zz")).status).toBe(401);
    const authorization = `Token ${TOKENS.read}`;
    expect((await server.send("GET", "/nowhere", undefined, { authorization })).status).toBe(404);
    expect((await server.send("GET", "/%zz", undefined, { authorization })).status).toBe(400);
  });

  test("ping needs no token from this machine, but a wrong one is refused, so that clients notice", async () => {
    expect((await server.send("GET", "/v1/ping/")).json).toEqual({ status: "ok" });
    expect((await server.send("GET", "/v1/ping/", undefined, { authorization: "Token wrong" })).status).toBe(
      401,
    );
    const gate = createGate(TOKEN_DIGESTS);
    const from = (remoteAddress: string | undefined) => () =>
      gate.check({ headers: {}, remoteAddress }, "ping");
    expect(from("::ffff:127.0.0.1")).not.toThrow();
    for (const address of ["10.0.0.1", "::2", "128.0.0.1", undefined]) expect(from(address)).toThrow("token");
  });

  test("a digest that is none is refused at the start", () => {
    expect(() => createGate([{ name: "x", role: "admin", sha256: "abc" }])).toThrow("64 hex digits");
  });
});

describe("without tokens", () => {
  test("programs on this machine may do everything, web pages and renamed hosts nothing", async () => {
    const open = await runServer();
    try {
      const status = async (headers: Readonly<Record<string, string>>): Promise<number> =>
        (await open.send("POST", "/v1/cluster/stop", {}, headers)).status;
      expect(await status({})).toBe(200);
      expect(await status({ host: `localhost:${open.port}` })).toBe(200);
      expect(await status({ host: `[::1]:${open.port}` })).toBe(200);
      expect(await status({ origin: "https://example.com" })).toBe(403);
      expect(await status({ host: "rebound.example.com" })).toBe(403);
      expect(await status({ host: "127.0.0.1.example.com" })).toBe(403);
      expect(open.admin.calls).toEqual(["stop", "stop", "stop"]);
    } finally {
      await open.close();
    }
  });
});
