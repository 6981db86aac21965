// A cluster behind TLS and tokens: who has no token gets nothing, who has a small one not much, peers need
// certificates, and no token is ever seen in a log, a file that mem0ctl wrote, or a command line.

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PEER_PROTOCOL } from "../../src/node/transport/network.ts";
import { bringUpCluster, type TestCluster } from "./support/cluster.ts";

const TOKENS = {
  read: randomBytes(32).toString("hex"),
  write: randomBytes(32).toString("hex"),
  admin: randomBytes(32).toString("hex"),
} as const;
const BODY = { messages: "keeps a secret", user_id: "ada" };

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await bringUpCluster({
    edit: (manifest, directory) => {
      makeCertificates(directory);
      mkdirSync(join(directory, "tokens"), { mode: 0o700 });
      for (const [role, token] of Object.entries(TOKENS)) {
        writeFileSync(join(directory, "tokens", role), `${token}\n`, { mode: 0o600 });
      }
      return `${manifest}
  security:
    tls: { cert: "tls/{node}.pem", key: "tls/{node}.key", ca: tls/ca.pem }
    tokens:
      - { name: admin, role: admin, file: tokens/admin }
      - { name: writer, role: write, file: tokens/write }
      - { name: reader, role: read, file: tokens/read }
`;
    },
  });
});
afterAll(async () => cluster?.end());

function makeCertificates(directory: string): void {
  const folder = join(directory, "tls");
  mkdirSync(folder, { mode: 0o700 });
  const openssl = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=e2e-ca");
  writeFileSync(join(folder, "san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  for (const node of ["node-1", "node-2", "node-3"]) {
    openssl("req", ...key, "-keyout", `${node}.key`, "-out", "request", "-subj", `/CN=${node}`);
    const sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san"];
    openssl("x509", "-req", "-in", "request", ...sign, "-out", `${node}.pem`);
  }
}

/** The status of one request; `upgrade` asks to become a peer. */
async function status(
  method: string,
  path: string,
  token: string | undefined,
  extra: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port: cluster.ports[0],
        method,
        path,
        agent: false,
        ca: readFileSync(join(cluster.directory, "tls", "ca.pem")),
        headers: {
          ...(token === undefined ? {} : { authorization: `Token ${token}` }),
          ...(extra.body === undefined ? {} : { "content-type": "application/json" }),
          ...extra.headers,
        },
      },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    sent.on("upgrade", (_response, socket) => {
      socket.destroy();
      resolve(101);
    });
    sent.on("error", reject);
    sent.end(extra.body === undefined ? undefined : JSON.stringify(extra.body));
  });
}

describe("a cluster with TLS and tokens", () => {
  test("is healthy, and the CLI reads the manifest's admin token", async () => {
    const { code, view } = await cluster.status();
    expect({ code, health: view.health }).toEqual({ code: 0, health: "healthy" });
    expect(await cluster.mem0ctl("memories", "add", "an admin may", "--user", "ada")).toMatchObject({
      code: 0,
    });
  });

  test("without a token, or with a wrong one, the answer is 401; with too small a role 403", async () => {
    expect(await status("GET", "/v1/memories/stats", undefined)).toBe(401);
    expect(await status("GET", "/v1/memories/stats", randomBytes(32).toString("hex"))).toBe(401);
    expect(await status("GET", "/v1/memories/stats", TOKENS.read)).toBe(200);
    const add = { body: BODY };
    expect(await status("POST", "/v3/memories/add/", TOKENS.read, add)).toBe(403);
    expect(await status("POST", "/v3/memories/add/", TOKENS.write, add)).toBe(200);
    const stop = { body: { group: "meta" } };
    expect(await status("POST", "/v1/cluster/transfer", TOKENS.write, stop)).toBe(403);
    expect(await status("POST", "/v1/cluster/transfer", undefined, stop)).toBe(401);
  });

  test("the CLI exits with 7 when the nodes do not know its token, or its role is too small", async () => {
    for (const token of [randomBytes(32).toString("hex"), TOKENS.read]) {
      process.env["MEM0CTL_TOKEN"] = token;
      const { code, stderr } = await cluster.mem0ctl("memories", "add", "not allowed", "--user", "ada");
      delete process.env["MEM0CTL_TOKEN"];
      expect(code).toBe(7);
      expect(stderr).not.toContain(token);
    }
  });

  test("plain HTTP gets no answer, and an admin token alone makes nobody a peer", async () => {
    await expect(fetch(`http://127.0.0.1:${cluster.ports[0] ?? 0}/v1/ping/`)).rejects.toThrow("fetch failed");
    const upgrade = { headers: { connection: "Upgrade", upgrade: PEER_PROTOCOL } };
    expect(await status("GET", "/", TOKENS.admin, upgrade)).toBe(401);
    expect(await status("GET", "/", undefined, upgrade)).toBe(401);
  });

  test("no token is in any file that mem0ctl wrote, nor in any command line", () => {
    const files = readdirSync(cluster.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.endsWith("tokens"))
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.filter((file) => file.endsWith("node.log"))).toHaveLength(3);
    const lines = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => `/proc/${pid}/cmdline`);
    const tokens = Object.values(TOKENS);
    const telling = [...files, ...lines].filter((file) => {
      const text = contentOf(file);
      return tokens.some((token) => text.includes(token));
    });
    expect(telling).toEqual([]);
  });

  test("what nodes write is for their owner alone", () => {
    const open = readdirSync(join(cluster.directory, ".mem0ctl"), { recursive: true, withFileTypes: true })
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => (statSync(path).mode & 0o077) !== 0);
    expect(open).toEqual([]);
  });
});

function contentOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    // A process that has ended meanwhile.
    return "";
  }
}
