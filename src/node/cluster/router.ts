// Brings writes and reads to where they belong: to the leader of the group, wherever it is and whoever it
// becomes until the deadline. Writes carry a session, so that sending one again is safe; nothing else is
// ever sent twice after it may have been received.

import type { Consistency } from "../../model/consistency.ts";
import { errorFromBody, Mem0ctlError } from "../../model/errors.ts";
import { groupName, META_GROUP, type GroupId, type NodeId, type ShardId } from "../../model/ids.ts";
import type { ShardSlice } from "../../model/shard-map.ts";
import { pause, type Clock } from "../clock.ts";
import type { Host } from "../host/host.ts";
import { replicaDamaged } from "../host/state-repair.ts";
import { encodeCommand } from "../memories/commands.ts";
import type { CommandResult, HandoverCommand, ShardCommand } from "../memories/commands.ts";
import { staleEpoch, type CustodyState } from "../memories/custody.ts";
import type {
  AdmitCommand,
  AdmitResult,
  BeginCommand,
  MapCommand,
  MapResult,
  MetaCommand,
  OperationResult,
  ProgressCommand,
} from "../meta/meta-machine.ts";
import { pack } from "../transport/frames.ts";
import type { Network } from "../transport/network.ts";
import type { Liveness } from "./liveness.ts";
import { StaleReads } from "./stale-reads.ts";
import { WriteSession } from "./write-session.ts";

const RETRY_MS = 20;
const LINEARIZABLE: Consistency = { read: "linearizable", write: "quorum" };
/** Certainly not done there; somebody else leads soon, or does already. */
const ELSEWHERE: ReadonlySet<string> = new Set(["peer-unreachable", "not-here", "replica-damaged"]);

/** A read of one group, run on a replica: `node/cluster/shard-queries.ts` knows the kinds. */
export interface Query {
  readonly kind: string;
  readonly args: unknown;
  /** Of the shard, in the map that it is routed by; absent where the state as it lies there is asked for. */
  readonly version?: number;
}

/** A shard as a map has it that a request is routed by. */
export type ShardRef = Pick<ShardSlice, "id" | "version">;

/** What a client asked to write, whatever shards and maps it takes: done twice under one name, it is done once. */
export interface WriteName {
  readonly name: string;
  /** Some of it may have been done, though it was refused since. */
  mayBeDone: boolean;
}

/** How commands and reads come to a shard: through its leader here; a protocol without leaders has its own. */
export interface ShardPath {
  /**
   * Applies a command to a shard exactly once, or throws: `unknown-outcome` when that cannot be said, `stale-epoch`
   * (certainly not done) where the shard's keys are not what the map said that it was routed by.
   */
  write(
    shard: ShardRef,
    command: ShardCommand,
    consistency: Consistency,
    deadlineMs: number,
    name: WriteName,
  ): Promise<unknown>;
  read(shard: ShardRef, query: Query, consistency: Consistency, deadlineMs: number): Promise<unknown>;
}

export interface RouterOptions {
  readonly self: NodeId;
  readonly host: Host;
  readonly network: Network;
  readonly clock: Clock;
  readonly liveness: Liveness;
  readonly electionTimeoutMs: number;
  /** Where this node keeps its data, for messages. */
  readonly dataDir: string;
  readonly runQuery: (group: GroupId, query: Query) => Promise<unknown>;
  /** Nodes that hold data of the group. */
  readonly replicasOf: (group: GroupId) => readonly NodeId[];
  readonly zoneOf: (node: NodeId) => string | undefined;
  /** What a shard that was merged away is part of. */
  readonly heirOf: (shard: ShardId) => ShardId | undefined;
  /** Where this node is not part of the cluster any more, and no leader would answer it. */
  readonly dismissal: () => Mem0ctlError | undefined;
}

export class Router implements ShardPath {
  private readonly options: RouterOptions;
  private readonly sessions = new Map<ShardId, WriteSession>();
  private readonly attemptMs: number;
  private readonly stale: StaleReads;

  constructor(options: RouterOptions) {
    this.options = options;
    const attemptMs = Math.max(500, 1.5 * options.electionTimeoutMs);
    this.attemptMs = attemptMs;
    this.stale = new StaleReads({
      ...options,
      attemptMs,
      leaderOf: (group) => this.leaderOf(group),
      readAtLeader: (group, query, deadlineMs) => this.readAtLeader(group, query, deadlineMs),
    });
  }

  write(
    { id, version }: ShardRef,
    command: ShardCommand,
    _: Consistency,
    deadlineMs: number,
  ): Promise<unknown> {
    let session = this.sessions.get(id);
    if (session === undefined) {
      session = new WriteSession((data, until) => this.deliver(id, data, until), this.options.clock);
      this.sessions.set(id, session);
    }
    return session.execute(command, deadlineMs, version);
  }

