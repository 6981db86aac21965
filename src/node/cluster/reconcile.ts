// Brings this node to what the shard map says: opens the replicas it should hold, gives up those it no
// longer should, and, where it leads a group, moves the group's membership and leadership towards the map.
// It works from the map and the groups' own state alone, so it can be interrupted anywhere.

import { EMPTY_MEMBERSHIP, isMember, sameMembership } from "../../consensus/membership.ts";
import type { Membership } from "../../consensus/seam.ts";
import { META_GROUP, type GroupId, type NodeId, type Role } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { nextShardId } from "../../topology/handovers.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { Clock } from "../clock.ts";
import type { Host } from "../host/host.ts";
import type { ReplicaGroup } from "../host/replica-group.ts";
import type { Network } from "../transport/network.ts";
import type { Liveness } from "./liveness.ts";

/** A preferred leader takes over only after it was up for this long, so that a flapping node does not. */
const STEADY_MS = 3000;
/** Between the first two attempts to hand one group over, and the longest pause between later ones. */
const HANDOVER_MS = 2500;
const HANDOVER_MS_MAX = 300_000;
/** A replica that acknowledged nothing for this long is not handed anything. */
const LAG_MS_MAX = 500;
/** Groups handed over per look. */
const HANDOVERS_AT_ONCE = 4;

export interface ReconcilerOptions {
  readonly self: NodeId;
  readonly host: Host;
  readonly network: Network;
  readonly clock: Clock;
  readonly liveness: Liveness;
  readonly map: () => ShardMap;
  /** Whether shards are groups over a log; the copies of leaderless ones follow the map by themselves. */
  readonly hasShardGroups: boolean;
  /** Asks a group's leader who its members are; undefined when it cannot be reached. */
  readonly askMembers: (group: GroupId) => Promise<Membership | undefined>;
  /** Asks another node for the map that it goes by. */
  readonly askMap: (node: NodeId) => Promise<ShardMap>;
}

/** Everyone that the map wants in a group, sorted; the learners of the metadata group are all other nodes. */
export function wantedMembership(map: ShardMap, group: GroupId): Membership | undefined {
  if (group === META_GROUP) {
    const voters = map.metaVoters.toSorted();
    const learners = map.nodes
      .map((node) => node.id)
      .filter((id) => !voters.includes(id))
      .toSorted();
    // Every node routes by the map, so even an arbiter holds this group's state.
    return { voters, outgoing: [], learners, arbiters: [] };
  }
  const shard = shardById(map, group);
  if (shard === undefined) return undefined;
  return {
    voters: [...shard.replicas, ...shard.arbiters].toSorted(),
    outgoing: [],
    learners: [],
    arbiters: shard.arbiters.toSorted(),
  };
}

/** Preference as leader within a group: 0 first; arbiters and strangers last. */
export function leaderRank(map: ShardMap, group: GroupId, node: NodeId): number {
  const order = leadershipOrder(map, group);
  const rank = order.indexOf(node);
  return rank === -1 ? order.length : rank;
}

export class Reconciler {
  private readonly options: ReconcilerOptions;
  private readonly handedOver = new Map<GroupId, { readonly atMs: number; readonly times: number }>();
  private readonly leaving = new Set<GroupId>();
  private readonly calling = new Set<GroupId>();

  constructor(options: ReconcilerOptions) {
    this.options = options;
  }

  look(): void {
    const map = this.options.map();
    // It is not known yet: nothing follows from it.
    if (map.epoch === 0) return;
    this.openReplicas(map);
    this.options.host.noteRecovered();
    this.leaveReplicas(map);
    let handovers = 0;
    for (const group of this.options.host.groups.values()) {
      const status = group.replica.status();
      if (status.leader === "") this.nudge(group, map);
      if (status.role !== "leader") continue;
      if (this.changeMembers(group, map)) continue;
      if (handovers < HANDOVERS_AT_ONCE && this.handOver(group, map)) handovers += 1;
    }
  }

  private openReplicas(map: ShardMap): void {
    const { self, host, hasShardGroups } = this.options;
    for (const shard of hasShardGroups ? map.shards : []) {
      const arbiter = shard.arbiters.includes(self);
      if (!arbiter && !shard.replicas.includes(self)) continue;
      host.open({
        id: shard.id,
        arbiter,
        rank: leaderRank(map, shard.id, self),
        // Not a founder: its leader will bring it in. Of a shard that is being made, all are.
        genesis: (shard.founding && wantedMembership(map, shard.id)) ?? EMPTY_MEMBERSHIP,
      });
    }
    const meta = host.groups.get(META_GROUP);
    if (meta !== undefined) meta.rank = leaderRank(map, META_GROUP, self);
  }

  /** A replica that the map takes away goes only when the group itself has let it go. */
  private leaveReplicas(map: ShardMap): void {
    const { self, host, askMembers } = this.options;
    for (const [id] of host.groups) {
      if (id === META_GROUP || this.leaving.has(id)) continue;
      if (wantedMembership(map, id)?.voters.includes(self) === true) continue;
      const isGone = shardById(map, id) === undefined;
      // One that is yet to come in this map: this node was told of it before it was stopped, and will be again.
      if (isGone && Number(id) >= Number(nextShardId(map))) continue;
      this.leaving.add(id);
      // A shard that is no more, or never came to be, has nobody who could let this replica go: nobody asks for it.
      void (isGone ? Promise.resolve(EMPTY_MEMBERSHIP) : askMembers(id))
        .then(async (members) => {
          if (members === undefined || isMember(members, self)) return;
          // A node that starts again by an older map, in which the shard is only being made, would begin it anew, and
          // has forgotten what it promised: the map that takes the replica away is on disk first. It may have called
          // the replica back meanwhile, and perhaps let it go again: what the leader said then is of yesterday.
          await host.removeGroup(id, () => this.options.map().epoch === map.epoch);
        })
        .catch(() => undefined)
        .finally(() => this.leaving.delete(id));
    }
  }

