// A manifest whose limits and timings were edited: `plan` says what that takes, `apply` restarts the nodes for it while
// clients write.

import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import type { ManifestPlan } from "../../src/model/plan.ts";
import { importRecords, record } from "./support/api.ts";
import { bringUpCluster, type TestCluster } from "./support/cluster.ts";

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.end();
  cluster = undefined;
});

test("edited limits are shown with what they cost, and apply restarts one node after another", async () => {
  const running = await bringUpCluster({ flags: ["--shards", "2"] });
  cluster = running;
  const { mem0ctl, hosts, file, pidOf } = running;
  expect(await mem0ctl("plan", "--detailed-exitcode")).toMatchObject({ code: 0 });
  const edit = (change: (text: string) => string): void =>
    writeFileSync(file, change(readFileSync(file, "utf8")));
  edit((text) => text.replace(/^( +maxLag): .*/m, "$1: 7s\n    batch: 50"));

  const shown = await mem0ctl("plan", "-o", "json");
  const { changes, restarts } = JSON.parse(shown.stdout) as ManifestPlan;
  expect(changes.map(({ message, live }) => [message, live])).toEqual([
    ["limits.maxLag is 5s and should be 7s", true],
    ["limits.batch is 1000 and should be 50", true],
  ]);
  expect(restarts).toEqual(["node-1", "node-2", "node-3"]);
  expect((await mem0ctl("plan")).stdout).toMatch(/costs 3 nodes are restarted/);

  const before = restarts.map(pidOf);
  const acknowledged: string[] = [];
  let isOver = false;
  const writing = (async () => {
    for (let at = 0; !isOver; at += 1) {
      const host = hosts[at % hosts.length] ?? "";
      const answer = await importRecords(host, [record(`w-${at}`, `user-${at % 9}`)]).catch(() => undefined);
      if (answer?.status === 200) acknowledged.push(`w-${at}`);
    }
  })();
  const applied = await mem0ctl("apply", "--yes", "--timeout", "80s");
  isOver = true;
  await writing;
  expect(applied).toMatchObject({ code: 0 });
  expect(restarts.map(pidOf).filter((pid) => before.includes(pid))).toEqual([]);
  expect(await mem0ctl("plan", "--detailed-exitcode")).toMatchObject({ code: 0 });
  const exported = (await mem0ctl("memories", "export")).stdout;
  expect(acknowledged.filter((id) => !exported.includes(`"${id}"`))).toEqual([]);

  edit((text) =>
    text
      .replace(/^( +)maxLag: 7s/m, "$1maxLag: 8s")
      .replace(/\n$/, "\n  embedding: { provider: none, dimensions: 8 }\n"),
  );
  const refused = await mem0ctl("apply", "--yes", "-o", "json");
  expect(refused.code).toBe(6);
  expect(refused.stderr).toContain("mem0ctl migrate");
}, 150_000);
