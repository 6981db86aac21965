// The questions of `init cluster`, in the order in which a cluster is thought of: what it is called, how
// many nodes, how many copies, how it is cut. Every answer has a default that is good for a laptop.

import { NAME_PATTERN } from "../../model/ids.ts";
import type { CliIo } from "../io.ts";
import { askChoice, askInteger, askText } from "../prompt.ts";
import { copiesByDefault, nameFrom } from "./choices.ts";
import type { Choices } from "./choices.ts";

const NOT_YET = "(not in this version)";

export async function askChoices(io: CliIo): Promise<Choices> {
  const name = await askText(io, "What is the cluster called?", nameFrom(io.cwd), (text) =>
    NAME_PATTERN.test(text) ? undefined : "Small letters, digits and inner hyphens; at most 63.",
  );
  const engine = await askChoice(io, "What keeps the data?", [
    { value: "embedded", meaning: "nodes that mem0ctl starts itself; nothing to install" },
    { value: "redis", meaning: "an existing cluster", disabled: NOT_YET },
  ]);
  const nodes = await askInteger(io, "How many nodes hold data?", 3, [1, 1000]);
  const replication = await askChoice(
    io,
    "How many copies of each shard, besides the leader's?",
    [
      { value: "none", meaning: "a node that is lost loses its shards" },
      { value: "single", meaning: "one; survives a node only with an arbiter" },
      { value: "multiple", meaning: "two or more; survives the loss of a node" },
    ],
    copiesByDefault(nodes).replication,
  );
  const replicas =
    replication === "multiple"
      ? await askInteger(io, "How many exactly?", Math.max(1, Math.min(2, nodes - 1)), [
          1,
          Math.max(1, nodes - 1),
        ])
      : undefined;
  const sharding = await askChoice(
    io,
    "How do keys find their shard?",
    [
      { value: "hash", meaning: "evenly, whatever the keys look like" },
      { value: "range", meaning: "neighbours in the alphabet stay together" },
      { value: "directory", meaning: "by hash, and chosen keys by hand" },
    ],
    "hash",
  );
  const shards = await askInteger(io, "How many shards?", 16, [1, 16_384]);
  const consensus = await askChoice(
    io,
    "How do replicas agree?",
    [
      { value: "raft", meaning: "a leader for each shard; no acknowledged write is lost" },
      { value: "paxos", meaning: "any node may propose", disabled: NOT_YET },
      { value: "quorum", meaning: "leaderless, tunable", disabled: NOT_YET },
    ],
    "raft",
  );
  return {
    name,
    engine,
    nodes,
    replication,
    ...(replicas === undefined ? {} : { replicas }),
    sharding,
    shards,
    consensus,
  };
}
