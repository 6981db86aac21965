// Comparing the replicas of many shards: what may pass is asked for again, what stays unknown is never the same.

import { expect, it } from "vitest";
import type { Engine, OperationControl } from "../../../src/engines/engine.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { ReplicaContent, ShardVerification } from "../../../src/model/node-api.ts";
import { verifyReplicas } from "../../../src/operations/replicas.ts";
import { errorOf, scriptedEngine } from "./support.ts";

const read = (node: string): ReplicaContent => ({ node, memories: 5, digest: "d" });
const unread = (node: string, code: string): ReplicaContent => ({
  node,
  memories: null,
  digest: null,
  error: `${node}: ${code}`,
  code,
});

const same = [read("node-1"), read("node-2")];
const stale = [read("node-1"), unread("node-2", "too-stale")];
const gone = [unread("node-1", "too-stale"), unread("node-2", "peer-unreachable")];

type Answer = readonly ReplicaContent[] | Mem0ctlError;

/** An engine that compares its shards as the script says, the last answer of each again and again. */
function engineOf(script: Readonly<Record<string, readonly Answer[]>>) {
  const asked: string[] = [];
  const operations: Pick<OperationControl, "verify"> = {
    async verify(shard): Promise<ShardVerification> {
      const answers = script[shard] ?? [];
      const answer = answers[asked.filter((id) => id === shard).length] ?? answers.at(-1) ?? [];
      asked.push(shard);
      if (answer instanceof Mem0ctlError) throw answer;
      return { shard, replicas: answer, differences: [], differing: 0 };
    },
  };
  const engine: Engine = { ...scriptedEngine(), operations: operations as OperationControl };
  return { engine, asked };
}

it("a shard whose replicas do not know in time how old they are is compared again, and no other is", async () => {
  const { engine, asked } = engineOf({ "0": [same], "1": [stale, stale, same], "2": [same] });
  const verification = await verifyReplicas(engine, [], { timeoutMs: 30_000 });
  expect(asked).toEqual(["0", "1", "2", "1", "1"]);
  expect(verification.same).toBe(true);
  expect(verification.shards.map(({ shard, replicas }) => [shard, replicas])).toEqual([
    ["0", same],
    ["1", same],
    ["2", same],
  ]);
});

it.each([
  ["the deadline", { timeoutMs: 1500 }],
  ["the patience", { timeoutMs: 3_600_000, patienceMs: 1500 }],
])("at the end of %s it is told of with the reason, and is not the same", async (_, options) => {
  const { engine, asked } = engineOf({ "0": [same], "1": [stale], "2": [same] });
  const verification = await verifyReplicas(engine, [], options);
  expect(asked.slice(0, 4)).toEqual(["0", "1", "2", "1"]);
  expect(verification.same).toBe(false);
  expect(verification.shards[1]?.replicas).toEqual(stale);
});

it("a replica that cannot be reached is not waited for", async () => {
  const { engine, asked } = engineOf({ "0": [gone] });
  expect(await verifyReplicas(engine, ["0"], { timeoutMs: 30_000 })).toMatchObject({ same: false });
  expect(asked).toEqual(["0"]);
});

it("no answer to the second question leaves what the first one found", async () => {
  const silent = new Mem0ctlError("unavailable", "nothing-answered", "no node answered");
  const { engine } = engineOf({ "0": [stale, silent] });
  const { shards, same: areSame } = await verifyReplicas(engine, ["0"], { timeoutMs: 1500 });
  expect([areSame, shards[0]?.replicas]).toEqual([false, stale]);
});

it("an interruption ends the waiting", async () => {
  const { engine } = engineOf({ "0": [stale] });
  const signal = AbortSignal.timeout(700);
  const error = await errorOf(verifyReplicas(engine, ["0"], { timeoutMs: 30_000, signal }));
  expect(error.code).toBe("interrupted");
});
