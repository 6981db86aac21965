// mem0's own routes, as the MemoryClient of the npm package `mem0ai` 3.x calls them, so that
// applications need no new client. They turn requests into calls of MemoryService and nothing else.
// Texts are stored as given: extracting facts from a conversation is the client's work.

import { parseFilter, type Filter } from "../memory/filter.ts";
import { checkScope, checkText, isPlainObject, SCOPE_FIELDS } from "../memory/record.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { CallContext, NewMemory } from "../memory/service.ts";
import { IGNORED_EVERYWHERE, route, type Route } from "./route.ts";
import { answer, deletedAnswer, messageAnswer, named, pageOf } from "./schemas.ts";
import {
  anything,
  batch,
  categories,
  defaulted,
  described,
  flag,
  freeObject,
  integer,
  integerInQuery,
  memoryId,
  memoryText,
  metadata,
  number,
  object,
  optional,
  refuse,
  scopeName,
  text,
  textHash,
  vector,
  type Bounds,
} from "./shapes.ts";

const PAGE_SIZE_MAX = 1000;
const PAGE_MAX = 1_000_000;
const TOP_K_MAX = 1000;
/** Updates and deletions of one batch request that run at the same time. */
const BATCH_CONCURRENCY = 16;

const SCOPE = {
  user_id: optional(scopeName),
  agent_id: optional(scopeName),
  run_id: optional(scopeName),
  app_id: optional(scopeName),
};

const message = object({ role: optional(text(64)), content: memoryText }, ["name"]);

const messages = described(
  "Each is stored as one memory, its content as given; the role is not kept.",
  anything({
    oneOf: [
      { type: "string", minLength: 1 },
      message.schema,
      { type: "array", minItems: 1, items: message.schema },
    ],
  }),
);

const filters = described(
  'mem0\'s filter language: fields, AND, OR, NOT, comparison operators and the wildcard "*".',
  freeObject(),
);

/** What narrows a search or a list besides `filters`. */
const NARROWING = { categories: optional(categories) };

/** Rankings are exact and nothing expires or is superseded here, so these change nothing. */
const IGNORED_IN_READS = [...IGNORED_EVERYWHERE, "rerank", "latest_only", "show_expired", "fields"];

const addRoute = route({
  method: "POST",
  path: "/v3/memories/add/",
  access: "write",
  operation: "addMemories",
  tag: "memories",
  summary: "Stores each message as one memory; all or none while they fit in one command of about 1 MiB.",
  body: object(
    {
      messages,
      ...SCOPE,
      metadata: optional(metadata),
      categories: optional(categories),
      infer: optional(described("Only false: extraction belongs to the client.", flag())),
      embeddings: optional(described("The caller's own vectors, one per message.", batch(vector))),
    },
    [...IGNORED_EVERYWHERE, "async_mode"],
  ),
  answer: answer({ results: { type: "array", items: named("AddedMemory") } }),
  run: async ({ body, services, context }) => {
    if (body.infer === true) {
      throw new Mem0ctlError("invalid", "extraction-not-supported", "infer: true is not supported", {
        why: "messages are stored as given; extracting facts from them belongs to the client",
        hint: "leave infer out or set it to false",
        data: { field: "infer" },
      });
    }
    const texts = readMessages(body.messages, services.bounds);
    if (body.embeddings !== undefined && body.embeddings.length !== texts.length) {
      throw refuse("embeddings", `has ${body.embeddings.length} vectors for ${texts.length} messages`);
    }
    const common = {
      ...checkScope(body),
      ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
      ...(body.categories === undefined ? {} : { categories: body.categories }),
    };
    const memories = texts.map((content, index): NewMemory => {
      const embedding = body.embeddings?.[index];
      return { text: content, ...common, ...(embedding === undefined ? {} : { embedding }) };
    });
    const stored = await services.memories.add(memories, context);
    // What comes behind a spread that an object begins with takes V8 half a microsecond.
    return { results: stored.map(({ id, ...memory }) => ({ id, ...memory, event: "ADD" })) };
  },
});

const messageBatch = batch(message);

function readMessages(value: unknown, bounds: Bounds): readonly string[] {
  if (typeof value === "string") return [checkText(value, "messages")];
  if (isPlainObject(value)) return [message.read(value, "messages", bounds).content];
  if (!Array.isArray(value)) throw refuse("messages", "must be a string or a list of { role, content }");
  return messageBatch.read(value, "messages", bounds).map((item) => item.content);
}

