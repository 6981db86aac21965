// The questions of `init cluster`, in the order in which a cluster is thought of: what it is called, how
// many nodes, how many copies, how it is cut. Every answer has a default that is good for a laptop.

import type { ReadConsistency, WriteConsistency } from "../../model/consistency.ts";
import { NAME_PATTERN } from "../../model/ids.ts";
import { choicesOf } from "../../operations/manifest-file.ts";
import type { CliIo } from "../io.ts";
import { askChoice, askInteger, askText } from "../prompt.ts";
import { copiesByDefault, nameFrom, nodesByDefault } from "./choices.ts";
import type { Choices } from "./choices.ts";

export async function askChoices(io: CliIo): Promise<Choices> {
  const name = await askText(io, "What is the cluster called?", nameFrom(io.cwd), (text) =>
    NAME_PATTERN.test(text) ? undefined : "Small letters, digits and inner hyphens; at most 63.",
  );
  const engine = await askChoice(io, "What keeps the data?", [
    { value: "embedded", meaning: "nodes that mem0ctl starts itself; nothing to install" },
    { value: "redis", meaning: "Redis or Valkey Cluster, on servers that are installed here" },
  ]);
  const can = choicesOf(engine);
  const nodes = await askInteger(io, "How many nodes hold data?", nodesByDefault(engine), [1, 1000]);
  const replication = await askChoice(
    io,
    "How many copies of each shard, besides the leader's?",
    [
      { value: "none", meaning: "a node that is lost loses its shards" },
      {
        value: "single",
        meaning:
          can.protocols.length === 0
            ? "one; survives the loss of a node"
            : "one; survives a node only with an arbiter",
      },
      { value: "multiple", meaning: "two or more; survives the loss of a node" },
    ],
    copiesByDefault(nodes, engine).replication,
  );
  const replicas =
    replication === "multiple"
      ? await askInteger(io, "How many exactly?", Math.max(1, Math.min(2, nodes - 1)), [
          1,
          Math.max(1, nodes - 1),
        ])
      : undefined;
  const copies = 1 + (replicas ?? (replication === "single" ? 1 : 0));
  const chosen = { name, engine, nodes, replication, ...(replicas === undefined ? {} : { replicas }) };
  // What the engine decides by itself is not asked.
  if (can.protocols.length === 0 && can.shardsPerNode === "one") return chosen;
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
      { value: "raft", meaning: "a leader for each shard orders the writes" },
      { value: "paxos", meaning: "the same promises, by Multi-Paxos" },
      { value: "quorum", meaning: "no leader: R and W copies, tunable" },
    ],
    "raft",
  );
  const levels = consensus === "quorum" && copies > 1 ? await askLevels(io, copies) : {};
  return {
    ...chosen,
    sharding,
    shards,
    consensus,
    ...levels,
  };
}

/** R and W: the pairs that people choose, each with what it gives and what it survives. */
async function askLevels(
  io: CliIo,
  copies: number,
): Promise<{ readonly read: ReadConsistency; readonly write: WriteConsistency }> {
  const majority = Math.floor(copies / 2) + 1;
  const lost = (level: number): string => `${copies - level} ${copies - level === 1 ? "node" : "nodes"}`;
  const answer = await askChoice(
    io,
    "How many copies must answer a read (R) and a write (W)?",
    [
      { value: "quorum/quorum", meaning: `overlap; both survive ${lost(majority)}` },
      { value: "one/all", meaning: `overlap; reads survive ${lost(1)}, writes ${lost(copies)}` },
      { value: "all/one", meaning: `overlap; reads survive ${lost(copies)}, writes ${lost(1)}` },
      { value: "one/one", meaning: `no overlap, reads may miss writes; both survive ${lost(1)}` },
    ],
    "quorum/quorum",
  );
  const [read, write] = LEVELS[answer];
  return { read, write };
}

const LEVELS = {
  "quorum/quorum": ["quorum", "quorum"],
  "one/all": ["one", "all"],
  "all/one": ["all", "one"],
  "one/one": ["one", "one"],
} as const;
