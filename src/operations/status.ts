// What a cluster is like now: one view from any engine, and a judgement of it.

import type { CallOptions, Engine } from "../engines/engine.ts";
import type { ShardId } from "../model/ids.ts";
import type { ClusterView, ReplicaView } from "../model/view.ts";
import { judge } from "./health.ts";
import type { HealthLimits } from "./health.ts";

/** Asks all nodes in parallel under one deadline. A cluster of which nothing answers is a view, not an error. */
export async function clusterStatus(
  engine: Engine,
  limits: HealthLimits,
  options: CallOptions,
): Promise<ClusterView> {
  const view = await engine.view(options);
  const { health, reasons } = judge(view, limits);
  // Spread in the order that people read: what it is, how it is, why, then the details.
  const { apiVersion, kind, cluster, engine: name, protocol, sharding, ...rest } = view;
  return { apiVersion, kind, cluster, engine: name, protocol, sharding, health, reasons, ...rest };
}

export interface ReplicationStatus {
  readonly totals: ClusterView["replication"];
  /** Every replica of every shard, leaders included. */
  readonly replicas: readonly (ReplicaView & { readonly shard: ShardId })[];
}

/** The part of a view that is about copies. */
export function replicationOf(view: Pick<ClusterView, "replication" | "shards">): ReplicationStatus {
  return {
    totals: view.replication,
    replicas: view.shards.flatMap(({ id, replicas }) =>
      replicas.map((replica) => ({ shard: id, ...replica })),
    ),
  };
}
