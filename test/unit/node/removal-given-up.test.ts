// A copy is not taken away while those that are left would be too few without a dead one. Whoever then gives that up, so
// as to replace the dead node instead, is not made to wait for it.

import { expect, test } from "vitest";
import { giveUp } from "./give-up.ts";

test.each(["raft", "paxos"] as const)(
  "with %s the removal of a copy that would leave no quorum ends when it is given up, and takes nothing away",
  async (protocol) => {
    const { problems, states, progress, map } = await giveUp({
      protocol,
      nodes: 3,
      crash: (machines) => {
        machines.get("node-2")?.crash("its machine is gone");
        return "node-1";
      },
      step: () => ({ kind: "remove-replica", shard: "0", from: "node-3" }),
      endMs: 30_000,
    });
    const { state, steps } = progress ?? {};
    const replicas = map?.shards[0]?.replicas.toSorted();
    expect({ problems, states, state, steps, replicas }).toEqual({
      problems: [],
      states: ["running"],
      state: "cancelled",
      steps: ["dropped"],
      replicas: ["node-1", "node-2", "node-3"],
    });
  },
  60_000,
);
