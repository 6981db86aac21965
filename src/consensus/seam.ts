// The seam between a replicated-log protocol (raft, paxos) and its host. A protocol is a
// state machine without I/O, clock or randomness of its own: inputs in, one batch of effects out.
//
// The host's duties, in this order, for the effects of one or several steps taken together:
//   1. `send` may leave at once (a leader's appends travel while its own disk still flushes).
//   2. `persist` is written and flushed, hard state and entries of one effect in one transaction,
//      effects in the order in which they were made. Writing may be batched over groups and steps.
//   3. Only after the flush of the effect that carries them, `sendAfterPersist` leaves (votes,
//      acknowledgements: promises about what is on disk), and the input `persisted` is given with
//      the `sequence` of that persist effect.
//      A host whose disk has room for hard state and for nothing else may write the newest one alone,
//      before entries that are still to come; those of the promises that are in `sendAfterHardState`
//      then leave, and `hard-state-persisted` is given instead.
//   4. `committed` entries are applied in order, exactly once, after `persist` of the same effect was
//      WRITTEN (visible to this process) though not necessarily flushed; commit itself already
//      rests on a quorum of flushed logs. After applying, the host gives `applied`.
//   5. `reads` are answered once the host's applied index has reached their index.
//   6. `snapshotWanted` asks the host to stream the state of the group to a peer; at its end the host
//      gives `snapshot-sent`. A host that received a whole snapshot, staged and flushed, gives
//      `install`; the effect's persist then carries `snapshot`, and the host switches to the staged
//      state in the same transaction.
// A host that crashes at any point restarts the protocol with `DurableState` as read from disk.

import type { NodeId } from "../model/ids.ts";

/**
 * noop: a new leader's first entry, or what fills a slot that nobody needs. command: opaque to the protocol. config: an
 * encoded `Membership`. hole: a slot without an accepted value between slots that have one (paxos; term 0): it
 * is stored, and never committed.
 */
export type EntryKind = "noop" | "command" | "config" | "hole";

export interface Entry {
  readonly index: number;
  /** The reign in which the value was first proposed: (index, term) names one value, whoever holds it. */
  readonly term: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
  /** Paxos: the round in which it was accepted here, when a later leader proposed the value again; absent: `term`. */
  readonly ballot?: number;
}

export interface HardState {
  /** Paxos: the round of the ballot promised. */
  readonly term: number;
  /** Whom this replica voted for in `term`; "" for nobody. Paxos: the proposer of the ballot promised. */
  readonly vote: NodeId;
  readonly commit: number;
}

/**
 * Who belongs to a group. `outgoing` is non-empty only in a joint configuration (Raft dissertation
 * 4.3); decisions then need a majority of `voters` and one of `outgoing`. `arbiters` is the subset of
 * the voters that keeps the log and no data. Lists are sorted and hold no duplicates.
 */
export interface Membership {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly arbiters: readonly NodeId[];
}

/** Where a snapshot stands: it holds everything up to `index`, whose entry had `term`. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  /** In force for what follows. */
  readonly membership: Membership;
  /** Paxos: chosen at or before `index`, and in force from a later slot on (the window of a reconfiguration). */
  readonly pending?: readonly { readonly index: number; readonly membership: Membership }[];
}

/** What a replica finds on its disk when it starts. A new replica: commit and snapshot.index 0, no entries. */
export interface DurableState {
  readonly hardState: HardState;
  /** The state machine's durable base: entries up to its index are no longer in the log. */
  readonly snapshot: SnapshotMeta;
  /** Entries snapshot.index + 1 … last, without a gap. */
  readonly entries: readonly Entry[];
  /** Index up to which the state machine was applied on disk; >= snapshot.index. */
  readonly applied: number;
}

/** Times in ticks; the host gives a tick every heartbeatInterval / `ticksPerHeartbeat`. */
export interface ReplicaOptions {
  readonly id: NodeId;
  readonly heartbeatTicks: number;
  /** Election timeout T; a follower campaigns after T plus a random part (see raft). */
  readonly electionTicks: number;
  /** 0 is the most preferred leader of the group; each rank waits a little longer before it campaigns. */
  readonly priority: number;
  /** This replica keeps the log only. */
  readonly arbiter: boolean;
  /** Its log was damaged: it may have forgotten promises and entries that it acknowledged. */
  readonly recovery?: Recovery;
  /** Uniform in [0, 1); seeded by the host. */
  readonly random: () => number;
  /** Bounds: bytes of one append message, bytes and messages in flight to one follower, bytes proposed and not yet committed. */
  readonly appendBytesMax: number;
  readonly inflightBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly uncommittedBytesMax: number;
}

/**
 * How a replica comes back that lost a part of its log. It begins in a term that is higher than any that a
 * member of its group knew when all others were asked, so that nothing it promised or acknowledged before
 * counts for anybody any more; it takes entries as every follower does, and neither campaigns nor counts in an election
 * until it has everything that was ever committed with its help. In raft it gives no vote until an entry of `term` or
 * a later one is committed in its log: the leader of that was elected without it. In paxos it promises and says that
 * its report is not whole, until it knows to be chosen what a leader says that may have been before its ballot.
 */
export interface Recovery {
  readonly term: number;
  /** Who gets its vote nevertheless: the only other voter of a group of two has everything, too. */
  readonly trusted: readonly NodeId[];
}

/** A message between two replicas of one group; plain data that the host encodes. */
export interface Message {
  readonly kind: string;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
}