  /**
   * A group without a leader need not wait for an election timeout when a quorum of it is connected: the
   * replica that is preferred among those asks for votes (a pre-vote, which changes nothing where a leader
   * still lives), and asks again at the next look when some peer had not yet noticed the loss.
   */
  private nudge(group: ReplicaGroup, map: ShardMap): void {
    const { self, network } = this.options;
    const voters = wantedMembership(map, group.id)?.voters ?? [];
    const present = voters.filter((id) => id === self || network.connected(id));
    if (2 * present.length <= voters.length) return;
    const first = present.toSorted((a, b) => leaderRank(map, group.id, a) - leaderRank(map, group.id, b))[0];
    if (first === self && group.damage === undefined) group.step({ kind: "campaign" });
  }

  /** True when the group is, or should be, changing its members. */
  private changeMembers(group: ReplicaGroup, map: ShardMap): boolean {
    const wanted = wantedMembership(map, group.id);
    const { membership, progress } = group.replica.status();
    // Others may be on their way in, by a change that is not in force yet and is not wanted any more.
    const isAlone = progress.every(({ node }) => wanted !== undefined && isMember(wanted, node));
    if (wanted === undefined || (isAlone && sameMembership(wanted, membership))) return false;
    if (membership.outgoing.length > 0) return true;
    const isKnown = (node: NodeId): boolean =>
      isMember(membership, node) || progress.some((peer) => peer.node === node);
    // No node ever gives up its replica of the metadata group.
    const fresh = group.id === META_GROUP ? [] : wanted.voters.filter((node) => !isKnown(node));
    if (fresh.length === 0) group.step({ kind: "reconfigure", target: wanted });
    else this.callIn(group, fresh, map);
    return true;
  }

  /**
   * Makes nodes members of a group once each has said that it goes by a map that wants it there. One that held a
   * replica before may have been told a moment ago that it may give it up: what it acknowledges until it does would
   * count, and be gone. From when it says so it does not, and all that a former replica of it said has arrived.
   */
  private callIn(group: ReplicaGroup, nodes: readonly NodeId[], map: ShardMap): void {
    const { host, askMap } = this.options;
    const { id } = group;
    if (this.calling.has(id)) return;
    this.calling.add(id);
    const comes = async (node: NodeId): Promise<boolean> =>
      wantedMembership(await askMap(node), id)?.voters.includes(node) === true;
    void Promise.all(nodes.map(comes))
      .then((answers) => {
        const target = wantedMembership(map, id);
        if (target === undefined || answers.includes(false)) return;
        // Who was asked by an older map may be on its way out again.
        if (this.options.map().epoch !== map.epoch || host.groups.get(id) !== group) return;
        group.step({ kind: "reconfigure", target });
      })
      .catch(() => undefined)
      .finally(() => this.calling.delete(id));
  }

  /**
   * Hands the group to a replica that the map prefers, or, while writes are refused here or the state is
   * damaged, to any other, when that one is steady and up to date. Attempts that change nothing get rarer.
   */
  private handOver(group: ReplicaGroup, map: ShardMap): boolean {
    const { self, host, liveness, network } = this.options;
    const mine = leaderRank(map, group.id, self);
    const order = leadershipOrder(map, group.id);
    const isFit = host.writeRefusal === null && group.damage === undefined;
    const candidates = isFit ? order.slice(0, mine) : order.filter((id) => id !== self);
    const tried = this.handedOver.get(group.id);
    if (candidates.length === 0) {
      this.handedOver.delete(group.id);
      return false;
    }
    const nowMs = this.options.clock.nowMs();
    const times = tried?.times ?? 0;
    if (tried !== undefined && nowMs - tried.atMs < Math.min(HANDOVER_MS_MAX, HANDOVER_MS * 2 ** times))
      return false;
    const status = group.replica.status();
    if (status.transferringTo !== "") return false;
    for (const candidate of candidates) {
      const progress = status.progress.find((peer) => peer.node === candidate);
      const ready =
        progress?.state === "replicating" &&
        progress.recentlyActive &&
        group.lag.lagMs(progress.match, status.last) < LAG_MS_MAX &&
        network.connected(candidate) &&
        liveness.upForMs(candidate) > STEADY_MS;
      if (!ready) continue;
      this.handedOver.set(group.id, { atMs: nowMs, times: times + 1 });
      group.step({ kind: "transfer", to: candidate });
      return true;
    }
    return false;
  }
}

/** The metadata group prefers primaries, then secondaries; within a role the map's order says. */
function leadershipOrder(map: ShardMap, group: GroupId): readonly NodeId[] {
  if (group !== META_GROUP) return shardById(map, group)?.replicas ?? [];
  const roles: readonly Role[] = ["primary", "secondary", "arbiter"];
  const roleOf = new Map(map.nodes.map((node) => [node.id, roles.indexOf(node.role)]));
  return map.metaVoters.toSorted((a, b) => (roleOf.get(a) ?? roles.length) - (roleOf.get(b) ?? roles.length));
}
