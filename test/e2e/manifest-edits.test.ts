// Commands that edit the manifest while others, or a person, do so too: no edit takes another one back.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await bringUpCluster({ spare: 2, flags: ["--shards", "2"] });
});
afterAll(async () => cluster?.end());

test("two nodes that are added at the same time are both in the manifest, and both run", async () => {
  const added = await Promise.all(
    [3, 4].map((at) => {
      const address = `127.0.0.1:${cluster.ports[at] ?? 0}`;
      return cluster.mem0ctl("nodes", "add", `node-${at + 1}`, "--address", address);
    }),
  );
  // Healthy or, while the other one is only starting, degraded.
  for (const { code, stderr } of added) {
    expect(stderr).not.toContain("error[");
    expect([0, 3]).toContain(code);
  }
  const text = readFileSync(cluster.file, "utf8");
  expect(text).toContain("id: node-4");
  expect(text).toContain("id: node-5");
  await until("both are up", async () => (await cluster.status()).view.healthyNodes === 5);
  expect(await cluster.mem0ctl("plan", "--detailed-exitcode")).toMatchObject({ code: 0 });
});
