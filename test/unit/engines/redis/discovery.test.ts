// What CLUSTER NODES says, and what a manifest for it says then.
import { expect, it } from "vitest";
import { clusterOf } from "../../../../src/engines/redis/discovery.ts";
import { parseClusterNodes } from "../../../../src/engines/redis/gossip.ts";

const id = (digit: string): string => digit.repeat(40);
const TEXT = [
  `${id("a")} 10.0.0.1:6379@16379,redis-a.example,shard-id=${id("1")} myself,master - 0 0 3 connected 5461-10922 [93-<-${id("b")}] [5470->-${id("b")}]`,
  `${id("b")} 10.0.0.2:6379@16379 master - 0 1700000000000 1 connected 0-5460 10923`,
  `${id("c")} 10.0.0.3:6379@16379 slave ${id("b")} 0 1700000000000 1 connected`,
  `${id("d")} 10.0.0.4:6379@16379 slave ${id("a")} 0 1700000000000 3 disconnected`,
  `${id("e")} :0@0 master,noaddr - 1 1 7 disconnected`,
  `${id("f")} 10.0.0.6:6379@16379 master,fail - 1 1 2 disconnected`,
  "",
].join("\n");

it("reads addresses, flags, epochs, slots and the slots that are open", () => {
  const [self, second, third, fourth] = parseClusterNodes(TEXT);
  expect(self).toMatchObject({
    host: "10.0.0.1",
    port: 6379,
    busPort: 16_379,
    shardId: id("1"),
    primary: null,
    epoch: 3,
    slots: [{ from: 5461, to: 10_922 }],
    migrating: [{ slot: 5470, peer: id("b") }],
    importing: [{ slot: 93, peer: id("b") }],
  });
  expect(second?.slots).toEqual([
    { from: 0, to: 5460 },
    { from: 10_923, to: 10_923 },
  ]);
  expect(third?.primary).toBe(id("b"));
  expect(fourth?.linkUp).toBe(false);
});

it("names the shards in the order of their slots, each with its replicas, and leaves out who is gone", () => {
  const { nodes, shards, replicas } = clusterOf(parseClusterNodes(TEXT), "10.0.0.1");
  expect(nodes.map(({ id: name, address, zone, manage }) => [name, address, zone, manage])).toEqual([
    ["node-1", "10.0.0.2:6379", "10.0.0.2", "connect"],
    ["node-2", "10.0.0.3:6379", "10.0.0.3", "connect"],
    ["node-3", "10.0.0.1:6379", "10.0.0.1", "connect"],
    ["node-4", "10.0.0.4:6379", "10.0.0.4", "connect"],
  ]);
  expect({ shards, replicas }).toEqual({ shards: 2, replicas: 1 });
});
