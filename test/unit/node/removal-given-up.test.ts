// A copy is not taken away while those that are left would be too few without a dead one. Whoever then gives that up, so
// as to replace the dead node instead, is not made to wait for it.

import { expect, test } from "vitest";
import { hasEnded, type ClusterStep } from "../../../src/model/operation.ts";
import { calmCluster } from "../../sim/calm.ts";
import { World } from "../../sim/world.ts";

const SHARD = "0";
const CRASH_MS = 5000;
const BEGIN_MS = 9000;
const CANCEL_MS = 14_000;
const END_MS = 30_000;

test.each(["raft", "paxos"] as const)(
  "with %s the removal of a copy that would leave no quorum ends when it is given up, and takes nothing away",
  async (protocol) => {
    const world = new World(1, false);
    const { timeline } = world;
    const problems: string[] = [];
    const { manifest, machines } = calmCluster(world, protocol, 3, 1);
    const all = [...machines.values()];
    for (const machine of all) timeline.plan(0, () => machine.start());
    const { consistency } = manifest.consensus;
    const context = (requestId: string) => ({ deadlineMs: 1e12, requestId, consistency });
    const fail = (error: unknown): void => void problems.push(String(error));
    const core = () => machines.get("node-1")?.core;
    const states: (readonly string[])[] = [];
    timeline.plan(CRASH_MS, () => machines.get("node-2")?.crash("its machine is gone"));
    timeline.plan(BEGIN_MS, () => {
      const waves: ClusterStep[][] = [[{ kind: "remove-replica", shard: SHARD, from: "node-3" }]];
      const plan = { name: "remove", startedBy: "test", waves, concurrency: 1 };
      core()
        ?.admin.beginOperation({ ...plan, bytesPerSecondMax: null, epoch: null }, context("begin"))
        .catch(fail);
    });
    timeline.plan(CANCEL_MS, () => {
      states.push(core()?.operation()?.progress.steps ?? []);
      core()?.admin.cancelOperation(context("cancel")).catch(fail);
    });
    const isEnded = (): boolean => {
      const operation = core()?.operation() ?? null;
      return operation !== null && hasEnded(operation);
    };
    await timeline.run({
      onSettled: () => undefined,
      isOver: () => isEnded() || world.nowMs > END_MS,
      onThrow: fail,
      onLeak: (source) => problems.push(`real time: ${source}`),
    });
    const { state, steps } = core()?.operation()?.progress ?? {};
    const replicas = core()?.map().shards[0]?.replicas.toSorted();
    for (const machine of all) machine.crash("over");
    expect({ problems, states, state, steps, replicas }).toEqual({
      problems: [],
      states: [["running"]],
      state: "cancelled",
      steps: ["dropped"],
      replicas: ["node-1", "node-2", "node-3"],
    });
  },
  60_000,
);
