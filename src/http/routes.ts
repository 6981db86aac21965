// The routes that everyone serves who serves memories: a node, or a gateway in front of another engine.

import { ENTITY_ROUTES } from "./entities.ts";
import { INTERCHANGE_ROUTES } from "./interchange.ts";
import { MEMORY_ROUTES } from "./memories.ts";
import type { Route } from "./route.ts";

export const SERVICE_ROUTES: readonly Route[] = [...MEMORY_ROUTES, ...ENTITY_ROUTES, ...INTERCHANGE_ROUTES];
