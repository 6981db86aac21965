// A cluster grows by a node and loses another while it keeps its memories: joining and leaving, live.

import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { NodeReport } from "../../src/model/node-api.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { call, codeOf, importRecords, record, staleExport } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const COUNT = 240;
const USERS = 24;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await bringUpCluster({ spare: 2, flags: ["--shards", "6"] });
  const records = Array.from({ length: COUNT }, (_, index) => record(`m-${index}`, `user-${index % USERS}`));
  const { status } = await importRecords(cluster.hosts[0] ?? "", records);
  if (status !== 200) throw new Error(`the import was answered with ${status}`);
});
afterAll(async () => cluster?.end());

/** Ids of all memories as the leaders have them. */
async function ids(): Promise<readonly string[]> {
  const { code, stdout, stderr } = await cluster.mem0ctl("memories", "export");
  if (code !== 0) throw new Error(stderr);
  const lines = stdout.trimEnd().split("\n");
  return lines.map((line) => String(JSON.parse(line).id)).toSorted();
}

const all = Array.from({ length: COUNT }, (_, index) => `m-${index}`).toSorted();

async function healthy(nodes: number): Promise<void> {
  await until(
    `the cluster is healthy with ${nodes} nodes`,
    async () => {
      const { code, view } = await cluster.status();
      return code === 0 && view.totalNodes === nodes;
    },
    30_000,
  );
}

async function report(host: string): Promise<NodeReport> {
  const { body } = await call(host, { path: "/v1/cluster/node" });
  return body as NodeReport;
}

test("a node that joins is known everywhere, answers every request, and nothing is lost", async () => {
  const address = `127.0.0.1:${cluster.ports[3] ?? 0}`;
  const node = { id: "node-4", address, role: "primary", zone: "d", weight: 1, draining: false };
  const joined = await call(cluster.hosts[1] ?? "", {
    method: "POST",
    path: "/v1/cluster/join",
    body: { node },
  });
  expect(joined).toMatchObject({ status: 200 });
  expect((joined.body as ShardMap).nodes.map(({ id }) => id)).toContain("node-4");

  const line = `    - { id: node-4, address: "${address}", role: primary, zone: d }\n`;
  const manifest = readFileSync(cluster.file, "utf8");
  writeFileSync(cluster.file, manifest.replace(/(?<last> +- \{ id: node-3.*\n)/, `$<last>${line}`));
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  await healthy(4);
  expect(await ids()).toEqual(all);
  const read = await call(`http://${address}`, { path: "/v1/memories/m-7/" });
  expect(read).toMatchObject({ status: 200, body: { id: "m-7" } });
});

test("a node that leaves hands everything over: it holds nothing, the others hold all", async () => {
  const left = await until(
    "node-2 has left",
    async () => {
      const answer = await call(cluster.hosts[0] ?? "", {
        method: "POST",
        path: "/v1/cluster/leave",
        body: { node: "node-2" },
        headers: { "x-timeout-ms": "20000" },
      });
      // Repeating it goes on where the first attempt ended.
      return codeOf(answer) === "still-draining" ? undefined : answer;
    },
    40_000,
  );
  expect(left).toMatchObject({ status: 200 });
  const map = left.body as ShardMap;
  expect(map.nodes.map(({ id }) => id).toSorted()).toEqual(["node-1", "node-3", "node-4"]);
  expect(map.shards.every(({ replicas }) => replicas.length === 3 && !replicas.includes("node-2"))).toBe(
    true,
  );

  await until("node-2 has given up its replicas", async () => {
    const { groups } = await report(cluster.hosts[1] ?? "");
    return groups.every(({ id }) => id === "meta");
  });
  expect(await cluster.mem0ctl("down", "node-2")).toMatchObject({ code: 0 });
  const manifest = readFileSync(cluster.file, "utf8");
  writeFileSync(cluster.file, manifest.replace(/ +- \{ id: node-2.*\n/, ""));
  await healthy(3);
  expect(await ids()).toEqual(all);
  for (const host of [
    cluster.hosts[0] ?? "",
    cluster.hosts[2] ?? "",
    `http://127.0.0.1:${cluster.ports[3] ?? 0}`,
  ]) {
    const held = await Promise.all(map.shards.map(async ({ id }) => staleExport(host, id)));
    expect(held.flat()).toHaveLength(COUNT);
  }
});

test("a leave that would lose a copy is refused and changes nothing", async () => {
  const before = (await report(cluster.hosts[0] ?? "")).map;
  const refused = await call(cluster.hosts[0] ?? "", {
    method: "POST",
    path: "/v1/cluster/leave",
    body: { node: "node-3" },
  });
  expect(refused.status).toBe(409);
  expect(codeOf(refused)).toBe("too-few-nodes");
  expect((await report(cluster.hosts[0] ?? "")).map).toEqual(before);
});

test("a node that was away finds its leader in one that joined meanwhile", async () => {
  expect(await cluster.mem0ctl("down", "node-1")).toMatchObject({ code: 0 });
  const address = `127.0.0.1:${cluster.ports[4] ?? 0}`;
  const joins = await cluster.mem0ctl("nodes", "add", "node-5", "--address", address, "--zone", "e");
  // Node-1 is missing, and stays so.
  expect(joins).toMatchObject({ code: 3 });
  expect(cluster.pidOf("node-1")).toBeUndefined();
  // No copies move for long while it is.
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  const left = await until(
    "node-3 has left",
    async () => {
      const answer = await call(`http://127.0.0.1:${cluster.ports[3] ?? 0}`, {
        method: "POST",
        path: "/v1/cluster/leave",
        body: { node: "node-3" },
        headers: { "x-timeout-ms": "20000" },
      });
      return answer.status === 200 ? answer : undefined;
    },
    60_000,
  );
  expect(left).toMatchObject({ status: 200 });
  expect(await cluster.mem0ctl("down", "node-3")).toMatchObject({ code: 0 });
  const manifest = readFileSync(cluster.file, "utf8");
  writeFileSync(cluster.file, manifest.replace(/ +- \{ id: node-3.*\n/, ""));
  await until("node-5 leads the cluster", async () => {
    const { code } = await cluster.mem0ctl("leader", "transfer", "meta", "--to", "node-5");
    return code === 0;
  });
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  await healthy(3);
  expect(await ids()).toEqual(all);
});
