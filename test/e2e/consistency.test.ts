// Levels of consistency through the built program: what each protocol offers, what it refuses and why, and
// that a bound on staleness holds when nodes are stopped, continued and lost.

import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ENGINE_CAPABILITIES } from "../../src/manifest/capabilities.ts";
import { call, codeOf } from "./support/api.ts";
import { bringUpCluster, until, type CommandResult, type TestCluster } from "./support/cluster.ts";

const LOGS = ENGINE_CAPABILITIES.embedded.protocols.filter((protocol) => protocol !== "quorum");
const BOUND_MS = 400;

/** The exit code and the code of the error, and that a refusal is three lines that say what to do. */
function refusal({ code, stdout, stderr }: CommandResult): readonly [number, string, string] {
  const [what = "", why = "", hint = ""] = stderr.split("\n");
  return [
    code,
    /^error\[([a-z-]+)\]/.exec(what)?.[1] ?? stderr,
    `${stdout}${why.startsWith("  why: ") && hint.startsWith("  try: ") ? "says what to do" : stderr}`,
  ];
}

function idIn({ stdout }: CommandResult): string {
  const { results }: { results: readonly { readonly id: string }[] } = JSON.parse(stdout);
  return results[0]?.id ?? "";
}

describe.each(LOGS)("%s", (protocol) => {
  let cluster: TestCluster;
  let id = "";
  beforeAll(async () => {
    cluster = await bringUpCluster({ flags: ["--consensus", protocol] });
    const added = await cluster.mem0ctl("memories", "add", "first", "--user", "alice", "-o", "json");
    id = idIn(added);
  });
  afterAll(async () => cluster.end());

  const memoryAt = async (host: string, headers: Readonly<Record<string, string>>): Promise<unknown> => {
    const { status, body } = await call(host, { path: `/v1/memories/${id}/`, headers });
    return status === 200 ? (body as { readonly memory: string }).memory : status;
  };

  test("offers linearizable and stale reads, with a bound", async () => {
    const get = (...flags: readonly string[]): Promise<CommandResult> =>
      cluster.mem0ctl("memories", "get", id, ...flags);
    expect((await get("--consistency", "linearizable")).code).toBe(0);
    expect((await get("--consistency", "stale", "--max-staleness", "5s")).stdout).toContain("first");
    expect((await get("--consistency", "stale")).code).toBe(0);
  });

  test("of updates on the same condition exactly one is done", async () => {
    const [host = ""] = cluster.hosts;
    const seen = await call(host, { path: `/v1/memories/${id}/` });
    const { hash } = seen.body as { readonly hash: string };
    const change = async (text: string, at: string): Promise<number> => {
      const body = { text, if_hash: hash };
      return (await call(at, { method: "PUT", path: `/v1/memories/${id}/`, body })).status;
    };
    const answers = await Promise.all(
      Array.from({ length: 9 }, async (_, number) =>
        change(`change ${number}`, cluster.hosts[number % 3] ?? ""),
      ),
    );
    expect(answers.filter((status) => status !== 409)).toEqual([200]);
    expect((await cluster.mem0ctl("memories", "update", id, "--text", "first")).code).toBe(0);
    const late = await cluster.mem0ctl("memories", "update", id, "--text", "x", "--if-hash", "0".repeat(32));
    expect(refusal(late)).toEqual([6, "memory-changed", "says what to do"]);
  });

  test("refuses what belongs to the quorum protocol, and a bound without a stale read", async () => {
    const get = async (...flags: readonly string[]): Promise<readonly [number, string, string]> =>
      refusal(await cluster.mem0ctl("memories", "get", id, ...flags));
    for (const level of ["one", "quorum", "all", "2"]) {
      expect(await get("--consistency", level)).toEqual([
        2,
        "consistency-not-in-protocol",
        "says what to do",
      ]);
    }
    expect(await get("--max-staleness", "2s")).toEqual([2, "staleness-without-stale", "says what to do"]);
    const add = await cluster.mem0ctl("memories", "add", "x", "--user", "bob", "--consistency", "all");
    expect(refusal(add)).toEqual([2, "consistency-not-in-protocol", "says what to do"]);
  });

  test("a node that was stopped answers within the bound again, and with nothing older", async () => {
    const [, , host = ""] = cluster.hosts;
    const bound = { "x-consistency": "stale", "x-max-staleness-ms": String(BOUND_MS) };
    for (const round of [1, 2, 3]) {
      expect(await memoryAt(host, bound)).toBe(round === 1 ? "first" : `change ${round - 1}`);
      await cluster.signal("node-3", "SIGSTOP");
      await until("the change is acknowledged", async () => {
        const { code } = await cluster.mem0ctl("memories", "update", id, "--text", `change ${round}`);
        return code === 0;
      });
      await new Promise((resolve) => setTimeout(resolve, 2 * BOUND_MS));
      await cluster.signal("node-3", "SIGCONT");
      expect(await memoryAt(host, bound)).toBe(`change ${round}`);
    }
  });

  test("one copy alone answers stale reads, but none with a bound and none that are linearizable", async () => {
    await cluster.signal("node-1", "SIGKILL");
    await cluster.signal("node-2", "SIGKILL");
    const get = (...flags: readonly string[]): Promise<CommandResult> =>
      cluster.mem0ctl("memories", "get", id, "--timeout", "3s", ...flags);
    expect((await get("--consistency", "stale")).stdout).toContain("change 3");
    await new Promise((resolve) => setTimeout(resolve, 2 * BOUND_MS));
    expect(refusal(await get("--consistency", "stale", "--max-staleness", `${BOUND_MS}ms`))).toEqual([
      4,
      "too-stale",
      "says what to do",
    ]);
    expect((await get()).code).toBe(4);
    const { code, stdout } = await cluster.mem0ctl("replicas", "verify", "0", "--timeout", "3s");
    const said = stdout.replaceAll(/\s+/g, " ");
    expect([code, said.includes("hold the same: ")]).toEqual([3, false]);
    expect(said).toContain("node-3: no state of shard 0 on node-3 is known to be at most 500 ms behind");
    expect(said).toContain("no leader said so in time. `mem0ctl status` says what is missing");
  });
});

