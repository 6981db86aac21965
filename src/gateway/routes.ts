// All routes of a gateway: those that a node serves to applications, and the document that describes them.
// What an operator asks of a cluster is asked of its servers.

import { openapiDocument } from "../http/openapi.ts";
import { bindRoutes, routeOver, type BoundRoute, type Route, type Services } from "../http/route.ts";
import { SERVICE_ROUTES } from "../http/routes.ts";

interface GatewayServices extends Services {
  readonly document: () => unknown;
}

const documentRoute = routeOver<GatewayServices>()({
  method: "GET",
  path: "/openapi.json",
  access: "read",
  operation: "getOpenApiDocument",
  tag: "node",
  summary: "This document.",
  answer: { type: "object" },
  run: async ({ services }) => services.document(),
});

const ROUTES: readonly Route<GatewayServices>[] = [...SERVICE_ROUTES, documentRoute];

export function gatewayRoutes(services: Services): readonly BoundRoute[] {
  let document: object | undefined;
  const describe = (): object =>
    openapiDocument(ROUTES, {
      title: "mem0ctl gateway",
      description:
        "mem0's HTTP API in front of a cluster. Any gateway takes any request. The routes under " +
        "/v1/memories, /v3/memories, /v1/entities and /v1/batch are those that mem0's clients call.",
    });
  return bindRoutes(ROUTES, { ...services, document: () => (document ??= describe()) });
}
