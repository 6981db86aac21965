// Nodes that join or leave a running cluster.

import type { CallOptions, Engine } from "../engines/engine.ts";
import type { NodeId } from "../model/ids.ts";
import type { MapNode } from "../model/shard-map.ts";

/** Idempotent. The node has to be running with a manifest that names it; the shards stay where they are. */
export async function joinNode(engine: Engine, node: MapNode, options: CallOptions): Promise<string> {
  return engine.execute({ kind: "add-node", node }, options);
}

/**
 * Idempotent. Its replicas are placed on other nodes first.
 * @throws Mem0ctlError of kind conflict when too few nodes would remain for the copies.
 */
export async function leaveNode(engine: Engine, node: NodeId, options: CallOptions): Promise<string> {
  return engine.execute({ kind: "remove-node", node }, options);
}
