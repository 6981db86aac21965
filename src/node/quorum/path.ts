// Brings a command or a read to a copy of its shard, which coordinates it: this node's own when it has one,
// else the next that can be reached. A write has a name, so that it may be sent again after a lost answer:
// whichever coordinator has it then finds that it was done, or does it so that both count as one.

import type { Consistency } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { pause, type Clock } from "../clock.ts";
import { shardById } from "../../topology/shard-map.ts";
import {
  readFailure,
  readLate,
  type Query,
  type ShardPath,
  type ShardRef,
  type WriteName,
} from "../cluster/router.ts";
import { staleEpoch } from "../memories/custody.ts";
import type { ShardCommand } from "../memories/commands.ts";
import type { Network } from "../transport/network.ts";
import { standingOf } from "./calls.ts";
import type { LeaderlessShards } from "./leaderless-shards.ts";
import { everyone } from "../../consensus/quorum/levels.ts";

const RETRY_MS = 20;
const STALE = staleEpoch().code;
/** Refused for reasons that another copy need not have, or that pass. */
const ELSEWHERE = [
  "not-here",
  "copy-not-serving",
  "copy-damaged",
  "stale-map",
  "peer-unreachable",
  "read-timed-out",
];

export interface ForwardedWrite {
  readonly shard: ShardId;
  /** Of the shard, in the map that it was routed by. */
  readonly version: number;
  readonly command: ShardCommand;
  readonly write: string;
  readonly consistency: Consistency;
  readonly isRepeated: boolean;
  readonly takenMs: number;
  readonly ttlMs: number;
}

export interface ForwardedRead {
  readonly shard: ShardId;
  /** As of writes; absent where the copy is asked for as it is. */
  readonly version?: number;
  readonly query: Query;
  readonly consistency: Consistency;
  readonly ttlMs: number;
}

export interface LeaderlessPathOptions {
  readonly self: NodeId;
  readonly shards: LeaderlessShards;
  readonly network: Network;
  readonly clock: Clock;
  readonly map: () => ShardMap;
  /** Longest that one coordinator is waited for before another is asked. */
  readonly attemptMs: number;
  /** Where this node is not part of the cluster any more, and no copy would answer it. */
  readonly dismissal: () => Mem0ctlError | undefined;
}

export class LeaderlessPath implements ShardPath {
  private readonly options: LeaderlessPathOptions;

  constructor(options: LeaderlessPathOptions) {
    this.options = options;
  }

  async write(
    { id: shard, version = 0 }: ShardRef,
    command: ShardCommand,
    consistency: Consistency,
    deadlineMs: number,
    name: WriteName,
  ): Promise<unknown> {
    const { clock } = this.options;
    const write = name.name;
    const takenMs = clock.wallMs();
    return this.atCopy(shard, version, deadlineMs, async (node, attemptMs) => {
      const isRepeated = name.mayBeDone;
      const ttlMs = attemptMs - clock.nowMs();
      const forwarded = { shard, version, command, write, consistency, isRepeated, takenMs, ttlMs };
      try {
        return node === this.options.self
          ? await this.writeHere(forwarded)
          : await this.options.network.call(node, "quorum-write", forwarded, attemptMs);
      } catch (error) {
        if (error instanceof Mem0ctlError && error.kind === "unknown-outcome") name.mayBeDone = true;
        throw error;
      }
    });
  }

  read(
    { id: shard, version = 0 }: ShardRef,
    query: Query,
    consistency: Consistency,
    deadlineMs: number,
  ): Promise<unknown> {
    const { clock } = this.options;
    return this.atCopy(shard, version, deadlineMs, async (node, attemptMs) => {
      const forwarded = { shard, version, query, consistency, ttlMs: attemptMs - clock.nowMs() };
      try {
        return node === this.options.self
          ? await this.readHere(forwarded)
          : await this.options.network.call(node, "quorum-read", forwarded, attemptMs);
      } catch (error) {
        // Whatever the next copy says holds.
        throw readFailure(error, shard);
      }
    });
  }