export type Input =
  | { readonly kind: "tick" }
  | { readonly kind: "message"; readonly message: Message }
  /** Proposals are refused (effects.refused) by a replica that cannot lead them. */
  | { readonly kind: "propose"; readonly proposals: readonly Proposal[] }
  /** A linearizable read (ReadIndex): answered in effects.reads by the leader, else refused. */
  | { readonly kind: "read"; readonly context: number }
  | { readonly kind: "persisted"; readonly sequence: number }
  /** The hard state of this persist effect, or a newer one, is on disk; its entries may not be. */
  | { readonly kind: "hard-state-persisted"; readonly sequence: number }
  | { readonly kind: "applied"; readonly index: number }
  /** The log up to `index` (<= applied, flushed as state) is no longer needed on this replica. */
  | {
      readonly kind: "compact";
      readonly index: number;
      /** Bytes of data that an arbiter keeps for others at most, whoever lacks them; all of it where none is said. */
      readonly keepBytesMax?: number;
    }
  | {
      readonly kind: "install";
      readonly snapshot: SnapshotMeta;
      readonly from: NodeId;
      readonly term: number;
    }
  | { readonly kind: "snapshot-sent"; readonly to: NodeId; readonly ok: boolean; readonly index: number }
  /** The host knows that the peer's process is gone (its connection was refused): a hint for liveness only. */
  | { readonly kind: "unreachable"; readonly peer: NodeId }
  | { readonly kind: "transfer"; readonly to: NodeId }
  /** Start a membership change towards `target` (its `outgoing` is empty). */
  | { readonly kind: "reconfigure"; readonly target: Membership }
  /** Campaign now if allowed (first start of a preferred leader). */
  | { readonly kind: "campaign" }
  /** What was applied cannot be read, or can again: until then nobody is streamed it. */
  | { readonly kind: "damaged"; readonly is: boolean };

export interface Proposal {
  readonly data: Uint8Array;
  /** The host's handle; comes back in `accepted` or `refused`. */
  readonly context: number;
}

export interface PersistEffect {
  /** Rising by one per persist effect of this replica. */
  readonly sequence: number;
  readonly hardState?: HardState;
  /** Drop entries with index >= this before appending (a conflict; paxos: a slot is filled or accepted again, and
   * `entries` brings what follows it too, so both must reach the disk together). */
  readonly truncateFrom?: number;
  readonly entries?: readonly Entry[];
  /** Switch to the staged snapshot: state, and a log that begins after it, with `entries` alone. */
  readonly snapshot?: SnapshotMeta;
  /** The log's new base after `compact`: the host stores it and deletes the entries up to its index. */
  readonly compactTo?: SnapshotMeta;
}

/** Why a proposal or a read was refused; `leader` beside it is "" when unknown. */
export type RefusalReason = "not-leader" | "transferring" | "overloaded" | "no-quorum" | "change-pending";

export interface Effects {
  readonly send: readonly Message[];
  readonly persist: PersistEffect | undefined;
  readonly sendAfterPersist: readonly Message[];
  /** Those of `sendAfterPersist` that promise something about the hard state and nothing about entries. */
  readonly sendAfterHardState: readonly Message[];
  readonly committed: readonly Entry[];
  /** Proposals that got a place in the log. They are committed if this very (index, term) commits, and
   * certainly lost if another entry commits at the index; until then their outcome is unknown. */
  readonly accepted: readonly { readonly context: number; readonly index: number; readonly term: number }[];
  readonly refused: readonly {
    readonly context: number;
    readonly reason: RefusalReason;
    readonly leader: NodeId;
  }[];
  /** Answer these once applied >= index. */
  readonly reads: readonly { readonly context: number; readonly index: number }[];
  readonly refusedReads: readonly {
    readonly context: number;
    readonly reason: RefusalReason;
    readonly leader: NodeId;
  }[];
  readonly snapshotWanted: readonly { readonly to: NodeId; readonly term: number }[];
  /** Leader, term, role or membership changed in this step. */
  readonly changed: boolean;
}

export interface PeerProgress {
  readonly node: NodeId;
  readonly state: "probing" | "replicating" | "snapshot";
  readonly match: number;
  /** Heard from within the last election timeout. */
  readonly recentlyActive: boolean;
}

/** A paxos ballot: whoever's round is higher wins, and a round has one proposer at most. */
export interface Ballot {
  readonly round: number;
  readonly proposer: NodeId;
}

/** `leader`, `vote` and `transferringTo` are "" for nobody. */
export interface ReplicaStatus {
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly leader: NodeId;
  readonly term: number;
  readonly vote: NodeId;
  /** Paxos: the ballot that this replica promised, which `term` and `vote` say, too. */
  readonly ballot?: Ballot;
  readonly commit: number;
  readonly applied: number;
  readonly first: number;
  readonly last: number;
  /** Entries up to here are flushed on this replica. */
  readonly durable: number;
  readonly membership: Membership;
  /** It neither campaigns nor votes, for its log was damaged, and it does not have everything again yet. */
  readonly recovering?: boolean;
  /** Bytes of entry data in memory. */
  readonly logBytes: number;
  readonly transferringTo: NodeId;
  /** Leader only, every other member. */
  readonly progress: readonly PeerProgress[];
}

/** One replica of one group. Not re-entrant; throws only on a broken invariant (a bug), never on input from a peer. */
export interface Replica {
  step(input: Input): Effects;
  status(): ReplicaStatus;
  /** Entries still in memory, for lag in bytes; undefined when compacted. */
  entry(index: number): Entry | undefined;
  /** Describes a snapshot of the state applied up to `index`; undefined when index is not in [snapshot.index, applied]. */
  snapshotAt(index: number): SnapshotMeta | undefined;
}

/** How a protocol is made from what was on disk. */
export type ReplicaFactory = (options: ReplicaOptions, durable: DurableState) => Replica;
