// Every way to shard and to replicate, on real nodes: where keys go, what each number of copies survives,
// what an arbiter is good for, and that without a quorum nothing is ever said to be written.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterView } from "../../src/model/view.ts";
import { call, codeOf, importRecords, record, staleExport } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

interface Location {
  readonly slot?: number;
  readonly shard: string;
  readonly range: string;
  readonly pinned: boolean;
  readonly leader: string | null;
  readonly replicas: readonly string[];
  readonly arbiters: readonly string[];
  readonly live: boolean;
}

async function locate(cluster: TestCluster, key: string): Promise<Location> {
  const { code, stdout, stderr } = await cluster.mem0ctl("shards", "locate", key, "-o", "json");
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** How many memories each shard has, as `memories stats` counts them. */
async function counts(cluster: TestCluster): Promise<ReadonlyMap<string, number>> {
  const { code, stdout, stderr } = await cluster.mem0ctl("memories", "stats", "-o", "json");
  if (code !== 0) throw new Error(stderr);
  const stats: { readonly shards: readonly { readonly id: string; readonly memories: number }[] } =
    JSON.parse(stdout);
  return new Map(
    stats.shards.filter(({ memories }) => memories > 0).map(({ id, memories }) => [id, memories]),
  );
}

async function untilStatus(
  cluster: TestCluster,
  wanted: number,
  also: (view: ClusterView) => boolean = () => true,
): Promise<ClusterView> {
  return until(`status exits with ${wanted}`, async () => {
    const { code, view } = await cluster.status();
    return code === wanted && also(view) ? view : undefined;
  });
}

describe.each(["raft", "paxos"])("range sharding by %s, two copies and an arbiter", (protocol) => {
  const nodes = ["node-1", "node-2", "arbiter-1"];
  let cluster: TestCluster;
  let written = 0;

  beforeAll(async () => {
    cluster = await bringUpCluster({
      flags:
        `--consensus ${protocol} --arbiters 1 --replication single --sharding range --ranges g,n,t`.split(
          " ",
        ),
    });
  });
  afterAll(async () => cluster?.end());

  /** Writes through the arbiter, which has to find a leader elsewhere. */
  async function write(): Promise<boolean> {
    const users = ["ada", "grace", "nina", "zoe"];
    const records = users.map((user, index) => record(`r-${written + index}`, user));
    const { status } = await importRecords(cluster.hosts[2] ?? "", records, 2000);
    if (status === 200) written += users.length;
    return status === 200;
  }

  test("keys go to the shard whose range they are in", async () => {
    const located = await Promise.all(
      ["a", "fzz", "g", "mzz", "n", "szz", "t", "é"].map(async (key) => locate(cluster, key)),
    );
    expect(located.map(({ shard }) => shard)).toEqual(["0", "0", "1", "1", "2", "2", "3", "3"]);
    expect(located[2]).toMatchObject({ range: "keys [g, n)", live: true, arbiters: ["arbiter-1"] });
    expect(await write()).toBe(true);
    expect(await counts(cluster)).toEqual(
      new Map([
        ["0", 1],
        ["1", 1],
        ["2", 1],
        ["3", 1],
      ]),
    );
  });

  test("the arbiter leads nothing, holds no memories and serves none of its own", async () => {
    const { view } = await cluster.status();
    expect(view.nodes.find(({ id }) => id === "arbiter-1")).toMatchObject({
      leads: 0,
      replicas: 0,
      memories: 0,
    });
    // A read through it, however stale, is answered by a node that has the data.
    expect(await staleExport(cluster.hosts[2] ?? "", "0")).toHaveLength(1);
  });

  test.each(["node-1", "node-2"])(
    "%s killed: the other goes on with the arbiter, and nothing is lost",
    async (victim) => {
      const survivor = nodes.find((node) => node.startsWith("node") && node !== victim) ?? "";
      await cluster.signal(victim, "SIGKILL");
      await until("writes are acknowledged again", write);
      const view = await untilStatus(cluster, 3, ({ reasons }) =>
        reasons.some(({ code, message }) => code === "node-down" && message.includes(victim)),
      );
      expect(view.shards.map(({ leader }) => leader)).toEqual([survivor, survivor, survivor, survivor]);
      for (let count = 0; count < 5; count += 1) expect(await write()).toBe(true);
      expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
      const back = await until("the node that was away has everything", async () => {
        const held = (await cluster.status()).view.nodes.find(({ id }) => id === victim)?.memories;
        return held === written ? held : undefined;
      });
      expect(back).toBe(written);
    },
  );

  test("what an arbiter holds and its data node lacks is brought there, and that one leads", async () => {
    // node-1 and the arbiter acknowledge writes that node-2 has never seen; then only those two are left.
    await cluster.signal("node-2", "SIGKILL");
    await until("writes are acknowledged without node-2", write);
    for (let count = 0; count < 5; count += 1) expect(await write()).toBe(true);
    await cluster.signal("node-1", "SIGKILL");
    await cluster.mem0ctl("restart", "node-2", "--timeout", "3s");
    await until("node-2 leads and takes writes", write, 30_000);
    const view = await untilStatus(cluster, 3);
    expect(view.shards.map(({ leader }) => leader)).toEqual(["node-2", "node-2", "node-2", "node-2"]);
    const held = view.nodes.find(({ id }) => id === "node-2")?.memories;
    expect(held).toBe(written);
    expect(view.nodes.find(({ id }) => id === "arbiter-1")?.memories).toBe(0);
  });
});

describe.each(["raft", "paxos"])("directory sharding by %s, without copies", (protocol) => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await bringUpCluster({
      flags: `--consensus ${protocol} --replication none --sharding directory --shards 6`.split(" "),
      edit: (manifest) =>
        manifest.replace("    # directory: { acme: 3 }", "    directory: { acme: 3, globex: 5 }"),
    });
  });
  afterAll(async () => cluster?.end());

  test("listed keys are pinned to their shard, the others fall to their hash", async () => {
    expect(await locate(cluster, "acme")).toMatchObject({ shard: "3", pinned: true });
    expect(await locate(cluster, "globex")).toMatchObject({ shard: "5", pinned: true });
    // CRC16("foo") is slot 12182, as Redis Cluster has it; six shards have 2730 or 2731 slots each.
    expect(await locate(cluster, "foo")).toMatchObject({ slot: 12182, shard: "4", pinned: false });
    const records = [record("a1", "acme"), record("a2", "acme"), record("g1", "globex"), record("f1", "foo")];
    expect(await importRecords(cluster.hosts[1] ?? "", records)).toMatchObject({ status: 200 });
    expect(await counts(cluster)).toEqual(
      new Map([
        ["3", 2],
        ["4", 1],
        ["5", 1],
      ]),
    );
  });

  test("a lost node takes its own shards with it and no others; writes to them are refused, not lost", async () => {
    const lost = await locate(cluster, "acme");
    const other = await locate(cluster, "foo");
    expect(lost.replicas).toHaveLength(1);
    expect(other.leader).not.toBe(lost.leader);
    await cluster.signal(lost.leader ?? "", "SIGKILL");
    const view = await untilStatus(cluster, 4);
    expect(view.reasons.map(({ code }) => code)).toContain("shard-down");
    expect(view.shards.filter(({ state }) => state === "ok").length).toBeGreaterThanOrEqual(3);

    const alive = cluster.hosts[["node-1", "node-2", "node-3"].indexOf(other.leader ?? "")] ?? "";
    const refused = await importRecords(alive, [record("a3", "acme")], 1000);
    expect(refused.status).toBe(503);
    expect(codeOf(refused)).toBe("no-leader");
    expect(await importRecords(alive, [record("f2", "foo")])).toMatchObject({ status: 200 });

    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    expect(await counts(cluster)).toEqual(
      new Map([
        ["3", 2],
        ["4", 2],
        ["5", 1],
      ]),
    );
  });
});

