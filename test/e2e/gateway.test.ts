// `mem0ctl serve`: started by the built program in front of real servers, reachable from elsewhere only with
// TLS and tokens, silent about secrets, and ended cleanly in the middle of its work.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { call, codeOf } from "./support/api.ts";
import { bringUpCluster, until, type CommandResult, type TestCluster } from "./support/cluster.ts";
import { startGateway, type TestGateway } from "./support/gateway.ts";
import { bringUpRedis, HAS_REDIS } from "./support/redis.ts";

const TOKEN = "a-token-that-nobody-may-see-0123456789abcdef";
const PASSWORD = "a-password-that-nobody-may-see-0123456789";

function errorOf({ code, stderr }: CommandResult): readonly [number, string | undefined] {
  return [code, /error\[([a-z-]+)\]/.exec(stderr)?.[1]];
}

describe.runIf(HAS_REDIS)("a gateway", () => {
  let cluster: TestCluster;
  let gateway: TestGateway;
  let port = 0;
  beforeAll(async () => {
    cluster = await bringUpRedis({
      spare: 1,
      edit: (text, directory) => {
        writeFileSync(join(directory, "token"), TOKEN, { mode: 0o600 });
        writeFileSync(join(directory, "password"), PASSWORD, { mode: 0o600 });
        return `${text}\n  security:\n    password: { file: password }\n    tokens:\n      - { name: app, role: admin, file: token }\n`;
      },
    });
    port = cluster.ports.at(-1) ?? 0;
    gateway = await startGateway(cluster.file, port);
  });
  afterAll(async () => {
    await gateway?.stop();
    await cluster?.end();
  });

  const authorization = { authorization: `Token ${TOKEN}` };
  const add = (user_id: string): ReturnType<typeof call> =>
    call(gateway.host, {
      method: "POST",
      path: "/v3/memories/add/",
      body: { messages: "Likes tea", user_id },
      headers: authorization,
    });

  test("asks for a token, and takes requests with one", async () => {
    const refused = await call(gateway.host, { path: "/v1/entities/" });
    expect([refused.status, codeOf(refused)]).toEqual([401, "unauthenticated"]);
    expect((await add("ada")).status).toBe(200);
    const entities = await call(gateway.host, { path: "/v1/entities/", headers: authorization });
    expect(entities).toMatchObject({ status: 200, body: { count: 1 } });
  });

  test("refuses levels that the servers do not have, and takes those that they have", async () => {
    const list = (level: string): ReturnType<typeof call> =>
      call(gateway.host, {
        method: "POST",
        path: "/v3/memories/",
        body: { filters: { user_id: "ada" } },
        headers: { ...authorization, "x-consistency": level },
      });
    expect((await list("one")).status).toBe(200);
    const refused = await list("linearizable");
    expect([refused.status, codeOf(refused)]).toEqual([400, "consistency-not-in-protocol"]);
  });

  test("what the command line writes it serves, and the other way round", async () => {
    const { stdout } = await cluster.mem0ctl("memories", "list", "--user", "ada", "-o", "json");
    const { results } = JSON.parse(stdout) as { readonly results: readonly { readonly id: string }[] };
    const id = results[0]?.id ?? "";
    const got = await call(gateway.host, { path: `/v1/memories/${id}/`, headers: authorization });
    expect(got).toMatchObject({ status: 200, body: { id, memory: "Likes tea", user_id: "ada" } });
  });

  test("serves no route of an operator, and says which it has", async () => {
    const missing = await call(gateway.host, { path: "/v1/cluster/node", headers: authorization });
    expect([missing.status, codeOf(missing)]).toEqual([404, "route-unknown"]);
    const document = await call(gateway.host, { path: "/openapi.json", headers: authorization });
    expect(document).toMatchObject({ status: 200, body: { info: { title: "mem0ctl gateway" } } });
  });

  test("goes on while a primary is lost and another takes over", async () => {
    const { view } = await cluster.status();
    const lost = view.shards[0]?.leader ?? "";
    await cluster.signal(lost, "SIGKILL");
    const users = Array.from({ length: 24 }, (_, at) => `user-${at}`);
    const answers = await Promise.all(
      users.map(async (user) => {
        // One whose outcome is not known may be there: asked for again, it is there at least once.
        for (;;) {
          const { status } = await add(user);
          if (status === 200 || (status !== 503 && status !== 504)) return status;
        }
      }),
    );
    expect(new Set(answers)).toEqual(new Set([200]));
    expect((await cluster.mem0ctl("up")).code).toBe(0);
  });

  test("ends cleanly on SIGTERM: what was taken is answered, what comes after is refused", async () => {
    let answered = 0;
    const running = Promise.all(
      Array.from({ length: 60 }, async (_, at) => {
        const { status } = await add(`late-${at}`);
        answered += 1;
        return { user: `late-${at}`, status };
      }),
    );
    await until("the first are answered", () => answered > 0);
    expect(await gateway.stop()).toBe(0);
    const answers = await running;
    // Refused while it stops, or no longer let in: whoever got 200 has it, and nobody got half an answer.
    expect(answers.filter(({ status }) => ![200, 503, 0].includes(status))).toEqual([]);
    const done = answers.filter(({ status }) => status === 200);
    expect(done.length).toBeGreaterThan(0);
    for (const { user } of done) {
      const { stdout } = await cluster.mem0ctl("memories", "list", "--user", user, "-o", "json");
      expect(JSON.parse(stdout)).toMatchObject({ count: 1 });
      if (user === done[4]?.user) break;
    }
    expect((await add("gone")).status).toBe(0);
    expect(gateway.output()).toContain("gateway stopped");
    gateway = await startGateway(cluster.file, port);
  });

  test("shows no secret in its log, its arguments or its errors", () => {
    const shown = gateway.output() + readFileSync(`/proc/${gateway.child.pid}/cmdline`, "utf8");
    expect(shown).toContain("gateway started");
    expect([shown.includes(TOKEN), shown.includes(PASSWORD)]).toEqual([false, false]);
  });

  test("does not start where it could be reached without TLS, or its port is taken", async () => {
    expect(errorOf(await cluster.mem0ctl("serve", "--listen", `0.0.0.0:${port}`))).toEqual([
      2,
      "exposed-without-security",
    ]);
    expect(errorOf(await cluster.mem0ctl("serve", "--listen", "nowhere"))).toEqual([2, "invalid-address"]);
    const holder = createServer().listen(0, "127.0.0.1");
    await until("the port is taken", () => holder.listening);
    const taken = (holder.address() as { readonly port: number }).port;
    expect(errorOf(await cluster.mem0ctl("serve", "--listen", `127.0.0.1:${taken}`))).toEqual([
      1,
      "port-taken",
    ]);
    holder.close();
  });

  test("is refused in front of an engine that needs none", async () => {
    const embedded = await bringUpCluster({ nodes: 1, flags: ["--replication", "none"], spare: 1 });
    try {
      const place = `127.0.0.1:${embedded.ports.at(-1)}`;
      expect(errorOf(await embedded.mem0ctl("serve", "--listen", place))).toEqual([2, "gateway-not-needed"]);
    } finally {
      await embedded.end();
    }
  });
});
