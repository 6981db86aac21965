// What a node says of itself and of what it holds: to peers that ask, to an operation that runs here, and to an admin.

import type { Membership } from "../consensus/seam.ts";
import { Mem0ctlError } from "../model/errors.ts";
import { META_GROUP, type GroupId, type NodeId } from "../model/ids.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import { hasEnded, summaryOf, type Operation } from "../model/operation.ts";
import { settingsOf } from "../model/settings.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { VERSION } from "../model/version.ts";
import type { Clock } from "./clock.ts";
import type { Liveness } from "./cluster/liveness.ts";
import { wantedMembership } from "./cluster/reconcile.ts";
import { groupReport } from "./cluster/report.ts";
import type { Router } from "./cluster/router.ts";
import type { Stores } from "./host/durable-group.ts";
import type { Host } from "./host/host.ts";
import { peerUid, type Identity } from "./identity.ts";
import type { CopyingReport } from "./moves/group-members.ts";
import type { WorstLag } from "./moves/health-bound.ts";
import type { LeaderlessShards } from "./quorum/leaderless-shards.ts";
import type { SuccessionReport } from "./quorum/successions.ts";
import type { Network } from "./transport/network.ts";

/** Longest that the members of a group are waited for. */
export const MEMBERS_MS_MAX = 2000;

export interface AccountOptions {
  readonly manifest: Manifest;
  readonly spec: NodeSpec;
  readonly identity: Identity;
  readonly log: Stores["log"];
  readonly clock: Clock;
  readonly pid: number;
  readonly host: Host;
  readonly network: Network;
  readonly liveness: Liveness;
  readonly router: Router;
  readonly map: () => ShardMap;
  readonly operation: () => Operation | null;
  /** undefined where the protocol has groups. */
  readonly leaderless: () => LeaderlessShards | undefined;
}

export class Account {
  private readonly options: AccountOptions;
  private readonly startedMs: number;

  constructor(options: AccountOptions) {
    this.options = options;
    this.startedMs = options.clock.nowMs();
  }

  holdsShards(): boolean {
    const { host, leaderless } = this.options;
    return host.holdsShards() || leaderless()?.holdsAny() === true;
  }

  /** How far this node is with a handover of keys between leaderless shards. */
  succession(handover: number): SuccessionReport {
    return this.options.leaderless()?.succession(handover) ?? { state: "none", bytes: 0 };
  }

  async members(group: GroupId): Promise<Membership> {
    const { clock, host, map } = this.options;
    // A new leader may have applied less than what is committed: as a read it waits until it has, and is refused
    // where nobody leads. A replica that was wiped for members of yesterday takes acknowledged writes along.
    const deadlineMs = clock.nowMs() + MEMBERS_MS_MAX;
    await host.group(group).readIndex(deadlineMs);
    const status = host.group(group).replica.status();
    if (status.role !== "leader")
      throw new Mem0ctlError("unavailable", "not-leader", "this node does not lead the group");
    // What is appended and not committed may be taken back; a replica that was wiped for it may not.
    const committed = host.group(group).committedMembership();
    if (committed === undefined) {
      throw new Mem0ctlError("unavailable", "starting", "the members of the group are not known yet");
    }
    // A node that is on its way in again must not delete what it has acknowledged since: it is named already, and
    // so is one that this node's map is about to call in.
    const named = [...committed.learners, ...status.progress.map(({ node }) => node)];
    named.push(...(wantedMembership(map(), group)?.voters ?? []));
    const votes = (node: NodeId): boolean =>
      committed.voters.includes(node) || committed.outgoing.includes(node);
    // Whoever goes can never be asked again. Of paxos the members of before decide the slots up to the change, and this
    // node, started again, would need them if it did not know any more that those are chosen.
    await host.group(group).reached(status.commit, deadlineMs);
    await host.flushState();
    return { ...committed, learners: [...new Set(named)].filter((node) => !votes(node)) };
  }

  /** As the leader or as the new copy, what it knows of a shard being copied. */
  copying(group: GroupId, to: NodeId): CopyingReport | undefined {
    const { host, spec } = this.options;
    const shards = this.options.leaderless();
    if (shards !== undefined) return shards.copying(group);
    const machine = host.groups.get(group)?.machine;
    if (machine === undefined) return undefined;
    const bytes = host.snapshots.sentBytes(group, to);
    return { from: spec.id, bytes, bytesTotal: machine.size().bytes };
  }

  /** Of the replicas that this node feeds, the one that lags most. */
  worstLag(): WorstLag | null {
    const { host, network, spec, leaderless } = this.options;
    const reports = [...host.groups.values()].flatMap((group) =>
      group.id !== META_GROUP && group.replica.status().role === "leader"
        ? [groupReport(group, spec.id, network)]
        : [],
    );
    const lags = reports.flatMap(({ id, progress }) =>
      (progress ?? []).flatMap(({ node, role, state, lagMs }) =>
        role !== "learner" && state !== "down" ? [{ shard: id, node, lagMs }] : [],
      ),
    );
    return [...lags, ...(leaderless()?.lags() ?? [])].toSorted((a, b) => b.lagMs - a.lagMs)[0] ?? null;
  }

  report(): NodeReport {
    const { manifest, spec, identity, clock, log, host, network, liveness, router, leaderless } =
      this.options;
    const map = this.options.map();
    const groups = [...host.groups.values()];
    const names = [META_GROUP, ...map.shards.map((shard) => shard.id)];
    const operation = this.options.operation();
    return {
      cluster: manifest.name,
      clusterId: identity.clusterId,
      id: spec.id,
      uid: identity.uid,
      address: spec.address,
      role: map.nodes.find((node) => node.id === spec.id)?.role ?? spec.role,
      zone: spec.zone,
      pid: this.options.pid,
      version: VERSION,
      protocol: manifest.consensus.protocol,
      uptimeMs: Math.round(clock.nowMs() - this.startedMs),
      writeRefusal: host.writeRefusal,
      map,
      peers: map.nodes
        .filter((node) => node.id !== spec.id)
        .map((node) => {
          const error = network.lastError(node.id);
          const uid = peerUid(log, node.id);
          return {
            id: node.id,
            state: liveness.state(node.id),
            lastHeartbeatMs: liveness.lastHeartbeatMs(node.id),
            ...(uid === undefined ? {} : { uid }),
            ...(error === undefined || network.connected(node.id) ? {} : { error }),
          };
        }),
      groups: [
        ...groups.map((group) => groupReport(group, spec.id, network)),
        ...(leaderless()?.reports() ?? []),
      ],
      leaders: Object.fromEntries(names.map((group) => [group, router.leaderOf(group)])),
      ...(operation === null || hasEnded(operation) ? {} : { operation: summaryOf(operation) }),
      settings: settingsOf(manifest),
    };
  }
}
