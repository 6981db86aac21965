// What a route is: method, path, who may call it, the shapes it reads, the answer it gives, and the call
// it makes. The server and the OpenAPI document are both made from these and from nothing else.

import type { TokenRole } from "../model/manifest.ts";
import type { CallContext, MemoryService } from "../memory/service.ts";
import { object, type Bounds, type JsonSchema, type Shape } from "./shapes.ts";

/** `ping`: anyone on this machine without a token; from elsewhere, or with a token, role read. */
export type Access = TokenRole | "ping";

/** What every server's routes stand on; a node's own routes stand on more. */
export interface Services {
  readonly memories: MemoryService;
  readonly bounds: Bounds;
}

/** A request before its shapes have read it. */
export interface RawCall {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

interface Call<Params, Query, Body, Provided> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly services: Provided;
  readonly context: CallContext;
}

interface RouteSpec<Params, Query, Body, Provided> {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** As OpenAPI spells it: `/v1/memories/{id}/`. Served with and without the last slash. */
  readonly path: string;
  readonly access: Access;
  readonly operation: string;
  readonly tag: "memories" | "entities" | "cluster" | "node";
  readonly summary: string;
  readonly params?: Shape<Params>;
  readonly query?: Shape<Query>;
  readonly body?: Shape<Body>;
  readonly answer: JsonSchema;
  readonly run: (call: Call<Params, Query, Body, Provided>) => Promise<unknown>;
}

export interface Route<Provided extends Services = Services> extends Omit<
  RouteSpec<unknown, unknown, unknown, Provided>,
  "run" | "query"
> {
  readonly query: Shape<unknown>;
  readonly run: (raw: RawCall, services: Provided, context: CallContext) => Promise<unknown>;
}

/** A route with what it stands on: all that a server needs to know of it. */
export interface BoundRoute extends Pick<Route, "method" | "path" | "access"> {
  readonly run: (raw: RawCall, context: CallContext) => Promise<unknown>;
}

export function bindRoutes<Provided extends Services>(
  routes: readonly Route<Provided>[],
  services: Provided,
): readonly BoundRoute[] {
  return routes.map(({ method, path, access, run }) => ({
    method,
    path,
    access,
    run: (raw, context) => run(raw, services, context),
  }));
}

/** What mem0's clients add to any request; there is one organisation and one project here. */
export const IGNORED_EVERYWHERE = ["org_id", "project_id", "version", "output_format", "source"] as const;

const NOTHING: Shape<undefined> = { presence: "optional", schema: {}, read: () => undefined };
const NO_QUERY = object({}, IGNORED_EVERYWHERE);

/** Makes routes that stand on these services. */
export function routeOver<Provided extends Services>() {
  return <Params = undefined, Query = object, Body = undefined>(
    spec: RouteSpec<Params, Query, Body, Provided>,
  ): Route<Provided> => {
    const params: Shape<unknown> = spec.params ?? NOTHING;
    const query: Shape<unknown> = spec.query ?? NO_QUERY;
    const body: Shape<unknown> = spec.body ?? NOTHING;
    return {
      ...spec,
      query,
      run: async (raw, services, context) =>
        spec.run({
          // Where no shape is given the type parameter is its default, which NOTHING and NO_QUERY make.
          params: params.read(raw.params, "", services.bounds) as Params,
          query: query.read(raw.query, "", services.bounds) as Query,
          body: body.read(raw.body, "", services.bounds) as Body,
          services,
          context,
        }),
    };
  };
}

export const route = routeOver<Services>();
