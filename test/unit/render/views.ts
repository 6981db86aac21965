// Cluster views for the render tests, made from a shape: n nodes in zones, leaders taking turns, some
// nodes down. They are consistent (a lost node's shards are led by another replica, or by none).

import { judge } from "../../../src/operations/health.ts";
import type { Protocol } from "../../../src/model/ids.ts";
import type { ClusterView, NodeView, Reason, ReplicaView, ShardView } from "../../../src/model/view.ts";

export interface Shape {
  readonly nodes: number;
  readonly shards: number;
  readonly copies: number;
  /** Numbers of nodes, from 1, that are down. */
  readonly down?: readonly number[];
  readonly arbiter?: boolean;
  /** Default raft. */
  readonly protocol?: Protocol;
}

const id = (number: number): string => `node-${number}`;

export function clusterView(shape: Shape): ClusterView {
  if (shape.protocol === "quorum") return leaderlessView(shape);
  const view = leaderView(shape);
  if (shape.protocol !== "paxos") return view;
  const shards = view.shards.map((shard, index): ShardView => {
    const proposer = shard.leader ?? shard.replicas[0]?.node ?? "";
    const round = 3 + (index % 2);
    return { ...shard, term: round, ballot: { round, proposer } };
  });
  return { ...view, shards };
}

/** R 2 and W 2: what a node that is down misses is kept as hints; one key differs somewhere. */
function leaderlessView(shape: Shape): ClusterView {
  const view = leaderView({ ...shape, protocol: "raft" });
  const shards = view.shards.map((shard, index): ShardView => {
    const replicas = shard.replicas.map((replica): ReplicaView => {
      const isDown = replica.state === "down";
      return {
        node: replica.node,
        role: "follower",
        state: isDown ? "down" : "replicating",
        lagEntries: isDown ? 3 : 0,
        lagBytes: null,
        lagMs: isDown ? 12_300 : 0,
        hints: isDown ? 3 : 0,
        divergentKeys: index === 1 ? 1 : 0,
        ...(isDown ? {} : { copy: "serving" }),
      };
    });
    const alive = replicas.filter(({ state }) => state !== "down").length;
    return {
      ...shard,
      leader: null,
      term: 0,
      leaderless: true,
      state: alive < 2 ? "down" : alive < replicas.length ? "under-replicated" : "ok",
      memories: 250 + index,
      bytes: 500_000 + index * 1000,
      replicas,
    };
  });
  const copiesDown = shards
    .flatMap(({ replicas }) => replicas)
    .filter(({ state }) => state === "down").length;
  const { reasons: _reasons, health: _health, ...rest } = view;
  const seen = {
    ...rest,
    protocol: "quorum" as const,
    levels: { read: 2, write: 2 },
    // The metadata group is Raft: a majority of the nodes makes its leader.
    leader:
      2 * view.healthyNodes > view.totalNodes
        ? (view.nodes.find(({ state }) => state === "up")?.id ?? null)
        : null,
    replication: {
      ...view.replication,
      pending: 3 * copiesDown,
      failed: copiesDown,
      hints: 3 * copiesDown,
      divergentKeys: 1,
    },
    nodes: view.nodes.map((node) => ({ ...node, leads: 0 })),
    shards,
  };
  return { ...seen, ...judge(seen, { maxLagMs: 60_000 }) };
}

