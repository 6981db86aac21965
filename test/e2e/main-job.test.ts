// The main job from end to end, as a person does it: a manifest becomes a running cluster that keeps
// memories, says what is wrong when a node dies, heals, and is there again after it was taken down.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lexicalEmbedding } from "../../src/memory/lexical.ts";
import type { MemoryRecord } from "../../src/model/node-api.ts";
import { isAlive, makeCluster, until, type TestCluster } from "./support/cluster.ts";

const MEMORIES = fileURLToPath(new URL("../../src/cli/demo/memories.jsonl", import.meta.url));
const COUNT = 500;
/** The default of a manifest. */
const DIMENSIONS = 384;
const NODES = ["node-1", "node-2", "node-3"] as const;

let cluster: TestCluster;
let lines: readonly string[];

beforeAll(async () => {
  cluster = await makeCluster();
  lines = readFileSync(MEMORIES, "utf8").split("\n").slice(0, COUNT).map(withVectorAndHistory);
  writeFileSync(join(cluster.directory, "memories.jsonl"), `${lines.join("\n")}\n`);
});
afterAll(async () => cluster?.end());

function recordsOf(text: readonly string[]): readonly MemoryRecord[] {
  return text.map((line): MemoryRecord => JSON.parse(line));
}

/** Every second memory brings a vector of its own, every fifth has been changed before. */
function withVectorAndHistory(line: string, index: number): string {
  const record: MemoryRecord = JSON.parse(line);
  const embedding = Array.from({ length: DIMENSIONS }, (_, at) => Math.fround(Math.sin(index * 7 + at)));
  const { memory: text, created_at } = record;
  const history = [
    { id: `${record.id}-e1`, event: "ADD", old_memory: null, new_memory: "before", created_at },
    { id: `${record.id}-e2`, event: "UPDATE", old_memory: "before", new_memory: text, created_at },
  ];
  return JSON.stringify({
    ...record,
    ...(index % 2 === 0 ? { embedding } : {}),
    ...(index % 5 === 0 ? { history } : {}),
  });
}

/**
 * Ids of the memories that the cluster does not give back exactly as the lines have them: every field, and
 * the vector to the last bit of float32 (of which an export writes as few digits as say which it is).
 */
async function changed(): Promise<readonly string[]> {
  const { code, stdout, stderr } = await cluster.mem0ctl("memories", "export");
  if (code !== 0) throw new Error(`export: exit ${code}: ${stderr}`);
  const given = new Map(recordsOf(stdout.trimEnd().split("\n")).map((record) => [record.id, record]));
  const wanted = recordsOf(lines).map((record) => ({
    ...record,
    embedding: record.embedding ?? [...lexicalEmbedding(record.memory, DIMENSIONS)],
  }));
  const wrong = wanted.filter((record) => {
    const found = given.get(record.id);
    const rounded = { ...found, embedding: found?.embedding?.map(Math.fround) };
    given.delete(record.id);
    return !isDeepStrictEqual(rounded, record);
  });
  return [...wrong.map(({ id }) => id), ...given.keys()];
}

function pids(): readonly (number | undefined)[] {
  return NODES.map((node) => cluster.pidOf(node));
}

describe("the main job", () => {
  test("the manifest that init writes is valid, and validate says what it survives", async () => {
    const { code, stdout } = await cluster.mem0ctl("validate");
    expect(code).toBe(0);
    expect(stdout).toContain("3 copies, quorum 2, survives the loss of 1 node");
  });

  test("up starts every node; up again changes nothing", async () => {
    expect(await cluster.mem0ctl("up")).toMatchObject({ code: 0 });
    const first = pids();
    expect(first.every((pid) => pid !== undefined && isAlive(pid))).toBe(true);
    expect(await cluster.mem0ctl("up")).toMatchObject({ code: 0 });
    expect(pids()).toEqual(first);
  });

  test("status is one JSON document: healthy, every shard led, leaders spread", async () => {
    const { code, view } = await cluster.status();
    expect(code).toBe(0);
    expect(view).toMatchObject({
      health: "healthy",
      reasons: [],
      totalNodes: 3,
      healthyNodes: 3,
      totalShards: 8,
    });
    expect(view.shards.every(({ state, leader }) => state === "ok" && leader !== null)).toBe(true);
    // A node that was the last to start is handed its shards once it has been up for a few seconds.
    await until("every node leads its share", async () => {
      const { nodes } = (await cluster.status()).view;
      return nodes.every(({ leads }) => leads >= 2) ? true : undefined;
    });
  });

  test("import stores every line, and export gives back every field and vector", async () => {
    const { code, stdout } = await cluster.mem0ctl("memories", "import", "memories.jsonl");
    expect({ code, stdout: stdout.trim() }).toEqual({
      code: 0,
      stdout: `imported ${COUNT} of ${COUNT} memories`,
    });
    expect(await changed()).toEqual([]);
  });

  test("a node killed with -9 makes status degraded, exit 3, and the reasons name it", async () => {
    await cluster.signal("node-2", "SIGKILL");
    const view = await until("every shard has a leader again, and node-2 is known to be down", async () => {
      const status = await cluster.status();
      const named = status.view.reasons.some(
        ({ code, message }) => code === "node-down" && message.includes("node-2"),
      );
      return status.code === 3 && named ? status.view : undefined;
    });
    expect(view.health).toBe("degraded");
    expect(view.nodes.find(({ id }) => id === "node-2")).toMatchObject({ state: "down", pid: null });
    expect(view.nodes).toHaveLength(3);
    expect(await changed()).toEqual([]);
  });

  test("restart and wait heal it, and nothing is lost", async () => {
    expect(await cluster.mem0ctl("restart", "--timeout", "50s")).toMatchObject({ code: 0 });
    expect(await cluster.mem0ctl("wait", "--for", "healthy", "--timeout", "30s")).toMatchObject({ code: 0 });
    expect((await cluster.status()).view.nodes.map(({ memories }) => memories)).toEqual([
      COUNT,
      COUNT,
      COUNT,
    ]);
    expect(await changed()).toEqual([]);
  });

  test("down leaves no process, and up finds everything again", async () => {
    const running = pids();
    expect(await cluster.mem0ctl("down")).toMatchObject({ code: 0 });
    expect(running.filter((pid) => pid !== undefined && isAlive(pid))).toEqual([]);
    expect(pids()).toEqual([undefined, undefined, undefined]);
    expect((await cluster.status()).code).toBe(4);
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    expect(await changed()).toEqual([]);
  });
});
