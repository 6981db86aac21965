// A smoke of every server that is installed here, not only of the one that the other tests drive: Redis and Valkey differ
// in how slots move, in what they count, and in what they answer.

import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Reply } from "../../src/engines/redis/reply-values.ts";
import { openCluster } from "../../src/operations/cluster.ts";
import { slotOf } from "../../src/topology/slots.ts";
import { BIN, until, type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, missingKeys, Writer } from "./support/redis.ts";

/** Those on PATH, and those that MEM0CTL_TEST_SERVERS names, as PATH does folders. */
function installed(): readonly string[] {
  const named = (process.env["MEM0CTL_TEST_SERVERS"] ?? "").split(delimiter);
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const onPath = ["redis-server", "valkey-server"].flatMap((name) =>
    folders
      .map((folder) => join(folder, name))
      .filter(isProgram)
      .slice(0, 1),
  );
  return [...new Set([...onPath, ...named.filter(isProgram)])];
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return path !== "";
  } catch {
    return false;
  }
}

const servers = installed();

/** Every text of a reply, in its order. */
function textsIn(reply: Reply): string[] {
  if (Buffer.isBuffer(reply)) return [reply.toString()];
  const parts: readonly Reply[] = Array.isArray(reply) ? reply : [];
  return parts.flatMap(textsIn);
}

/** Of all moves that servers tell of, whichever of the two commands they have. */
async function statesOf(ports: readonly number[]): Promise<readonly string[]> {
  const replies = await Promise.all(
    ports.flatMap((port) => [
      ask(port, "CLUSTER", "GETSLOTMIGRATIONS").catch(() => []),
      ask(port, "CLUSTER", "MIGRATION", "STATUS", "ALL").catch(() => []),
    ]),
  );
  return replies.map(textsIn).flatMap((words) => words.filter((_, at) => words[at - 1] === "state"));
}

function isUnderWay(state: string): boolean {
  return !["success", "failed", "cancelled", "completed", "canceled"].includes(state);
}