describe.runIf(ENGINE_CAPABILITIES.embedded.protocols.includes("quorum"))("quorum", () => {
  let cluster: TestCluster;
  let id = "";
  beforeAll(async () => {
    cluster = await bringUpCluster({ flags: ["--consensus", "quorum"] });
    id = idIn(await cluster.mem0ctl("memories", "add", "first", "--user", "alice", "-o", "json"));
  });
  afterAll(async () => cluster.end());

  test("has no shard leaders, and says so everywhere; the metadata group has its own", async () => {
    const { code, view } = await cluster.status();
    expect(code).toBe(0);
    expect(view).toMatchObject({ protocol: "quorum", levels: { read: 2, write: 2 }, health: "healthy" });
    expect(view.leader).toMatch(/^node-/);
    for (const shard of view.shards) {
      expect(shard).toMatchObject({ leader: null, term: 0, leaderless: true, state: "ok" });
      expect(shard.replicas.map(({ copy }) => copy)).toEqual(["serving", "serving", "serving"]);
    }
    const text = async (...args: readonly string[]): Promise<string> =>
      (await cluster.mem0ctl(...args)).stdout;
    expect(await text("status")).toContain("quorum, R 2 W 2, leaderless by design, 8 ok");
    expect(await text("shards", "map")).toContain("leaderless by design");
    expect(await text("shards", "locate", "alice")).toContain("leaderless by design");
    expect(await text("leader", "show")).toContain("8 shards are leaderless by design");
    expect(refusal(await cluster.mem0ctl("leader", "transfer", "3"))).toEqual([
      2,
      "leaderless-by-design",
      "says what to do",
    ]);
  });

  test("takes one, quorum, all and numbers, and refuses what it cannot promise", async () => {
    const get = (...flags: readonly string[]): Promise<CommandResult> =>
      cluster.mem0ctl("memories", "get", id, ...flags);
    for (const level of ["one", "quorum", "all", "1", "3"]) {
      expect((await get("--consistency", level)).stdout).toContain("first");
    }
    const wrong = [
      ["linearizable", "quorum-not-linearizable"],
      ["stale", "consistency-not-in-protocol"],
      ["4", "consistency-out-of-range"],
      ["0", "consistency-out-of-range"],
    ] as const;
    for (const [level, code] of wrong) {
      expect(refusal(await get("--consistency", level))).toEqual([2, code, "says what to do"]);
    }
    const conditional = ["update", id, "--text", "x", "--if-hash", "0".repeat(32)];
    expect(refusal(await cluster.mem0ctl("memories", ...conditional))).toEqual([
      2,
      "no-compare-and-set",
      "says what to do",
    ]);
    // What the nodes say to whoever does not ask the program first.
    const body = { text: "x", if_hash: "0".repeat(32) };
    const path = `/v1/memories/${id}/`;
    const asked = await call(cluster.hosts[0] ?? "", { method: "PUT", path, body });
    expect([asked.status, codeOf(asked)]).toEqual([400, "no-compare-and-set"]);
  });

  test("goes on without a node, keeps hints for it, and brings it what it missed", async () => {
    await cluster.signal("node-3", "SIGKILL");
    for (const number of [1, 2, 3, 4]) {
      const { code } = await cluster.mem0ctl("memories", "add", `while away ${number}`, "--user", "bob");
      expect(code).toBe(0);
    }
    const never = ["memories", "add", "never", "--user", "bob", "--consistency", "all", "--timeout", "2s"];
    const all = await cluster.mem0ctl(...never);
    expect([4, 5]).toContain(all.code);
    const { code, view } = await cluster.status();
    expect([code, view.health]).toEqual([3, "degraded"]);
    expect(view.replication.hints).toBeGreaterThanOrEqual(4);
    expect((await cluster.mem0ctl("replicas", "lag")).stdout).toContain("hints pending");

    expect((await cluster.mem0ctl("up", "--timeout", "40s")).code).toBe(0);
    await until("no hint is left", async () => (await cluster.status()).view.replication.hints === 0);
    const own = await call(cluster.hosts[2] ?? "", {
      method: "POST",
      path: "/v3/memories/",
      body: { filters: { user_id: "bob" } },
      headers: { "x-consistency": "one" },
    });
    const { results } = own.body as { readonly results: readonly { readonly memory: string }[] };
    const texts = results.map(({ memory }) => memory).filter((memory) => memory !== "never");
    expect(texts.toSorted((a, b) => (a < b ? -1 : 1))).toEqual([1, 2, 3, 4].map((n) => `while away ${n}`));
  });

  test("with one copy left takes neither reads nor writes by quorum, and both by one", async () => {
    await cluster.signal("node-1", "SIGKILL");
    await cluster.signal("node-2", "SIGKILL");
    const { code, view } = await cluster.status();
    expect([code, view.reasons[0]?.code]).toEqual([4, "shard-below-level"]);
    const get = (...flags: readonly string[]): Promise<CommandResult> =>
      cluster.mem0ctl("memories", "get", id, "--timeout", "2s", ...flags);
    expect((await get()).code).toBe(4);
    expect((await get("--consistency", "one")).stdout).toContain("first");
    const add = await cluster.mem0ctl("memories", "add", "alone", "--user", "eve", "--consistency", "one");
    expect(add.code).toBe(0);
  });
});

test("a change of the protocol under live data is refused at the start, and the migration is named", async () => {
  const cluster = await bringUpCluster({ nodes: 1, flags: ["--replication", "none"] });
  try {
    expect((await cluster.mem0ctl("down")).code).toBe(0);
    const written = readFileSync(cluster.file, "utf8");
    const edited = written
      .replace("protocol: raft", "protocol: quorum")
      .replace("read: linearizable,", "read: quorum,");
    writeFileSync(cluster.file, edited);
    const refused = await cluster.mem0ctl("up", "--timeout", "20s");
    expect(refused.code).toBe(6);
    expect(refused.stderr).toContain("error[protocol-changed]");
    expect(refused.stderr).toContain("mem0ctl memories export");
    writeFileSync(cluster.file, written);
    expect((await cluster.mem0ctl("up", "--timeout", "20s")).code).toBe(0);
  } finally {
    await cluster.end();
  }
});
