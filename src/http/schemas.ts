// JSON Schemas of what the node answers, by the names that the OpenAPI document gives them. They follow
// model/node-api.ts, model/shard-map.ts and model/errors.ts field by field.

import type { JsonSchema } from "./shapes.ts";

const string = { type: "string" };
const integer = { type: "integer" };
const boolean = { type: "boolean" };
const time = { type: "string", format: "date-time" };
const nullable = (type: string): JsonSchema => ({ type: [type, "null"] });
const list = (items: JsonSchema): JsonSchema => ({ type: "array", items });
const mapOf = (values: JsonSchema): JsonSchema => ({ type: "object", additionalProperties: values });

export function named(name: keyof typeof ANSWERS): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** Of these properties all but the optional ones are always there. */
export function answer(
  properties: Readonly<Record<string, JsonSchema>>,
  optional: readonly string[] = [],
): JsonSchema {
  return {
    type: "object",
    properties,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
  };
}

export function pageOf(item: JsonSchema): JsonSchema {
  return answer({
    count: { ...integer, description: "Of all that match." },
    next: { ...nullable("string"), description: "Path of the next page." },
    previous: nullable("string"),
    results: list(item),
  });
}

export const messageAnswer = answer({ message: string });
export const deletedAnswer = answer({ message: string, deleted: integer });

const SCOPE = { user_id: string, agent_id: string, run_id: string, app_id: string };
const MEMORY = {
  id: string,
  memory: string,
  hash: { ...string, description: "MD5 of the text, hex." },
  ...SCOPE,
  metadata: { type: "object" },
  categories: list(string),
  created_at: time,
  updated_at: time,
};
const MEMORY_OPTIONAL = ["user_id", "agent_id", "run_id", "app_id", "metadata", "categories"];
const EVENT = {
  id: string,
  event: { type: "string", enum: ["ADD", "UPDATE", "DELETE"] },
  old_memory: nullable("string"),
  new_memory: nullable("string"),
  created_at: time,
};
const STEP = {
  oneOf: [
    answer({ kind: { type: "string", enum: ["add-replica"] }, shard: string, to: string, bytes: integer }),
    answer({ kind: { type: "string", enum: ["remove-replica"] }, shard: string, from: string }),
    answer({
      kind: { type: "string", enum: ["move-replica"] },
      shard: string,
      from: string,
      to: string,
      bytes: integer,
    }),
    answer({ kind: { type: "string", enum: ["transfer-leader"] }, group: string, to: string }, ["to"]),
    answer({ kind: { type: "string", enum: ["remove-node"] }, node: string }),
  ],
};
const OPERATION_STATE = {
  type: "string",
  enum: ["running", "paused", "cancelling", "done", "cancelled", "failed"],
};
const RECORD = {
  id: string,
  memory: string,
  ...SCOPE,
  metadata: { type: "object" },
  categories: list(string),
  created_at: time,
  updated_at: time,
  embedding: list({ type: "number" }),
  history: list({ $ref: "#/components/schemas/MemoryEvent" }),
};

