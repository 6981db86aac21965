// Bits flip in the files of nodes that do not run. What cannot be read is never taken for absent: another
// replica answers, the damage is told, and the replica gets another one's state; where there is no other, it
// says so and goes on with the rest.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, codeOf, importRecords, record, staleExport } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";
import { damageLog, damageState, store, textOfLog, toldOf } from "./support/damage.ts";

const NODES = ["node-1", "node-2", "node-3"] as const;
const SHARDS = 2;
const USERS = 12;

async function read(host: string, id: string): Promise<unknown> {
  const { status, body } = await call(host, {
    path: `/v1/memories/${id}/`,
    headers: { "x-consistency": "linearizable", "x-timeout-ms": "8000" },
  });
  return status === 200 ? (body as { memory: string }).memory : { status, body };
}

async function copiesAreEqual(cluster: TestCluster): Promise<boolean> {
  for (let shard = 0; shard < SHARDS; shard += 1) {
    const copies = await Promise.all(
      cluster.hosts.map(async (host) => JSON.stringify(await staleExport(host, String(shard)))),
    );
    if (new Set(copies).size !== 1) return false;
  }
  return true;
}

describe("with three copies", () => {
  let cluster: TestCluster;
  const ids = Array.from({ length: USERS }, (_, number) => `memory-${number}`);

  beforeAll(async () => {
    cluster = await bringUpCluster({ flags: ["--shards", String(SHARDS), "--sharding", "hash"] });
    const records = ids.map((id, number) => record(id, `user-${number}`, `text of ${id}`));
    await store(cluster.hosts[0] ?? "", records);
  });
  afterAll(async () => cluster?.end());

  /** Stops all nodes, damages one's state, and starts them again. Returns where the node's log goes on. */
  async function damage(node: string, choose: Parameters<typeof damageState>[1]): Promise<number> {
    expect(await cluster.mem0ctl("down")).toMatchObject({ code: 0 });
    const damaged = await damageState(cluster.dataDir(node), choose);
    expect(damaged.length).toBeGreaterThan(0);
    const logged = textOfLog(cluster, node).length;
    expect(await cluster.mem0ctl("up", "--timeout", "30s")).toMatchObject({ code: 0 });
    return logged;
  }

  async function repaired(node: string, groups: readonly string[], since: number): Promise<void> {
    await until(`${node} has told what is damaged`, () => {
      const told = new Set(toldOf(cluster, node, "replica damaged", since));
      return groups.every((group) => told.has(group));
    });
    await until(`${node} is repaired`, () => {
      const told = new Set(toldOf(cluster, node, "replica repaired", since));
      return groups.every((group) => told.has(group));
    });
    await until("all copies are equal", async () => copiesAreEqual(cluster));
    await until("the cluster is healthy", async () => (await cluster.status()).code === 0);
  }

  test.each(NODES)(
    "every memory of %s damaged: every read is answered, and it is repaired",
    async (node) => {
      const since = await damage(node, (group, name) => group !== "meta" && name === "memory");
      for (const id of ids) {
        for (const host of cluster.hosts) expect(await read(host, id)).toBe(`text of ${id}`);
      }
      await repaired(node, ["0", "1"], since);
    },
    60_000,
  );

  test("a record that applying needs is damaged: the write is done, and the replica repaired", async () => {
    const since = await damage("node-1", (group, name) => group !== "meta" && name === "entity");
    for (let number = 0; number < USERS; number += 1) {
      const added = await importRecords(cluster.hosts[number % 3] ?? "", [
        record(`later-${number}`, `user-${number}`),
      ]);
      expect(added).toMatchObject({ status: 200 });
    }
    await repaired("node-1", ["0", "1"], since);
  });

  test.each(["applied", "totals", "session"])(
    "the record %s is damaged: the node starts, and is repaired",
    async (record_) => {
      const since = await damage("node-2", (group, name) => group !== "meta" && name === record_);
      for (const id of ids) expect(await read(cluster.hosts[1] ?? "", id)).toBe(`text of ${id}`);
      await repaired("node-2", ["0", "1"], since);
    },
    60_000,
  );

  test("a state that is no store any more keeps the node from starting; what it says to do brings all back", async () => {
    await cluster.mem0ctl("down");
    const folder = join(cluster.dataDir("node-2"), "store", "state");
    const file = join(folder, "data.mdb");
    for (const bytes of [Buffer.alloc(65_536, "x"), readFileSync(file).subarray(0, 8192)]) {
      writeFileSync(file, bytes);
      const { code, stderr } = await cluster.mem0ctl("up", "--timeout", "10s");
      expect({ code, stderr }).toMatchObject({ code: 1 });
      expect(stderr).toContain("error[state-damaged]");
      expect(stderr).toContain(folder);
      expect(stderr).toContain("move that folder away");
    }
    renameSync(folder, `${folder}.damaged`);
    expect(await cluster.mem0ctl("up", "--timeout", "30s")).toMatchObject({ code: 0 });
    expect(await copiesAreEqual(cluster)).toBe(true);
    for (const id of ids) expect(await read(cluster.hosts[1] ?? "", id)).toContain("text");
  });

  test("the shard map is damaged: the node gets it from the others", async () => {
    const since = await damage("node-3", (group) => group === "meta");
    await repaired("node-3", ["meta"], since);
    for (const id of ids) expect(await read(cluster.hosts[2] ?? "", id)).toBe(`text of ${id}`);
  });
});

describe("with one copy", () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await bringUpCluster({
      nodes: 1,
      flags: ["--replication", "none", "--shards", "1", "--sharding", "hash"],
    });
    const records = ["kept", "lost"].map((id) => record(id, "ada", `text of ${id}`));
    await store(cluster.hosts[0] ?? "", records);
  });
  afterAll(async () => cluster?.end());

  test("a damaged log keeps the node from starting, which says what to do; nothing is touched", async () => {
    await cluster.mem0ctl("down");
    const file = join(cluster.dataDir("node-1"), "store", "log");
    const whole = readFileSync(file);
    const damaged = damageLog(cluster, "node-1");
    const { code, stderr } = await cluster.mem0ctl("up", "--timeout", "5s");
    expect(code).toBe(1);
    expect(stderr).toContain("the log of node-1 is damaged");
    expect(stderr).toMatch(/the frame at byte \d+ is damaged/);
    expect(stderr).toContain("import an export");
    expect(readFileSync(file).equals(damaged)).toBe(true);
    writeFileSync(file, whole);
    expect(await cluster.mem0ctl("up", "--timeout", "20s")).toMatchObject({ code: 0 });
  });

  test("what cannot be read is refused, never absent; the rest is served, and status says so", async () => {
    const [host = ""] = cluster.hosts;
    await cluster.mem0ctl("down");
    await damageState(cluster.dataDir("node-1"), (_, name, rest) => name === "memory" && rest[1] === "lost");
    await cluster.mem0ctl("up", "--timeout", "20s");

    const lost = await call(host, { path: "/v1/memories/lost/" });
    expect(lost.status).toBe(500);
    expect(codeOf(lost)).toBe("only-copy-damaged");
    expect(await read(host, "kept")).toBe("text of kept");
    expect(await importRecords(host, [record("new", "ada")])).toMatchObject({ status: 200 });

    const { code, view } = await cluster.status();
    expect(code).toBe(3);
    expect(view.reasons.map((reason) => reason.code)).toEqual(["replica-damaged"]);
    expect(view.reasons[0]?.message).toContain("shard 0 on node-1");
  });
});
