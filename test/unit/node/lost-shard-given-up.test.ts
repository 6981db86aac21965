// A shard that has lost its quorum can be moved nowhere, and perhaps never will be. An operation that waits for it ends when
// it is given up: one runs at a time, and the other shards wait for the next one.

import { expect, test } from "vitest";
import { giveUp } from "./give-up.ts";

test.each([
  ["raft", "move-replica"],
  ["paxos", "move-replica"],
  ["quorum", "move-replica"],
  ["raft", "remove-node"],
] as const)(
  "with %s a %s is not waited for when a shard has lost its quorum and it is given up",
  async (protocol, kind) => {
    let from = "";
    let to = "";
    let idle = "";
    const { problems, states, progress } = await giveUp({
      protocol,
      nodes: 5,
      crash: (machines) => {
        const holders = machines.get("node-1")?.core?.map().shards[0]?.replicas ?? [];
        [to = "", idle = ""] = [...machines.keys()].filter((id) => !holders.includes(id));
        [from = ""] = holders;
        for (const id of holders.slice(0, 2)) machines.get(id)?.crash("its machine is gone");
        return to;
      },
      step: () => (kind === "remove-node" ? { kind, node: idle } : { kind, shard: "0", from, to, bytes: 0 }),
      endMs: 60_000,
    });
    const { state, failures = {} } = progress ?? {};
    // Both sets of a leaderless one's copies are in force while it moves: it stays where it was.
    const why = Object.values(failures).map((text) => text.includes("shard 0 has no leader"));
    expect({ problems, states, state, why }).toEqual({
      problems: [],
      states: ["running"],
      state: "cancelled",
      why: protocol === "quorum" ? [] : [true],
    });
  },
  60_000,
);
