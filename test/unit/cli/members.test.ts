// Nodes that come and go: what the manifest could not say afterwards is refused before anything is changed.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { visibleCluster } from "./support/cluster.ts";
import { mem0ctl } from "./support/program.ts";

it("a node that the manifest's copies need is not removed, even by force", async () => {
  const { cwd } = await visibleCluster();
  const before = readFileSync(join(cwd, "cluster.yaml"), "utf8");
  const { exit, stderr } = await mem0ctl(["nodes", "remove", "node-3", "--force", "node-3"], { cwd });
  expect(exit).toBe(2);
  expect(stderr).toContain("error[manifest-invalid]");
  expect(stderr).toContain("3 copies of each shard need 3 data nodes");
  expect(readFileSync(join(cwd, "cluster.yaml"), "utf8")).toBe(before);
});
