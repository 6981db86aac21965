// What an admin may do through any node: see its report, hand leadership over, let nodes join and leave, run
// operations. Changes of the cluster go through the shard map in the metadata group; the nodes then follow it.

import { Mem0ctlError } from "../../model/errors.ts";
import { groupName, META_GROUP, type GroupId, type NodeId, type ShardId } from "../../model/ids.ts";
import type {
  CutRequest,
  DrainRequest,
  NodeReport,
  RepairRequest,
  ShardCut,
  ShardVerification,
  TransferRequest,
  TransferResult,
} from "../../model/node-api.ts";
import {
  hasEnded,
  type Operation,
  type OperationReport,
  type OperationRequest,
} from "../../model/operation.ts";
import type { HandoverStep } from "../../model/plan.ts";
import type { KeySlice, MapNode, ShardMap } from "../../model/shard-map.ts";
import { slotsCutOff } from "../../topology/handovers.ts";
import { mapWithNode, mapWithNodeChanged } from "../../topology/membership.ts";
import { shardById } from "../../topology/shard-map.ts";
import { leavingSteps, mapWithDraining, withLeaderFirst } from "../../topology/steps.ts";
import { pause, type Clock } from "../clock.ts";
import type { Host } from "../host/host.ts";
import type { CallContext } from "../../memory/service.ts";
import type { AdminService } from "../service.ts";
import type { CutSizes } from "../memories/slice-parts.ts";
import type { ReadShard } from "../moves/id-clashes.ts";
import type { Operations } from "../moves/service.ts";
import type { Verifier } from "../moves/verify.ts";
import type { Network } from "../transport/network.ts";
import { changeOfMap } from "./map-change.ts";
import type { Router } from "./router.ts";
import { queries } from "./shard-queries.ts";

const POLL_MS = 20;
/** How long a transfer that the protocol refuses is asked for again. */
const REFUSED_MS = 3000;
/** Replicas of a leaving node that move at a time. */
const LEAVING_AT_ONCE = 4;

export interface AdminOptions {
  readonly self: NodeId;
  readonly host: Host;
  readonly network: Network;
  readonly clock: Clock;
  readonly router: Router;
  readonly map: () => ShardMap;
  /** Whether shards have no leaders: their members are what the map says. */
  readonly leaderless: boolean;
  readonly readShard: ReadShard;
  readonly operations: Operations;
  readonly verifier: Verifier;
  readonly report: () => NodeReport;
  readonly stop: () => Promise<void>;
}

/** What a peer is asked to do for a transfer; the leader alone can. */
export interface TransferCall {
  readonly group: GroupId;
  readonly to: NodeId | null;
  readonly ttlMs: number;
}

export class Admin implements AdminService {
  private readonly options: AdminOptions;

  constructor(options: AdminOptions) {
    this.options = options;
  }

  report(): NodeReport {
    return this.options.report();
  }

  map(): ShardMap {
    return this.options.map();
  }

  stop(): Promise<void> {
    return this.options.stop();
  }

  async transfer(request: TransferRequest, context: CallContext): Promise<TransferResult> {
    const { self, network, router, clock } = this.options;
    const { group, to } = request;
    const members = membersOf(this.map(), group);
    if (to !== undefined && !members.includes(to)) {
      throw new Mem0ctlError("invalid", "not-a-replica", `${to} holds no data of ${groupName(group)}`, {
        hint: `it can go to ${members.join(", ")}`,
      });
    }
    if (this.options.leaderless && group !== META_GROUP) throw leaderlessByDesign(group);
    const { leader } = router.leaderOf(group);
    if (leader === null) {
      throw new Mem0ctlError(
        "unavailable",
        "no-leader",
        `${groupName(group)} has no leader to hand over from`,
      );
    }
    const ttlMs = Math.max(1, context.deadlineMs - clock.nowMs());
    const call: TransferCall = { group, to: to ?? null, ttlMs };
    const done = (
      leader === self
        ? await this.transferHere(call)
        : await network.call(leader, "transfer", call, context.deadlineMs)
    ) as TransferResult;
    // The map remembers the choice; otherwise the preferred leader would take over again.
    await this.changeMap((map) => withLeaderFirst(map, group, done.to), context.deadlineMs);
    return done;
  }