function leaderView(shape: Shape): ClusterView {
  const isDown = (node: string): boolean => (shape.down ?? []).some((number) => id(number) === node);
  const shards = Array.from({ length: shape.shards }, (_, index) => shardView(shape, index, isDown));
  const nodes = Array.from({ length: shape.nodes }, (_, index) =>
    nodeView(id(index + 1), index, shards, isDown(id(index + 1))),
  );
  const all = shape.arbiter === true ? [...nodes, arbiterView()] : nodes;
  const lost = shards.filter((shard) => shard.leader === null);
  const short = shards.filter((shard) => shard.state === "under-replicated");
  const reasons: Reason[] = [
    ...(lost.length === 0
      ? []
      : [
          {
            code: "shard-leaderless",
            message: `${lost.length} of ${shape.shards} shards have no leader and take no writes`,
            hint: "start their nodes",
          },
        ]),
    ...(shape.down ?? []).map((number) => ({
      code: "node-down",
      message: `${id(number)} (127.0.0.1:${7000 + number}) is down: connection refused`,
      hint: `start it with \`mem0ctl restart ${id(number)}\`; its log: \`mem0ctl nodes logs ${id(number)}\``,
    })),
  ];
  const up = all.filter((node) => node.state === "up");
  return {
    apiVersion: "mem0ctl/v1",
    kind: "ClusterStatus",
    cluster: "demo",
    engine: "embedded",
    protocol: shape.protocol ?? "raft",
    sharding: "hash",
    health: lost.length > 0 ? "unavailable" : reasons.length > 0 ? "degraded" : "healthy",
    reasons,
    leader: lost.length > 0 ? null : (up[0]?.id ?? null),
    term: 3,
    epoch: 7,
    totalNodes: all.length,
    healthyNodes: up.length,
    totalShards: shape.shards,
    copies: shape.copies,
    replication: {
      totalReplicated: 4120,
      pending: short.length * 2,
      failed: short.length,
      lagMs: short.length > 0 ? 12_300 : 0,
    },
    nodes: all,
    shards,
    disagreements: [],
  };
}

function shardView(shape: Shape, index: number, isDown: (node: string) => boolean): ShardView {
  const members = Array.from({ length: shape.copies }, (_, turn) => id(((index + turn) % shape.nodes) + 1));
  const alive = members.filter((member) => !isDown(member));
  const voters = shape.copies + (shape.arbiter === true ? 1 : 0);
  const votes = alive.length + (shape.arbiter === true ? 1 : 0);
  const leader = alive.length > 0 && votes * 2 > voters ? (alive[0] ?? null) : null;
  const replicas = members.map((node): ReplicaView => {
    if (leader === null) {
      return {
        node,
        role: "follower",
        state: isDown(node) ? "down" : "probing",
        lagEntries: null,
        lagBytes: null,
        lagMs: null,
      };
    }
    return isDown(node)
      ? { node, role: "follower", state: "down", lagEntries: 2, lagBytes: 2048, lagMs: 12_300 }
      : {
          node,
          role: node === leader ? "leader" : "follower",
          state: "replicating",
          lagEntries: 0,
          lagBytes: 0,
          lagMs: 0,
        };
  });
  const arbiter: ReplicaView = {
    node: "arbiter-1",
    role: "arbiter",
    state: "replicating",
    lagEntries: 0,
    lagBytes: 0,
    lagMs: 0,
  };
  const size = Math.floor(16384 / shape.shards);
  return {
    id: String(index),
    range: `slots ${index * size}-${(index + 1) * size - 1}`,
    state: leader === null ? "leaderless" : alive.length < members.length ? "under-replicated" : "ok",
    leader,
    term: 3,
    memories: leader === null ? null : 250 + index,
    bytes: leader === null ? null : 500_000 + index * 1000,
    replicas: shape.arbiter === true ? [...replicas, arbiter] : replicas,
  };
}

function nodeView(node: string, index: number, shards: readonly ShardView[], down: boolean): NodeView {
  const own = shards.filter((shard) => shard.replicas.some((replica) => replica.node === node));
  return {
    id: node,
    address: `127.0.0.1:${7001 + index}`,
    role: index === 0 ? "primary" : "secondary",
    zone: "abcd"[index % 4] ?? "a",
    state: down ? "down" : "up",
    pid: down ? null : 4711 + index,
    version: down ? null : "0.1.0",
    uptimeMs: down ? null : 3_723_000,
    lastHeartbeatMs: down ? 12_300 : 40,
    leads: shards.filter((shard) => shard.leader === node).length,
    replicas: own.length,
    memories: down ? null : own.length * 250,
    bytes: down ? null : own.length * 500_000,
    ...(down ? { error: "connection refused" } : {}),
  };
}

function arbiterView(): NodeView {
  return {
    id: "arbiter-1",
    address: "127.0.0.1:7099",
    role: "arbiter",
    zone: "r",
    state: "up",
    pid: 4799,
    version: "0.1.0",
    uptimeMs: 3_723_000,
    lastHeartbeatMs: 40,
    leads: 0,
    replicas: 0,
    memories: 0,
    bytes: 0,
  };
}
