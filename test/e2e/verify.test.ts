// `replicas verify` on nodes that hardly get to run, as on a machine under heavy load.

import { afterAll, beforeAll, expect, test } from "vitest";
import { importRecords, record } from "./support/api.ts";
import { bringUpCluster, type TestCluster } from "./support/cluster.ts";

const NODES = ["node-1", "node-2", "node-3"];
const COUNT = 40;

let cluster: TestCluster;
beforeAll(async () => {
  // Nobody is elected meanwhile: all that is wrong is that answers come late.
  cluster = await bringUpCluster({
    edit: (manifest) => manifest.replace(/^( +electionTimeout): .*/m, "$1: 20s"),
  });
  const records = Array.from({ length: COUNT }, (_, at) => record(`m-${at}`, `user-${at}`));
  const { status } = await importRecords(cluster.hosts[0] ?? "", records);
  if (status !== 200) throw new Error(`the import was answered with ${status}`);
});
afterAll(async () => cluster.end());

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** Stops and continues the node until told to let it be, or for as long as the machine is thought to be busy. */
async function slowDown(node: string, at: number, signal: AbortSignal): Promise<void> {
  for (let round = 0; round < 20 && !signal.aborted; round += 1) {
    await cluster.signal(node, "SIGSTOP");
    // Each in a rhythm of its own.
    await pause(300 + ((7 * round + 3 * at) % 6) * 100);
    await cluster.signal(node, "SIGCONT");
    await pause(30 + ((5 * round + at) % 6) * 10);
  }
}

test("replicas that do not know in time how old their state is are asked until they have been compared", async () => {
  const over = new AbortController();
  const slowed = NODES.map((node, at) => slowDown(node, at, over.signal));
  const { code, stdout, stderr } = await cluster
    .mem0ctl("replicas", "verify", "--timeout", "50s")
    .finally(() => over.abort());
  await Promise.all(slowed);
  expect({ code, stdout, stderr }).toMatchObject({
    code: 0,
    stdout: `the replicas of shards 0-7 hold the same: ${COUNT} memories\n`,
  });
}, 60_000);
