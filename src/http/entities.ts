// mem0's routes about whom memories belong to, and its ping.

import { scopeFilter } from "../memory/filter.ts";
import { checkScope, type Scope } from "../memory/record.ts";
import { IGNORED_EVERYWHERE, route, type Route } from "./route.ts";
import { answer, deletedAnswer, named, pageOf } from "./schemas.ts";
import { choice, defaulted, integerInQuery, object, scopeName } from "./shapes.ts";

const PAGE_SIZE_MAX = 1000;

const listRoute = route({
  method: "GET",
  path: "/v1/entities/",
  access: "read",
  operation: "listEntities",
  tag: "entities",
  summary: "Users, agents, runs and apps that have memories.",
  query: object(
    {
      page: defaulted(integerInQuery(1, 1_000_000), 1),
      page_size: defaulted(integerInQuery(1, PAGE_SIZE_MAX), 100),
    },
    IGNORED_EVERYWHERE,
  ),
  answer: pageOf(named("Entity")),
  run: async ({ query, services, context }) => {
    const all = await services.memories.entities(context);
    const { page, page_size: pageSize } = query;
    const at = (other: number): string => `/v1/entities/?page=${other}&page_size=${pageSize}`;
    return {
      count: all.length,
      next: page * pageSize < all.length ? at(page + 1) : null,
      previous: page > 1 ? at(page - 1) : null,
      results: all.slice((page - 1) * pageSize, page * pageSize).map((entity) => ({
        id: `${entity.type}:${entity.name}`,
        type: entity.type,
        name: entity.name,
        total_memories: entity.memories,
        owner: null,
        created_at: entity.created_at,
        updated_at: entity.updated_at,
      })),
    };
  },
});

const SCOPE_OF = {
  user: (name: unknown): Scope => checkScope({ user_id: name }),
  agent: (name: unknown): Scope => checkScope({ agent_id: name }),
  run: (name: unknown): Scope => checkScope({ run_id: name }),
  app: (name: unknown): Scope => checkScope({ app_id: name }),
} as const;

// mem0's clients delete under /v2, its deprecated calls under /v1.
const deleteRoutes = (["v1", "v2"] as const).map((version) =>
  route({
    method: "DELETE",
    path: `/${version}/entities/{type}/{name}/`,
    access: "write",
    operation: version === "v1" ? "deleteEntityV1" : "deleteEntity",
    tag: "entities",
    summary: "Deletes every memory of one user, agent, run or app.",
    params: object({ type: choice(["user", "agent", "run", "app"]), name: scopeName }),
    answer: deletedAnswer,
    run: async ({ params, services, context }) => {
      const scope = SCOPE_OF[params.type](params.name);
      const deleted = await services.memories.deleteAll(scopeFilter(scope), context);
      return { message: "Entity deleted successfully!", deleted };
    },
  }),
);

const pingRoute = route({
  method: "GET",
  path: "/v1/ping/",
  access: "ping",
  operation: "ping",
  tag: "node",
  summary: "Says that the node answers and that the token, if one is sent, is good.",
  answer: answer({ status: { type: "string", enum: ["ok"] } }),
  // No e-mail and no organisation: mem0's clients would tie their telemetry to the former.
  run: async () => ({ status: "ok" }),
});

export const ENTITY_ROUTES: readonly Route[] = [listRoute, ...deleteRoutes, pingRoute];
