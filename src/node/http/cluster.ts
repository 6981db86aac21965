// What an operator's tools ask a node: its report, the shard map, a leadership transfer, nodes that join
// and leave, operations, a clean stop.

import type { ClusterStep } from "../../model/operation.ts";
import type { HandoverStep } from "../../model/plan.ts";
import type { MapNode } from "../../model/shard-map.ts";
import { NAME_PATTERN } from "../../model/ids.ts";
import { SCOPE_CHARACTERS_MAX } from "../../memory/record.ts";
import { routeOver, type Route, type Services } from "../../http/route.ts";
import { answer, named } from "../../http/schemas.ts";
import {
  choice,
  defaulted,
  eitherOf,
  flag,
  integer,
  listOf,
  number,
  object,
  optional,
  refuse,
  text,
  type Shape,
} from "../../http/shapes.ts";
import type { AdminService } from "../service.ts";

export interface NodeServices extends Services {
  readonly admin: AdminService;
  /** The OpenAPI document. */
  readonly document: () => unknown;
}

const route = routeOver<NodeServices>();

const NAME_CHARACTERS_MAX = 63;
const WEIGHT_MAX = 1000;
/** As many as a shard map of the largest cluster has replicas. */
const STEPS_MAX = 100_000;
const CONCURRENCY_MAX = 1000;
const UID_CHARACTERS = 32;
const UID_PATTERN = /^[0-9a-f]{32}$/;
const SHARD_PATTERN = /^(0|[1-9]\d{0,4})$/;
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

const uid = matching(UID_CHARACTERS, UID_PATTERN, "must be 32 hexadecimal digits");

const mapNode: Shape<MapNode> = object({
  id: name,
  address,
  role: choice(["primary", "secondary", "arbiter"]),
  zone: text(NAME_CHARACTERS_MAX),
  weight: number(Number.MIN_VALUE, WEIGHT_MAX),
  draining: flag(),
});

const shardId = matching(5, SHARD_PATTERN, "must be a shard's number");
const group = matching(5, GROUP_PATTERN, 'must be "meta" or a shard\'s number');

const shardKey = text(SCOPE_CHARACTERS_MAX);

/** As it was planned: shown, and decides nothing. */
const stepBytes = defaulted(integer(0, Number.MAX_SAFE_INTEGER), 0);

const STEP_SHAPES = {
  "add-replica": object({ kind: choice(["add-replica"]), shard: shardId, to: name, bytes: stepBytes }),
  "remove-replica": object({ kind: choice(["remove-replica"]), shard: shardId, from: name }),
  "move-replica": object({
    kind: choice(["move-replica"]),
    shard: shardId,
    from: name,
    to: name,
    bytes: stepBytes,
  }),
  "transfer-leader": object({ kind: choice(["transfer-leader"]), group, to: optional(name) }),
  "remove-node": object({ kind: choice(["remove-node"]), node: name }),
  split: object({ kind: choice(["split"]), shard: shardId, at: shardKey, into: shardId }),
  merge: object({ kind: choice(["merge"]), shard: shardId, into: shardId }),
  pin: object({ kind: choice(["pin"]), key: shardKey, shard: shardId }),
  unpin: object({ kind: choice(["unpin"]), key: shardKey }),
} as const satisfies Record<ClusterStep["kind"], Shape<ClusterStep>>;

const HANDOVERS = ["split", "merge", "pin", "unpin"] as const;

/** Of a query, which is as flat as these steps are. */
const handoverQuery: Shape<HandoverStep> = {
  ...object({
    kind: choice(HANDOVERS),
    shard: optional(shardId),
    into: optional(shardId),
    at: optional(shardKey),
    key: optional(shardKey),
  }),
  read: eitherOf<HandoverStep>("kind", {
    split: STEP_SHAPES.split,
    merge: STEP_SHAPES.merge,
    pin: STEP_SHAPES.pin,
    unpin: STEP_SHAPES.unpin,
  }).read,
};

const clusterStep = eitherOf<ClusterStep>("kind", STEP_SHAPES);

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
  body: object({ group, to: optional(name) }),
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

