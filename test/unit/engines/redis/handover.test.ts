// A handover of a shard among servers that hear of it one after the other. Real servers do so within milliseconds, and
// which of them is looked at too early is chance; so sockets answer here, in the order that matters.

import { afterEach, expect, it } from "vitest";
import { Turns } from "../../../../src/engines/redis/atomic-moves.ts";
import { moverPresence } from "../../../../src/engines/redis/mover-presence.ts";
import { RedisNodes } from "../../../../src/engines/redis/nodes.ts";
import { executeStep } from "../../../../src/engines/redis/steps.ts";
import { manifestOf } from "../support.ts";
import { scriptedServer } from "./scripted-server.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const IDS = ["aaa", "bbb", "ccc"] as const;
type RedisId = (typeof IDS)[number];

function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

/**
 * Three servers, of which bbb and ccc follow aaa until ccc is told to take over: from then on ccc leads by its own
 * word, and the others as `heard` says, told how often the server was looked at since. The first so many commands to
 * follow another are refused.
 */
async function servers(heard: (id: RedisId, looks: number) => boolean, refusals = 0) {
  const follows: Record<RedisId, RedisId | null> = { aaa: null, bbb: "aaa", ccc: "aaa" };
  const looks: Record<RedisId, number> = { aaa: 0, bbb: 0, ccc: 0 };
  const told: string[] = [];
  const ports: number[] = [];
  let over = false;
  const nodesAsSeenBy = (self: RedisId): string =>
    IDS.map((id, index) => {
      const flags = `${id === self ? "myself," : ""}${follows[id] === null ? "master" : "slave"}`;
      const slots = follows[id] === null && (id === "ccc" || !over) ? " 0-16383" : "";
      const port = ports[index] ?? 0;
      return `${id} 127.0.0.1:${port}@1 ${flags} ${follows[id] ?? "-"} 0 0 ${id === "ccc" ? 2 : 1} connected${slots}\n`;
    }).join("");
  for (const self of IDS) {
    const server = await scriptedServer((command) => {
      const words = command.join(" ");
      if (words === "CLUSTER NODES") {
        if (over) looks[self] += 1;
        if (over && self !== "ccc" && heard(self, looks[self])) follows[self] = "ccc";
        return bulk(nodesAsSeenBy(self));
      }
      if (words === "CLUSTER INFO") return bulk("cluster_state:ok\r\n");
      if (words === "INFO") return bulk("master_link_status:up\r\n");
      if (words === "TIME") return "*2\r\n$1\r\n0\r\n$1\r\n0\r\n";
      if (words === "DBSIZE") return ":0\r\n";
      told.push(`${self}: ${words}`);
      if (words === "CLUSTER FAILOVER") {
        over = true;
        follows.ccc = null;
      }
      if (words !== "CLUSTER REPLICATE ccc") return "+OK\r\n";
      if (refusals > 0) {
        refusals -= 1;
        return "-ERR I can only replicate a master, not a replica.\r\n";
      }
      follows[self] = "ccc";
      return "+OK\r\n";
    });
    ends.push(() => server.close());
    ports.push(server.port);
  }
  const manifest = manifestOf({ ports, manage: "connect" });
  const nodes = new RedisNodes(manifest);
  ends.push(() => nodes.close());
  const transfer = (timeoutMs: number): Promise<string> =>
    executeStep(
      { manifest, nodes, presence: moverPresence(Date.now()), turns: new Turns() },
      { kind: "transfer-leader", group: "0", to: "node-3" },
      { timeoutMs },
    );
  return { transfer, follows, told };
}

it("is done when the one that led and those that followed it have heard, too", async () => {
  const { transfer, follows, told } = await servers((id, looks) => looks > (id === "aaa" ? 2 : 4));
  await expect(transfer(20_000)).resolves.toBe("shard 0 went from node-1 to node-3 in term 2");
  expect(follows).toEqual({ aaa: "ccc", bbb: "ccc", ccc: null });
  expect(told).toEqual(["ccc: CLUSTER FAILOVER"]);
});

it("tells a replica that does not hear of it whom to follow, again where it refused", async () => {
  const { transfer, follows, told } = await servers((id) => id === "aaa", 1);
  await expect(transfer(20_000)).resolves.toBe("shard 0 went from node-1 to node-3 in term 2");
  expect(follows.bbb).toBe("ccc");
  expect(told).toEqual(["ccc: CLUSTER FAILOVER", "bbb: CLUSTER REPLICATE ccc", "bbb: CLUSTER REPLICATE ccc"]);
}, 20_000);

it("is not known to be done while the one that led takes itself for the leader", async () => {
  const { transfer, told } = await servers((id) => id === "bbb");
  await expect(transfer(3000)).rejects.toMatchObject({ kind: "unknown-outcome", code: "step-not-seen" });
  expect(told).toEqual(["ccc: CLUSTER FAILOVER"]);
}, 20_000);
