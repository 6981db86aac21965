// `up` while a node is still there, and about to end.

import { afterEach, expect, test } from "vitest";
import { bringUpCluster, type TestCluster } from "./support/cluster.ts";

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.end();
  cluster = undefined;
});

test("a node that ends while `up` waits for its answer is started again", async () => {
  const running = await bringUpCluster({ nodes: 1, flags: ["--replication", "none", "--shards", "1"] });
  cluster = running;
  const before = running.pidOf("node-1");
  await running.signal("node-1", "SIGSTOP");
  const up = running.mem0ctl("up", "--timeout", "40s");
  // By then it has found the process, which answers nothing.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await running.signal("node-1", "SIGKILL");
  expect(await up).toMatchObject({ code: 0 });
  expect(running.pidOf("node-1")).not.toBe(before);
  expect((await running.status()).code).toBe(0);
});
