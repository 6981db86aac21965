// What an admin may do through any node: see its report, hand leadership over, let nodes join and leave.
// Changes of the cluster go through the shard map in the metadata group; the nodes then follow it.

import { Mem0ctlError } from "../../model/errors.ts";
import { groupName, META_GROUP, type GroupId, type NodeId } from "../../model/ids.ts";
import type { NodeReport, TransferRequest, TransferResult } from "../../model/node-api.ts";
import type { MapNode, ShardMap } from "../../model/shard-map.ts";
import { mapWithNode, mapWithoutNode, planLeave, withOutgoing } from "../../topology/membership.ts";
import { shardById } from "../../topology/shard-map.ts";
import { pause, type Clock } from "../clock.ts";
import type { Host } from "../host/host.ts";
import type { CallContext } from "../../memory/service.ts";
import type { AdminService } from "../service.ts";
import type { Network } from "../transport/network.ts";
import { changeOfMap } from "./map-change.ts";
import type { Router } from "./router.ts";

const POLL_MS = 20;
/** How long a transfer that the protocol refuses is asked for again. */
const REFUSED_MS = 3000;

export interface AdminOptions {
  readonly self: NodeId;
  readonly host: Host;
  readonly network: Network;
  readonly clock: Clock;
  readonly router: Router;
  readonly map: () => ShardMap;
  /** Whether shards have no leaders: their members are what the map says. */
  readonly leaderless: boolean;
  /** Whether this node still keeps anything of a shard. */
  readonly holdsShards: () => boolean;
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
      // Repeated after a lost answer, it is done already.
      if (known !== undefined && known.address === node.address && known.role === node.role) return map;
      return mapWithNode(map, { ...node, draining: false });
    }, context.deadlineMs);
  }

  /**
   * Moves everything off the node, then takes it out of the map. It can be repeated: what was done stays.
   * Throws `too-few-nodes` when some copy would be lost; nothing is changed then.
   */
  async leave(node: NodeId, context: CallContext): Promise<ShardMap> {
    await this.changeMap((map) => {
      const known = map.nodes.find((other) => other.id === node);
      if (known === undefined || (known.draining && !holdsAnything(map, node))) return map;
      const moved = mapWithoutNode(map, node, planLeave(map, node));
      // It stays a member until its replicas have moved: they are copied from it.
      return {
        ...(this.options.leaderless ? withOutgoing(map, moved) : moved),
        nodes: map.nodes.map((other) => (other.id === node ? { ...other, draining: true } : other)),
      };
    }, context.deadlineMs);
    await this.drained(node, context.deadlineMs);
    return this.changeMap(
      (map) =>
        map.nodes.some((other) => other.id === node)
          ? { ...map, epoch: map.epoch + 1, nodes: map.nodes.filter((other) => other.id !== node) }
          : map,
      context.deadlineMs,
    );
  }

  /** Waits until no group counts the node among its members any more. */
  private async drained(node: NodeId, deadlineMs: number): Promise<void> {
    const { clock } = this.options;
    const groups = [META_GROUP, ...this.map().shards.map((shard) => shard.id)];
    for (const group of groups) {
      for (;;) {
        const members = await this.members(group, deadlineMs);
        if (members !== undefined && !members.includes(node)) break;
        if (clock.nowMs() >= deadlineMs) {
          throw new Mem0ctlError(
            "unknown-outcome",
            "still-draining",
            `${node} still holds a replica of ${groupName(group)}`,
            {
              why: "its copies are being moved to other nodes",
              hint: "the move goes on; repeat the command to finish it",
              data: { group, node },
            },
          );
        }
        await pause(clock, 5 * POLL_MS);
      }
    }
    // Once it is out of the map nobody talks to it any more: while it is there, it gives its replicas up first.
    while (clock.nowMs() < deadlineMs && (await this.holdsReplicas(node, deadlineMs))) {
      await pause(clock, 5 * POLL_MS);
    }
  }

  /** False too for a node that does not answer: it is not waited for. */
  private async holdsReplicas(node: NodeId, deadlineMs: number): Promise<boolean> {
    const { self, holdsShards, network } = this.options;
    if (node === self) return holdsShards();
    if (!network.connected(node)) return false;
    return (await network.call(node, "holds-shards", {}, deadlineMs).catch(() => false)) === true;
  }

  private async members(group: GroupId, deadlineMs: number): Promise<readonly NodeId[] | undefined> {
    const { self, host, network, router } = this.options;
    if (this.options.leaderless && group !== META_GROUP) {
      const shard = shardById(this.map(), group);
      return [...(shard?.replicas ?? []), ...(shard?.outgoing?.replicas ?? [])];
    }
    const { leader } = router.leaderOf(group);
    if (leader === null) return undefined;
    if (leader === self) {
      const committed = host.group(group).committedMembership();
      return committed === undefined ? undefined : [...committed.voters, ...committed.outgoing];
    }
    const answer = await network.call(leader, "members", { group }, deadlineMs).catch(() => undefined);
    const membership = answer as { voters: NodeId[]; outgoing: NodeId[] } | undefined;
    return membership === undefined ? undefined : [...membership.voters, ...membership.outgoing];
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

/** Nodes that may lead a group, preferred first. Throws `shard-unknown`. */
function membersOf(map: ShardMap, group: GroupId): readonly NodeId[] {
  if (group === META_GROUP) return map.metaVoters;
  const shard = shardById(map, group);
  if (shard === undefined) {
    throw new Mem0ctlError("not-found", "shard-unknown", `there is no shard ${group}`, {
      why: `the cluster has shards 0 to ${map.shards.length - 1}, and the metadata group is called meta`,
      hint: "see them with `mem0ctl shards list`",
    });
  }
  return shard.replicas;
}

function withLeaderFirst(map: ShardMap, group: GroupId, leader: NodeId): ShardMap {
  const order = membersOf(map, group);
  if (order[0] === leader || !order.includes(leader)) return map;
  const reordered = [leader, ...order.filter((id) => id !== leader)];
  if (group === META_GROUP) return { ...map, epoch: map.epoch + 1, metaVoters: reordered };
  return {
    ...map,
    epoch: map.epoch + 1,
    shards: map.shards.map((shard) => (shard.id === group ? { ...shard, replicas: reordered } : shard)),
  };
}

function holdsAnything(map: ShardMap, node: NodeId): boolean {
  return (
    map.metaVoters.includes(node) ||
    map.shards.some((shard) => shard.replicas.includes(node) || shard.arbiters.includes(node))
  );
}
