// A move that is given up at whatever moment. The map may go back on it just when the log has made the new replica count;
// and where the node that the replica leaves is dead, nothing goes back there.

import { expect, test } from "vitest";
import type { ClusterStep } from "../../../src/model/operation.ts";
import { hasEnded } from "../../../src/model/operation.ts";
import type { Protocol } from "../../../src/model/ids.ts";
import { calmCluster } from "../../sim/calm.ts";
import { World } from "../../sim/world.ts";

const SHARD = "0";
const SETTLE_MS = 4500;
const END_MS = 30_000;
/** So long that the steps of a change take their time. */
const DELAY_MS = 40;
const CANCEL_EVERY_MS = 80;
const CANCELS = 16;

async function givenUpAfter(protocol: Protocol, cancelMs: number): Promise<unknown> {
  const world = new World(1, false);
  const { timeline } = world;
  const problems: string[] = [];
  const { manifest, network, machines } = calmCluster(world, protocol, 4, 1);
  const all = [...machines.values()];
  for (const machine of all) timeline.plan(0, () => machine.start());
  const { consistency } = manifest.consensus;
  const context = (requestId: string) => ({ deadlineMs: 1e12, requestId, consistency });
  const fail = (error: unknown): void => void problems.push(String(error));
  const asked = () => {
    const core = machines.get("node-1")?.core;
    if (core === undefined) throw new Error("node-1 does not run");
    return core;
  };
  const begin = (): void => {
    const { shards, nodes } = asked().map();
    const replicas = shards[0]?.replicas ?? [];
    const from = replicas.findLast((id) => id !== "node-1") ?? "";
    const to = nodes.find(({ id }) => !replicas.includes(id))?.id ?? "";
    network.weather = { ...network.weather, delayMsMin: DELAY_MS, delayMsMax: DELAY_MS };
    machines.get(from)?.crash("its machine is gone");
    const waves: ClusterStep[][] = [[{ kind: "move-replica", shard: SHARD, from, to, bytes: 0 }]];
    const plan = {
      name: "move",
      startedBy: "test",
      waves,
      concurrency: 1,
      bytesPerSecondMax: null,
      epoch: null,
    };
    asked().admin.beginOperation(plan, context("begin")).catch(fail);
    timeline.plan(cancelMs, () => {
      // Before it has begun, or when it has ended, there is nothing to be given up.
      void asked()
        .admin.cancelOperation(context("cancel"))
        .catch(() => undefined);
    });
  };
  const isEnded = (): boolean => {
    const operation = machines.get("node-1")?.core?.operation() ?? null;
    return operation !== null && hasEnded(operation);
  };
  timeline.plan(SETTLE_MS, begin);
  await timeline.run({
    onSettled: () => undefined,
    isOver: () => isEnded() || world.nowMs > END_MS,
    onThrow: fail,
    onLeak: (source) => problems.push(`real time: ${source}`),
  });
  const hasItEnded = isEnded();
  for (const machine of all) machine.crash("over");
  return { cancelMs, problems, hasItEnded };
}

test.each(["raft", "paxos", "quorum"] as const)(
  "with %s a move away from a dead node ends, whenever it is given up",
  async (protocol) => {
    for (let turn = 1; turn <= CANCELS; turn += 1) {
      const cancelMs = turn * CANCEL_EVERY_MS;
      expect(await givenUpAfter(protocol, cancelMs)).toEqual({ cancelMs, problems: [], hasItEnded: true });
    }
  },
  120_000,
);
