// A disk that is full, as a limit on the size of one node's files: it says so, takes no writes and lives, the
// others go on in its place, and with room again, or started again, it has what they have.

import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NodeReport } from "../../src/model/node-api.ts";
import { call, codeOf, importRecords, record, type Answer } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const LIMIT_BYTES = 65_536;
/** After a flush of a node's state the next one is not begun for longer than this. */
const UNFLUSHED_MS = 1000;
/** A node that has written nothing for longer than this has nothing left to flush. */
const IDLE_MS = 5000;

describe.each(["raft", "paxos", "quorum"] as const)("a disk that is full, under %s", (protocol) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bringUpCluster({
      flags: ["--shards", "3", "--sharding", "hash", "--consensus", protocol],
    });
  });
  afterAll(async () => cluster?.end());

  function limit(node: string, bytes: string): void {
    execFileSync("prlimit", ["--pid", String(cluster.pidOf(node)), `--fsize=${bytes}:unlimited`]);
  }

  let written = 0;
  const acknowledged: string[] = [];

  /** One large memory, on each shard in turn, through a node that has room. */
  async function write(): Promise<Answer> {
    const id = `d-${(written += 1)}`;
    const answer = await importRecords(
      cluster.hosts[2] ?? "",
      [record(id, `user-${written % 6}`, "z".repeat(100_000))],
      2000,
    );
    if (answer.status === 200) acknowledged.push(id);
    return answer;
  }

  async function writeToAll(): Promise<readonly Answer[]> {
    return Promise.all(Array.from({ length: 6 }, write));
  }

  /**
   * A node whose files may not grow beyond what they are above already. Set between two flushes of its state: a
   * file system that fills up gives notice, and a limit does not.
   */
  async function fill(node: string): Promise<void> {
    await until("its state is larger", async () => {
      await writeToAll();
      return stateFile(node).size > LIMIT_BYTES;
    });
    await until("its state was just flushed", async () => {
      const sinceMs = Date.now() - stateFile(node).mtimeMs;
      if (sinceMs > IDLE_MS) await writeToAll();
      return sinceMs > UNFLUSHED_MS / 10 && sinceMs < UNFLUSHED_MS;
    });
    limit(node, String(LIMIT_BYTES));
  }

  function stateFile(node: string): { readonly size: number; readonly mtimeMs: number } {
    return statSync(join(cluster.dataDir(node), "store", "state", "data.mdb"));
  }

  async function refusal(): Promise<string | null> {
    const { body } = await call(cluster.hosts[0] ?? "", { path: "/v1/cluster/node" });
    return (body as NodeReport).writeRefusal;
  }

  async function refuses(): Promise<void> {
    await until("node-1 refuses writes", async () => {
      await writeToAll();
      return (await refusal()) !== null;
    });
  }

  async function lost(): Promise<readonly string[]> {
    const answers = await Promise.all(
      acknowledged.map(async (id) => call(cluster.hosts[2] ?? "", { path: `/v1/memories/${id}/` })),
    );
    return acknowledged.filter((_, index) => answers[index]?.status !== 200);
  }

  test("the node says so, its writes are refused, and soon others lead in its place", async () => {
    await fill("node-1");
    const answers: Answer[] = [];
    await until("status says that node-1 refuses writes", async () => {
      answers.push(...(await writeToAll()));
      const { reasons } = (await cluster.status()).view;
      return reasons.some(({ code, message }) => code === "write-refused" && message.includes("node-1"));
    });
    // Refused (certainly not written), or unknown; nothing else.
    const said = answers.map((answer) => codeOf(answer) ?? "acknowledged");
    const possible = ["acknowledged", "disk-full", "timed-out", "peer-did-not-answer"];
    expect(said.filter((code) => !possible.includes(code))).toEqual([]);
    await until("the nodes that have room take every write", async () =>
      (await writeToAll()).every(({ status }) => status === 200),
    );
    const { view } = await cluster.status();
    expect(view.nodes.find(({ id }) => id === "node-1")).toMatchObject({ state: "up", leads: 0 });
    expect(await lost()).toEqual([]);
  });

  test("what only one disk of three can take is never acknowledged", async () => {
    const before = acknowledged.length;
    await cluster.signal("node-2", "SIGKILL");
    const answers = await writeToAll();
    expect(answers.filter(({ status }) => ![503, 504, 507].includes(status))).toEqual([]);
    expect(acknowledged).toHaveLength(before);
  });

  test("with room again it takes part as before, without a restart", async () => {
    const pid = cluster.pidOf("node-1");
    limit("node-1", "unlimited");
    await until("node-1 and node-3 take writes", async () =>
      (await writeToAll()).every(({ status }) => status === 200),
    );
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    expect(cluster.pidOf("node-1")).toBe(pid);
    expect(await lost()).toEqual([]);
  });

  test.each([
    ["stopped", async () => cluster.mem0ctl("down", "node-1"), "node stopped"],
    ["killed", async () => cluster.signal("node-1", "SIGKILL"), "node started"],
  ])(
    "a node that is %s while its disk is full starts again and has what the others have",
    async (_, end, lastLine) => {
      await fill("node-1");
      await refuses();
      await end();
      const log = readFileSync(join(cluster.dataDir("node-1"), "node.log"), "utf8");
      // LMDB's own words about a write that failed may stand between the node's.
      const own = log.split("\n").filter((line) => line.startsWith('{"'));
      expect(own.at(-1)).toContain(lastLine);
      expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
      expect(await lost()).toEqual([]);
      const answers = await writeToAll();
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    },
  );
});
