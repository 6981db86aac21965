// Levels of consistency through the built program: what each protocol offers, what it refuses and why, and
// that a bound on staleness holds when nodes are stopped, continued and lost.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ENGINE_CAPABILITIES } from "../../src/manifest/capabilities.ts";
import { call } from "./support/api.ts";
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
  }, 60_000);
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
  }, 60_000);

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
  }, 30_000);
});
