// What an operator's tools ask a node: its report, the shard map, a leadership transfer, nodes that join
// and leave, a clean stop.

import type { MapNode } from "../../model/shard-map.ts";
import { NAME_PATTERN } from "../../model/ids.ts";
import { routeOver, type Route, type Services } from "../../http/route.ts";
import { answer, named } from "../../http/schemas.ts";
import { choice, flag, number, object, optional, refuse, text, type Shape } from "../../http/shapes.ts";
import type { AdminService } from "../service.ts";

export interface NodeServices extends Services {
  readonly admin: AdminService;
}

const route = routeOver<NodeServices>();

const NAME_CHARACTERS_MAX = 63;
const WEIGHT_MAX = 1000;
const GROUP_PATTERN = /^(meta|0|[1-9]\d{0,4})$/;
const ADDRESS_PATTERN = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):([1-9]\d{0,4})$/;

function matching(charactersMax: number, pattern: RegExp, message: string): Shape<string> {
  const plain = text(charactersMax);
  return {
    ...plain,
    schema: { ...plain.schema, pattern: pattern.source },
    read: (value, field, bounds) => {
      const read = plain.read(value, field, bounds);
      if (!pattern.test(read)) throw refuse(field, message);
      return read;
    },
  };
}

const name = matching(NAME_CHARACTERS_MAX, NAME_PATTERN, "must be lower-case letters, digits and -");
const address = matching(262, ADDRESS_PATTERN, "must be host:port or [v6]:port");

const mapNode: Shape<MapNode> = object({
  id: name,
  address,
  role: choice(["primary", "secondary", "arbiter"]),
  zone: text(NAME_CHARACTERS_MAX),
  weight: number(Number.MIN_VALUE, WEIGHT_MAX),
  draining: flag(),
});

const reportRoute = route({
  method: "GET",
  path: "/v1/cluster/node",
  access: "read",
  operation: "getNode",
  tag: "cluster",
  summary: "What this node knows of itself, its peers and its replica groups.",
  answer: named("NodeReport"),
  run: async ({ services }) => services.admin.report(),
});

const mapRoute = route({
  method: "GET",
  path: "/v1/cluster/map",
  access: "read",
  operation: "getShardMap",
  tag: "cluster",
  summary: "The shard map as this node has it.",
  answer: named("ShardMap"),
  run: async ({ services }) => services.admin.map(),
});

const transferRoute = route({
  method: "POST",
  path: "/v1/cluster/transfer",
  access: "admin",
  operation: "transferLeader",
  tag: "cluster",
  summary: "Hands a group's leadership to another replica.",
  body: object({
    group: matching(5, GROUP_PATTERN, 'must be "meta" or a shard\'s number'),
    to: optional(name),
  }),
  answer: named("TransferResult"),
  run: async ({ body, services, context }) => services.admin.transfer(body, context),
});

const joinRoute = route({
  method: "POST",
  path: "/v1/cluster/join",
  access: "admin",
  operation: "joinNode",
  tag: "cluster",
  summary: "Adds a node to the shard map.",
  body: object({ node: mapNode }),
  answer: named("ShardMap"),
  run: async ({ body, services, context }) => services.admin.join(body.node, context),
});

const leaveRoute = route({
  method: "POST",
  path: "/v1/cluster/leave",
  access: "admin",
  operation: "removeNode",
  tag: "cluster",
  summary: "Moves a node's replicas away and takes it out of the shard map.",
  body: object({ node: name }),
  answer: named("ShardMap"),
  run: async ({ body, services, context }) => services.admin.leave(body.node, context),
});

const stopRoute = route({
  method: "POST",
  path: "/v1/cluster/stop",
  access: "admin",
  operation: "stopNode",
  tag: "cluster",
  summary: "Starts a clean stop of this node.",
  body: object({}),
  answer: answer({ stopping: { type: "boolean", enum: [true] } }),
  run: async ({ services }) => {
    await services.admin.stop();
    return { stopping: true };
  },
});

const documentRoute = route({
  method: "GET",
  path: "/openapi.json",
  access: "read",
  operation: "getOpenApiDocument",
  tag: "node",
  summary: "This document.",
  answer: { type: "object" },
  run: async ({ services }) => services.document(),
});

export const CLUSTER_ROUTES: readonly Route<NodeServices>[] = [
  reportRoute,
  mapRoute,
  transferRoute,
  joinRoute,
  leaveRoute,
  stopRoute,
  documentRoute,
];
