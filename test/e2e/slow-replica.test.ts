// A replica that is really slow: its process runs for a moment now and then, as on a machine that is overloaded. It is
// not down, and what it acknowledges comes late.

import { afterEach, expect, test } from "vitest";
import type { OperationAnswer } from "../../src/model/node-api.ts";
import type { OperationReport } from "../../src/model/operation.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { call, importRecords, record } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const SLOW = "node-4";
/** It is up for a small part of the time, and never away for as long as a node that is down. */
const STOPPED_MS = 2500;
const RUNNING_MS = 50;

let cluster: TestCluster | undefined;
let isOver = false;
let running: Promise<void>[] = [];
afterEach(async () => {
  isOver = true;
  await Promise.all(running);
  await cluster?.end();
  cluster = undefined;
});

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function write(hosts: readonly string[]): Promise<void> {
  for (let at = 0; !isOver; at += 1) {
    const host = hosts[at % hosts.length] ?? "";
    await importRecords(host, [record(`w-${at}`, `user-${at % 30}`)]).catch(() => undefined);
  }
}

async function slowDown({ signal }: TestCluster, isSlow: () => boolean): Promise<void> {
  while (isSlow() && !isOver) {
    await signal(SLOW, "SIGSTOP");
    await wait(STOPPED_MS);
    await signal(SLOW, "SIGCONT");
    await wait(RUNNING_MS);
  }
}

test("an operation waits while a replica lags beyond the limit, says which and how far, and goes on when it has caught up", async () => {
  const slowest = await bringUpCluster({
    nodes: 4,
    flags: ["--shards", "4", "--replicas", "1"],
    // It leads nothing, so that nobody waits for it.
    edit: (manifest) =>
      manifest
        .replace(/^( +electionTimeout): .*/m, "$1: 4s")
        .replace(/^( +maxLag): .*/m, "$1: 300ms")
        .replace(/(id: node-4[^]*?role: )primary/, "$1secondary"),
  });
  cluster = slowest;
  const { hosts, mem0ctl } = slowest;
  const asked = hosts.slice(0, 3);
  const { body } = await call(asked[0] ?? "", { path: "/v1/cluster/map" });
  const { shards, nodes } = body as ShardMap;
  expect(shards.some(({ replicas }) => replicas.includes(SLOW))).toBe(true);
  const moved = shards.find(({ replicas }) => !replicas.includes(SLOW));
  if (moved === undefined) throw new Error(`every shard has a copy on ${SLOW}`);
  const from = moved.replicas[1] ?? "";
  const to = nodes.find(({ id }) => id !== SLOW && !moved.replicas.includes(id))?.id ?? "";
  const operation = async (): Promise<OperationReport | null | undefined> => {
    const answer = await call(asked[0] ?? "", { path: "/v1/cluster/operation" });
    return answer.status === 200 ? (answer.body as OperationAnswer).operation : undefined;
  };

  const records = Array.from({ length: 400 }, (_, at) => record(`m-${at}`, `user-${at % 30}`));
  expect(await importRecords(asked[0] ?? "", records)).toMatchObject({ status: 200 });

  let isSlow = true;
  running = [write(asked), write(asked), slowDown(slowest, () => isSlow)];
  // Only what has not begun can wait: the second step does, whatever becomes of the first.
  const step = { kind: "move-replica", shard: moved.id, from, to, bytes: 0 };
  const waves = [[step], [{ ...step, from: to, to: from }]];
  const begun = { name: "to and fro", startedBy: "test", waves, concurrency: 1, bytesPerSecondMax: 20_000 };
  await until("it is begun", async () => {
    const { status } = await call(asked[0] ?? "", {
      method: "POST",
      path: "/v1/cluster/operation",
      body: begun,
    });
    return status === 200;
  });
  const paused = await until("it waits", async () => {
    const { progress } = (await operation()) ?? {};
    return progress?.state === "paused" && progress;
  });
  expect(paused.why).toMatch(/^shard \d on node-4 is \S+ \S+ behind$/);
  // It goes on in between, whenever the replica has just caught up.
  const shown = await until("the CLI shows that it waits", async () => {
    const { stdout } = await mem0ctl("shards", "rebalance", "--status", "--timeout", "20s");
    return stdout.includes("paused") && stdout;
  });
  expect(shown).toMatch(/shard \d on node-4 is \S+ \S+ behind/);

  isSlow = false;
  await until("it goes on", async () => (await operation())?.progress.state === "done", 60_000);
}, 180_000);
