// The power goes out under three nodes at once, again and again: what was acknowledged is there afterwards, with every protocol.
// A preloaded library journals what each node asks of its disk; the nodes are killed under clients, their
// files are made anew from what was flushed alone, and a random part of what was not, and they start again.

import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { call, importRecords, record, staleExport } from "./support/api.ts";
import { makeCluster, until, type TestCluster } from "./support/cluster.ts";
import { keepStore, losePower } from "./support/power-loss.ts";
import { compileShim } from "./support/shim.ts";

const NODES = ["node-1", "node-2", "node-3"] as const;
const SHARDS = 2;
const CLIENTS = 6;
const ROUNDS = 3;

const shim = compileShim("power-loss", "power-loss.test.ts");
afterAll(() => shim?.remove());

interface Acknowledged {
  readonly ids: Set<string>;
  /** Per client: the newest mark that an update of its own memory was acknowledged with. */
  readonly marks: Map<string, number>;
}

/** A cluster whose disks are journalled. */
async function journalled(env: Readonly<Record<string, string>>, protocol = "raft"): Promise<TestCluster> {
  // The directory is known only when the cluster was made, and so is where its journals go.
  const late: Record<string, string> = { LD_PRELOAD: shim?.library ?? "", ...env };
  const flags = ["--shards", String(SHARDS), "--sharding", "hash", "--consensus", protocol];
  const cluster = await makeCluster({ flags, env: late });
  late["MEM0CTL_JOURNAL"] = join(cluster.directory, "journals");
  late["MEM0CTL_JOURNAL_ROOT"] = dirname(cluster.dataDir(NODES[0]));
  mkdirSync(join(cluster.directory, "journals"));
  return cluster;
}

/** Adds memories and updates one of its own, until told to stop. */
async function client(
  cluster: TestCluster,
  name: string,
  acknowledged: Acknowledged,
  done: AbortSignal,
): Promise<void> {
  let first = acknowledged.marks.get(name) ?? 0;
  for (let count = first + 1; !done.aborted; count += 1) {
    const host = cluster.hosts[count % NODES.length] ?? "";
    const id = `${name}-${count}`;
    const added = await importRecords(host, [record(id, name)], 3000);
    if (added.status === 200) acknowledged.ids.add(id);
    if (first === 0) first = added.status === 200 ? count : 0;
    if (!acknowledged.ids.has(`${name}-own`)) {
      const own = await importRecords(host, [record(`${name}-own`, name)], 3000);
      if (own.status === 200) acknowledged.ids.add(`${name}-own`);
      continue;
    }
    const updated = await call(host, {
      method: "PUT",
      path: `/v1/memories/${name}-own/`,
      body: { metadata: { mark: count } },
      headers: { "x-timeout-ms": "3000" },
    });
    if (updated.status === 200) acknowledged.marks.set(name, count);
  }
}

/** Under clients for a while, then all nodes at once are gone, and so is what their disks had not flushed. */
async function roundOf(
  cluster: TestCluster,
  acknowledged: Acknowledged,
  chance: () => number,
): Promise<void> {
  const journals = join(cluster.directory, "journals");
  const before = (node: string): string => join(cluster.directory, "before", node);
  for (const node of NODES) keepStore(cluster.dataDir(node), before(node));
  const up = await cluster.mem0ctl("up", "--timeout", "30s");
  expect(up, `${up.stdout}${up.stderr}`).toMatchObject({ code: 0 });
  expect(await missing(cluster, acknowledged)).toEqual([]);
  const done = new AbortController();
  const clients = Array.from({ length: CLIENTS }, async (_, number) =>
    client(cluster, `client-${number}`, acknowledged, done.signal),
  );
  await new Promise((resolve) => setTimeout(resolve, 600 + 1400 * chance()));
  const pids = NODES.map((node) => cluster.pidOf(node) ?? 0);
  for (const pid of pids) process.kill(pid, "SIGKILL");
  done.abort();
  await Promise.all(clients);
  await until("all nodes are gone", () => NODES.every((node) => cluster.pidOf(node) === undefined));
  for (const [index, node] of NODES.entries()) {
    const own = readdirSync(journals).filter((name) => name === `${pids[index]}.journal`);
    expect(own, `${node} was journalled`).toHaveLength(1);
    const files = own.map((name) => join(journals, name));
    losePower(cluster.dataDir(node), before(node), files, chance);
  }
  for (const name of readdirSync(journals)) rmSync(join(journals, name));
}