describe.runIf(servers.length > 0)("a cluster of", () => {
  describe.each(servers)("%s", (server) => {
    let cluster: TestCluster;
    let writer: Writer;
    beforeAll(async () => {
      cluster = await bringUpRedis({
        nodes: 4,
        spare: 1,
        flags: ["--zones", "2"],
        env: { MEM0CTL_REDIS_SERVER: server },
      });
      writer = new Writer(cluster.ports.slice(0, 4));
      writer.start();
      await until("some writes", () => writer.acknowledged.length > 100);
    }, 60_000);
    afterAll(async () => {
      await writer.stop();
      await cluster.end();
    });

    const done = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await cluster.mem0ctl(...args);
      if (code !== 0) throw new Error(`${args.join(" ")}: exit ${code}\n${stdout}\n${stderr}`);
      return stdout;
    };

    it("is formed and seen", async () => {
      const { code, view } = await cluster.status();
      expect({ code, reasons: view.reasons, shards: view.shards.length }).toEqual({
        code: 0,
        reasons: [],
        shards: 2,
      });
      expect(view.nodes.map(({ version }) => version)).not.toContain(null);
    });

    it("moves slots, balances them by number and by load, under writes that see no error", async () => {
      const target = (await cluster.status()).view.shards[1]?.leader ?? "";
      await done("shards", "move", "0", "--slots", "500", "--to", target);
      expect((await cluster.status()).view.shards[1]?.slots).toBe(8692);
      await done("shards", "rebalance", "--by", "load", "--dry-run");
      await done("shards", "rebalance");
      const { code, view } = await cluster.status();
      expect({ code, slots: view.shards.map(({ slots }) => slots) }).toEqual({
        code: 0,
        slots: [8192, 8192],
      });
      expect(writer.errors).toEqual([]);
    }, 60_000);

    it("goes on with what the servers move by themselves when the CLI is killed in the middle", async ({
      skip,
    }) => {
      const known = await ask(
        cluster.ports[0] ?? 0,
        "COMMAND",
        "INFO",
        "CLUSTER|MIGRATESLOTS",
        "CLUSTER|MIGRATION",
      );
      // redis-rebalance.test.ts kills the CLI where it moves key by key.
      skip(!textsIn(known).some((word) => word.startsWith("cluster|")), `${server} moves no slots by itself`);
      const { view } = await cluster.status();
      const ports = view.shards.map(({ leader }) => cluster.ports[Number(leader?.slice(5)) - 1] ?? 0);
      const { engine } = await openCluster(cluster.file);
      const { map } = await engine.shardMap({ timeoutMs: 5000 });
      await engine.close();
      // The last slots go first; with so much in one of them the move takes long enough to be seen.
      const slot = map.shards[0]?.slots.at(-1)?.to ?? 0;
      const tag = Array.from({ length: 500_000 }, (_, at) => `{${at}}`).find((one) => slotOf(one) === slot);
      const script = "for at = 1, 1000 do redis.call('SET', KEYS[1] .. ARGV[1] .. at, ARGV[2]) end";
      for (let part = 0; part < 60; part += 1)
        await ask(ports[0] ?? 0, "EVAL", script, 1, tag ?? "", `:${part}:`, "v".repeat(1024));
      const keys = Number(await ask(ports[0] ?? 0, "CLUSTER", "COUNTKEYSINSLOT", slot));
      expect(keys).toBeGreaterThanOrEqual(60_000);

      const to = view.shards[1]?.leader ?? "";
      const words = [BIN, "shards", "move", "0", "--slots", "500", "--to", to, "-f", cluster.file];
      const run = spawn(process.execPath, words, { stdio: "ignore" });
      await until("the servers move slots", async () => (await statesOf(ports)).some(isUnderWay), 30_000);
      run.kill("SIGKILL");
      await until("it is gone", () => run.signalCode !== null);
      expect(await done("shards", "rebalance")).toContain("done");
      const after = await cluster.status();
      expect({ code: after.code, slots: after.view.shards.map(({ slots }) => slots) }).toEqual({
        code: 0,
        slots: [8192, 8192],
      });
      const counts = await Promise.all(
        ports.map(async (port) => Number(await ask(port, "CLUSTER", "COUNTKEYSINSLOT", slot))),
      );
      expect(Math.max(...counts)).toBe(keys);
    }, 60_000);

    it("has a write of every copy on their disks before it is done, by WAITAOF", async ({ skip }) => {
      const port = cluster.ports[0] ?? 0;
      const [known] = (await ask(port, "COMMAND", "INFO", "WAITAOF")) as readonly unknown[];
      // Redis before 7.2: unit tests and redis-memories.test.ts show how such a server is asked by WAIT.
      skip(known === null, `${server} has no WAITAOF`);
      const { engine } = await openCluster(cluster.file);
      try {
        const user_id = "waits";
        const slot = slotOf(user_id);
        const { map } = await engine.shardMap({ timeoutMs: 5000 });
        const shard = map.shards.find(({ slots }) =>
          slots.some(({ from, to }) => from <= slot && slot <= to),
        );
        const leader = cluster.ports[Number(shard?.replicas[0]?.slice(5)) - 1] ?? 0;
        await ask(leader, "CONFIG", "RESETSTAT");
        const level = { timeoutMs: 20_000, consistency: { write: "all" } } as const;
        await engine.memories.add({ texts: ["on every disk"], user_id }, level);
        const stats = String(await ask(leader, "INFO", "commandstats"));
        expect(stats).toMatch(/cmdstat_waitaof:calls=[1-9]\d*,.*failed_calls=0/);
        expect(stats).not.toMatch(/cmdstat_wait:/);
      } finally {
        await engine.close();
      }
    }, 60_000);

    it("ends what a foreign tool left open", async () => {
      const { view } = await cluster.status();
      const [from = "", to = ""] = view.shards.map(({ leader }) => leader ?? "");
      const portOf = (node: string): number => cluster.ports[Number(node.slice(5)) - 1] ?? 0;
      const idOf = async (node: string): Promise<string> =>
        String(await ask(portOf(node), "CLUSTER", "MYID"));
      await ask(portOf(to), "CLUSTER", "SETSLOT", 100, "IMPORTING", await idOf(from));
      await ask(portOf(from), "CLUSTER", "SETSLOT", 100, "MIGRATING", await idOf(to));
      expect((await cluster.status()).view.openSlots).toEqual([{ slot: 100, from, to }]);
      await done("shards", "rebalance");
      expect((await cluster.status()).code).toBe(0);
    }, 60_000);

    it("hands a shard over, takes a replica in and gives it up, and loses no acknowledged write", async () => {
      await done("nodes", "add", "node-5", "--address", `127.0.0.1:${cluster.ports[4]}`, "--zone", "c");
      await done("replicas", "add", "1", "--to", "node-5");
      await done("leader", "transfer", "1", "--to", "node-5");
      await done("leader", "transfer", "1");
      await done("replicas", "remove", "1", "--from", "node-5", "--yes");
      await writer.stop();
      const { code, view } = await cluster.status();
      expect({ code, reasons: view.reasons }).toEqual({ code: 0, reasons: [] });
      const { engine } = await openCluster(cluster.file);
      const { map } = await engine.shardMap({ timeoutMs: 5000 });
      await engine.close();
      expect(await missingKeys(cluster, map, writer.acknowledged)).toEqual([]);
    }, 60_000);
  });
});
