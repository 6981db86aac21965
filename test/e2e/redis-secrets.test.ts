// Memories in servers that ask for a certificate, an ACL user and a password, by the command line and through a
// gateway; and what of the secrets can be seen anywhere outside the files that hold them.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call } from "./support/api.ts";
import { makeCertificates } from "./support/certificates.ts";
import type { CommandResult, TestCluster } from "./support/cluster.ts";
import { startGateway, type TestGateway } from "./support/gateway.ts";
import { bringUpRedis, HAS_REDIS } from "./support/redis.ts";

const PASSWORD = "a-password-that:nobody/may@see#0123456789";
const TOKEN = "a-token-that-nobody-may-see-0123456789abcdef";
const NODES = ["node-1", "node-2", "node-3"];

describe.runIf(HAS_REDIS)("memories behind TLS, an ACL user and a password", () => {
  let cluster: TestCluster;
  let gateway: TestGateway;
  /** Everything that was printed, answered or written to a log. */
  const shown: string[] = [];
  beforeAll(async () => {
    cluster = await bringUpRedis({
      nodes: 3,
      spare: 1,
      flags: ["--replication", "none"],
      edit: (text, directory) => {
        makeCertificates(directory);
        writeFileSync(join(directory, "password"), PASSWORD, { mode: 0o600 });
        writeFileSync(join(directory, "token"), TOKEN, { mode: 0o600 });
        const lines = [
          "security:",
          "  user: mem0",
          "  password: { file: password }",
          "  tls: { cert: tls/node.pem, key: tls/node.key, ca: tls/ca.pem }",
          "  tokens: [{ name: app, role: admin, file: token }]",
        ];
        return `${text}${lines.map((line) => `  ${line}\n`).join("")}`;
      },
      // What libraries print for whoever debugs them.
      env: { DEBUG: "*", NODE_DEBUG: "ioredis" },
    });
    gateway = await startGateway(cluster.file, cluster.ports.at(-1) ?? 0);
  }, 120_000);
  afterAll(async () => {
    await gateway?.stop();
    await cluster?.end();
  });

  async function told(...words: readonly string[]): Promise<CommandResult> {
    const result = await cluster.mem0ctl(...words);
    shown.push(result.stdout, result.stderr);
    return result;
  }

  it("are added, read, searched, changed, exported and deleted by the command line", async () => {
    const added = await told("memories", "add", "Likes jasmine tea", "--user", "alice", "-v", "-o", "json");
    expect(added.code).toBe(0);
    const listed = await told("memories", "list", "--user", "alice", "-o", "json");
    const { results } = JSON.parse(listed.stdout) as { readonly results: readonly { readonly id: string }[] };
    const id = results[0]?.id ?? "";
    expect((await told("memories", "update", id, "--text", "Likes green tea")).code).toBe(0);
    const found = await told("memories", "search", "tea", "--user", "alice", "-o", "json");
    expect(JSON.parse(found.stdout)).toMatchObject({ results: [{ id, memory: "Likes green tea" }] });
    expect((await told("memories", "export")).stdout).toContain("Likes green tea");
    expect((await told("memories", "delete", id, "--yes")).code).toBe(0);
    expect((await told("status", "-v", "-o", "json")).code).toBe(0);
  });

  it("are served by a gateway over TLS to whoever has the token", async () => {
    const host = gateway.host.replace("http:", "https:");
    const ca = readFileSync(join(cluster.directory, "tls/ca.pem"));
    const add = (token: string): ReturnType<typeof call> =>
      call(host, {
        method: "POST",
        path: "/v3/memories/add/",
        body: { messages: "Likes tea", user_id: "bob" },
        headers: { authorization: `Token ${token}` },
        ca,
      });
    const answers = [await add(TOKEN), await add("another-token-0123456789abcdef0123456789")];
    shown.push(JSON.stringify(answers.map(({ body }) => body)));
    expect(answers.map(({ status }) => status)).toEqual([200, 401]);
    const listed = await told("memories", "list", "--user", "bob", "-o", "json");
    expect(JSON.parse(listed.stdout)).toMatchObject({ count: 1 });
  });

  it("are refused to whoever has another password, which is shown as little", async () => {
    const wrong = "another-password-that-nobody-may-see";
    writeFileSync(join(cluster.directory, "password"), wrong);
    const refused = await told("memories", "add", "Likes coffee", "--user", "alice", "-v", "-o", "json");
    writeFileSync(join(cluster.directory, "password"), PASSWORD);
    expect([refused.code, refused.stderr.includes("unauthenticated")]).toEqual([7, true]);
    expect(shown.filter((text) => text.includes(wrong))).toEqual([]);
  });

  it("leave no secret in what was printed, in logs, or in the arguments of any process", () => {
    const logs = NODES.map((node) => readFileSync(join(cluster.dataDir(node), "node.log"), "utf8"));
    const lines = readdirSync("/proc")
      .filter((entry) => /^\d+$/.test(entry))
      .map((pid) => contentOf(`/proc/${pid}/cmdline`));
    expect(lines.some((line) => line.includes(cluster.file))).toBe(true);
    const everything = [...shown, gateway.output(), ...logs, ...lines];
    expect(everything.filter((text) => text.includes(PASSWORD) || text.includes(TOKEN))).toEqual([]);
  });
});

function contentOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return ""; // A process that has ended meanwhile.
  }
}
