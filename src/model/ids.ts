// Names of the things a cluster is made of. All ids are strings, in code and in JSON, so that no
// consumer has to guess whether 3 and "3" are the same shard.

/** A node's id as the manifest gives it, e.g. `node-1`. Pattern: `NODE_ID`. */
export type NodeId = string;

/** A shard's id: its number in decimal, `"0"` … `"16383"`. */
export type ShardId = string;

/** A replica group: `"meta"` for the metadata group, otherwise the shard's id. */
export type GroupId = string;

/** The metadata group covers the cluster: nodes, shard map, running operations. */
export const META_GROUP: GroupId = "meta";

/** A group as people call it. */
export function groupName(group: GroupId): string {
  return group === META_GROUP ? "the metadata group" : `shard ${group}`;
}

/** What a node or cluster may be called: DNS-label-like, 1 to 63 characters. */
export const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export type Role = "primary" | "secondary" | "arbiter";
export type EngineName = "embedded" | "redis";
export type Protocol = "raft" | "paxos" | "quorum";
/** How the copies of a shard agree: a protocol of mem0ctl's own, or the engine's way. */
export type ReplicationProtocol = Protocol | "redis-cluster";
export type ShardingStrategy = "hash" | "range" | "directory";
export type ReplicationStrategy = "none" | "single" | "multiple";

/** The scope field that the shard key is taken from. */
export type ShardKeyField = "user" | "agent" | "run" | "app";