const searchRoute = route({
  method: "POST",
  path: "/v3/memories/search/",
  access: "read",
  operation: "searchMemories",
  tag: "memories",
  summary: "Exact cosine search within a scope, best first.",
  body: object(
    {
      query: memoryText,
      filters,
      ...NARROWING,
      metadata: optional(freeObject({ description: "Keys and values that a memory must have." })),
      top_k: defaulted(integer(1, TOP_K_MAX), 10),
      threshold: defaulted(described("Least score.", number(-1, 1)), -1),
      embedding: optional(described("The query's vector, in place of the node's own.", vector)),
    },
    IGNORED_IN_READS,
  ),
  answer: answer({ results: { type: "array", items: named("ScoredMemory") } }),
  run: async ({ body, services, context }) => {
    if (!namesScope(body.filters)) {
      throw new Mem0ctlError("invalid", "scope-missing", "filters: must name a scope to search in", {
        why: "a search without one would go through the memories of everybody",
        hint: 'add user_id, agent_id, run_id or app_id to filters; {"user_id": "*"} searches those of all users',
        data: { field: "filters" },
      });
    }
    const results = await services.memories.search(
      {
        query: body.query,
        filter: narrowed(body.filters, {
          ...(body.categories === undefined ? {} : { categories: { in: body.categories } }),
          ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
        }),
        topK: body.top_k,
        threshold: body.threshold,
        ...(body.embedding === undefined ? {} : { vector: body.embedding }),
      },
      context,
    );
    return { results };
  },
});

const listRoute = route({
  method: "POST",
  path: "/v3/memories/",
  access: "read",
  operation: "listMemories",
  tag: "memories",
  summary: "Memories that match, newest first, by pages.",
  query: object(
    {
      page: defaulted(integerInQuery(1, PAGE_MAX), 1),
      page_size: defaulted(integerInQuery(1, PAGE_SIZE_MAX), 100),
    },
    IGNORED_EVERYWHERE,
  ),
  body: object(
    {
      filters: defaulted(filters, {}),
      ...NARROWING,
      start_date: optional(text(64)),
      end_date: optional(text(64)),
    },
    IGNORED_IN_READS,
  ),
  answer: pageOf(named("Memory")),
  run: async ({ body, query, services, context }) => {
    const between = {
      ...(body.start_date === undefined ? {} : { gte: body.start_date }),
      ...(body.end_date === undefined ? {} : { lte: body.end_date }),
    };
    const filter = narrowed(body.filters, {
      ...(body.categories === undefined ? {} : { categories: { in: body.categories } }),
      ...(Object.keys(between).length === 0 ? {} : { created_at: between }),
    });
    const { page, page_size: pageSize } = query;
    const { count, results } = await services.memories.list({ filter, page, pageSize }, context);
    return { count, ...neighbours("/v3/memories/", page, pageSize, count), results };
  },
});

/** The caller's filter and what other fields of the request add to it. */
function narrowed(own: unknown, more: Readonly<Record<string, unknown>>): Filter {
  const filter = parseFilter(own);
  return Object.keys(more).length === 0 ? filter : { kind: "all", of: [filter, parseFilter(more)] };
}

/** Whether a filter says anywhere whose memories are meant; parseFilter bounds its depth afterwards. */
function namesScope(json: unknown): boolean {
  if (Array.isArray(json)) return json.some(namesScope);
  if (!isPlainObject(json)) return false;
  return (
    SCOPE_FIELDS.some((field) => Object.hasOwn(json, field)) ||
    namesScope(json["AND"]) ||
    namesScope(json["OR"]) ||
    namesScope(json["NOT"])
  );
}

/** Paths of the pages before and after, as mem0 gives them; null where there is none. */
function neighbours(
  path: string,
  page: number,
  pageSize: number,
  count: number,
): { readonly next: string | null; readonly previous: string | null } {
  const at = (other: number): string => `${path}?page=${other}&page_size=${pageSize}`;
  return {
    next: page * pageSize < count ? at(page + 1) : null,
    previous: page > 1 ? at(page - 1) : null,
  };
}

const byId = object({ id: memoryId });

const getRoute = route({
  method: "GET",
  path: "/v1/memories/{id}/",
  access: "read",
  operation: "getMemory",
  tag: "memories",
  summary: "One memory.",
  params: byId,
  answer: named("Memory"),
  run: async ({ params, services, context }) => services.memories.get(params.id, context),
});

const historyRoute = route({
  method: "GET",
  path: "/v1/memories/{id}/history/",
  access: "read",
  operation: "getMemoryHistory",
  tag: "memories",
  summary: "What happened to a memory, oldest first.",
  params: byId,
  answer: { type: "array", items: named("HistoryEvent") },
  run: async ({ params, services, context }) => {
    const events = await services.memories.history(params.id, context);
    return events.map((event) => ({ ...event, memory_id: params.id, updated_at: event.created_at }));
  },
});

