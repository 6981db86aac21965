// `engine: redis` with real servers: formed, seen, completed where it was half formed, failing over, and
// taken down without touching what was not started here.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ClusterView } from "../../src/model/view.ts";
import { makeCertificates } from "./support/certificates.ts";
import { runMem0ctl, until, type CommandResult, type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, HAS_REDIS, makeRedisCluster, Writer } from "./support/redis.ts";

describe.runIf(HAS_REDIS)("a redis cluster of six nodes", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bringUpRedis({ flags: ["--zones", "3"] });
  });
  afterAll(() => cluster.end());

  it("has three primaries that own all slots, each with a replica in another zone", async () => {
    const { code, view } = await cluster.status();
    expect({ code, health: view.health, reasons: view.reasons }).toEqual({
      code: 0,
      health: "healthy",
      reasons: [],
    });
    expect(view.shards.map(({ range, state }) => [range, state])).toEqual([
      ["slots 0-5460", "ok"],
      ["slots 5461-10922", "ok"],
      ["slots 10923-16383", "ok"],
    ]);
    const zoneOf = new Map(view.nodes.map(({ id, zone }) => [id, zone]));
    for (const { replicas } of view.shards) {
      expect(new Set(replicas.map(({ node }) => zoneOf.get(node))).size).toBe(2);
    }
  });

  it("is not touched by a second up", async () => {
    const before = await cluster.status();
    const { code, stdout } = await cluster.mem0ctl("up");
    expect({ code, again: stdout.match(/was already running/g)?.length }).toEqual({ code: 0, again: 6 });
    expect((await cluster.status()).view.epoch).toBe(before.view.epoch);
  });

  it("keeps its configuration to its user", () => {
    expect(statSync(join(cluster.dataDir("node-1"), "redis.conf")).mode & 0o777).toBe(0o600);
    expect(statSync(cluster.dataDir("node-1")).mode & 0o777).toBe(0o700);
  });

  it("hands a shard to the replica that is named, and back, in a higher term", async () => {
    const { view } = await cluster.status();
    const [shard] = view.shards;
    const [leader = "", follower = ""] = shard?.replicas.map(({ node }) => node) ?? [];
    const there = await cluster.mem0ctl("leader", "transfer", "0", "--to", follower);
    expect(there.stdout).toContain(`${follower} now leads shard 0`);
    const back = await cluster.mem0ctl("leader", "transfer", "0", "--to", leader);
    expect(back.stdout).toContain(`${leader} now leads shard 0`);
    const after = (await cluster.status()).view.shards[0];
    expect({ id: after?.id, leader: after?.leader }).toEqual({ id: "0", leader });
    expect(after?.term).toBeGreaterThan(shard?.term ?? 0);
  });

  it("says that the cluster as such has no leader to hand over", async () => {
    const { code, stderr } = await cluster.mem0ctl("leader", "transfer");
    expect(code).toBe(2);
    expect(stderr).toContain("error[leaderless-by-design]");
  });

  it("locates a key where the servers have it", async () => {
    const { stdout } = await cluster.mem0ctl("shards", "locate", "alice", "-o", "json");
    const located: { slot: number; leader: string } = JSON.parse(stdout);
    expect(located.slot).toBe(await ask(cluster.ports[0] ?? 0, "CLUSTER", "KEYSLOT", "alice"));
    expect(located.leader).toBe("node-1");
  });

  it("shows a stranger's server on a node's port, and does not stop it", async () => {
    await cluster.mem0ctl("down", "node-6");
    const directory = mkdtempSync(join(tmpdir(), "mem0ctl-stranger-"));
    const port = cluster.ports[5] ?? 0;
    const stranger = spawn("redis-server", ["--port", String(port), "--save", "", "--dir", directory]);
    try {
      await until("the stranger listens", () => ask(port, "PING").catch(() => undefined));
      const up = await cluster.mem0ctl("up");
      expect(up.code).toBe(1);
      expect(up.stderr).toContain(`port ${port} of node-6 is taken by redis-server (pid ${stranger.pid})`);
      const { code, view } = await cluster.status();
      expect(code).toBe(3);
      expect(view.nodes[5]?.error).toBe("no cluster mode");
      const down = await cluster.mem0ctl("down", "node-6");
      expect(down.code).toBe(0);
      expect(stranger.exitCode).toBeNull();
    } finally {
      stranger.kill("SIGKILL");
      await until("the stranger is gone", () => stranger.exitCode !== null || stranger.signalCode !== null);
      rmSync(directory, { recursive: true, force: true });
    }
    expect((await cluster.mem0ctl("up")).code).toBe(0);
  });

  it("goes on without a primary that is killed under writes", async () => {
    const writer = new Writer(cluster.ports);
    writer.start();
    await until("some writes", () => writer.acknowledged.length > 200);
    const { view } = await cluster.status();
    const lost = view.shards[1]?.leader ?? "";
    const heir = view.shards[1]?.replicas.find(({ role }) => role === "follower")?.node;
    await until("the replica has everything", async () => {
      const shard = (await cluster.status()).view.shards[1];
      return shard?.replicas.every(({ state }) => state === "replicating");
    });
    await cluster.signal(lost, "SIGKILL");
    const seen = await cluster.status();
    expect(seen.code).toBe(4);
    expect(seen.view.reasons.map(({ code }) => code)).toContain("shard-leaderless");
    expect(seen.view.reasons[0]?.message).toContain("slots 5461-10922");
    await until("the replica leads", async () => (await cluster.status()).view.shards[1]?.leader === heir);
    const count = writer.acknowledged.length;
    await until("writes go on", () => writer.acknowledged.length > count + 200);
    await writer.stop();
    const degraded = await cluster.status();
    expect(degraded.code).toBe(3);
    expect(degraded.view.shards[1]).toMatchObject({ id: "1", state: "under-replicated", leader: heir });
    expect(degraded.view.reasons.map(({ code }) => code)).toEqual(["node-down", "shard-under-replicated"]);

    expect((await cluster.mem0ctl("restart", lost)).code).toBe(0);
    const healed = await cluster.status();
    expect({ code: healed.code, leader: healed.view.shards[1]?.leader }).toEqual({ code: 0, leader: heir });
  });

  it("is unavailable when nothing runs, and comes back with its data", async () => {
    const keys = (await cluster.status()).view.shards.reduce((sum, shard) => sum + (shard.keys ?? 0), 0);
    expect(keys).toBeGreaterThan(0);
    const down = await cluster.mem0ctl("down");
    expect({ code: down.code, stopped: down.stdout.match(/stopped, pid/g)?.length }).toEqual({
      code: 0,
      stopped: 6,
    });
    const gone = await cluster.status();
    expect(gone.code).toBe(4);
    expect(gone.view.reasons.map(({ code }) => code)).toEqual(["nothing-answered"]);
    expect((await cluster.mem0ctl("up", "--timeout", "40s")).code).toBe(0);
    const back = (await cluster.status()).view.shards.reduce((sum, shard) => sum + (shard.keys ?? 0), 0);
    expect(back).toBe(keys);
  });
});

