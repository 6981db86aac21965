// A plan is data: printed, saved, compared, and only then applied. A step is idempotent.

import type { GroupId, NodeId } from "./ids.ts";
import type { MapNode } from "./shard-map.ts";

export type Step =
  | { readonly kind: "add-node"; readonly node: MapNode }
  | { readonly kind: "remove-node"; readonly node: NodeId }
  | { readonly kind: "transfer-leader"; readonly group: GroupId; readonly to?: NodeId };
