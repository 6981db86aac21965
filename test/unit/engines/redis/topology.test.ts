// One picture of what servers say of their cluster.

import fc from "fast-check";
import { expect, it } from "vitest";
import { parseClusterNodes } from "../../../../src/engines/redis/gossip.ts";
import type { RedisAnswer } from "../../../../src/engines/redis/nodes.ts";
import { topologyOf } from "../../../../src/engines/redis/topology.ts";
import { numbersOf } from "../../../../src/topology/slot-ranges.ts";
import { SLOTS } from "../../../../src/topology/slots.ts";
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

const range = fc
  .tuple(fc.nat(SLOTS + 100), fc.oneof(fc.constant(0), fc.nat(SLOTS)))
  .map(([from, length]) => ({ from, to: from + length }));

it("every slot is its owner's of the highest epoch, or nobody's, whatever ranges are claimed", () => {
  const claims = fc.array(fc.record({ epoch: fc.nat(3), slots: fc.array(range, { maxLength: 5 }) }), {
    minLength: 3,
    maxLength: 3,
  });
  fc.assert(
    fc.property(claims, (claimed) => {
      const lines = claimed.map(({ epoch, slots }, index) => {
        const port = 7001 + index;
        const words = slots.map(({ from, to }) => (from === to ? from : `${from}-${to}`)).join(" ");
        return `aa${index} 127.0.0.1:${port}@1${port} master - 0 0 ${epoch} connected ${words}`;
      });
      const answers = lines.map((_, own): RedisAnswer => {
        const nodes = parseClusterNodes(
          lines.map((line, at) => (at === own ? line.replace("master", "myself,master") : line)).join("\n"),
        );
        const node = `node-${own + 1}`;
        const [self] = nodes.slice(own);
        if (self === undefined) throw new Error("no line of its own");
        return {
          node,
          report: { node, self, nodes, info: new Map(), cluster: new Map(), clockMs: 0, keys: 0 },
        };
      });
      const { groups, unowned, ownerOf } = topologyOf(manifestOf(), answers);
      const owners: (string | undefined)[] = Array.from({ length: SLOTS });
      for (const epoch of [0, 1, 2, 3]) {
        for (const [index, claim] of claimed.entries()) {
          if (claim.epoch !== epoch) continue;
          for (const slot of numbersOf(claim.slots)) if (slot < SLOTS) owners[slot] = `aa${index}`;
        }
      }
      const held = (owner: string | undefined): number[] =>
        owners.flatMap((one, slot) => (one === owner ? [slot] : []));
      expect(numbersOf(unowned)).toEqual(held(undefined));
      for (const { primary, slots, slotCount } of groups) {
        expect(numbersOf(slots)).toEqual(held(primary.redisId));
        expect(slotCount).toBe(held(primary.redisId).length);
      }
      expect(owners.findIndex((owner, slot) => ownerOf(slot) !== owner)).toBe(-1);
    }),
    { numRuns: 20 },
  );
});
