// A shard that has lost its quorum can be moved nowhere, and perhaps never will be. An operation that waits for it ends when
// it is given up: one runs at a time, and the other shards wait for the next one.

import { expect, test } from "vitest";
import { hasEnded, type ClusterStep } from "../../../src/model/operation.ts";
import { calmCluster } from "../../sim/calm.ts";
import { World } from "../../sim/world.ts";

const SHARD = "0";
const CRASH_MS = 5000;
const BEGIN_MS = 9000;
const CANCEL_MS = 14_000;
const END_MS = 60_000;

test.each([
  ["raft", "move-replica"],
  ["paxos", "move-replica"],
  ["quorum", "move-replica"],
  ["raft", "remove-node"],
] as const)(
  "with %s a %s is not waited for when a shard has lost its quorum and it is given up",
  async (protocol, kind) => {
    const world = new World(1, false);
    const { timeline } = world;
    const problems: string[] = [];
    const { manifest, machines } = calmCluster(world, protocol, 5, 1);
    const all = [...machines.values()];
    for (const machine of all) timeline.plan(0, () => machine.start());
    const { consistency } = manifest.consensus;
    const context = (requestId: string) => ({ deadlineMs: 1e12, requestId, consistency });
    const fail = (error: unknown): void => void problems.push(String(error));
    let asked = "";
    const core = () => machines.get(asked)?.core;
    let holders: readonly string[] = [];
    let dead: readonly string[] = [];
    const states: (readonly string[])[] = [];
    timeline.plan(CRASH_MS, () => {
      holders = machines.get("node-1")?.core?.map().shards[0]?.replicas ?? [];
      asked = all.find(({ id }) => !holders.includes(id))?.id ?? "";
      dead = holders.slice(0, 2);
      for (const id of dead) machines.get(id)?.crash("its machine is gone");
    });
    timeline.plan(BEGIN_MS, () => {
      const [from = ""] = dead;
      const idle = all.find(({ id, isUp }) => isUp && id !== asked && !holders.includes(id))?.id ?? "";
      const step: ClusterStep =
        kind === "remove-node" ? { kind, node: idle } : { kind, shard: SHARD, from, to: asked, bytes: 0 };
      const waves = [[step]];
      const plan = { name: "move", startedBy: "test", waves, concurrency: 1 };
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
    const { state, failures = {} } = core()?.operation()?.progress ?? {};
    for (const machine of all) machine.crash("over");
    // Both sets of a leaderless one's copies are in force while it moves: it stays where it was.
    const why = Object.values(failures).map((text) => text.includes(`shard ${SHARD} has no leader`));
    expect({ problems, states, state, why }).toEqual({
      problems: [],
      states: [["running"]],
      state: "cancelled",
      why: protocol === "quorum" ? [] : [true],
    });
  },
  60_000,
);
