// A running cluster that a manifest is to be written for, as whoever found it describes it.

import type { EngineName, NodeId } from "../model/ids.ts";

export interface DiscoverOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly password?: string;
  /** Paths of PEM files. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

export interface DiscoveredNode {
  readonly id: NodeId;
  readonly address: string;
  readonly role: "primary" | "secondary";
  readonly zone: string;
  readonly manage: "connect";
}

export interface DiscoveredCluster {
  readonly engine: EngineName;
  readonly nodes: readonly DiscoveredNode[];
  readonly shards: number;
  /** Besides the leader's, of the shard that has the fewest. */
  readonly replicas: number;
  readonly user?: string;
}
