// Everything that one cluster keeps, brought to another and back: nothing is lost, and a migration that was
// killed in the middle is finished by running it again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";
import { bringUpRedis, HAS_REDIS } from "./support/redis.ts";

const BIN = fileURLToPath(new URL("../../bin/mem0ctl.js", import.meta.url));
const MEMORIES = fileURLToPath(new URL("../../src/cli/demo/memories.jsonl", import.meta.url));
const COUNT = 600;
const ONE_NODE = ["--replication", "none"] as const;

let source: TestCluster;
let target: TestCluster;
beforeAll(async () => {
  source = await bringUpCluster({ nodes: 1, name: "small", flags: ONE_NODE });
  target = await bringUpCluster({ nodes: 1, name: "large", flags: ONE_NODE });
  const lines = readFileSync(MEMORIES, "utf8").split("\n").slice(0, COUNT).map(withHistory);
  writeFileSync(join(source.directory, "memories.jsonl"), lines.join("\n"));
  const { code, stderr } = await source.mem0ctl("memories", "import", "memories.jsonl");
  if (code !== 0) throw new Error(stderr);
});
afterAll(async () => {
  await source?.end();
  await target?.end();
});

/** Every fifth memory was changed before, and every seventh has a metadata object of its own. */
function withHistory(line: string, index: number): string {
  const record = JSON.parse(line) as { id: string; memory: string; created_at: string };
  const event = (number: number, kind: string, before: string | null): object => ({
    id: `${record.id}-e${number}`,
    event: kind,
    old_memory: before,
    new_memory: record.memory,
    created_at: record.created_at,
  });
  return JSON.stringify({
    ...record,
    ...(index % 7 === 0 ? { metadata: { "10": 1, b: { ü: [null, true, 0.1] }, a: "}{" } } : {}),
    ...(index % 5 === 0 ? { history: [event(1, "ADD", null), event(2, "UPDATE", "before")] } : {}),
  });
}

async function exported(cluster: TestCluster): Promise<readonly string[]> {
  const { code, stdout, stderr } = await cluster.mem0ctl("memories", "export");
  if (code !== 0) throw new Error(stderr);
  return stdout.trimEnd().split("\n").toSorted();
}

async function migration(from: TestCluster, to: TestCluster, ...flags: readonly string[]): Promise<unknown> {
  const between = ["--from", from.file, "--to", to.file];
  const { code, stdout, stderr } = await from.mem0ctl("migrate", ...between, ...flags, "-o", "json");
  if (code !== 0) throw new Error(`exit ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Begins a migration, kills it with a part of it done, and says how much that was. */
async function killedInTheMiddle(from: TestCluster, to: TestCluster): Promise<number> {
  const slowly = ["--from", from.file, "--to", to.file, "--rate", "100"];
  const child = spawn(process.execPath, [BIN, "migrate", ...slowly], { stdio: "ignore" });
  const ended = once(child, "exit");
  const part = await until("some memories are there", async () => {
    const { stdout } = await to.mem0ctl("memories", "stats", "-o", "json");
    const { memories } = JSON.parse(stdout) as { readonly memories: number };
    return memories > 0 ? memories : undefined;
  });
  child.kill("SIGKILL");
  await ended;
  return part;
}

describe("mem0ctl migrate", () => {
  test("killed in the middle, it left a part behind", async () => {
    expect(await killedInTheMiddle(source, target)).toBeLessThan(COUNT);
  });

  test("run again, it goes on with what is missing, and both sides are the same", async () => {
    const summary = await migration(source, target);
    expect(summary).toMatchObject({ kind: "MigrationSummary", from: "small", to: "large", memories: COUNT });
    const { copied } = summary as { readonly copied: number };
    expect(copied).toBeGreaterThan(0);
    expect(copied).toBeLessThan(COUNT);
    expect(await exported(target)).toEqual(await exported(source));
  });

  test("run once more, it copies nothing; a memory that changed is copied anew, and others stay", async () => {
    expect(await migration(source, target)).toMatchObject({ copied: 0, passes: 1, others: 0 });
    const [line = ""] = await exported(source);
    const { id } = JSON.parse(line) as { readonly id: string };
    expect(await source.mem0ctl("memories", "update", id, "--text", "changed")).toMatchObject({ code: 0 });
    expect(await target.mem0ctl("memories", "add", "only here", "--user", "eve")).toMatchObject({ code: 0 });
    expect(await migration(source, target)).toMatchObject({ memories: COUNT, copied: 1, others: 1 });
    expect((await target.mem0ctl("memories", "get", id)).stdout).toContain("changed");
  });

  test("it refuses vectors of another length before it copies anything", async () => {
    const other = join(target.directory, "other.yaml");
    writeFileSync(
      other,
      readFileSync(target.file, "utf8").replace("spec:\n", "spec:\n  embedding: { dimensions: 16 }\n"),
    );
    const between = ["--from", source.file, "--to", other];
    const { code, stderr } = await source.mem0ctl("migrate", ...between);
    expect([code, /error\[([a-z-]+)\]/.exec(stderr)?.[1]]).toEqual([2, "migration-dimensions"]);
  });
});

describe.runIf(HAS_REDIS)("from the embedded engine to a redis cluster and back", () => {
  let redis: TestCluster;
  let back: TestCluster;
  beforeAll(async () => {
    redis = await bringUpRedis({ name: "redis" });
    back = await bringUpCluster({ nodes: 1, name: "back", flags: ONE_NODE });
  });
  afterAll(async () => {
    await redis?.end();
    await back?.end();
  });

  test("nothing is lost, though the way there is killed in the middle", async () => {
    const part = await killedInTheMiddle(source, redis);
    expect(part).toBeLessThan(COUNT);
    const there = (await migration(source, redis)) as {
      readonly copied: number;
      readonly contentHash: string;
    };
    expect(there).toMatchObject({ from: "small", to: "redis", memories: COUNT, others: 0 });
    expect(there.copied).toBeLessThanOrEqual(COUNT - part);
    expect(await exported(redis)).toEqual(await exported(source));
    const again = (await migration(redis, back)) as { readonly contentHash: string };
    expect(again).toMatchObject({ from: "redis", to: "back", memories: COUNT, copied: COUNT });
    expect(again.contentHash).toBe(there.contentHash);
    expect(await exported(back)).toEqual(await exported(source));
  });
});
