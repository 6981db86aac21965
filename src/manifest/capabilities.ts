// What each engine of this version can do, as a plain table: validation, the planner and the drivers
// read the same one.

import type { EngineName, Protocol, ReplicationStrategy, Role, ShardingStrategy } from "../model/ids.ts";

export interface EngineCapabilities {
  readonly engine: EngineName;
  /** Whether this version can drive the engine at all. */
  readonly available: boolean;
  readonly sharding: readonly ShardingStrategy[];
  /** Consensus protocols that are mem0ctl's to choose; empty where the engine replicates in its own way. */
  readonly protocols: readonly Protocol[];
  readonly replication: readonly ReplicationStrategy[];
  readonly roles: readonly Role[];
}

export const ENGINE_CAPABILITIES: Readonly<Record<EngineName, EngineCapabilities>> = {
  embedded: {
    engine: "embedded",
    available: true,
    sharding: ["hash", "range", "directory"],
    protocols: ["raft", "paxos", "quorum"],
    replication: ["none", "single", "multiple"],
    roles: ["primary", "secondary", "arbiter"],
  },
  redis: {
    engine: "redis",
    available: false,
    sharding: ["hash"],
    protocols: [],
    replication: ["none", "single", "multiple"],
    roles: ["primary", "secondary"],
  },
};
