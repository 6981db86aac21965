// Manifests for the topology tests: only what a shard map is made from.

import type { ShardId, ShardingStrategy } from "../../../src/model/ids.ts";
import type { Manifest, NodeSpec } from "../../../src/model/manifest.ts";

export function manifestOf(shape: {
  readonly nodes: number;
  readonly shards: number;
  readonly copies: number;
  readonly arbiter?: boolean;
  readonly zones?: number;
  readonly strategy?: ShardingStrategy;
  readonly ranges?: readonly string[];
  readonly directory?: Readonly<Record<string, ShardId>>;
}): Pick<Manifest, "nodes" | "replication" | "sharding"> {
  const spec = (id: string, port: number, role: NodeSpec["role"], zone: string): NodeSpec => ({
    id,
    address: `127.0.0.1:${port}`,
    host: "127.0.0.1",
    port,
    role,
    zone,
    weight: 1,
    manage: "connect",
    dataDir: `/nowhere/${id}`,
  });
  const zones = shape.zones ?? shape.nodes;
  const nodes = Array.from({ length: shape.nodes }, (_, index) =>
    spec(`node-${index + 1}`, 7001 + index, "primary", `zone-${index % zones}`),
  );
  return {
    nodes: shape.arbiter === true ? [...nodes, spec("arbiter-1", 7999, "arbiter", "zone-r")] : nodes,
    replication: { strategy: "multiple", replicas: shape.copies - 1 },
    sharding: {
      strategy: shape.strategy ?? "hash",
      shards: shape.shards,
      key: "user",
      ranges: shape.ranges ?? [],
      directory: shape.directory ?? {},
    },
  };
}
