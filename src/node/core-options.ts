// What a node's core is made of, and the bounds that it keeps.

import type { GroupId, NodeId } from "../model/ids.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { ShardMap } from "../model/shard-map.ts";
import type { Embedder } from "../memory/embedder.ts";
import type { Clock } from "./clock.ts";
import type { Stores } from "./host/durable-group.ts";
import type { HostLimits } from "./host/host-options.ts";
import type { Identity } from "./identity.ts";
import { LEADERLESS_LIMITS, type LeaderlessLimits } from "./quorum/copy-here.ts";
import type { Network, NetworkHandlers } from "./transport/network.ts";

const MIB = 1 << 20;

export interface CoreLimits extends HostLimits {
  /** Sessions that a shard keeps; the same on every node. */
  readonly sessionsMax: number;
  readonly vectorBytesMax: number;
  readonly vectorSetsMax: number;
  /** Of the quorum protocol's shards. */
  readonly leaderless: LeaderlessLimits;
}

export const CORE_LIMITS: CoreLimits = {
  logBytes: 32 * MIB,
  groupLogBytesMin: MIB,
  keptLogBytes: 512 * MIB,
  groupKeptLogBytesMax: 64 * MIB,
  snapshotChunkBytes: MIB / 2,
  cleanRecordsMax: 2000,
  unwrittenBytesMax: 64 * MIB,
  scrubBytesPerSecond: MIB,
  appendBytesMax: MIB,
  inflightBytesMax: 16 * MIB,
  inflightMessagesMax: 256,
  uncommittedBytesMax: 64 * MIB,
  sessionsMax: 256,
  vectorBytesMax: 512 * MIB,
  vectorSetsMax: 512,
  leaderless: LEADERLESS_LIMITS,
};

export interface CoreOptions {
  readonly manifest: Manifest;
  readonly spec: NodeSpec;
  readonly identity: Identity;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly embedder: Embedder;
  /** Makes the network that hands everything it receives to `handlers`. */
  readonly connect: (handlers: NetworkHandlers) => Network;
  /** Who belongs to the cluster may have changed; also told from time to time when it has not. */
  readonly onMap: (map: ShardMap) => void;
  /** An admin asked for a clean stop. */
  readonly onStopAsked: () => void;
  /** A replica's state cannot be read; it is repaired from another one where there is one. */
  readonly onDamage: (group: GroupId, why: string) => void;
  readonly onRepaired: (group: GroupId, from: NodeId) => void;
  /** A replica whose log was damaged begins again in a term, or, without one, has everything again. */
  readonly onRecovery: (group: GroupId, term: number | undefined) => void;
  /** The disk, or what this node knows, is broken: it can promise nothing more and must end. */
  readonly onFailure: (reason: string) => void;
  readonly pid: number;
  /** Others than the usual ones, for tests in which they are to be reached. */
  readonly limits?: Partial<CoreLimits>;
}
