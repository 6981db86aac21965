// A working MemoryService that keeps memories in one process: what the HTTP routes are tried against.

import { createHash } from "node:crypto";
import { matches, type Filter } from "../../../../src/memory/filter.ts";
import { lexicalEmbedding } from "../../../../src/memory/lexical.ts";
import { SCOPE_FIELDS } from "../../../../src/memory/record.ts";
import { Mem0ctlError } from "../../../../src/model/errors.ts";
import type { MemoryEvent, MemoryRecord } from "../../../../src/model/node-api.ts";
import type {
  CallContext,
  EntityCount,
  MemoryService,
  StoredMemory,
} from "../../../../src/memory/service.ts";

/** A record that an import may bring, and that this service alone does not take. */
export const REFUSED_ID = "refused";
export const DIMENSIONS = 16;

interface Kept {
  record: StoredMemory;
  vector: Float32Array;
  history: MemoryEvent[];
}

export interface InProcessMemories extends MemoryService {
  /** The context of each call, oldest first. */
  readonly contexts: CallContext[];
  readonly size: () => number;
}

export function inProcessMemories(): InProcessMemories {
  const kept = new Map<string, Kept>();
  const contexts: CallContext[] = [];
  let clockMs = Date.UTC(2026, 0, 1);
  let count = 0;

  const now = (): string => new Date((clockMs += 1)).toISOString();
  const find = (id: string): Kept => {
    const found = kept.get(id);
    if (found === undefined)
      throw new Mem0ctlError("not-found", "memory-unknown", `there is no memory ${id}`);
    return found;
  };
  const matching = (filter: Filter): Kept[] =>
    [...kept.values()].filter(({ record }) => matches(filter, record));
  const newest = (left: Kept, right: Kept): number =>
    right.record.created_at.localeCompare(left.record.created_at) ||
    right.record.id.localeCompare(left.record.id);

  return {
    contexts,
    size: () => kept.size,
    add: async (memories, context) => {
      contexts.push(context);
      return memories.map(({ text, embedding, ...rest }) => {
        const at = now();
        const id = `m-${(count += 1)}`;
        const record = { ...rest, id, memory: text, hash: md5(text), created_at: at, updated_at: at };
        const vector = embedding ?? lexicalEmbedding(text, DIMENSIONS);
        const event = {
          id: `${id}-1`,
          event: "ADD",
          old_memory: null,
          new_memory: text,
          created_at: at,
        } as const;
        kept.set(id, { record, vector, history: [event] });
        return record;
      });
    },
    search: async ({ query, vector, filter, topK, threshold }, context) => {
      contexts.push(context);
      const wanted = vector ?? lexicalEmbedding(query, DIMENSIONS);
      return matching(filter)
        .map((item) => ({ ...item.record, score: cosine(wanted, item.vector) }))
        .filter(({ score }) => score >= threshold)
        .toSorted((left, right) => right.score - left.score)
        .slice(0, topK);
    },
    list: async ({ filter, page, pageSize }, context) => {
      contexts.push(context);
      const found = matching(filter).toSorted(newest);
      const results = found.slice((page - 1) * pageSize, page * pageSize).map(({ record }) => record);
      return { count: found.length, results };
    },
    get: async (id) => find(id).record,
    history: async (id) => find(id).history,
    update: async (id, change) => {
      const item = find(id);
      if (change.ifHash !== undefined && change.ifHash !== item.record.hash)
        throw new Mem0ctlError("conflict", "memory-changed", `memory ${id} is not what it was`);
      const at = now();
      const text = change.text ?? item.record.memory;
      item.history.push({
        id: `${id}-${item.history.length + 1}`,
        event: "UPDATE",
        old_memory: item.record.memory,
        new_memory: text,
        created_at: at,
      });
      item.vector = change.embedding ?? lexicalEmbedding(text, DIMENSIONS);
      item.record = {
        ...item.record,
        memory: text,
        hash: md5(text),
        updated_at: at,
        ...(change.metadata === undefined ? {} : { metadata: change.metadata }),
      };
      return item.record;
    },
    delete: async (id) => {
      find(id);
      kept.delete(id);
    },
    deleteAll: async (filter) => {
      const found = matching(filter);
      for (const { record } of found) kept.delete(record.id);
      return found.length;
    },
    entities: async () => {
      const entities = new Map<string, EntityCount>();
      for (const { record } of kept.values()) {
        for (const field of SCOPE_FIELDS) {
          const name = record[field];
          if (name === undefined) continue;
          const type = ({ user_id: "user", agent_id: "agent", run_id: "run", app_id: "app" } as const)[field];
          const before = entities.get(`${type}:${name}`);
          entities.set(`${type}:${name}`, {
            type,
            name,
            memories: (before?.memories ?? 0) + 1,
            created_at: before?.created_at ?? record.created_at,
            updated_at: record.updated_at,
          });
        }
      }
      return [...entities.values()];
    },
    import: async ({ records }) => {
      const failed: { index: number; field: string; message: string }[] = [];
      for (const [index, { embedding, history, ...record }] of records.entries()) {
        if (record.id === REFUSED_ID) {
          failed.push({ index, field: "id", message: "is refused" });
          continue;
        }
        const vector =
          embedding === undefined
            ? lexicalEmbedding(record.memory, DIMENSIONS)
            : Float32Array.from(embedding);
        kept.set(record.id, {
          record: { ...record, hash: md5(record.memory) },
          vector,
          history: [...(history ?? [])],
        });
      }
      return { imported: records.length - failed.length, failed };
    },
    export: async (shard, cursor, limit) => {
      if (shard !== "0") throw new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${shard}`);
      const ids = [...kept.keys()].toSorted().filter((id) => cursor === null || id > cursor);
      const records = ids.slice(0, limit).map((id): MemoryRecord => {
        const { record, vector, history } = find(id);
        const { hash: _hash, ...fields } = record;
        return { ...fields, embedding: [...vector], history };
      });
      return { records, cursor: ids.length > limit ? (records.at(-1)?.id ?? null) : null };
    },
    stats: async () => ({
      memories: kept.size,
      bytes: 0,
      shards: [{ id: "0", memories: kept.size, bytes: 0 }],
      entities: { users: 0, agents: 0, runs: 0, apps: 0 },
    }),
  };
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

function cosine(left: Float32Array, right: Float32Array): number {
  let dot = 0;
  let leftSquares = 0;
  let rightSquares = 0;
  for (let index = 0; index < left.length; index += 1) {
    const [a, b] = [left[index] ?? 0, right[index] ?? 0];
    dot += a * b;
    leftSquares += a * a;
    rightSquares += b * b;
  }
  return dot / Math.sqrt(leftSquares * rightSquares);
}
