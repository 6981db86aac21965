// Nodes that come and go: what the manifest could not say afterwards is refused before anything is changed.

import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
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

it("a node joins no cluster whose manifest could not tell of it afterwards", async () => {
  const { cwd } = await visibleCluster();
  const text = readFileSync(join(cwd, "cluster.yaml"), "utf8");
  writeFileSync(join(cwd, "real.yaml"), text.replace("multiple, replicas: 2", "single"));
  symlinkSync("real.yaml", join(cwd, "link.yaml"));
  for (const line of [
    // A cluster that is only looked at would answer otherwise, if it were asked.
    ["nodes", "add", "node-4", "--address", "127.0.0.1:9"],
    ["nodes", "remove", "node-3", "--yes"],
  ]) {
    const { exit, stdout, stderr } = await mem0ctl([...line, "-f", "link.yaml"], { cwd });
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain("error[not-a-regular-file]: will not write to");
  }
});