  async read(
    { id, version = 0 }: ShardRef,
    query: Query,
    consistency: Consistency,
    deadlineMs: number,
  ): Promise<unknown> {
    const routed = { ...query, version };
    if (consistency.read !== "stale") return this.readAtLeader(id, routed, deadlineMs);
    try {
      return await this.stale.read(id, routed, consistency, deadlineMs);
    } catch (error) {
      throw readFailure(error, id);
    }
  }

  /** A read of the shard's newest state as it lies there, whoever its keys belong to. */
  readState(shard: ShardId, query: Query, deadlineMs: number): Promise<unknown> {
    return this.readAtLeader(shard, query, deadlineMs);
  }

  /** Tells a shard's log of a handover; it may be told again. Resolves with the custody that holds then. */
  async handOver(shard: ShardId, part: HandoverCommand, deadlineMs: number): Promise<CustodyState> {
    const command: ShardCommand = { t: "handover", part };
    const data = encodeCommand({ session: "", sequence: 0, answered: 0, command });
    const { result } = await this.deliver(shard, data, deadlineMs);
    if (!result.ok) throw errorFromBody(result.error);
    return result.value as CustodyState;
  }

  private async deliver(
    shard: ShardId,
    data: Uint8Array,
    deadlineMs: number,
  ): Promise<{ readonly result: CommandResult; readonly attempts: number }> {
    // Of a shard that was merged away, the one that it is part of has the sessions, and says what became of a write.
    const group = (): ShardId => this.options.heirOf(shard) ?? shard;
    const { value, attempts } = await this.atLeader(group, deadlineMs, (leader, attemptMs) =>
      this.proposeAt(leader, group(), data, attemptMs),
    );
    return { result: value as CommandResult, attempts };
  }

  private async readAtLeader(group: GroupId, query: Query, deadlineMs: number): Promise<unknown> {
    const { self, network, clock, heirOf } = this.options;
    // What was routed by a map goes by the next one as soon as the shard is merged away: nobody leads it any more.
    const target = (): GroupId => {
      if (query.version !== undefined && heirOf(group) !== undefined) throw staleEpoch();
      return group;
    };
    try {
      const { value } = await this.atLeader(target, deadlineMs, async (leader, attemptMs) =>
        leader === self
          ? this.readHere(group, query, LINEARIZABLE, attemptMs)
          : network.call(
              leader,
              "query",
              { group, query, consistency: LINEARIZABLE, ttlMs: attemptMs - clock.nowMs() },
              attemptMs,
            ),
      );
      return value;
    } catch (error) {
      throw readFailure(error, group);
    }
  }

  /** Changes the shard map; the command is refused by the state machine when it comes too late. */
  async changeMap(command: MapCommand, deadlineMs: number): Promise<MapResult> {
    return (await this.proposeMeta(command, deadlineMs)) as MapResult;
  }

  /** Resolves to the uid that is admitted under the node's id, null where nobody who joined has it. */
  async admit(command: AdmitCommand, deadlineMs: number): Promise<AdmitResult> {
    return (await this.proposeMeta(command, deadlineMs)) as AdmitResult;
  }

  /** Begins an operation or says how far it is; refused by the state machine when it comes too late. */
  async changeOperation(
    command: BeginCommand | ProgressCommand,
    deadlineMs: number,
  ): Promise<OperationResult> {
    return (await this.proposeMeta(command, deadlineMs)) as OperationResult;
  }

  /**
   * What the leader of the metadata group says, by its own state: `here` at this node, or by `method` at a peer.
   * @throws Mem0ctlError `no-leader`, `read-timed-out` (unavailable).
   */
  async askMeta(
    method: string,
    here: (deadlineMs: number) => Promise<unknown>,
    deadlineMs: number,
  ): Promise<unknown> {
    const { self, network, clock } = this.options;
    try {
      const { value } = await this.atLeader(META_GROUP, deadlineMs, (leader, attemptMs) =>
        leader === self
          ? here(attemptMs)
          : network.call(leader, method, { ttlMs: attemptMs - clock.nowMs() }, attemptMs),
      );
      return value;
    } catch (error) {
      throw readFailure(error, META_GROUP);
    }
  }

  private async proposeMeta(command: MetaCommand, deadlineMs: number): Promise<unknown> {
    const data = pack(command);
    const { value } = await this.atLeader(META_GROUP, deadlineMs, (leader, attemptMs) =>
      this.proposeAt(leader, META_GROUP, data, attemptMs),
    );
    return value;
  }

