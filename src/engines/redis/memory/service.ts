// The memory service over a Redis or Valkey Cluster: what a node of the embedded engine answers, answered
// from what the servers keep. It keeps nothing itself but vectors that it has read before, so that any
// number of processes may run it side by side.

import { randomBytes } from "node:crypto";

import { addedEvent, historyKept, memoryChanged, memoryNotFound, updated } from "../../../memory/changes.ts";
import { embedMissing, type Embedder } from "../../../memory/embedder.ts";
import { countNames, ENTITY_TYPES, mergeEntities } from "../../../memory/entities.ts";
import { boundingShardKeys, matches, type Filter } from "../../../memory/filter.ts";
import { newMemoryId } from "../../../memory/id.ts";
import { checkRecords } from "../../../memory/importing.ts";
import { bestFirst, cosine, newestFirst, pageDepth } from "../../../memory/ranking.ts";
import { shardKeyOf, textHash } from "../../../memory/record.ts";
import type {
  CallContext,
  EntityCount,
  MemoryService,
  ScoredMemory,
  StoredMemory,
} from "../../../memory/service.ts";
import { exportedRecord, importedRecord, newRecord, type StoredRecord } from "../../../memory/stored.ts";
import { copiesOfLevel } from "../../../model/consistency.ts";
import { Mem0ctlError } from "../../../model/errors.ts";
import type { ShardId, ShardKeyField } from "../../../model/ids.ts";
import type { MemoryEvent, MemoryRecord } from "../../../model/node-api.ts";
import type { SlotRange } from "../../../model/shard-map.ts";
import { numbersOf } from "../../../topology/slot-ranges.ts";
import { slotOf } from "../../../topology/slots.ts";
import { partlyDone } from "../slot-commands.ts";
import type { MemoryChange } from "./changes-script.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { hintedSlot } from "./layout.ts";
import { ScopeVectors } from "./scope-vectors.ts";
import type { Held, MemoryStore, ReadOptions, SlotCounts, WriteOptions } from "./store.ts";

const ID_RANDOM_BYTES = 10;
/** Roughly; as JSON a vector takes some ten bytes per number. */
const EXPORT_BYTES_MAX = 4 << 20;
/** Found again when a list is trimmed to its limit. */
const TRIM_AT = 1000;

export interface RedisMemoryOptions {
  readonly store: MemoryStore;
  readonly embedder: () => Promise<Embedder>;
  readonly dimensions: number;
  readonly key: ShardKeyField;
  /** Data copies of each shard, the primary's among them. */
  readonly copies: number;
  /** The shards as the servers have them now. */
  readonly shards: (
    context: CallContext,
  ) => Promise<readonly { readonly id: ShardId; readonly slots: readonly SlotRange[] }[]>;
}

