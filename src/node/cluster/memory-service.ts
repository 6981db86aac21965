// The memory operations of the whole cluster, from any of its nodes: which shards a request concerns, one
// call to each of their leaders, and one answer made of theirs.

import { historyKept, memoryNotFound } from "../../memory/changes.ts";
import { embedMissing, type Embedder } from "../../memory/embedder.ts";
import { countNames, mergeEntities } from "../../memory/entities.ts";
import { boundingShardKeys, type Filter } from "../../memory/filter.ts";
import { newMemoryId, shardHint } from "../../memory/id.ts";
import { checkRecords } from "../../memory/importing.ts";
import { bestFirst, newestFirst, pageDepth } from "../../memory/ranking.ts";
import { shardKeyOf, textHash } from "../../memory/record.ts";
import type {
  CallContext,
  MemoryService,
  NewMemory,
  ScoredMemory,
  StoredMemory,
} from "../../memory/service.ts";
import { importedRecord, newRecord, vectorBytes } from "../../memory/stored.ts";
import { checkConditional } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { Protocol } from "../../model/ids.ts";
import type {
  ExportPage,
  ImportRequest,
  ImportResult,
  MemoryEvent,
  MemoryStats,
} from "../../model/node-api.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { shardById, shardOfKey } from "../../topology/shard-map.ts";
import { pause, type Clock } from "../clock.ts";
import { itemBytes, putItem, type PutItem, type ShardCommand } from "../memories/commands.ts";
import type { ShardPath, ShardRef, WriteName } from "./router.ts";
import { queries, type TypedQuery } from "./shard-queries.ts";

/** Bytes of one command, roughly: a batch is split so that no log entry grows much larger. */
const COMMAND_BYTES_MAX = 1 << 20;
/** Shards asked at a time by a request that concerns them all. */
const SHARDS_AT_ONCE = 16;
const ID_RANDOM_BYTES = 10;
const NAME_BYTES = 12;
/** While keys are handed over: looks at the map, and how long one goes on before the shard is asked again. */
const HANDOVER_LOOK_MS = 5;
const HANDOVER_AGAIN_MS = 250;

export interface MemoryServiceOptions {
  readonly shards: ShardPath;
  readonly clock: Clock;
  readonly embedder: Embedder;
  readonly dimensions: number;
  readonly protocol: Protocol;
  readonly map: () => ShardMap;
}

