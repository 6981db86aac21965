// The log of a node that does not run is damaged, in every protocol: the node starts, says what it found, takes part in no
// decision that could rest on what it lost, and has everything again in the end. No write that was acknowledged is lost.

import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { NodeReport } from "../../src/model/node-api.ts";
import { call, record, staleExport } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";
import { damageLog, store, textOfLog, toldOf } from "./support/damage.ts";

const SHARDS = 2;

const THREE = ["--replication", "multiple", "--replicas", "2"] as const;
const TWO = ["--replication", "single"] as const;
const ANYWHERE = [0.3, 0.6, 0.97] as const;

describe.each([
  ["raft", "three copies", THREE, 3, [0.3, 0.97]],
  ["raft", "two copies, both of which vote", TWO, 2, [0.6]],
  ["paxos", "three copies", THREE, 3, ANYWHERE],
  ["paxos", "two copies, both of which vote", TWO, 2, [0.6]],
  ["quorum", "three copies", THREE, 3, [0.6]],
] as const)("a log that is damaged, with %s and %s", (protocol, _, replication, nodes, places) => {
  let cluster: TestCluster;
  const victim = "node-2";
  let written = 0;

  beforeAll(async () => {
    cluster = await bringUpCluster({
      nodes,
      flags: [...replication, "--consensus", protocol, "--shards", String(SHARDS), "--sharding", "hash"],
    });
    await store(
      cluster.hosts[0] ?? "",
      Array.from({ length: 40 }, (__, number) => record(`m-${number}`, `user-${number}`)),
    );
  });
  afterAll(async () => cluster?.end());

  /** Acknowledged one by one through the other nodes, so that the log has frames enough. */
  async function write(count: number): Promise<void> {
    const others = cluster.hosts.filter((__, at) => at !== 1);
    for (let at = 0; at < count; at += 1) {
      const id = `m-${40 + written}`;
      await store(others[at % others.length] ?? "", [record(id, `user-${written % 7}`)]);
      written += 1;
    }
  }

  async function complete(): Promise<boolean> {
    if (protocol === "quorum") {
      const { code, stdout } = await cluster.mem0ctl("memories", "export");
      return code === 0 && stdout.trimEnd().split("\n").length === 40 + written;
    }
    const ids = new Set<string>();
    for (let shard = 0; shard < SHARDS; shard += 1) {
      const copies = await Promise.all(cluster.hosts.map(async (host) => staleExport(host, String(shard))));
      const [first = []] = copies;
      if (copies.some((copy) => JSON.stringify(copy) !== JSON.stringify(first))) return false;
      for (const { id } of first) ids.add(id);
    }
    return ids.size === 40 + written;
  }

  async function recovered(since: number): Promise<void> {
    await until("every group has everything again", () => {
      const groups = toldOf(cluster, victim, "replica recovered", since);
      // Leaderless shards have no log.
      const expected = protocol === "quorum" ? ["meta"] : ["0", "1", "meta"];
      return expected.every((group) => groups.includes(group));
    });
    await until("all copies are equal and whole", complete);
    await until("the cluster is healthy", async () => (await cluster.status()).code === 0);
  }

  test.each(places)(
    "the node starts, recovers, and has everything: damage at %d",
    async (where) => {
      await write(20);
      await cluster.signal(victim, "SIGKILL");
      if (nodes > 2) await write(10);
      const since = textOfLog(cluster, victim).length;
      const damaged = damageLog(cluster, victim, where);
      expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
      await recovered(since);
      // The evidence is kept, and the node said what it found.
      expect(readFileSync(join(cluster.dataDir(victim), "store", "log.damaged")).equals(damaged)).toBe(true);
      expect(textOfLog(cluster, victim).slice(since)).toContain("log damaged");
      await write(5);
      await until("all copies are equal and whole", complete);
    },
    90_000,
  );

  test("a log that lost its end is noticed by the state, and recovered", async () => {
    await write(20);
    expect(await cluster.mem0ctl("down", victim)).toMatchObject({ code: 0 });
    const file = join(cluster.dataDir(victim), "store", "log");
    const bytes = readFileSync(file);
    truncateSync(file, Math.floor((bytes.findLastIndex((byte) => byte !== 0) + 1) * 0.7));
    const since = textOfLog(cluster, victim).length;
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    await recovered(since);
  }, 90_000);

  test("until all other voters have told what they know, it decides nothing, and says so", async () => {
    await write(5);
    const [other = ""] = ["node-3", "node-1"].slice(3 - nodes);
    await cluster.signal(victim, "SIGKILL");
    await cluster.signal(other, "SIGSTOP");
    const since = textOfLog(cluster, victim).length;
    damageLog(cluster, victim);
    await cluster.mem0ctl("up", "--timeout", "4s");
    const host = cluster.hosts[1] ?? "";
    const groups = await until("it runs", async () => {
      const { status, body } = await call(host, { path: "/v1/cluster/node" });
      return status === 200 ? (body as NodeReport).groups : undefined;
    });
    expect(groups.find(({ id }) => id === "meta")?.damage).toContain("all other voters");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(toldOf(cluster, victim, "replica recovering", since)).toEqual([]);
    await cluster.signal(other, "SIGCONT");
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    await recovered(since);
  });
});

test("those that were let in while the node was down, and vote, are asked for what they know, too", async () => {
  const cluster = await bringUpCluster({ spare: 2, flags: ["--shards", "1"] });
  onTestFinished(async () => cluster.end());
  const roleOf = async (host: string): Promise<string | undefined> => {
    const { status, body } = await call(host, { path: "/v1/cluster/node" });
    return status === 200 ? (body as NodeReport).groups.find(({ id }) => id === "meta")?.role : undefined;
  };
  await cluster.signal("node-2", "SIGKILL");
  // An even number of nodes leaves one without a vote on the shard map: two come.
  const late = [4, 5].map((at) => ({ id: `node-${at}`, address: `127.0.0.1:${cluster.ports[at - 1] ?? 0}` }));
  for (const { id, address } of late) {
    const node = { id, address, role: "primary", zone: id, weight: 1, draining: false };
    const join = { method: "POST", path: "/v1/cluster/join", body: { node } } as const;
    expect(await call(cluster.hosts[0] ?? "", join)).toMatchObject({ status: 200 });
  }
  const manifest = readFileSync(cluster.file, "utf8");
  const lines = late.map(
    ({ id, address }) => `    - { id: ${id}, address: "${address}", role: primary, zone: ${id} }\n`,
  );
  const whole = manifest.replace(/(?<last> +- \{ id: node-3.*\n)/, `$<last>${lines.join("")}`);
  writeFileSync(cluster.file, whole);
  // Not healthy, for the other one is down.
  await cluster.mem0ctl("restart", "node-4", "node-5", "--timeout", "6s");
  await until("both vote on the shard map", async () => {
    const roles = await Promise.all(late.map(({ address }) => roleOf(`http://${address}`)));
    return roles.every((role) => role === "follower" || role === "leader");
  });
  const since = textOfLog(cluster, "node-2").length;
  damageLog(cluster, "node-2");
  // What it is started with names neither of them.
  writeFileSync(cluster.file, manifest);
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  await until("every group has everything again", () => {
    const groups = toldOf(cluster, "node-2", "replica recovered", since);
    return ["0", "meta"].every((group) => groups.includes(group));
  });
  writeFileSync(cluster.file, whole);
}, 120_000);