  /** Proposes on this node's replica; what a peer's call ends in. */
  proposeHere(group: GroupId, data: Uint8Array, deadlineMs: number): Promise<unknown> {
    const { host, self, dataDir } = this.options;
    if (host.writeRefusal !== null) {
      return Promise.reject(
        new Mem0ctlError("full", "disk-full", `the disk of ${self} is full`, {
          why: host.writeRefusal,
          hint: `free some space for ${dataDir}; writes go on by themselves`,
        }),
      );
    }
    const replica = this.options.host.group(group);
    if (replica.halted) return Promise.reject(replicaDamaged(replica, this.options.self));
    return replica.propose(data, deadlineMs);
  }

  /** A read on this node's replica, or an error that sends it elsewhere; what a peer's call ends in. */
  async readHere(
    group: GroupId,
    query: Query,
    consistency: Consistency,
    deadlineMs: number,
  ): Promise<unknown> {
    if (consistency.read === "stale") return this.stale.readHere(group, query, consistency, deadlineMs);
    const replica = this.options.host.group(group);
    if (replica.halted) throw replicaDamaged(replica, this.options.self);
    await replica.readIndex(deadlineMs);
    return this.options.runQuery(group, query);
  }

  leaderOf(group: GroupId): { readonly leader: NodeId | null; readonly term: number } {
    const heard = this.options.liveness.leaderOf(group);
    const local = this.options.host.groups.get(group)?.leadership;
    if (local !== undefined && local.leader !== "" && local.term >= heard.term) {
      return { leader: local.leader, term: local.term };
    }
    // A newer term without a leader yet: the old leader's claim is void.
    if (local !== undefined && local.term > heard.term) return { leader: null, term: local.term };
    return heard;
  }

  private proposeAt(leader: NodeId, group: GroupId, data: Uint8Array, deadlineMs: number): Promise<unknown> {
    return leader === this.options.self
      ? this.proposeHere(group, data, deadlineMs)
      : this.options.network.call(
          leader,
          "propose",
          { group, data, ttlMs: deadlineMs - this.options.clock.nowMs() },
          deadlineMs,
        );
  }

  /**
   * Runs `attempt` at the group's leader, and again, at the next leader where it moved, until it is
   * answered. All that comes here may be repeated: it is a read, carries a session, or names its epoch.
   */
  private async atLeader(
    target: GroupId | (() => GroupId),
    deadlineMs: number,
    attempt: (leader: NodeId, attemptDeadlineMs: number) => Promise<unknown>,
  ): Promise<{ readonly value: unknown; readonly attempts: number }> {
    let hint: NodeId | undefined;
    let unknown: Mem0ctlError | undefined;
    let last: Mem0ctlError | undefined;
    let attempts = 0;
    const { clock } = this.options;
    const current = (): GroupId => (typeof target === "string" ? target : target());
    while (clock.nowMs() < deadlineMs) {
      const dismissal = this.options.dismissal();
      if (dismissal !== undefined) throw unknown ?? dismissal;
      const leader = hint ?? this.leaderOf(current()).leader;
      hint = undefined;
      if (leader !== null && leader !== "") {
        attempts += 1;
        try {
          const value = await attempt(leader, Math.min(deadlineMs, clock.nowMs() + this.attemptMs));
          return { value, attempts };
        } catch (error) {
          if (!(error instanceof Mem0ctlError)) throw error;
          last = error;
          if (error.kind === "unknown-outcome") {
            unknown = error;
          } else if (error.code === "not-leader") {
            const named = error.data?.["leader"];
            if (typeof named === "string" && named !== "" && named !== leader) hint = named;
            attempts -= 1;
          } else if (ELSEWHERE.has(error.code)) {
            attempts -= 1;
          } else if (error.kind === "busy") {
            attempts -= 1;
          } else {
            // An earlier attempt may have been done; a full disk says nothing of that one.
            throw unknown !== undefined && error.kind === "full" ? unknown : error;
          }
        }
      }
      if (hint === undefined) {
        await pause(clock, Math.min(RETRY_MS, Math.max(1, deadlineMs - clock.nowMs())));
      }
    }
    if (unknown !== undefined) throw unknown;
    throw last?.kind === "busy" ? last : noLeader(current());
  }
}

/** A read changes nothing: one that is not answered is late, and nothing about it is unknown. */
export function readFailure(error: unknown, group: GroupId): unknown {
  const isLate = error instanceof Mem0ctlError && error.kind === "unknown-outcome";
  return isLate ? readLate(group) : error;
}

export function readLate(group: GroupId): Mem0ctlError {
  return new Mem0ctlError("unavailable", "read-timed-out", "the read was not answered in time", {
    hint: "`mem0ctl status` says which nodes are slow or missing",
    data: { group },
  });
}

function noLeader(group: GroupId): Mem0ctlError {
  const name = groupName(group);
  return new Mem0ctlError("unavailable", "no-leader", `${name} has no leader that answers`, {
    why: "fewer than a quorum of its replicas can be reached",
    hint: "`mem0ctl status` says which nodes are missing; nothing was done",
    data: { group },
  });
}
