// What peers ask of this node, and who here answers it.

import type { Consistency } from "../model/consistency.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { GroupId, NodeId } from "../model/ids.ts";
import type { ShardMap } from "../model/shard-map.ts";
import type { Account } from "./account.ts";
import type { Clock } from "./clock.ts";
import type { Admin, TransferCall } from "./cluster/admin-service.ts";
import type { Query, Router } from "./cluster/router.ts";
import type { Host } from "./host/host.ts";
import type { StateCall } from "./host/state-repair.ts";
import type { Operations } from "./moves/service.ts";
import { isCopyCall, type CallBody, type CopyCall } from "./quorum/calls.ts";
import type { LeaderlessShards } from "./quorum/leaderless-shards.ts";
import type { ForwardedRead, ForwardedWrite, LeaderlessPath } from "./quorum/path.ts";

export interface PeerAnswersOptions {
  readonly clock: Clock;
  readonly host: Host;
  readonly router: Router;
  readonly admin: Admin;
  readonly operations: Operations;
  readonly account: Account;
  readonly map: () => ShardMap;
  /** undefined where the protocol has groups. */
  readonly leaderless: { readonly shards: LeaderlessShards; readonly path: LeaderlessPath } | undefined;
}

export class PeerAnswers {
  private readonly options: PeerAnswersOptions;

  constructor(options: PeerAnswersOptions) {
    this.options = options;
  }

  /** Throws `call-unknown` (failed) for what this version does not know. */
  async answer(from: NodeId, method: string, body: unknown): Promise<unknown> {
    const { clock, host, router, admin, operations, account } = this.options;
    const ofCopy = this.answerCopy(from, method, body);
    if (ofCopy !== undefined) return ofCopy;
    switch (method) {
      case "propose": {
        const { group, data, ttlMs } = body as { group: GroupId; data: Uint8Array; ttlMs: number };
        return router.proposeHere(group, data, clock.nowMs() + ttlMs);
      }
      case "query": {
        const { group, query, consistency, ttlMs } = body as {
          group: GroupId;
          query: Query;
          consistency: Consistency;
          ttlMs: number;
        };
        return router.readHere(group, query, consistency, clock.nowMs() + ttlMs);
      }
      case "read-index": {
        const { group, ttlMs } = body as { group: GroupId; ttlMs: number };
        return host.group(group).readIndex(clock.nowMs() + ttlMs);
      }
      case "snapshot":
        return host.snapshots.receive(from, body);
      case "promises":
        return host.promisesOf((body as { group: GroupId }).group);
      case "state":
        return host.snapshots.sendState(from, body as StateCall);
      case "transfer":
        return admin.transferHere(body as TransferCall);
      case "map":
        return this.options.map();
      case "holds-shards":
        return account.holdsShards();
      case "members":
        return account.members((body as { group: GroupId }).group);
      case "succession":
        return account.succession((body as { handover: number }).handover);
      case "copying": {
        const { group, to } = body as { group: GroupId; to: NodeId };
        return account.copying(group, to) ?? null;
      }
      case "worst-lag":
        return account.worstLag();
      case "rebuild":
        host.rebuild((body as { group: GroupId }).group);
        return null;
      case "operation":
        return operations.showHere(clock.nowMs() + (body as { ttlMs: number }).ttlMs);
      default:
        throw new Mem0ctlError(
          "failed",
          "call-unknown",
          "a peer asked for something this version does not know",
        );
    }
  }

  /** What copies of leaderless shards ask each other; undefined for calls of another kind. */
  private answerCopy(from: NodeId, method: string, body: unknown): Promise<unknown> | undefined {
    const { leaderless } = this.options;
    if (leaderless === undefined) return undefined;
    if (method === "quorum-write") return leaderless.path.writeHere(body as ForwardedWrite);
    if (method === "quorum-read") return leaderless.path.readHere(body as ForwardedRead);
    if (!isCopyCall(method)) return undefined;
    return leaderless.shards.answers.answer(from, method, body as CallBody<CopyCall>);
  }
}