export function createMemoryService(options: MemoryServiceOptions): MemoryService {
  const { shards: path, clock, embedder, dimensions } = options;

  const ask = async <Answer>(
    shard: ShardRef,
    query: TypedQuery<Answer>,
    context: CallContext,
  ): Promise<Answer> => (await path.read(shard, query, context.consistency, context.deadlineMs)) as Answer;

  /** A request to write, which keeps its name wherever its parts go. */
  const named = async <Result>(
    context: CallContext,
    work: (
      write: (shard: ShardRef, command: ShardCommand) => Promise<unknown>,
      name: WriteName,
    ) => Promise<Result>,
  ): Promise<Result> => {
    const name = new Name(clock);
    const write = (shard: ShardRef, command: ShardCommand): Promise<unknown> =>
      path.write(shard, command, context.consistency, context.deadlineMs, name);
    try {
      return await work(write, name);
    } catch (error) {
      // Refused now; an earlier attempt by another map may have been done.
      throw name.mayBeDone && error instanceof Error && !isUnknown(error) ? mayBeDone(error) : error;
    }
  };

  const askAll = <Answer>(
    shards: readonly ShardRef[],
    query: TypedQuery<Answer>,
    context: CallContext,
  ): Promise<Answer[]> => inTurn(shards, (shard) => ask(shard, query, context));

  /** The shards that can hold a match. */
  const shardsOf = (map: ShardMap, filter: Filter): readonly ShardRef[] => {
    const keys = boundingShardKeys(filter, map.key);
    return keys === undefined ? serving(map) : [...new Set(keys.map((key) => shardOfKey(map, key)))];
  };

  /** Waits until this node has heard of a map after `map`, or for a while: keys are being handed over. */
  const mapAfter = async (map: ShardMap, deadlineMs: number): Promise<void> => {
    const untilMs = Math.min(deadlineMs, clock.nowMs() + HANDOVER_AGAIN_MS);
    while (options.map().epoch === map.epoch && clock.nowMs() < untilMs) await pause(clock, HANDOVER_LOOK_MS);
  };

  /**
   * Runs `work`, all of it by one map; anew, where a shard refuses it because that map is not, or not yet, the one
   * that holds. What is refused so was not done.
   */
  const routed = async <Result>(
    { deadlineMs }: CallContext,
    work: (map: ShardMap) => Promise<Result>,
  ): Promise<Result> => {
    for (;;) {
      const map = options.map();
      try {
        return await work(map);
      } catch (error) {
        if (!isStale(error) || clock.nowMs() >= deadlineMs) throw error;
      }
      await mapAfter(map, deadlineMs);
    }
  };

  /**
   * Runs `attempt` on the shard that the id hints at, then on all others, until one has the memory.
   * @throws memory-not-found
   */
  const whereMemoryIs = <Answer>(
    id: string,
    context: CallContext,
    attempt: (shard: ShardRef) => Promise<Answer>,
  ): Promise<Answer> =>
    routed(context, async (map) => {
      const hint = shardHint(id);
      const hinted = hint === undefined ? undefined : shardById(map, String(hint));
      const isMissing = (error: unknown): boolean =>
        error instanceof Mem0ctlError && error.code === "memory-not-found";
      if (hinted !== undefined) {
        try {
          return await attempt(hinted);
        } catch (error) {
          if (!isMissing(error)) throw error;
        }
      }
      const others = serving(map).filter((shard) => shard !== hinted);
      // All of them are waited for: what one shard refuses says nothing of what another is still doing.
      const ends = await inTurn(others, (shard) => settled(attempt(shard)));
      for (const end of ends) if ("value" in end) return end.value;
      const errors = ends.flatMap((end) => ("error" in end && !isMissing(end.error) ? [end.error] : []));
      const [first] = errors;
      throw errors.find(isUnknown) ?? first ?? memoryNotFound(id);
    });

  const embed = (
    texts: readonly string[],
    vectors: readonly (Float32Array | undefined)[],
    deadlineMs: number,
  ): Promise<Float32Array[]> => embedMissing({ embedder, dimensions }, texts, vectors, deadlineMs);

  /** Puts items shard by shard, each command of bounded size. */
  const put = (
    items: readonly PutItem[],
    context: CallContext,
    /** Whether the ids were just made. */
    areFresh: boolean,
  ): Promise<void> =>
    named(context, async (write) => {
      let done = 0;
      // Of one id the last counts, as if they came one after the other.
      for (let left = [...new Map(items.map((item) => [item.id, item])).values()]; left.length > 0;) {
        const map = options.map();
        const refused: PutItem[] = [];
        await writeParts(
          [...byShard(map, left)],
          async ([shard, list], onDone) => {
            for (const batch of batches(list)) {
              const command: ShardCommand = areFresh
                ? { t: "put", items: batch, fresh: true }
                : { t: "put", items: batch };
              try {
                await write(shard, command);
                done += 1;
                onDone();
              } catch (error) {
                if (!isStale(error) || clock.nowMs() >= context.deadlineMs) throw error;
                refused.push(...batch);
              }
            }
          },
          done,
        );
        left = refused;
        if (left.length > 0) await mapAfter(map, context.deadlineMs);
      }
    });

  return {
    async add(memories: readonly NewMemory[], context) {
      const map = options.map();
      const vectors = await embed(
        memories.map((memory) => memory.text),
        memories.map((memory) => memory.embedding),
        context.deadlineMs,
      );
      const nowMs = clock.wallMs();
      const at = new Date(nowMs).toISOString();
      const items = memories.map((memory, index) => {
        const key = shardKeyOf(memory, map.key);
        const shard = shardOfKey(map, key).id;
        const record = newRecord(memory, at);
        const vector = vectors[index];
        if (vector === undefined)
          throw new Mem0ctlError("failed", "embedding-missing", "a vector is missing");
        const id = newMemoryId(nowMs, Number(shard), clock.randomBytes(ID_RANDOM_BYTES));
        return { record, item: putItem({ id, key, record, vector }) };
      });
      await put(
        items.map(({ item }) => item),
        context,
        true,
      );
      return items.map(({ item, record }): StoredMemory => ({ id: item.id, ...record }));
    },

    async search(request, context) {
      const [vector] = await embed([request.query], [request.vector], context.deadlineMs);
      if (vector === undefined) throw new Mem0ctlError("failed", "embedding-missing", "a vector is missing");
      const query = queries.search(request.filter, vector, request.topK, request.threshold);
      const found = (
        await routed(context, (map) => askAll(shardsOf(map, request.filter), query, context))
      ).flat();
      return found.toSorted(bestFirst).slice(0, request.topK) satisfies readonly ScoredMemory[];
    },

    async list(request, context) {
      const depth = pageDepth(request.page, request.pageSize);
      const query = queries.list(request.filter, depth);
      const answers = await routed(context, (map) => askAll(shardsOf(map, request.filter), query, context));
      const newest = answers.flatMap((answer) => answer.newest).toSorted(newestFirst);
      return {
        count: answers.reduce((sum, answer) => sum + answer.count, 0),
        results: newest.slice(depth - request.pageSize, depth),
      };
    },

    get: (id, context) => whereMemoryIs(id, context, (shard) => ask(shard, queries.get(id), context)),

    history: (id, context): Promise<readonly MemoryEvent[]> =>
      whereMemoryIs(id, context, (shard) => ask(shard, queries.history(id), context)),

    async update(id, change, context) {
      if (change.ifHash !== undefined) checkConditional(options.protocol);
      const vector =
        change.text === undefined && change.embedding === undefined
          ? undefined
          : (await embed([change.text ?? ""], [change.embedding], context.deadlineMs))[0];
      const at = new Date(clock.wallMs()).toISOString();
      const command: ShardCommand = {
        t: "update",
        id,
        ...(change.text === undefined ? {} : { text: change.text, hash: textHash(change.text) }),
        ...(change.metadata === undefined ? {} : { metadata: change.metadata }),
        ...(vector === undefined ? {} : { vector: vectorBytes(vector) }),
        ...(change.ifHash === undefined ? {} : { ifHash: change.ifHash }),
        at,
      };
      const updated = await named(context, (write) =>
        whereMemoryIs(id, context, (shard) => write(shard, command)),
      );
      return updated as StoredMemory;
    },

    async delete(id, context) {
      await named(context, (write) =>
        whereMemoryIs(id, context, (shard) => write(shard, { t: "delete", id })),
      );
    },

    deleteAll: (filter, context) =>
      named(context, async (write, name) => {
        let count = 0;
        let done = 0;
        for (let isOver = false; !isOver;) {
          isOver = true;
          // Sent again it counts what was deleted under its name before.
          if (name.mayBeDone) count = 0;
          const map = options.map();
          await writeParts(
            shardsOf(map, filter),
            async (shard, onDone) => {
              try {
                const deleted = Number(await write(shard, { t: "delete-matching", filter }));
                // The shards are at work at the same time: what others have added meanwhile stays in it.
                count += deleted;
                done += 1;
                onDone();
              } catch (error) {
                if (!isStale(error) || clock.nowMs() >= context.deadlineMs) throw error;
                isOver = false;
              }
            },
            done,
          );
          if (!isOver) await mapAfter(map, context.deadlineMs);
        }
        return count;
      }),

    async entities(context) {
      const answers = await routed(context, (map) => askAll(serving(map), queries.entities(), context));
      return mergeEntities(answers.flat());
    },

    async import(request: ImportRequest, context): Promise<ImportResult> {
      const map = options.map();
      const { good, failed } = checkRecords(request.records, dimensions);
      const vectors = await embed(
        good.map((record) => record.memory),
        good.map(({ embedding }) => (embedding === undefined ? undefined : Float32Array.from(embedding))),
        context.deadlineMs,
      );
      const items = good.map((record, at) => {
        const { id, history } = record;
        const vector = vectors[at];
        if (vector === undefined)
          throw new Mem0ctlError("failed", "embedding-missing", "a vector is missing");
        return putItem({
          id,
          key: shardKeyOf(record, map.key),
          record: importedRecord(record),
          vector,
          ...(history === undefined ? {} : { history: historyKept(history) }),
        });
      });
      await put(items, context, false);
      return { imported: items.length, failed };
    },

    export: (shard, cursor, limit, context): Promise<ExportPage> =>
      routed(context, async (map) => {
        const slice = shardById(map, shard);
        if (slice === undefined) {
          throw new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${shard}`, {
            why: `the cluster has ${map.shards.length} shards`,
            hint: "see them with `mem0ctl shards list`",
          });
        }
        return ask(slice, queries.export(cursor, limit), context);
      }),

    stats: (context): Promise<MemoryStats> =>
      routed(context, async (map) => {
        const shards = serving(map);
        const sizes = await askAll(shards, queries.size(), context);
        const entities = (await askAll(shards, queries.entities(), context)).flat();
        return {
          memories: sizes.reduce((sum, size) => sum + size.memories, 0),
          bytes: sizes.reduce((sum, size) => sum + size.bytes, 0),
          shards: shards.map(({ id }, at) => ({
            id,
            memories: sizes[at]?.memories ?? 0,
            bytes: sizes[at]?.bytes ?? 0,
          })),
          entities: countNames(entities),
        };
      }),
  };
}

/** A shard that is only being made has nothing, and may have nobody to ask. */
function serving({ shards }: ShardMap): readonly ShardRef[] {
  return shards.filter(({ founding }) => founding !== true);
}

function byShard(map: ShardMap, items: readonly PutItem[]): ReadonlyMap<ShardRef, PutItem[]> {
  const found = new Map<ShardRef, PutItem[]>();
  for (const item of items) {
    const shard = shardOfKey(map, item.key);
    const list = found.get(shard);
    if (list === undefined) found.set(shard, [item]);
    else list.push(item);
  }
  return found;
}

function batches(items: readonly PutItem[]): PutItem[][] {
  const all: PutItem[][] = [];
  let bytes = COMMAND_BYTES_MAX;
  for (const item of items) {
    const size = itemBytes(item);
    if (bytes + size > COMMAND_BYTES_MAX) {
      all.push([]);
      bytes = 0;
    }
    all.at(-1)?.push(item);
    bytes += size;
  }
  return all;
}

type End<Value> = { readonly value: Value } | { readonly error: Error };

async function settled<Value>(work: Promise<Value>): Promise<End<Value>> {
  try {
    return { value: await work };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}

function isUnknown(error: Error): boolean {
  return error instanceof Mem0ctlError && error.kind === "unknown-outcome";
}

function mayBeDone(cause: Error): Mem0ctlError {
  return new Mem0ctlError("unknown-outcome", "timed-out", "the write was not done in time", {
    why: `an attempt may have been done, and then ${cause.message}`,
    hint: "read it back, or repeat the request with the same id",
    cause,
  });
}

/** Certainly not done: keys came or went since the map that it was routed by. */
function isStale(error: unknown): boolean {
  return error instanceof Mem0ctlError && error.code === "stale-epoch";
}

/**
 * Writes to several shards. When some part was done (`onDone`, or `doneBefore`) and another was not, or may not have
 * been, the outcome of the whole is unknown, and is called so.
 */
async function writeParts<Item>(
  items: readonly Item[],
  work: (item: Item, onDone: () => void) => Promise<void>,
  doneBefore: number,
): Promise<void> {
  let done = doneBefore;
  const failures: Error[] = [];
  await inTurn(items, (item) =>
    work(item, () => {
      done += 1;
    }).catch(
      (error: unknown) => void failures.push(error instanceof Error ? error : new Error("a write failed")),
    ),
  );
  const [first] = failures;
  if (first === undefined) return;
  if (done === 0 && (items.length === 1 || !failures.some(isUnknown))) throw first;
  const known =
    done === 0 ? "none of the request is known to be done" : "only part of the request is known to be done";
  throw new Mem0ctlError("unknown-outcome", "partly-done", known, {
    why: first.message,
    hint: "read back what is there; repeating an import with the same ids is safe",
    cause: first,
  });
}

/** Made when it is first asked for: where writes carry a session, nobody does. */
class Name implements WriteName {
  mayBeDone = false;
  private readonly clock: Clock;
  private made: string | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get name(): string {
    return (this.made ??= Buffer.from(this.clock.randomBytes(NAME_BYTES)).toString("base64url"));
  }
}

/** Runs `work` for all, a bounded number at a time; rejects with the first failure. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const [only] = items;
  if (only !== undefined && items.length === 1) return [await work(only)];
  const results: Result[] = [];
  for (let at = 0; at < items.length; at += SHARDS_AT_ONCE) {
    results.push(...(await Promise.all(items.slice(at, at + SHARDS_AT_ONCE).map(work))));
  }
  return results;
}