const admitRoute = route({
  method: "POST",
  path: "/v1/cluster/admit",
  access: "admin",
  operation: "admitNode",
  tag: "cluster",
  summary: "Lets a node that joined begin with the data directory of this uid, and no other.",
  body: object({ node: name, uid }),
  answer: answer({ uid: { type: ["string", "null"] } }),
  run: async ({ body, services, context }) => ({
    uid: await services.admin.admit(body.node, body.uid, context),
  }),
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

const drainRoute = route({
  method: "POST",
  path: "/v1/cluster/drain",
  access: "admin",
  operation: "drainNode",
  tag: "cluster",
  summary: "Keeps new replicas off a node, or lets it have some again.",
  body: object({ node: name, draining: flag() }),
  answer: named("ShardMap"),
  run: async ({ body, services, context }) => services.admin.drain(body, context),
});

const operationRoute = route({
  method: "GET",
  path: "/v1/cluster/operation",
  access: "read",
  operation: "getOperation",
  tag: "cluster",
  summary: "The operation that runs, or ran last.",
  answer: answer({ operation: { oneOf: [named("Operation"), { type: "null" }] } }),
  run: async ({ services, context }) => ({ operation: await services.admin.operation(context) }),
});

const beginRoute = route({
  method: "POST",
  path: "/v1/cluster/operation",
  access: "admin",
  operation: "beginOperation",
  tag: "cluster",
  summary: "Begins an operation, which the cluster then carries out by itself.",
  body: object({
    name: text(NAME_CHARACTERS_MAX * 2 + SCOPE_CHARACTERS_MAX),
    startedBy: text(NAME_CHARACTERS_MAX * 4),
    waves: listOf(listOf(clusterStep, STEPS_MAX), STEPS_MAX),
    concurrency: integer(1, CONCURRENCY_MAX),
    bytesPerSecondMax: optional(integer(1, Number.MAX_SAFE_INTEGER)),
    epoch: optional(integer(0, Number.MAX_SAFE_INTEGER)),
  }),
  answer: answer({ operation: named("Operation") }),
  run: async ({ body, services, context }) => ({
    operation: await services.admin.beginOperation(
      { ...body, bytesPerSecondMax: body.bytesPerSecondMax ?? null, epoch: body.epoch ?? null },
      context,
    ),
  }),
});

const cancelRoute = route({
  method: "POST",
  path: "/v1/cluster/operation/cancel",
  access: "admin",
  operation: "cancelOperation",
  tag: "cluster",
  summary: "Ends the operation that runs: what has not begun never does.",
  body: object({}),
  answer: answer({ operation: named("Operation") }),
  run: async ({ services, context }) => ({ operation: await services.admin.cancelOperation(context) }),
});

const verifyRoute = route({
  method: "GET",
  path: "/v1/cluster/verify",
  access: "read",
  operation: "verifyShard",
  tag: "cluster",
  summary: "Compares what the replicas of a shard hold: text, vector and everything else.",
  query: object({ shard: shardId }),
  answer: named("ShardVerification"),
  run: async ({ query, services, context }) => services.admin.verify(query.shard, context),
});

const cutRoute = route({
  method: "GET",
  path: "/v1/cluster/cut",
  access: "read",
  operation: "cutShard",
  tag: "cluster",
  summary:
    "How much of a shard lies on either side of a cut: at a key or slot, in the middle, around one key.",
  query: object({ shard: shardId, at: optional(shardKey), key: optional(shardKey) }),
  answer: named("ShardCut"),
  run: async ({ query: { shard, at, key }, services, context }) =>
    services.admin.cut(
      { shard, ...(at === undefined ? {} : { at }), ...(key === undefined ? {} : { key }) },
      context,
    ),
});

const handoverRoute = route({
  method: "GET",
  path: "/v1/cluster/handover",
  access: "read",
  operation: "checkHandover",
  tag: "cluster",
  summary:
    "Whether shards can be split or merged so, or a key pinned: refused as beginning it would be, and nothing is begun.",
  query: handoverQuery,
  answer: answer({ possible: { type: "boolean", enum: [true] } }),
  run: async ({ query, services, context }) => {
    await services.admin.checkHandover(query, context);
    return { possible: true };
  },
});

const repairRoute = route({
  method: "POST",
  path: "/v1/cluster/repair",
  access: "admin",
  operation: "repairReplica",
  tag: "cluster",
  summary: "Makes a replica anew from another one.",
  body: object({ shard: shardId, node: name }),
  answer: answer({ repairing: { type: "boolean", enum: [true] } }),
  run: async ({ body, services, context }) => {
    await services.admin.repair(body, context);
    return { repairing: true };
  },
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
  admitRoute,
  leaveRoute,
  drainRoute,
  operationRoute,
  beginRoute,
  cancelRoute,
  verifyRoute,
  cutRoute,
  handoverRoute,
  repairRoute,
  stopRoute,
  documentRoute,
];
