import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { nodeCommand } from "../../../src/engines/embedded/node-program.ts";

test("a node starts with flags that the Node.js it runs on knows", () => {
  const { program, args } = nodeCommand("node/main.js", "cluster.yaml", "node-1");
  const flags = args.slice(0, args.indexOf("node/main.js"));
  const { status, stdout, stderr } = spawnSync(program, [...flags, "--print", "1"], { encoding: "utf8" });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "1\n", stderr: "" });
});