  /** Hands a group that this node leads to `to`, or to the replica that is furthest. */
  async transferHere(call: TransferCall): Promise<TransferResult> {
    const { self, host, clock } = this.options;
    const group = host.group(call.group);
    const before = group.replica.status();
    if (before.role !== "leader") {
      throw new Mem0ctlError("unavailable", "not-leader", `${self} does not lead ${groupName(call.group)}`, {
        data: { leader: before.leader, group: call.group },
      });
    }
    if (call.to === self) return { group: call.group, from: self, to: self, term: before.term };
    const target = call.to ?? this.furthest(call.group);
    if (target === undefined) {
      throw new Mem0ctlError(
        "unavailable",
        "no-target",
        `no other replica of ${groupName(call.group)} can take over`,
        {
          hint: "`mem0ctl replicas lag` shows which of them are down or behind",
        },
      );
    }
    const sinceMs = clock.nowMs();
    const deadlineMs = sinceMs + call.ttlMs;
    const refusedMs = Math.min(deadlineMs, sinceMs + REFUSED_MS);
    while (clock.nowMs() < deadlineMs) {
      const status = group.replica.status();
      if (status.leader === target) return { group: call.group, from: self, to: target, term: status.term };
      if (status.role === "leader" && status.transferringTo === "") {
        // A new leader does not know yet how far the others are; what is refused now may be granted soon.
        if (clock.nowMs() >= refusedMs) throw transferRefused(call.group, target);
        group.step({ kind: "transfer", to: target });
      }
      await pause(clock, POLL_MS);
    }
    throw new Mem0ctlError(
      "unknown-outcome",
      "timed-out",
      `the transfer of ${groupName(call.group)} did not end in time`,
      {
        hint: "`mem0ctl leader show` tells who leads now",
      },
    );
  }

  async join(node: MapNode, context: CallContext): Promise<ShardMap> {
    return this.changeMap((map) => {
      const known = map.nodes.find((other) => other.id === node.id);
      // Repeated after a lost answer, it is done already; a member may come with another role, zone or weight.
      if (known !== undefined && known.address === node.address) return mapWithNodeChanged(map, node);
      return mapWithNode(map, { ...node, draining: false });
    }, context.deadlineMs);
  }

  async admit(node: NodeId, uid: string, context: CallContext): Promise<string | null> {
    return (await this.options.router.admit({ admit: node, uid }, context.deadlineMs)).uid;
  }

  /**
   * Moves everything off the node, then takes it out of the map: an operation like any other, which goes on
   * when nobody waits for it any more. It can be repeated. Throws `too-few-nodes` when some copy would be lost, or
   * `operation-running`; nothing is changed then.
   */
  async leave(node: NodeId, context: CallContext): Promise<ShardMap> {
    const { operations, clock } = this.options;
    const name = `remove ${node}`;
    const map = await this.changeMap((known) => known, context.deadlineMs);
    if (!map.nodes.some(({ id }) => id === node)) return map;
    const running = await operations.running(context.deadlineMs);
    let operation: Operation =
      running?.plan.name === name
        ? running
        : await operations.begin(
            {
              name,
              startedBy: "leave",
              waves: [leavingSteps(map, node, () => 0), [{ kind: "remove-node", node }]],
              concurrency: LEAVING_AT_ONCE,
              bytesPerSecondMax: null,
              epoch: map.epoch,
            },
            context.deadlineMs,
          );
    while (!hasEnded(operation)) {
      if (clock.nowMs() >= context.deadlineMs) throw stillDraining(node, operation);
      await pause(clock, 5 * POLL_MS);
      const now = await operations.show(context.deadlineMs).catch(whenLate);
      if (now === undefined) continue;
      if (now?.plan.id !== operation.plan.id) return this.judgedByMap(node, now, context.deadlineMs);
      operation = now;
    }
    const { state, why } = operation.progress;
    if (state === "done") return this.changeMap((known) => known, context.deadlineMs);
    throw new Mem0ctlError("conflict", "leave-ended", `${node} did not leave: its removal is ${state}`, {
      ...(why === null ? {} : { why }),
      hint: "repeat the command: what was done is not done twice",
    });
  }

  /** What came of a removal whose end nobody saw, for another operation has begun since. */
  private async judgedByMap(node: NodeId, since: Operation | null, deadlineMs: number): Promise<ShardMap> {
    const map = await this.changeMap((known) => known, deadlineMs);
    if (!map.nodes.some(({ id }) => id === node)) return map;
    throw new Mem0ctlError("conflict", "leave-ended", `${node} did not leave: its removal is over`, {
      ...(since === null ? {} : { why: `another operation has begun since: ${since.plan.name}` }),
      hint: "repeat the command when that is over: what was done is not done twice",
    });
  }

  /** Keeps new replicas off a node, or lets it have some again; what it holds stays where it is. */
  drain(request: DrainRequest, context: CallContext): Promise<ShardMap> {
    return this.changeMap((map) => mapWithDraining(map, request.node, request.draining), context.deadlineMs);
  }

  operation(context: CallContext): Promise<OperationReport | null> {
    return this.options.operations.show(context.deadlineMs);
  }

  beginOperation(request: OperationRequest, context: CallContext): Promise<OperationReport> {
    return this.options.operations.begin(request, context.deadlineMs);
  }

  async checkHandover(step: HandoverStep, context: CallContext): Promise<void> {
    await this.options.operations.check([[step]], context.deadlineMs);
  }

