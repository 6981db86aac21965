// One picture of what servers say of their cluster.

import { expect, it } from "vitest";
import { parseClusterNodes } from "../../../../src/engines/redis/gossip.ts";
import type { RedisAnswer } from "../../../../src/engines/redis/nodes.ts";
import { topologyOf } from "../../../../src/engines/redis/topology.ts";
import { manifestOf } from "../support.ts";

const LINES: Readonly<Record<string, string>> = {
  "node-1": "aaa 127.0.0.1:7001@17001 master - 0 0 1 connected 0-8191 [100->-bbb]",
  "node-2": "bbb 127.0.0.1:7002@17002 master - 0 0 2 connected 8192-16383 [100-<-aaa]",
  "node-3": "ccc 127.0.0.1:7003@17003 slave aaa 0 0 1 connected [100->-bbb]",
};

function answer(node: string): RedisAnswer {
  const lines = Object.entries(LINES).map(([id, line]) =>
    id === node ? line.replace(/(master|slave)/, "myself,$1") : line.replace(/ \[.*/, ""),
  );
  const nodes = parseClusterNodes(`${lines.join("\n")}\n`);
  const self = nodes.find(({ flags }) => flags.has("myself"));
  if (self === undefined) throw new Error("no line of its own");
  return { node, report: { node, self, nodes, info: new Map(), cluster: new Map(), clockMs: 0, keys: 0 } };
}

it("an open slot is its primary's, also where a replica has the mark, as Valkey's have", () => {
  const { open } = topologyOf(manifestOf(), ["node-1", "node-2", "node-3"].map(answer));
  expect(open.map(({ slot, source, target }) => [slot, source?.id, target?.id])).toEqual([
    [100, "node-1", "node-2"],
  ]);
});
