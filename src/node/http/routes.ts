// All routes of a node, and the document that describes them.

import { openapiDocument } from "../../http/openapi.ts";
import { bindRoutes, type BoundRoute, type Route } from "../../http/route.ts";
import { SERVICE_ROUTES } from "../../http/routes.ts";
import type { Bounds } from "../../http/shapes.ts";
import { CLUSTER_ROUTES, type NodeServices } from "./cluster.ts";

/** @internal The tests go through all of them. */
export const ROUTES: readonly Route<NodeServices>[] = [...SERVICE_ROUTES, ...CLUSTER_ROUTES];

/** `services` is asked anew for each request: those of a node change once, when it begins. */
export function nodeRoutes(
  bounds: Bounds,
  services: () => Pick<NodeServices, "memories" | "admin">,
): readonly BoundRoute[] {
  let document: object | undefined;
  return bindRoutes(ROUTES, {
    bounds,
    document: () => (document ??= nodeDocument()),
    get memories() {
      return services().memories;
    },
    get admin() {
      return services().admin;
    },
  });
}

/** @internal docs/openapi.json is made from it. */
export function nodeDocument(): object {
  return openapiDocument(ROUTES, {
    title: "mem0ctl node",
    description:
      "The HTTP API of a node of the embedded engine. Any node takes any request. The routes under " +
      "/v1/memories, /v3/memories, /v1/entities and /v1/batch are those that mem0's clients call.",
  });
}