describe("three copies", () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await bringUpCluster({ flags: ["--shards", "3"] });
  });
  afterAll(async () => cluster?.end());

  test("with two of three nodes lost nothing is acknowledged; when they are back, everything goes on", async () => {
    const [host = ""] = cluster.hosts;
    const stale = { path: "/v1/memories/before/", headers: { "x-consistency": "stale" } };
    expect(await importRecords(host, [record("before", "ada")])).toMatchObject({ status: 200 });
    await until("node-1 has it too", async () => (await call(host, stale)).status === 200);
    await Promise.all([cluster.signal("node-2", "SIGKILL"), cluster.signal("node-3", "SIGKILL")]);
    const view = await untilStatus(cluster, 4, ({ shards }) => shards.every(({ leader }) => leader === null));
    expect(view.reasons.map(({ code }) => code)).toContain("shard-leaderless");
    expect(view.nodes.map(({ id }) => id)).toEqual(["node-1", "node-2", "node-3"]);

    const write = await importRecords(host, [record("during", "ada")], 1500);
    expect([503, 504]).toContain(write.status);
    const added = await cluster.mem0ctl(
      "memories",
      "add",
      "nobody keeps this",
      "--user",
      "ada",
      "--timeout",
      "2s",
    );
    expect([4, 5]).toContain(added.code);
    const read = await call(host, { path: "/v1/memories/before/", headers: { "x-timeout-ms": "1500" } });
    expect([503, 504]).toContain(read.status);
    expect(await call(host, stale)).toMatchObject({ status: 200, body: { id: "before" } });

    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    expect(await call(host, { path: "/v1/memories/before/" })).toMatchObject({ status: 200 });
    expect(await importRecords(host, [record("after", "ada")])).toMatchObject({ status: 200 });
    expect(await call(cluster.hosts[2] ?? "", { path: "/v1/memories/after/" })).toMatchObject({
      status: 200,
    });
  });
});
