// What each engine of this version can do, as a plain table: validation, the planner and the drivers
// read the same one.

import type { EngineName, Protocol, ReplicationStrategy, Role, ShardingStrategy } from "../model/ids.ts";

export interface EngineCapabilities {
  readonly engine: EngineName;
  readonly sharding: readonly ShardingStrategy[];
  /** Consensus protocols that are mem0ctl's to choose; empty where the engine replicates in its own way. */
  readonly protocols: readonly Protocol[];
  /** The engine's own way, in words, where `protocols` is empty. */
  readonly replicatesBy?: string;
  readonly replication: readonly ReplicationStrategy[];
  readonly roles: readonly Role[];
  /**
   * `many`: a node holds replicas of any number of shards. `one`: it holds a replica of one shard, so that
   * nodes and copies say how many shards there are.
   */
  readonly shardsPerNode: "many" | "one";
  /** Whether the cluster has to know a new node before it runs, or can only meet one that runs. */
  readonly joins: "before-start" | "after-start";
  /** Where it is kept that a node shall hold nothing: the cluster itself has a place for it, or only the manifest. */
  readonly drains: "in-cluster" | "in-manifest";
  /** How clients of the engine prove who they are, besides TLS. */
  readonly authentication: "tokens" | "password";
}

export const ENGINE_CAPABILITIES: Readonly<Record<EngineName, EngineCapabilities>> = {
  embedded: {
    engine: "embedded",
    sharding: ["hash", "range", "directory"],
    protocols: ["raft", "paxos", "quorum"],
    replication: ["none", "single", "multiple"],
    roles: ["primary", "secondary", "arbiter"],
    shardsPerNode: "many",
    joins: "before-start",
    drains: "in-cluster",
    authentication: "tokens",
  },
  redis: {
    engine: "redis",
    sharding: ["hash"],
    protocols: [],
    replicatesBy:
      "each primary streams its writes to its replicas, and a majority of the primaries votes when one is lost",
    replication: ["none", "single", "multiple"],
    roles: ["primary", "secondary"],
    shardsPerNode: "one",
    joins: "after-start",
    drains: "in-manifest",
    authentication: "password",
  },
};