/** What was acknowledged and is not there; every node is asked through the leaders. */
async function missing(cluster: TestCluster, { ids, marks }: Acknowledged): Promise<readonly string[]> {
  const { code, stdout } = await cluster.mem0ctl("memories", "export");
  expect(code).toBe(0);
  const stored = new Map<string, number>();
  for (const line of stdout.split("\n").filter((text) => text !== "")) {
    const { id, metadata }: { id: string; metadata?: { mark?: number } } = JSON.parse(line);
    stored.set(id, metadata?.mark ?? 0);
  }
  const lost = [...ids].filter((id) => !stored.has(id));
  const undone = [...marks].filter(([name, mark]) => (stored.get(`${name}-own`) ?? -1) < mark);
  return [...lost, ...undone.map(([name, mark]) => `${name}-own at ${mark}`)];
}

/** Mulberry32: small, and good enough to choose what a disk loses. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe("when the power goes out under all nodes", () => {
  test.skipIf(shim === undefined).each(["raft", "paxos", "quorum"])(
    "every acknowledged write is there, and the copies are equal: %s",
    async (protocol) => {
      const seed = Number(process.env["MEM0CTL_SEED"] ?? Math.floor(Math.random() * 1e9));
      process.stderr.write(`power-loss.test.ts: MEM0CTL_SEED=${seed}\n`);
      const chance = seeded(seed);
      const nearest = protocol === "quorum" ? "one" : "stale";
      const acknowledged: Acknowledged = { ids: new Set(), marks: new Map() };
      const cluster = await journalled({}, protocol);
      try {
        for (let round = 0; round < ROUNDS; round += 1) await roundOf(cluster, acknowledged, chance);
        const up = await cluster.mem0ctl("up", "--timeout", "30s");
        expect(up, `${up.stdout}${up.stderr}`).toMatchObject({ code: 0 });
        expect(await missing(cluster, acknowledged)).toEqual([]);
        expect(acknowledged.ids.size).toBeGreaterThan(CLIENTS * ROUNDS);
        expect(acknowledged.marks.size).toBe(CLIENTS);
        await until("all copies are equal", async () => {
          for (let shard = 0; shard < SHARDS; shard += 1) {
            const copies = await Promise.all(
              cluster.hosts.map(async (host) =>
                JSON.stringify(await staleExport(host, String(shard), nearest)),
              ),
            );
            if (new Set(copies).size !== 1) return false;
          }
          return true;
        });
      } finally {
        await cluster.end();
      }
    },
  );

  test("a node that promises before it flushes is found out", async (context) => {
    if (shim === undefined) return context.skip("no C compiler is installed");
    const acknowledged: Acknowledged = { ids: new Set(), marks: new Map() };
    const cluster = await journalled({ MEM0CTL_DISK_LIES: "1" });
    try {
      await roundOf(cluster, acknowledged, seeded(1));
      expect(acknowledged.ids.size).toBeGreaterThan(CLIENTS);
      // Its log has holes: either it says so and does not start, or what was acknowledged is missing.
      const { code } = await cluster.mem0ctl("up", "--timeout", "8s");
      const found = code !== 0 || (await missing(cluster, acknowledged)).length > 0;
      expect(found).toBe(true);
    } finally {
      await cluster.end();
    }
  });
});