export function createRedisMemoryService(options: RedisMemoryOptions): MemoryService {
  const { store, dimensions, key: keyField } = options;
  const scopeVectors = new ScopeVectors(store, dimensions);

  const embed = async (
    texts: readonly string[],
    vectors: readonly (Float32Array | undefined)[],
    deadlineMs: number,
  ): Promise<Float32Array[]> =>
    embedMissing({ embedder: await options.embedder(), dimensions }, texts, vectors, deadlineMs);

  const writing = (context: CallContext): WriteOptions => ({
    ...deciding(context),
    copies: copiesOfLevel(context.consistency.write, options.copies) ?? 1,
  });

  /** What the filter can match, a part at a time. */
  const candidates = (filter: Filter, options: ReadOptions): AsyncGenerator<Held[]> => {
    const keys = boundingShardKeys(filter, keyField);
    return keys === undefined
      ? store.everything("without-vectors", options)
      : store.under(keys, "without-vectors", options);
  };

  const found = async (id: string, options: ReadOptions): Promise<Held> => {
    const held = await store.find(id, options);
    if (held === undefined) throw memoryNotFound(id);
    return held;
  };

  /** Takes away what was deleted from the index of places. A memory that came back meanwhile keeps its place. */
  const forgetPlaces = async (deleted: readonly Held[], context: CallContext): Promise<void> => {
    const foreign = deleted.filter(({ id, slot }) => hintedSlot(id) !== slot);
    if (foreign.length === 0) return;
    await store.setPlaces(
      foreign.map(({ id }) => ({ id, slot: undefined })),
      writing(context),
    );
    const back = await store.read(foreign, "without-vectors", deciding(context));
    if (back.length > 0) await store.setPlaces(back, writing(context));
  };

  return {
    async add(memories, context) {
      const vectors = await embed(
        memories.map(({ text }) => text),
        memories.map(({ embedding }) => embedding),
        context.deadlineMs,
      );
      const nowMs = Date.now();
      const at = new Date(nowMs).toISOString();
      const puts = memories.map((memory, index) => {
        const record = newRecord(memory, at);
        const shardKey = shardKeyOf(memory, keyField);
        const slot = slotOf(shardKey);
        const id = newMemoryId(nowMs, slot, randomBytes(ID_RANDOM_BYTES));
        return { slot, change: putOf(id, shardKey, record, vectors[index], []) };
      });
      await store.change(puts, writing(context));
      return puts.map(({ change: { id, record } }): StoredMemory => ({ id, ...record }));
    },

    async search(request, context) {
      const [vector] = await embed([request.query], [request.vector], context.deadlineMs);
      if (vector === undefined) throw new Mem0ctlError("failed", "embedding-missing", "a vector is missing");
      const { filter, topK, threshold } = request;
      const keys = boundingShardKeys(filter, keyField);
      let best: ScoredMemory[] = [];
      for (const key of keys ?? []) {
        const ranked = await scopeVectors.search(key, vector, reading(context));
        best.push(...(await ranked.best({ filter, topK, threshold })));
      }
      if (keys !== undefined) return best.toSorted(bestFirst).slice(0, topK);
      for await (const part of store.everything("with-vectors", reading(context))) {
        for (const held of part) {
          const memory = memoryOf(held);
          const score = held.vector === undefined ? -1 : cosine(vector, held.vector);
          if (score >= threshold && matches(filter, memory)) best.push({ ...memory, score });
        }
        if (best.length >= 2 * topK + TRIM_AT) best = best.toSorted(bestFirst).slice(0, topK);
      }
      return best.toSorted(bestFirst).slice(0, topK);
    },

    async list({ filter, page, pageSize }, context) {
      const depth = pageDepth(page, pageSize);
      let count = 0;
      let newest: StoredMemory[] = [];
      for await (const part of candidates(filter, reading(context))) {
        const matching = part.map(memoryOf).filter((memory) => matches(filter, memory));
        count += matching.length;
        newest.push(...matching);
        if (newest.length >= 2 * depth + TRIM_AT) newest = newest.toSorted(newestFirst).slice(0, depth);
      }
      return { count, results: newest.toSorted(newestFirst).slice(depth - pageSize, depth) };
    },

    async get(id, context) {
      return memoryOf(await found(id, reading(context)));
    },

    async history(id, context) {
      const { history, record } = await found(id, reading(context));
      return history.length > 0 ? history : [addedEvent(id, record)];
    },

    async update(id, change, context) {
      const embedding =
        change.text === undefined && change.embedding === undefined
          ? undefined
          : (await embed([change.text ?? ""], [change.embedding], context.deadlineMs))[0];
      const at = new Date().toISOString();
      for (;;) {
        const held = await found(id, deciding(context));
        if (change.ifHash !== undefined && held.record.hash !== change.ifHash) {
          throw memoryChanged(id, held.record);
        }
        const { after, events } = updated(
          {
            id,
            ...(change.text === undefined ? {} : { text: change.text, hash: textHash(change.text) }),
            ...(change.metadata === undefined ? {} : { metadata: change.metadata }),
            at,
          },
          held.record,
          held.history,
        );
        const replacement: MemoryChange = {
          kind: "replace",
          id,
          since: held.since,
          record: after,
          vector: embedding,
          history: events,
        };
        const [outcome] = await store.change([{ slot: held.slot, change: replacement }], writing(context));
        if (outcome === "done") return { id, ...after };
        // Another write came between: decided anew on what is there now.
      }
    },

    async delete(id, context) {
      for (;;) {
        const held = await found(id, deciding(context));
        const change: MemoryChange = { kind: "delete", id, since: held.since };
        const [outcome] = await store.change([{ slot: held.slot, change }], writing(context));
        if (outcome === "done") return afterFirst(forgetPlaces([held], context));
      }
    },

    async deleteAll(filter, context) {
      let count = 0;
      try {
        for (let left = true; left;) {
          left = false;
          for await (const part of candidates(filter, deciding(context))) {
            const matching = part.filter((held) => matches(filter, memoryOf(held)));
            const outcomes = await store.change(
              matching.map(({ slot, id, since }) => ({ slot, change: { kind: "delete", id, since } })),
              writing(context),
            );
            const deleted = matching.filter((_, at) => outcomes[at] === "done");
            count += deleted.length;
            await forgetPlaces(deleted, context);
            // One that was updated meanwhile is looked at again: it may still match.
            left ||= outcomes.includes("changed");
          }
        }
      } catch (error) {
        throw count === 0 ? error : inPart(error);
      }
      return count;
    },

    async entities(context) {
      return mergeEntities((await store.counts(reading(context))).flatMap(entitiesOf));
    },

    async import({ records }, context) {
      const { good, failed } = checkRecords(records, dimensions);
      const vectors = await embed(
        good.map(({ memory }) => memory),
        good.map(({ embedding }) => (embedding === undefined ? undefined : Float32Array.from(embedding))),
        context.deadlineMs,
      );
      const puts = good.map((record, at) => {
        const shardKey = shardKeyOf(record, keyField);
        const change = putOf(record.id, shardKey, importedRecord(record), vectors[at], record.history ?? []);
        return { slot: slotOf(shardKey), change };
      });
      const before = await store.placesOf(
        good.map(({ id }) => id),
        deciding(context),
      );
      // A place first, then the memory: a place without one is harmless, and a memory without could not be found.
      const isHinted = ({ slot, change }: (typeof puts)[number]): boolean => hintedSlot(change.id) === slot;
      const places = puts.filter((put, at) => !isHinted(put) && before[at]?.place !== put.slot);
      await store.setPlaces(
        places.map(({ slot, change }) => ({ id: change.id, slot })),
        writing(context),
      );
      await store.change(puts, writing(context));
      // Under another scope it was in another slot.
      const strays = puts.flatMap(({ slot, change: { id } }, at) => {
        const known = before[at];
        const slots = new Set([known?.place, known?.hinted]);
        return [...slots].flatMap((stray) =>
          stray === undefined || stray === slot ? [] : [{ id, slot: stray }],
        );
      });
      await afterFirst(removeStrays(store, strays, deciding(context), writing(context)));
      const settled = puts.filter((put, at) => isHinted(put) && before[at]?.place !== undefined);
      await afterFirst(
        store.setPlaces(
          settled.map(({ change: { id } }) => ({ id, slot: undefined })),
          writing(context),
        ),
      );
      return { imported: puts.length, failed };
    },

    async export(shard, cursor, limit, context) {
      const shards = await options.shards(context);
      const ranges = shards.find(({ id }) => id === shard)?.slots;
      if (ranges === undefined) {
        throw new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${shard}`, {
          why: `the cluster has shards ${shards.map(({ id }) => id).join(", ")}`,
          hint: "see them with `mem0ctl shards list`",
        });
      }
      const after = cursor === null ? undefined : decodeCursor(cursor);
      const slots = numbersOf(ranges).filter((slot) => after === undefined || slot >= after.slot);
      // One more than asked for says whether there is a further page.
      const page = await store.page(slots, after, limit + 1, reading(context));
      const held = await store.read(page.slice(0, limit), "with-vectors", reading(context));
      const records: MemoryRecord[] = [];
      let bytes = 0;
      let last = page.length > limit ? page[limit - 1] : undefined;
      for (const [at, { id, record, vector, history }] of held.entries()) {
        records.push(exportedRecord(id, record, vector, history));
        bytes += record.memory.length + (vector?.length ?? 0) * 10;
        if (bytes < EXPORT_BYTES_MAX || at === held.length - 1) continue;
        last = held[at];
        break;
      }
      return { records, cursor: last === undefined ? null : encodeCursor(last) };
    },

    async stats(context) {
      const [shards, counts] = await Promise.all([options.shards(context), store.counts(reading(context))]);
      const entities = counts.flatMap(entitiesOf);
      return {
        memories: sum(counts, "memories"),
        bytes: sum(counts, "bytes"),
        shards: shards.map(({ id, slots }) => {
          const own = numbersOf(slots).flatMap((slot) => counts[slot] ?? []);
          return { id, memories: sum(own, "memories"), bytes: sum(own, "bytes") };
        }),
        entities: countNames(entities),
      };
    },
  };
}

/** Of what follows a write that is done: where it ends with an error, the whole was done in part. */
async function afterFirst<Result>(work: Promise<Result>): Promise<Result> {
  return work.catch((error: unknown) => {
    throw inPart(error);
  });
}

function inPart(error: unknown): unknown {
  return error instanceof Mem0ctlError && error.kind !== "unknown-outcome" ? partlyDone(error) : error;
}

/** A read for whoever asked, at the level that was asked for. */
function reading({ deadlineMs, consistency: { read, maxStalenessMs } }: CallContext): ReadOptions {
  if (read !== "stale") return { deadlineMs };
  return { deadlineMs, stale: maxStalenessMs === undefined ? {} : { maxStalenessMs } };
}

/** A read that a write rests on: only the primary knows what is there now. */
function deciding({ deadlineMs }: CallContext): ReadOptions {
  return { deadlineMs };
}

function memoryOf({ id, record }: Held): StoredMemory {
  return { id, ...record };
}

function putOf(
  id: string,
  shardKey: string,
  record: StoredRecord,
  vector: Float32Array | undefined,
  history: readonly MemoryEvent[],
): MemoryChange & { readonly kind: "put" } {
  if (vector === undefined) throw new Mem0ctlError("failed", "embedding-missing", "a vector is missing");
  return { kind: "put", id, shardKey, record, vector, history: historyKept(history) };
}

/** Copies of memories that were imported anew under another scope. */
async function removeStrays(
  store: MemoryStore,
  strays: readonly { readonly id: string; readonly slot: number }[],
  read: ReadOptions,
  write: WriteOptions,
): Promise<void> {
  if (strays.length === 0) return;
  const held = await store.read(
    strays.map((stray) => ({ ...stray, shardKey: "" })),
    "without-vectors",
    read,
  );
  await store.change(
    held.map(({ slot, id, since }) => ({ slot, change: { kind: "delete", id, since } })),
    write,
  );
}

function entitiesOf({ entities }: SlotCounts): EntityCount[] {
  return entities.map(({ field, name, memories, createdAt, updatedAt }) => ({
    type: ENTITY_TYPES[field],
    name,
    memories,
    created_at: createdAt,
    updated_at: updatedAt,
  }));
}

function sum(counts: readonly SlotCounts[], what: "memories" | "bytes"): number {
  return counts.reduce((total, count) => total + count[what], 0);
}