  /** Coordinates on this node; what a peer's call ends in. */
  async writeHere(forwarded: ForwardedWrite): Promise<unknown> {
    const { shard, version, ttlMs, ...request } = forwarded;
    const deadlineMs = this.options.clock.nowMs() + ttlMs;
    return this.inTime(deadlineMs, this.coordinator(shard, version).write({ ...request, deadlineMs }), () => {
      return new Mem0ctlError("unknown-outcome", "timed-out", "the write was not done in time", {
        why: "a disk or too many copies are slow: it may be on some of them, and may appear later",
        hint: "read it back, or repeat the request with the same id",
        data: { shard },
      });
    });
  }

  async readHere({ shard, version, query, consistency, ttlMs }: ForwardedRead): Promise<unknown> {
    const deadlineMs = this.options.clock.nowMs() + ttlMs;
    const answer = this.coordinator(shard, version).read(query, consistency.read, deadlineMs);
    return this.inTime(deadlineMs, answer, () => readLate(shard));
  }

  /** What a disk holds up, or a write to the same memory, must not hold up whoever waits for it. */
  private inTime<Value>(deadlineMs: number, work: Promise<Value>, late: () => Error): Promise<Value> {
    const { clock } = this.options;
    return new Promise((resolve, reject) => {
      const timer = clock.later(Math.max(1, deadlineMs - clock.nowMs()), () => reject(late()));
      void work.then(resolve, reject).finally(() => timer.close());
    });
  }

  private coordinator(shard: ShardId, version: number | undefined): CoordinatorOf {
    const here = this.options.shards.here(shard);
    if (version !== undefined && this.isOutdated(shard, version)) throw staleEpoch();
    if (here !== undefined && (version ?? here.copy.version) === here.copy.version) return here.coordinator;
    throw new Mem0ctlError("unavailable", "not-here", `this node holds no copy of shard ${shard}`);
  }

  /** Whether this node knows that the shard's keys are others than those of that version. */
  private isOutdated(shard: ShardId, version: number): boolean {
    const map = this.options.map();
    const slice = shardById(map, shard);
    return map.epoch > 0 && (slice === undefined || (slice.version ?? 0) > version);
  }

  /**
   * Runs `attempt` at one copy after the other until it is answered. All that comes here may be repeated: it
   * is a read, or a write with a name.
   */
  private async atCopy(
    shard: ShardId,
    version: number,
    deadlineMs: number,
    attempt: (node: NodeId, attemptDeadlineMs: number) => Promise<unknown>,
  ): Promise<unknown> {
    const { self, clock, map, network, attemptMs } = this.options;
    let unknown: Mem0ctlError | undefined;
    let last: Mem0ctlError | undefined;
    while (clock.nowMs() < deadlineMs) {
      const dismissal = this.options.dismissal();
      if (dismissal !== undefined) throw unknown ?? dismissal;
      // What was done of it goes with its keys: whoever sends it again sends it under the same name.
      if (this.isOutdated(shard, version)) throw staleEpoch();
      const members = everyone(standingOf(map(), shard));
      const order = members.includes(self) ? [self, ...members.filter((node) => node !== self)] : members;
      for (const node of order) {
        if (node !== self && !network.connected(node)) continue;
        if (clock.nowMs() >= deadlineMs) break;
        try {
          return await attempt(node, Math.min(deadlineMs, clock.nowMs() + attemptMs));
        } catch (error) {
          if (!(error instanceof Mem0ctlError)) throw error;
          last = error;
          if (error.code === STALE) throw error;
          if (error.kind === "unknown-outcome") unknown = error;
          else if (error.kind === "full" || error.kind === "busy" || ELSEWHERE.includes(error.code)) continue;
          else if (error.kind === "unavailable") break;
          // An earlier attempt may have been done, and then this refusal does not tell the outcome.
          else throw unknown ?? error;
        }
      }
      await pause(clock, Math.min(RETRY_MS, Math.max(1, deadlineMs - clock.nowMs())));
    }
    throw unknown ?? last ?? noCopy(shard);
  }
}

type CoordinatorOf = NonNullable<ReturnType<LeaderlessShards["here"]>>["coordinator"];

function noCopy(shard: ShardId): Mem0ctlError {
  return new Mem0ctlError("unavailable", "no-copy", `no copy of shard ${shard} can be reached`, {
    hint: "`mem0ctl status` says which nodes are missing; nothing was done",
    data: { shard },
  });
}
