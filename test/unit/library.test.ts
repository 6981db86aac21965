// The library's entry: what is given to it is looked at before it is used.

import { expect, test } from "vitest";
import { clusterManifest, connect, type Manifest } from "../../src/index.ts";

test.each<[string, unknown]>([
  ["null", null],
  ["undefined", undefined],
  ["a number", 7],
  ["an object of another shape", {}],
  ["a builder that was not asked to build", clusterManifest("demo")],
])("connect of %s says what it takes", async (_, source) => {
  await expect(connect(source as Manifest)).rejects.toMatchObject({
    name: "Mem0ctlError",
    kind: "invalid",
    code: "no-manifest",
    hint: expect.stringMatching(/connect\("cluster.yaml"\).*\.build\(\)/),
  });
});
