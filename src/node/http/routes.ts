// All routes of a node. The server registers these, the OpenAPI document describes these.

import { CLUSTER_ROUTES } from "./cluster.ts";
import { ENTITY_ROUTES } from "./entities.ts";
import { INTERCHANGE_ROUTES } from "./interchange.ts";
import { MEMORY_ROUTES } from "./memories.ts";
import type { Route } from "./route.ts";

export const ROUTES: readonly Route[] = [
  ...MEMORY_ROUTES,
  ...ENTITY_ROUTES,
  ...INTERCHANGE_ROUTES,
  ...CLUSTER_ROUTES,
];
