// The OpenAPI 3.1 document, made from the routes and the very shapes that read requests.

import { STALENESS_MS_MAX } from "../model/consistency.ts";
import type { Access, Route } from "./route.ts";
import { ANSWERS, named } from "./schemas.ts";
import type { JsonSchema, Shape } from "./shapes.ts";

const ACCESS_NOTE: Readonly<Record<Access, string>> = {
  read: "Role read.",
  write: "Role write.",
  admin: "Role admin.",
  ping: "Role read; without a token from the node's own machine.",
};

const PARAMETERS = {
  Timeout: {
    name: "X-Timeout-Ms",
    in: "header",
    description: "Milliseconds until the node gives up. The outcome of a write that timed out is unknown.",
    schema: { type: "integer", minimum: 1, maximum: 60_000, default: 10_000 },
  },
  Consistency: {
    name: "X-Consistency",
    in: "header",
    description:
      "Level of the request's reads: linearizable or stale with raft and paxos; one, quorum, all or a number " +
      "of copies with the quorum protocol; one or stale over redis. The cluster's manifest says which is the default.",
    schema: { type: "string", pattern: "^(linearizable|stale|one|quorum|all|[0-9]{1,4})$" },
  },
  WriteConsistency: {
    name: "X-Write-Consistency",
    in: "header",
    description:
      "Level of the request's writes, with the quorum protocol and over redis: how many copies have it when it is answered. " +
      "raft and paxos always write to a quorum.",
    schema: { type: "string", pattern: "^(one|quorum|all|[0-9]{1,4})$" },
  },
  MaxStaleness: {
    name: "X-Max-Staleness-Ms",
    in: "header",
    description:
      "With stale reads: what answers lacks nothing that was acknowledged longer ago than this many milliseconds.",
    schema: { type: "integer", minimum: 1, maximum: STALENESS_MS_MAX },
  },
  RequestId: {
    name: "X-Request-Id",
    in: "header",
    description: "Comes back in the answer, in errors and in the log; made up where it is absent.",
    schema: { type: "string", pattern: "^[A-Za-z0-9._:-]{1,64}$" },
  },
} as const;

export interface DocumentHead {
  readonly title: string;
  readonly description: string;
}

type DescribedRoute = Omit<Route, "run">;

/** Plain data; the same on every server with these routes. */
export function openapiDocument(routes: readonly DescribedRoute[], head: DocumentHead): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = (paths[route.path] ??= {});
    path[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: head.title,
      version: "1",
      description: head.description,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    security: [{ token: [] }, { bearer: [] }],
    tags: ["memories", "entities", "cluster", "node"].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        token: {
          type: "apiKey",
          in: "header",
          name: "Authorization",
          description: "Token <token>. Not asked for where the cluster has no tokens.",
        },
        bearer: { type: "http", scheme: "bearer" },
      },
      parameters: PARAMETERS,
      responses: {
        Error: {
          description: "It was not done, or, with status 504, its outcome is unknown.",
          content: { "application/json": { schema: named("Error") } },
        },
      },
      schemas: ANSWERS,
    },
  };
}

function operationOf(route: DescribedRoute): JsonSchema {
  return {
    operationId: route.operation,
    tags: [route.tag],
    summary: route.summary,
    description: ACCESS_NOTE[route.access],
    "x-role": route.access,
    ...(route.access === "ping" ? { security: [{}, { token: [] }, { bearer: [] }] } : {}),
    parameters: [
      ...parametersOf("path", route.params),
      ...parametersOf("query", route.query),
      ...Object.keys(PARAMETERS).map((name) => ({ $ref: `#/components/parameters/${name}` })),
    ],
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: true, content: { "application/json": { schema: route.body.schema } } } }),
    responses: {
      "200": { description: "Done.", content: { "application/json": { schema: route.answer } } },
      default: { $ref: "#/components/responses/Error" },
    },
  };
}

function parametersOf(place: "path" | "query", shape: Shape<unknown> | undefined): readonly JsonSchema[] {
  const properties = shape?.schema["properties"];
  const requiredNames = shape?.schema["required"];
  if (typeof properties !== "object" || properties === null) return [];
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: place,
    required: place === "path" || (Array.isArray(requiredNames) && requiredNames.includes(name)),
    schema,
  }));
}
