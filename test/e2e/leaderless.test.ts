// A cluster of protocol quorum from the built program: no leader of any shard, nodes killed and restarted under
// writes, hints that survive and drain, deletes that stay deleted, nodes that join and leave.

import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CopyReport, NodeReport } from "../../src/model/node-api.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { call, codeOf, importRecords, record, staleExport } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const SHARDS = ["0", "1", "2", "3"] as const;
const USERS = 8;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await bringUpCluster({ spare: 1, flags: ["--consensus", "quorum", "--shards", "4"] });
});
afterAll(async () => cluster?.end());

async function report(host: string): Promise<NodeReport | undefined> {
  const { status, body } = await call(host, { path: "/v1/cluster/node" });
  return status === 200 ? (body as NodeReport) : undefined;
}

/** Of every shard's copy on a node that answers. */
async function copies(host: string): Promise<readonly CopyReport[]> {
  return ((await report(host))?.groups ?? []).flatMap(({ copy }) => copy ?? []);
}

/** What each node holds by itself, whole records with vectors and histories. */
async function held(host: string): Promise<string> {
  const shards = await Promise.all(SHARDS.map(async (shard) => staleExport(host, shard, "one")));
  return JSON.stringify(shards);
}

async function equalExports(hosts: readonly string[]): Promise<void> {
  await until(
    "every node exports the same",
    async () => new Set(await Promise.all(hosts.map(held))).size === 1,
    45_000,
  );
}

test("no shard has a leader, and the metadata group has one", async () => {
  const { code, view } = await cluster.status();
  expect(code).toBe(0);
  expect(view.protocol).toBe("quorum");
  expect(view.leader).not.toBeNull();
  expect(view.shards.map(({ leader, leaderless, state }) => [leader, leaderless, state])).toEqual(
    SHARDS.map(() => [null, true, "ok"]),
  );
  const refused = await cluster.mem0ctl("leader", "transfer", "0");
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain("leaderless");
});

test("writes and deletes go on while nodes are killed; hints survive restarts and drain; all exports are equal", async () => {
  const acknowledged = new Map<string, string | null>();
  const uncertain = new Set<string>();
  let number = 0;
  const write = async (): Promise<void> => {
    number += 1;
    const id = `m-${number % 90}`;
    const host = cluster.hosts[number % cluster.ports.length === 3 ? 0 : number % 3] ?? "";
    const isDelete = acknowledged.get(id) !== undefined && acknowledged.get(id) !== null && number % 4 === 0;
    const text = `text ${number}`;
    const { status } = isDelete
      ? await call(host, {
          method: "DELETE",
          path: `/v1/memories/${id}/`,
          headers: { "x-timeout-ms": "4000" },
        })
      : await importRecords(host, [{ ...record(id, `user-${(number % 90) % USERS}`), memory: text }], 4000);
    if (status === 200 || status === 204) acknowledged.set(id, isDelete ? null : text);
    else uncertain.add(id);
  };
  const writeSome = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 1) await write();
  };
  await writeSome(90);
  for (const node of ["node-3", "node-1"]) {
    const kill = cluster.signal(node, "SIGKILL");
    await writeSome(60);
    await kill;
    // One of the nodes that hold hints for the one that is gone goes down, too, and comes back with them.
    const keeper = node === "node-3" ? 1 : 2;
    const hints = async (): Promise<number> =>
      (await copies(cluster.hosts[keeper] ?? "")).reduce((sum, copy) => sum + copy.hints, 0);
    await until("hints are kept", async () => (await hints()) > 0);
    await cluster.signal(`node-${keeper + 1}`, "SIGKILL");
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  }
  await until(
    "all hints are brought",
    async () => {
      const all = (await Promise.all(cluster.hosts.slice(0, 3).map(copies))).flat();
      return all.length === 12 && all.every(({ hints, state }) => hints === 0 && state === "serving");
    },
    45_000,
  );
  await equalExports(cluster.hosts.slice(0, 3));
  const everything = new Map(
    (await Promise.all(SHARDS.map(async (shard) => staleExport(cluster.hosts[0] ?? "", shard, "one"))))
      .flat()
      .map(({ id, memory }) => [id, memory]),
  );
  const wrong = [...acknowledged].filter(
    ([id, text]) => !uncertain.has(id) && (everything.get(id) ?? null) !== text,
  );
  expect(wrong).toEqual([]);
  expect(acknowledged.size).toBeGreaterThan(60);
}, 150_000);

test("a level can be asked for, and one that cannot be met or does not exist is refused", async () => {
  const level = async (text: string): Promise<string> => {
    const answer = await call(cluster.hosts[0] ?? "", {
      path: "/v1/memories/m-1/",
      headers: { "x-consistency": text },
    });
    return codeOf(answer) ?? "ok";
  };
  const known = ["ok", "memory-not-found"];
  expect(known).toContain(await level("one"));
  expect(known).toContain(await level("all"));
  expect(await level("4")).toBe("consistency-out-of-range");
  expect(await level("linearizable")).toBe("quorum-not-linearizable");
});

test("a node joins, another leaves, and the new copies hold everything before the old ones go", async () => {
  const before = await held(cluster.hosts[0] ?? "");
  const address = `127.0.0.1:${cluster.ports[3] ?? 0}`;
  const node = { id: "node-4", address, role: "primary", zone: "d", weight: 1, draining: false };
  const body = { node };
  const joined = await call(cluster.hosts[0] ?? "", { method: "POST", path: "/v1/cluster/join", body });
  expect(joined.status).toBe(200);
  const line = `    - { id: node-4, address: "${address}", role: primary, zone: d }\n`;
  writeFileSync(
    cluster.file,
    readFileSync(cluster.file, "utf8").replace(/(?<last> +- \{ id: node-3.*\n)/, `$<last>${line}`),
  );
  expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  const left = await until(
    "node-2 has left",
    async () => {
      const answer = await call(cluster.hosts[0] ?? "", {
        method: "POST",
        path: "/v1/cluster/leave",
        body: { node: "node-2" },
        headers: { "x-timeout-ms": "20000" },
      });
      return codeOf(answer) === "still-draining" ? undefined : answer;
    },
    60_000,
  );
  expect(left.status).toBe(200);
  const { shards } = left.body as ShardMap;
  expect(shards.map(({ replicas }) => replicas.toSorted())).toEqual(
    SHARDS.map(() => ["node-1", "node-3", "node-4"]),
  );
  expect(shards.every(({ outgoing }) => outgoing === undefined)).toBe(true);
  const hosts = [cluster.hosts[0] ?? "", cluster.hosts[2] ?? "", `http://${address}`];
  await equalExports(hosts);
  expect(await held(hosts[2] ?? "")).toBe(before);
});