const updateRoute = route({
  method: "PUT",
  path: "/v1/memories/{id}/",
  access: "write",
  operation: "updateMemory",
  tag: "memories",
  summary: "Replaces the text, the metadata, or both.",
  params: byId,
  body: object(
    {
      text: optional(memoryText),
      metadata: optional(metadata),
      embedding: optional(vector),
      if_hash: optional(
        described(
          "Only while the memory's text has this hash, decided in the order of the shard's log; else 409. " +
            "Not with the quorum protocol.",
          textHash,
        ),
      ),
    },
    IGNORED_EVERYWHERE,
  ),
  answer: named("Memory"),
  run: async ({ params, body, services, context }) => {
    if (body.text === undefined && body.metadata === undefined) {
      throw refuse("text", "is required where metadata is not given");
    }
    if (body.embedding !== undefined && body.text === undefined) {
      throw refuse("embedding", "is taken only together with text");
    }
    const { if_hash: ifHash, ...change } = body;
    return services.memories.update(
      params.id,
      ifHash === undefined ? change : { ...change, ifHash },
      context,
    );
  },
});

const deleteRoute = route({
  method: "DELETE",
  path: "/v1/memories/{id}/",
  access: "write",
  operation: "deleteMemory",
  tag: "memories",
  summary: "Deletes one memory.",
  params: byId,
  query: object({}, [...IGNORED_EVERYWHERE, "delete_linked"]),
  answer: messageAnswer,
  run: async ({ params, services, context }) => {
    await services.memories.delete(params.id, context);
    return { message: "Memory deleted successfully!" };
  },
});

const deleteAllRoute = route({
  method: "DELETE",
  path: "/v1/memories/",
  access: "write",
  operation: "deleteMemories",
  tag: "memories",
  summary: 'Deletes every memory of a scope; "*" stands for any name.',
  query: object(SCOPE, IGNORED_EVERYWHERE),
  answer: deletedAnswer,
  run: async ({ query, services, context }) => {
    const given = Object.entries(query);
    const names = given.filter(([, name]) => name !== "*");
    // "*" alone is no name that a memory can have, but a scope all the same.
    if (names.length > 0 || given.length === 0) checkScope(Object.fromEntries(names));
    const deleted = await services.memories.deleteAll(parseFilter(query), context);
    return { message: "Memories deleted successfully!", deleted };
  },
});

const batchUpdateRoute = route({
  method: "PUT",
  path: "/v1/batch/",
  access: "write",
  operation: "updateMemoryBatch",
  tag: "memories",
  summary: "Replaces the texts of several memories, each on its own.",
  body: object({ memories: batch(object({ memory_id: memoryId, text: memoryText })) }, IGNORED_EVERYWHERE),
  answer: messageAnswer,
  run: async ({ body, services, context }) => {
    await each(body.memories, context, "updated", (item) =>
      services.memories.update(item.memory_id, { text: item.text }, context),
    );
    return { message: `Successfully updated ${body.memories.length} memories` };
  },
});

const batchDeleteRoute = route({
  method: "DELETE",
  path: "/v1/batch/",
  access: "write",
  operation: "deleteMemoryBatch",
  tag: "memories",
  summary: "Deletes several memories, each on its own.",
  body: object({ memories: batch(object({ memory_id: memoryId })) }, IGNORED_EVERYWHERE),
  answer: messageAnswer,
  run: async ({ body, services, context }) => {
    await each(body.memories, context, "deleted", (item) =>
      services.memories.delete(item.memory_id, context),
    );
    return { message: `Successfully deleted ${body.memories.length} memories` };
  },
});

/**
 * Runs all, a few at a time. Where some fail, throws the first failure with `data.failed` (ids and
 * codes) and `data.done`, how many were done all the same. One whose outcome is unknown goes before the
 * others: by any other kind of error the caller would take it as certainly not done.
 */
async function each<Item extends { readonly memory_id: string }>(
  items: readonly Item[],
  context: CallContext,
  done: string,
  run: (item: Item) => Promise<unknown>,
): Promise<void> {
  const failed: { readonly id: string; readonly error: unknown }[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) {
      try {
        await run(item);
      } catch (error) {
        failed.push({ id: item.memory_id, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(BATCH_CONCURRENCY, items.length) }, worker));
  const unknown = failed.find(
    ({ error }) => error instanceof Mem0ctlError && error.kind === "unknown-outcome",
  );
  const first = unknown ?? failed[0];
  if (first === undefined) return;
  if (!(first.error instanceof Mem0ctlError)) throw first.error;
  const count = items.length - failed.length;
  const certainty = unknown === undefined ? done : `${done} for certain`;
  throw new Mem0ctlError(
    first.error.kind,
    first.error.code,
    `${first.error.message} (${failed.length} of ${items.length} memories were not ${certainty})`,
    {
      ...(first.error.why === undefined ? {} : { why: first.error.why }),
      ...(first.error.hint === undefined ? {} : { hint: first.error.hint }),
      data: {
        done: count,
        failed: failed.map(({ id, error }) => ({
          id,
          code: error instanceof Mem0ctlError ? error.code : "internal",
        })),
        requestId: context.requestId,
      },
    },
  );
}

export const MEMORY_ROUTES: readonly Route[] = [
  addRoute,
  searchRoute,
  listRoute,
  getRoute,
  historyRoute,
  updateRoute,
  deleteRoute,
  deleteAllRoute,
  batchUpdateRoute,
  batchDeleteRoute,
];