describe.runIf(HAS_REDIS)("a cluster that was half formed", () => {
  it("is completed: nodes that met, no slots yet", async () => {
    const cluster = await makeRedisCluster({ nodes: 3, flags: ["--replication", "none"] });
    try {
      // Only servers, as a run leaves them that is killed right after it started them.
      const ups = ["node-1", "node-2", "node-3"].map((node) => cluster.mem0ctl("restart", node));
      await Promise.all(ups);
      await cluster.mem0ctl("down");
      const { code } = await cluster.mem0ctl("up", "--timeout", "40s");
      expect(code).toBe(0);
      const [first = 0, second = 0] = cluster.ports;
      // Slots that went lost while nobody had written: given back to whom the manifest gives them.
      await ask(second, "CLUSTER", "DELSLOTSRANGE", 5461, 10_922);
      await ask(first, "CLUSTER", "DELSLOTSRANGE", 5461, 10_922).catch(() => undefined);
      const broken = await cluster.status();
      expect(broken.code).toBe(4);
      expect(broken.view.unownedSlots).toBe("5461-10922");
      expect(broken.view.reasons[0]?.code).toBe("slots-unowned");
      expect((await cluster.mem0ctl("up", "--timeout", "40s")).code).toBe(0);
      expect((await cluster.status()).code).toBe(0);
    } finally {
      await cluster.end();
    }
  });

  it("is left alone once there are keys: what is missing is not for a guess", async () => {
    const cluster = await bringUpRedis({ nodes: 3, flags: ["--replication", "none"] });
    try {
      const [first = 0, second = 0] = cluster.ports;
      // Slot 749.
      await ask(first, "SET", "alice", "x");
      await ask(second, "CLUSTER", "DELSLOTSRANGE", 5461, 10_922);
      const { code } = await cluster.mem0ctl("up", "--timeout", "3s");
      expect(code).toBe(4);
      expect((await cluster.status()).view.unownedSlots).toBe("5461-10922");
    } finally {
      await cluster.end();
    }
  });
});

it("without a server on PATH, up says how to install one", async () => {
  const cluster = await makeRedisCluster({
    nodes: 3,
    env: { PATH: "/nonexistent", MEM0CTL_REDIS_SERVER: "" },
  });
  try {
    const { code, stderr } = await cluster.mem0ctl("up");
    expect(code).toBe(1);
    expect(stderr).toContain("error[server-not-found]");
    expect(stderr).toContain("apt-get install redis-server");
  } finally {
    await cluster.end();
  }
});