  cancelOperation(context: CallContext): Promise<OperationReport> {
    return this.options.operations.cancel(context.deadlineMs);
  }

  verify(shard: ShardId, context: CallContext): Promise<ShardVerification> {
    return this.options.verifier.verify(shard, context.deadlineMs);
  }

  async cut({ shard, at, key }: CutRequest, context: CallContext): Promise<ShardCut> {
    membersOf(this.map(), shard);
    const slice = sliceOfCut(this.map(), shard, at, key);
    const query = queries.cutSizes(slice === undefined ? { at: at ?? null } : { slice });
    const sizes = (await this.options.readShard(shard, query, context.deadlineMs)) as CutSizes;
    return { shard, ...sizes, at: at ?? sizes.at };
  }

  async repair({ shard, node }: RepairRequest, context: CallContext): Promise<void> {
    const { self, host, network, leaderless } = this.options;
    if (!membersOf(this.map(), shard).includes(node)) {
      throw new Mem0ctlError("invalid", "not-a-replica", `${node} holds no data of ${groupName(shard)}`, {
        hint: `it is on ${membersOf(this.map(), shard).join(", ")}`,
      });
    }
    if (leaderless) {
      throw new Mem0ctlError(
        "invalid",
        "repairs-itself",
        `${groupName(shard)} has no leader to be repaired from`,
        {
          why: "its copies compare themselves with each other all the time, and bring what one lacks",
          hint: "`mem0ctl replicas lag` shows how many keys are known to differ",
        },
      );
    }
    if (node === self) host.rebuild(shard);
    else await network.call(node, "rebuild", { group: shard }, context.deadlineMs);
  }

  private async changeMap(change: (map: ShardMap) => ShardMap, deadlineMs: number): Promise<ShardMap> {
    return changeOfMap(this.map(), change, (command) => this.options.router.changeMap(command, deadlineMs));
  }

  private furthest(id: GroupId): NodeId | undefined {
    const { host, network } = this.options;
    const { progress, membership } = host.group(id).replica.status();
    const able = progress.filter(
      (peer) =>
        peer.recentlyActive &&
        network.connected(peer.node) &&
        membership.voters.includes(peer.node) &&
        !membership.arbiters.includes(peer.node),
    );
    const order = membersOf(this.map(), id);
    return able.toSorted((a, b) => b.match - a.match || order.indexOf(a.node) - order.indexOf(b.node))[0]
      ?.node;
  }
}

/** undefined where keys alone tell where a shard is cut. */
function sliceOfCut(
  map: ShardMap,
  shard: ShardId,
  at: string | undefined,
  key: string | undefined,
): KeySlice | undefined {
  if (key !== undefined) return { kind: "key", key, pinned: true };
  return map.strategy === "range" ? undefined : slotsCutOff(map, shard, Number(at ?? Number.NaN));
}

function leaderlessByDesign(group: GroupId): Mem0ctlError {
  return new Mem0ctlError("invalid", "leaderless-by-design", `${groupName(group)} has no leader`, {
    why: "the shards of a cluster of protocol quorum are leaderless by design: any copy coordinates",
    hint: "only the metadata group has one: `mem0ctl leader transfer meta`",
    data: { group },
  });
}

function transferRefused(group: GroupId, target: NodeId): Mem0ctlError {
  return new Mem0ctlError("failed", "transfer-refused", `${target} did not take over ${groupName(group)}`, {
    why: "it was not caught up in time, or it did not answer",
    hint: "`mem0ctl replicas lag` shows how far it is; try again when it is 0",
  });
}

/** Nodes that may lead a group, preferred first. Throws `unknown-shard`. */
function membersOf(map: ShardMap, group: GroupId): readonly NodeId[] {
  if (group === META_GROUP) return map.metaVoters;
  const shard = shardById(map, group);
  if (shard === undefined) {
    throw new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${group}`, {
      why: `the cluster has ${map.shards.length} shards, and the metadata group is called meta`,
      hint: "see them with `mem0ctl shards list`",
    });
  }
  return shard.replicas;
}

/** Nobody who leads the metadata group has answered in time: nothing is known of what is waited for. */
function whenLate(error: unknown): undefined {
  const isLate =
    error instanceof Mem0ctlError &&
    (error.code === "no-leader" || error.code === "read-timed-out" || error.kind === "busy");
  if (!isLate) throw error;
}

function stillDraining(node: NodeId, { progress }: Operation): Mem0ctlError {
  const paused = progress.state === "paused" ? progress.why : null;
  return new Mem0ctlError("unknown-outcome", "still-draining", `${node} still holds replicas`, {
    why: paused === null ? "its copies are being moved to other nodes" : `its removal waits: ${paused}`,
    hint: "the move goes on; repeat the command to wait for its end",
    data: { node },
  });
}
