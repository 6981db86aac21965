// What the members of a group say of it, wherever its leader is: who they are, whether a change has ended, how much
// of a new replica is copied. Asked by whoever carries out an operation; answered in core.ts.

import type { Membership } from "../../consensus/seam.ts";
import { META_GROUP, type GroupId, type NodeId, type ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { shardById } from "../../topology/shard-map.ts";
import { wantedMembership } from "../cluster/reconcile.ts";
import type { Router } from "../cluster/router.ts";
import type { Network } from "../transport/network.ts";

export interface CopyingReport {
  readonly from: NodeId;
  readonly bytes: number;
  readonly bytesTotal: number | null;
}

export interface GroupMembersOptions {
  readonly self: NodeId;
  readonly network: Network;
  readonly router: Router;
  readonly leaderless: boolean;
  /** As this node's own replica, the leader, has them committed. */
  readonly membersHere: (group: GroupId) => Promise<Membership>;
  readonly copyingHere: (group: GroupId, to: NodeId) => CopyingReport | undefined;
  readonly holdsShards: () => boolean;
}

export class GroupMembers {
  private readonly options: GroupMembersOptions;

  constructor(options: GroupMembersOptions) {
    this.options = options;
  }

  /** Committed members of a group as its leader says; undefined where nobody can. */
  async of(group: GroupId, deadlineMs: number): Promise<Membership | undefined> {
    const { self, network, router, membersHere } = this.options;
    const { leader } = router.leaderOf(group);
    if (leader === null) return undefined;
    const asked =
      leader === self ? membersHere(group) : network.call(leader, "members", { group }, deadlineMs);
    return (await asked.catch(() => undefined)) as Membership | undefined;
  }

  /** Whether a shard's replicas are what the map wants, and nothing else is under way. */
  async areSettled(map: ShardMap, shard: ShardId, deadlineMs: number): Promise<boolean> {
    if (this.options.leaderless) return shardById(map, shard)?.outgoing === undefined;
    const wanted = wantedMembership(map, shard);
    const members = await this.of(shard, deadlineMs);
    if (wanted === undefined || members === undefined || members.outgoing.length > 0) return false;
    return (
      members.learners.length === 0 &&
      members.voters.length === wanted.voters.length &&
      members.voters.every((node) => wanted.voters.includes(node))
    );
  }

  /** Whether a node's vote or copy counts in no way for a group any more. */
  async hasLetGo(map: ShardMap, group: GroupId, node: NodeId, deadlineMs: number): Promise<boolean> {
    if (this.options.leaderless && group !== META_GROUP) {
      const shard = shardById(map, group);
      return ![...(shard?.replicas ?? []), ...(shard?.outgoing?.replicas ?? [])].includes(node);
    }
    const members = await this.of(group, deadlineMs);
    return members !== undefined && ![...members.voters, ...members.outgoing].includes(node);
  }

  /** Whether the new replica counts already, or is about to: giving it up would be a second move. */
  async counts(shard: ShardId, node: NodeId, deadlineMs: number): Promise<boolean> {
    if (this.options.leaderless) return false;
    const members = await this.of(shard, deadlineMs);
    return members !== undefined && [...members.voters, ...members.outgoing].includes(node);
  }

  /** How much of a shard is copied to a new replica, by whoever copies it. */
  async copying(shard: ShardId, to: NodeId, deadlineMs: number): Promise<CopyingReport | undefined> {
    const { self, network, router, leaderless, copyingHere } = this.options;
    const source = leaderless ? to : router.leaderOf(shard).leader;
    if (source === null) return undefined;
    if (source === self) return copyingHere(shard, to);
    const asked = network.call(source, "copying", { group: shard, to }, deadlineMs);
    return ((await asked.catch(() => null)) as CopyingReport | null) ?? undefined;
  }

  /** False too for a node that does not answer: it is not waited for. */
  async holdsReplicas(node: NodeId, deadlineMs: number): Promise<boolean> {
    const { self, holdsShards, network } = this.options;
    if (node === self) return holdsShards();
    if (!network.connected(node)) return false;
    return (await network.call(node, "holds-shards", {}, deadlineMs).catch(() => false)) === true;
  }
}