describe.runIf(HAS_REDIS)("a cluster that somebody else runs", () => {
  it("gets a manifest that connects to it, and down leaves it alone", async () => {
    const theirs = await bringUpRedis();
    const directory = mkdtempSync(join(tmpdir(), "mem0ctl-from-"));
    try {
      const file = join(directory, "mine.yaml");
      const url = `redis://127.0.0.1:${theirs.ports[2]}`;
      const init = await theirs.mem0ctl("init", "cluster", "--from", url, "--name", "mine", "--out", file);
      // The helper names its own manifest by -f, and two names are one too many.
      expect(init.code).toBe(2);
      const mine = async (...args: readonly string[]): Promise<CommandResult> =>
        runMem0ctl([...args, "-f", file], directory, {});
      expect(await mine("init", "cluster", "--from", url, "--name", "mine")).toMatchObject({
        code: 0,
        stderr: "",
      });
      const { stdout } = await mine("status", "-o", "json");
      const view: ClusterView = JSON.parse(stdout);
      expect({
        health: view.health,
        nodes: view.totalNodes,
        shards: view.totalShards,
        copies: view.copies,
      }).toEqual({
        health: "healthy",
        nodes: 6,
        shards: 3,
        copies: 2,
      });
      const up = await mine("up");
      expect(up.stdout.match(/connected/g)?.length).toBe(6);
      const down = await mine("down");
      expect(down.stdout.match(/not managed from here/g)?.length).toBe(6);
      expect((await theirs.status()).code).toBe(0);
      const refused = await mine("init", "cluster", "--from", "redis://:secret@127.0.0.1:1", "--force");
      expect({ code: refused.code, shown: refused.stderr.includes("secret@") }).toEqual({
        code: 2,
        shown: false,
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
      await theirs.end();
    }
  });
});

describe.runIf(HAS_REDIS)("a cluster with TLS", () => {
  it("takes connections of its own authority only, and its nodes talk TLS among themselves", async () => {
    const cluster = await bringUpRedis({
      edit: (text, directory) => {
        makeCertificates(directory);
        return `${text}  security:\n    tls: { cert: "tls/node.pem", key: "tls/node.key", ca: tls/ca.pem }\n`;
      },
    });
    try {
      const { code, view } = await cluster.status();
      expect({ code, reasons: view.reasons }).toEqual({ code: 0, reasons: [] });
      await expect(ask(cluster.ports[0] ?? 0, "PING")).rejects.toMatchObject({ kind: "unavailable" });
      const there = await cluster.mem0ctl("leader", "transfer", "0");
      expect(there.code).toBe(0);
      expect((await cluster.mem0ctl("memories", "add", "Likes tea", "--user", "alice")).code).toBe(0);
      await drainOneThatHolds(cluster);
    } finally {
      await cluster.end();
    }
  });
});

describe.runIf(HAS_REDIS)("a cluster with an ACL user and a password", () => {
  it("lets in who knows it, and shows the secret nowhere", async () => {
    const secret = "correct-horse-battery";
    const cluster = await bringUpRedis({
      nodes: 3,
      flags: ["--replication", "none"],
      edit: (text) => `${text}  security:\n    user: mem0\n    password: { env: REDIS_PASS }\n`,
      env: { REDIS_PASS: secret },
    });
    try {
      expect((await cluster.status()).code).toBe(0);
      const pid = cluster.pidOf("node-1") ?? 0;
      expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).not.toContain(secret);
      expect(readFileSync(join(cluster.dataDir("node-1"), "node.log"), "utf8")).not.toContain(secret);
      await expect(ask(cluster.ports[0] ?? 0, "PING")).rejects.toMatchObject({ kind: "denied" });
      expect((await cluster.mem0ctl("memories", "add", "Likes tea", "--user", "alice")).code).toBe(0);
      await drainOneThatHolds(cluster);
    } finally {
      await cluster.end();
    }
  });
});

/** Its keys go to another server, which the first one has to log in to. */
async function drainOneThatHolds(cluster: TestCluster): Promise<void> {
  const before = (await cluster.status()).view;
  const holder = before.shards.find(({ keys }) => (keys ?? 0) > 0)?.leader ?? "";
  const { code, stderr } = await cluster.mem0ctl("nodes", "drain", holder);
  expect({ code, failed: stderr.includes("error") }).toEqual({ code: 0, failed: false });
  const { view } = await cluster.status();
  expect(view.nodes.find(({ id }) => id === holder)?.keys).toBe(0);
  const keys = (shards: ClusterView["shards"]): number =>
    shards.reduce((sum, shard) => sum + (shard.keys ?? 0), 0);
  expect(keys(view.shards)).toBe(keys(before.shards));
}