export const ANSWERS = {
  Memory: answer(MEMORY, MEMORY_OPTIONAL),
  AddedMemory: answer({ ...MEMORY, event: { type: "string", enum: ["ADD"] } }, MEMORY_OPTIONAL),
  ScoredMemory: answer(
    { ...MEMORY, score: { type: "number", description: "Cosine similarity, -1 to 1." } },
    MEMORY_OPTIONAL,
  ),
  MemoryEvent: answer(EVENT),
  HistoryEvent: answer({ ...EVENT, memory_id: string, updated_at: time }),
  MemoryRecord: answer(RECORD, [...MEMORY_OPTIONAL, "embedding", "history"]),
  Entity: answer({
    id: string,
    type: { type: "string", enum: ["user", "agent", "run", "app"] },
    name: string,
    total_memories: integer,
    owner: nullable("string"),
    created_at: time,
    updated_at: time,
  }),
  ImportResult: answer({
    imported: integer,
    failed: list(answer({ index: integer, field: string, message: string })),
  }),
  ExportPage: answer({
    records: list({ $ref: "#/components/schemas/MemoryRecord" }),
    cursor: { ...nullable("string"), description: "Give it back for the next page; null at the end." },
  }),
  MemoryStats: answer({
    memories: integer,
    bytes: integer,
    shards: list(answer({ id: string, memories: integer, bytes: integer })),
    entities: answer({ users: integer, agents: integer, runs: integer, apps: integer }),
  }),
  MapNode: answer({
    id: string,
    address: string,
    role: { type: "string", enum: ["primary", "secondary", "arbiter"] },
    zone: string,
    weight: { type: "number" },
    draining: boolean,
  }),
  KeySlice: {
    description: "Keys that go from one shard to another.",
    oneOf: [
      answer({
        kind: { type: "string", enum: ["slots"] },
        slots: list(answer({ from: integer, to: integer })),
        except: list(string),
        also: list(string),
      }),
      answer({ kind: { type: "string", enum: ["range"] }, start: string, end: nullable("string") }),
      answer({ kind: { type: "string", enum: ["key"] }, key: string, pinned: boolean }),
    ],
  },
  ShardMap: answer(
    {
      epoch: integer,
      strategy: { type: "string", enum: ["hash", "range", "directory"] },
      key: { type: "string", enum: ["user", "agent", "run", "app"] },
      directory: mapOf(string),
      shards: list(
        answer(
          {
            id: string,
            slots: list(answer({ from: integer, to: integer })),
            start: string,
            end: nullable("string"),
            replicas: list(string),
            arbiters: list(string),
            version: { ...integer, description: "Raised whenever keys come or go; absent while it is 0." },
            founding: { ...boolean, description: "Made for a handover, and not serving yet." },
            founders: list(string),
          },
          ["version", "founding", "founders"],
        ),
      ),
      nodes: list({ $ref: "#/components/schemas/MapNode" }),
      metaVoters: list(string),
      handover: answer(
        {
          id: integer,
          name: string,
          from: string,
          to: string,
          slice: { $ref: "#/components/schemas/KeySlice" },
          isWhole: boolean,
          phase: { type: "string", enum: ["copying", "dropping"] },
          versions: {
            ...answer({ from: integer, to: nullable("integer") }),
            description: "Leaderless shards: their versions before it; null for one that is made for it.",
          },
        },
        ["versions"],
      ),
      heirs: { ...mapOf(string), description: "Shards that were merged away, and what each is part of." },
      nextShard: integer,
    },
    ["handover", "heirs", "nextShard"],
  ),
  NodeReport: answer(
    {
      cluster: string,
      clusterId: string,
      id: string,
      uid: { ...string, description: "Made with its data directory." },
      waiting: {
        ...string,
        description: "Set while it has no data and may not begin: what it waits for.",
      },
      address: string,
      role: { type: "string", enum: ["primary", "secondary", "arbiter"] },
      zone: string,
      pid: integer,
      version: string,
      uptimeMs: { type: "number" },
      protocol: { type: "string", enum: ["raft", "paxos", "quorum"] },
      writeRefusal: nullable("string"),
      map: { $ref: "#/components/schemas/ShardMap" },
      peers: list(
        answer(
          {
            id: string,
            state: { type: "string", enum: ["up", "suspect", "down"] },
            lastHeartbeatMs: nullable("number"),
            uid: string,
            error: string,
          },
          ["uid", "error"],
        ),
      ),
      groups: list(
        answer(
          {
            id: string,
            role: { type: "string", enum: ["leader", "follower", "learner", "arbiter"] },
            leader: nullable("string"),
            term: integer,
            commitIndex: integer,
            appliedIndex: integer,
            lastIndex: integer,
            memories: integer,
            bytes: integer,
            writes: integer,
            damage: {
              ...string,
              description: "Why its state is damaged; absent while nothing is known against it.",
            },
            progress: list(
              answer({
                node: string,
                role: { type: "string", enum: ["leader", "follower", "learner", "arbiter"] },
                state: { type: "string", enum: ["replicating", "probing", "snapshot", "down"] },
                lagEntries: integer,
                lagBytes: integer,
                lagMs: { type: "number" },
              }),
            ),
          },
          ["damage", "progress"],
        ),
      ),
      leaders: mapOf(answer({ leader: nullable("string"), term: integer })),
      settings: {
        ...mapOf(string),
        description: "What it was started with, by the names of the manifest's fields.",
      },
      operation: answer({
        id: string,
        name: string,
        state: OPERATION_STATE,
        why: nullable("string"),
        startedBy: string,
        startedMs: integer,
        revision: integer,
        steps: integer,
        done: integer,
        failed: integer,
        running: list(string),
      }),
    },
    ["operation", "settings", "waiting"],
  ),
  ShardCut: answer({
    shard: string,
    at: { ...nullable("string"), description: "First key or slot of what goes." },
    goes: answer({ memories: integer, bytes: integer }),
    stays: answer({ memories: integer, bytes: integer }),
  }),
  ShardVerification: answer({
    shard: string,
    replicas: list(
      answer(
        {
          node: string,
          memories: nullable("integer"),
          digest: nullable("string"),
          error: string,
          code: string,
        },
        ["error", "code"],
      ),
    ),
    differences: list(
      answer({
        id: string,
        parts: list({ type: "string", enum: ["presence", "text", "vector", "metadata"] }),
        copies: list(answer({ node: string, present: boolean, isOdd: boolean })),
      }),
    ),
    differing: { ...integer, description: "How many there are; the first of them are listed." },
  }),
  Operation: answer({
    plan: answer({
      id: string,
      name: string,
      startedBy: string,
      startedMs: integer,
      waves: list(list(STEP)),
      concurrency: integer,
      bytesPerSecondMax: nullable("integer"),
      epoch: nullable("integer"),
    }),
    progress: answer({
      revision: integer,
      state: OPERATION_STATE,
      why: nullable("string"),
      steps: list({
        type: "string",
        enum: ["waiting", "running", "undoing", "done", "failed", "dropped"],
      }),
      failures: mapOf(string),
      bytes: integer,
      endedMs: nullable("integer"),
    }),
    copying: list(
      answer({ step: integer, from: string, to: string, bytes: integer, bytesTotal: nullable("integer") }),
    ),
  }),
  TransferResult: answer({ group: string, from: string, to: string, term: integer }),
  Error: answer({
    error: answer(
      {
        kind: string,
        code: { ...string, description: "Stable; never reused." },
        message: string,
        why: string,
        hint: string,
        requestId: string,
        data: { type: "object" },
      },
      ["why", "hint", "requestId", "data"],
    ),
    detail: { ...string, description: "The message, where mem0's clients look for it." },
  }),
} as const satisfies Readonly<Record<string, JsonSchema>>;
