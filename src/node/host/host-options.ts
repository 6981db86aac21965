// What the host of a node's replica groups is made of, and the bounds that it keeps.

import type { Membership, ReplicaFactory } from "../../consensus/seam.ts";
import type { GroupId, NodeId } from "../../model/ids.ts";
import type { Clock } from "../clock.ts";
import type { Pace } from "../moves/pace.ts";
import type { Key } from "../storage/key.ts";
import type { Network } from "../transport/network.ts";
import type { Stores } from "./durable-group.ts";
import type { StateMachine } from "./machine.ts";
import type { ReplicaGroup } from "./replica-group.ts";

export interface HostOptions {
  readonly self: NodeId;
  readonly stores: Stores;
  readonly network: Network;
  readonly clock: Clock;
  /** Of what is copied to replicas that do not count yet. */
  readonly pace: Pace;
  /** The protocol that a group runs. */
  readonly protocolOf: (group: GroupId) => ReplicaFactory;
  /** Whether the logs of a group agree on all that comes before an entry on which they agree. */
  readonly logsMatch: (group: GroupId) => boolean;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly makeMachine: (group: GroupId, prefix: Key) => StateMachine;
  readonly limits: HostLimits;
  /** Queues a sign of life for every peer; it leaves with what the groups have to say at the same tick. */
  readonly beat: () => void;
  /** Leader, term or membership of a group changed. */
  readonly onChanged: (group: ReplicaGroup) => void;
  /** A record of a replica's state cannot be read; it is rebuilt from another replica, where there is one. */
  readonly onDamage: (group: GroupId, why: string) => void;
  /** Every node that may be a member of a group. */
  readonly nodes: () => readonly NodeId[];
  /** A group whose log was damaged begins again in this term, or, without one, has everything again. */
  readonly onRecovery: (group: GroupId, term: number | undefined) => void;
  /** A replica whose state was damaged has another one's in its place. */
  readonly onRepaired: (group: GroupId, from: NodeId) => void;
  /** A command could not be applied, or a promise cannot be kept: the node cannot go on. */
  readonly onFailure: (error: unknown) => void;
}

export interface HostLimits {
  /** Log bytes that all groups together keep in memory for followers that lag … */
  readonly logBytes: number;
  /** … and each of them at least. */
  readonly groupLogBytesMin: number;
  /** Log bytes that all groups together keep in memory where an arbiter is to have what a copy lacks … */
  readonly keptLogBytes: number;
  /** … and each of them at most. */
  readonly groupKeptLogBytesMax: number;
  readonly snapshotChunkBytes: number;
  /** Records of a former state that are deleted in one transaction, so that no write waits long. */
  readonly cleanRecordsMax: number;
  /** What waits in memory for a full disk, of entries and of state each, before no more is taken. */
  readonly unwrittenBytesMax: number;
  /** Bytes of state that are read per second to see whether they can be. */
  readonly scrubBytesPerSecond: number;
  readonly appendBytesMax: number;
  readonly inflightBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly uncommittedBytesMax: number;
}

export interface GroupStart {
  readonly id: GroupId;
  /** Log only. */
  readonly arbiter: boolean;
  /** Preference as leader, 0 first. */
  readonly rank: number;
  /** What a group that is not on disk yet begins with. */
  readonly genesis: Membership;
}
