// Moves where shards run other protocols: through two sets of leaderless copies, and by paxos. Clients write, and the
// cluster leader is killed on the way.

import { setTimeout } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import type { OperationAnswer } from "../../src/model/node-api.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { call, importRecords, record } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const COUNT = 300;
const USERS = 20;
const WRITE_EVERY_MS = 10;

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.end();
  cluster = undefined;
});

async function firstAnswer<Body>(hosts: readonly string[], path: string): Promise<Body | undefined> {
  for (const host of hosts) {
    const { status, body } = await call(host, { path });
    if (status === 200) return body as Body;
  }
  return undefined;
}

test.each(["paxos", "quorum"])(
  "with %s a replica moves while clients write and the leader is killed: nothing is lost",
  async (protocol) => {
    const flags = ["--shards", "2", "--replicas", "2", "--consensus", protocol];
    const running = await bringUpCluster({ nodes: 4, flags });
    cluster = running;
    const { hosts, mem0ctl } = running;
    const ids = Array.from({ length: COUNT }, (_, at) => `m-${at}`);
    const records = ids.map((id, at) => record(id, `user-${at % USERS}`));
    expect(await importRecords(hosts[0] ?? "", records)).toMatchObject({ status: 200 });
    const acknowledged = new Set(ids);
    let isOver = false;
    const writer = (async () => {
      for (let at = 0; !isOver; at += 1) {
        const id = `w-${at}`;
        const answer = await importRecords(hosts[at % 4] ?? "", [record(id, `user-${at % USERS}`)]);
        if (answer.status === 200) acknowledged.add(id);
        // A machine that writes faster would have more to copy, below the same bound of bytes per second.
        await setTimeout(WRITE_EVERY_MS);
      }
    })();
    const before = await firstAnswer<ShardMap>(hosts, "/v1/cluster/map");
    const from = before?.shards[0]?.replicas[0] ?? "";
    const to = before?.nodes.find(({ id }) => !before.shards[0]?.replicas.includes(id))?.id ?? "";
    const args = ["--from", from, "--to", to, "--throttle", "30KiB/s", "--no-wait"];
    expect(await mem0ctl("shards", "move", "0", ...args)).toMatchObject({ code: 0 });
    const leader = (await running.status()).view.leader ?? "";
    await running.signal(leader, "SIGKILL");
    await mem0ctl("up", "--timeout", "40s");
    await until(
      "the move is done",
      async () => {
        const answer = await firstAnswer<OperationAnswer>(hosts, "/v1/cluster/operation");
        return answer?.operation?.progress.state === "done";
      },
      40_000,
    );
    isOver = true;
    await writer;
    const after = await firstAnswer<ShardMap>(hosts, "/v1/cluster/map");
    expect(after?.shards[0]?.replicas).toContain(to);
    expect(after?.shards[0]?.replicas).not.toContain(from);
    const exported = await mem0ctl("memories", "export");
    const found = exported.stdout
      .trimEnd()
      .split("\n")
      .map((line) => String(JSON.parse(line).id));
    expect(new Set(found).size).toBe(found.length);
    expect([...acknowledged].filter((id) => !found.includes(id))).toEqual([]);
    const verified = await until("the replicas hold the same", async () => {
      const { code, stdout } = await mem0ctl("replicas", "verify", "-o", "json");
      return code === 0 ? stdout : undefined;
    });
    expect(verified).toContain('"same": true');
  },
);
