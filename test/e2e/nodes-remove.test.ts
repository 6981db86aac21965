// A node that is taken out by a command that does not see the end: it runs until the command is given again, and every
// one says so.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { OperationAnswer } from "../../src/model/node-api.ts";
import { call, importRecords, record } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const RUNS_ON = "node-3 runs, and is in the manifest, until this has ended and the command is given again";

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await bringUpCluster({ nodes: 3, flags: ["--shards", "2", "--replicas", "1"] });
  const records = Array.from({ length: 60 }, (_, index) => record(`m-${index}`, `user-${index % 10}`));
  const { status } = await importRecords(cluster.hosts[0] ?? "", records);
  if (status !== 200) throw new Error(`the import was answered with ${status}`);
});
afterAll(async () => cluster?.end());

async function ended(): Promise<string> {
  return until("the operation has ended", async () => {
    const { body } = await call(cluster.hosts[0] ?? "", { path: "/v1/cluster/operation" });
    const { operation } = body as OperationAnswer;
    const state = operation?.progress.state ?? "";
    return state === "done" || state === "cancelled" ? state : undefined;
  });
}

function isInManifest(): boolean {
  return readFileSync(cluster.file, "utf8").includes("node-3");
}

test("one that does not end in time goes on, and the node with it", async () => {
  const slow = ["--throttle", "1KiB/s", "--timeout", "5s"];
  const late = await cluster.mem0ctl("nodes", "remove", "node-3", "--yes", ...slow);
  expect(late.code).toBe(5);
  expect(late.stderr).toContain("the operation did not end in time");
  expect(late.stdout + late.stderr).toContain(RUNS_ON);
  expect(await cluster.mem0ctl("shards", "rebalance", "--cancel")).toMatchObject({ code: 0 });
  expect(await ended()).toBe("cancelled");
  expect(isInManifest()).toBe(true);
});

test("one that is not waited for leaves a node that status tells of, and the same command again ends it", async () => {
  const begun = await cluster.mem0ctl("nodes", "remove", "node-3", "--yes", "--no-wait");
  expect(begun.code).toBe(0);
  expect(begun.stdout + begun.stderr).toContain(RUNS_ON);
  expect(await ended()).toBe("done");
  expect(isInManifest()).toBe(true);
  const { code, view } = await cluster.status();
  expect(code).toBe(3);
  expect(view.reasons.map((reason) => reason.code)).toContain("node-not-member");

  const again = await cluster.mem0ctl("nodes", "remove", "node-3", "--yes");
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toContain("the cluster was without node-3 already");
  expect(again.stdout + again.stderr).toContain("node-3 is stopped, and out of the manifest");
  expect(isInManifest()).toBe(false);
  expect((await cluster.status()).code).toBe(0);
});
