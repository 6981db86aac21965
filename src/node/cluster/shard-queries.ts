// The reads that a shard's replica answers, for this node and for others: one name per kind, arguments and
// answers as plain data that msgpack carries.

import type { Filter } from "../../memory/filter.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { ShardKeyField } from "../../model/ids.ts";
import type { ExportPage, MemoryEvent } from "../../model/node-api.ts";
import { vectorBytes, vectorFrom } from "../../memory/stored.ts";
import { digestRange, digestsOf, type DigestRange, type MemoryDigest } from "../memories/digests.ts";
import type { MemoryMachine } from "../memories/memory-machine.ts";
import {
  exportMemories,
  getHistory,
  getMemory,
  listEntities,
  listMemories,
  searchMemories,
} from "../memories/queries.ts";
import type { EntityCount, ScoredMemory, StoredMemory } from "../../memory/service.ts";
import type { Query } from "./router.ts";

/** A query and, in its type alone, what it is answered with. */
export interface TypedQuery<Answer> extends Query {
  readonly answer?: Answer;
}

interface SearchArguments {
  readonly filter: Filter;
  readonly vector: Uint8Array;
  readonly topK: number;
  readonly threshold: number;
}

export const queries = {
  get: (id: string): TypedQuery<StoredMemory> => ({ kind: "get", args: id }),
  history: (id: string): TypedQuery<readonly MemoryEvent[]> => ({ kind: "history", args: id }),
  list: (
    filter: Filter,
    limit: number,
  ): TypedQuery<{ readonly count: number; readonly newest: readonly StoredMemory[] }> => ({
    kind: "list",
    args: { filter, limit },
  }),
  search: (
    filter: Filter,
    vector: Float32Array,
    topK: number,
    threshold: number,
  ): TypedQuery<readonly ScoredMemory[]> => ({
    kind: "search",
    args: { filter, vector: vectorBytes(vector), topK, threshold } satisfies SearchArguments,
  }),
  entities: (): TypedQuery<readonly EntityCount[]> => ({ kind: "entities", args: null }),
  export: (cursor: string | null, limit: number): TypedQuery<ExportPage> => ({
    kind: "export",
    args: { cursor, limit },
  }),
  digests: (range: DigestRange): TypedQuery<readonly MemoryDigest[]> => ({ kind: "digests", args: range }),
  digestsOf: (ids: readonly string[]): TypedQuery<readonly MemoryDigest[]> => ({
    kind: "digests-of",
    args: ids,
  }),
  size: (): TypedQuery<{ readonly memories: number; readonly bytes: number }> => ({
    kind: "size",
    args: null,
  }),
};

/** Answers a query on this replica's state as it is now. Throws `query-unknown`, and what the reads throw. */
export async function runShardQuery(
  machine: MemoryMachine,
  keyField: ShardKeyField,
  query: Query,
): Promise<unknown> {
  switch (query.kind) {
    case "get":
      return getMemory(machine, String(query.args));
    case "history":
      return getHistory(machine, String(query.args));
    case "list": {
      const { filter, limit } = query.args as { filter: Filter; limit: number };
      return listMemories(machine, filter, keyField, limit);
    }
    case "search": {
      const { filter, vector, topK, threshold } = query.args as SearchArguments;
      return searchMemories(machine, { filter, vector: vectorFrom(vector), topK, threshold }, keyField);
    }
    case "entities":
      return listEntities(machine);
    case "export": {
      const { cursor, limit } = query.args as { cursor: string | null; limit: number };
      return exportMemories(machine, cursor, limit);
    }
    case "digests":
      return digestRange(machine, query.args as DigestRange);
    case "digests-of":
      return digestsOf(machine, query.args as readonly string[]);
    case "size":
      return machine.size();
    default:
      throw new Mem0ctlError(
        "failed",
        "query-unknown",
        "a peer asked for something this version does not know",
        {
          hint: "run the same version of mem0ctl on all nodes",
        },
      );
  }
}
