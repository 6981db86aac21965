// What was chosen for a new cluster, by flags or by answers, and what follows where nothing was: three
// nodes with three copies, because that is the least that survives the loss of one.

import { basename } from "node:path";
import type { ReadConsistency, WriteConsistency } from "../../model/consistency.ts";
import type {
  EngineName,
  Protocol,
  ReplicationStrategy,
  ShardingStrategy,
  ShardKeyField,
} from "../../model/ids.ts";
import { choicesOf } from "../../operations/manifest-file.ts";
import type { ScaffoldOptions } from "./manifest.ts";

export interface Choices {
  readonly name?: string;
  readonly engine?: EngineName;
  readonly nodes?: number;
  readonly zones?: number;
  readonly arbiters?: number;
  readonly replication?: ReplicationStrategy;
  readonly replicas?: number;
  readonly sharding?: ShardingStrategy;
  readonly shards?: number;
  readonly key?: ShardKeyField;
  readonly ranges?: readonly string[];
  readonly consensus?: Protocol;
  readonly read?: ReadConsistency;
  readonly write?: WriteConsistency;
  readonly port?: number;
  readonly dataDir?: string;
}

/** Nodes that hold one shard each vote by shards, of which three can do without one: that takes six nodes. */
export function nodesByDefault(engine: EngineName | undefined): number {
  return choicesOf(engine ?? "embedded").shardsPerNode === "one" ? 6 : 3;
}

/** Copies besides the leader's, as far as there are nodes for them: 2 survive the loss of one node. */
export function copiesByDefault(
  nodes: number,
  engine: EngineName | undefined,
): { replication: ReplicationStrategy; replicas: number } {
  if (choicesOf(engine ?? "embedded").shardsPerNode === "one") {
    return nodes >= 6 ? { replication: "single", replicas: 1 } : { replication: "none", replicas: 0 };
  }
  if (nodes >= 3) return { replication: "multiple", replicas: 2 };
  return nodes === 2 ? { replication: "single", replicas: 1 } : { replication: "none", replicas: 0 };
}

/** The directory's name, made fit to be a cluster's. */
export function nameFrom(directory: string): string {
  const name = basename(directory)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, "");
  return name === "" ? "demo" : name;
}

/** What the scaffold is told; the rest it decides itself. */
export function scaffoldOf(choices: Choices, directory: string): ScaffoldOptions {
  const {
    name,
    engine,
    nodes = nodesByDefault(choices.engine),
    zones,
    arbiters,
    port,
    consensus,
    read,
    write,
    dataDir,
  } = choices;
  return {
    name: name ?? nameFrom(directory),
    nodes,
    replication: replicationOf(choices, nodes),
    sharding: shardingOf(choices),
    ...(engine === undefined ? {} : { engine }),
    ...(zones === undefined ? {} : { zones }),
    ...(arbiters === undefined ? {} : { arbiters }),
    ...(port === undefined ? {} : { basePort: port }),
    ...(consensus === undefined ? {} : { protocol: consensus }),
    ...(read === undefined ? {} : { read }),
    ...(write === undefined ? {} : { write }),
    ...(dataDir === undefined ? {} : { dataDir }),
  };
}

/** A number of replicas says which strategy it is; a strategy alone says how many where it can. */
function replicationOf(
  { replication, replicas, engine }: Choices,
  nodes: number,
): { strategy: ReplicationStrategy; replicas?: number } {
  if (replication !== undefined) {
    if (replication !== "multiple")
      return { strategy: replication, ...(replicas === undefined ? {} : { replicas }) };
    return { strategy: "multiple", replicas: replicas ?? Math.max(1, Math.min(2, nodes - 1)) };
  }
  if (replicas === undefined) {
    const byDefault = copiesByDefault(nodes, engine);
    return { strategy: byDefault.replication, replicas: byDefault.replicas };
  }
  return { strategy: replicas === 0 ? "none" : replicas === 1 ? "single" : "multiple", replicas };
}

/** Split points are range sharding's, so giving some chooses it. */
function shardingOf({ sharding, shards, key, ranges }: Choices): NonNullable<ScaffoldOptions["sharding"]> {
  return {
    strategy: sharding ?? (ranges === undefined ? "hash" : "range"),
    ...(shards === undefined ? {} : { shards }),
    ...(key === undefined ? {} : { key }),
    ...(ranges === undefined ? {} : { ranges }),
  };
}
