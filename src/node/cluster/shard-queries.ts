// The reads that a shard's replica answers, for this node and for others: one name per kind, arguments and
// answers as plain data that msgpack carries.

import { boundingShardKeys, type Filter } from "../../memory/filter.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { ShardKeyField } from "../../model/ids.ts";
import type { ExportPage, MemoryEvent } from "../../model/node-api.ts";
import { vectorBytes, vectorFrom } from "../../memory/stored.ts";
import { digestRange, digestsOf, type DigestRange, type MemoryDigest } from "../memories/digests.ts";
import { staleEpoch, type CustodyState, type SliceCursor } from "../memories/custody.ts";
import type { MemoryMachine } from "../memories/memory-machine.ts";
import {
  exportMemories,
  getHistory,
  getMemory,
  listEntities,
  listMemories,
  searchMemories,
  visibleSize,
} from "../memories/queries.ts";
import {
  cutSizes,
  idsElsewhere,
  sliceIds,
  slicePart,
  type Cut,
  type CutSizes,
  type SliceIds,
  type SlicePart,
} from "../memories/slice-parts.ts";
import type { KeySlice } from "../../model/shard-map.ts";
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
  /** Of a handover: what is read of the giver. */
  custody: (): TypedQuery<CustodyState> => ({ kind: "custody", args: null }),
  slicePart: (id: number, after: SliceCursor | null): TypedQuery<SlicePart> => ({
    kind: "slice-part",
    args: { id, after },
  }),
  /** Before one: ids that both shards have. */
  sliceIds: (slice: KeySlice, after: SliceIds["to"]): TypedQuery<SliceIds> => ({
    kind: "slice-ids",
    args: { slice, after },
  }),
  idsElsewhere: (slice: KeySlice, ids: readonly string[]): TypedQuery<readonly string[]> => ({
    kind: "ids-elsewhere",
    args: { slice, ids },
  }),
  cutSizes: (cut: Cut): TypedQuery<CutSizes> => ({ kind: "cut-sizes", args: cut }),
  size: (): TypedQuery<{ readonly memories: number; readonly bytes: number }> => ({
    kind: "size",
    args: null,
  }),
};

/**
 * Answers a query on this replica's state as it is now. Throws `query-unknown`, what the reads throw, and, where the
 * query names the version of the shard that it was routed by, `stale-epoch` or `not-here` (behind) where that is not
 * this state's.
 */
export async function runShardQuery(
  machine: MemoryMachine,
  keyField: ShardKeyField,
  query: Query,
): Promise<unknown> {
  const { custody } = machine;
  const { turns } = custody;
  const { version } = custody.state;
  if (query.version !== undefined) {
    if (query.version > version) throw isBehind();
    if (!custody.answers(query.version, () => isAboutOwn(machine, keyField, query))) throw staleEpoch();
  }
  const answer = await answerTo(machine, keyField, query);
  // Read over several turns, in one of which its keys came or went: it may be of neither state.
  if (query.version !== undefined && custody.turns !== turns) throw staleEpoch();
  return answer;
}

/** Whether it is about keys alone that stay the shard's whatever is being handed over. */
function isAboutOwn(machine: MemoryMachine, keyField: ShardKeyField, { kind, args }: Query): boolean {
  if (kind === "get" || kind === "history") return machine.visiblePlaceOf(String(args)) !== undefined;
  if (kind !== "list" && kind !== "search") return false;
  const keys = boundingShardKeys((args as { filter: Filter }).filter, keyField);
  return keys !== undefined && !keys.some((key) => machine.custody.isHidden(key));
}

function isBehind(): Mem0ctlError {
  return new Mem0ctlError(
    "unavailable",
    "not-here",
    "this replica does not have the shard's newest keys yet",
    {
      data: { leader: "" },
    },
  );
}

async function answerTo(machine: MemoryMachine, keyField: ShardKeyField, query: Query): Promise<unknown> {
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
      return visibleSize(machine);
    case "custody":
      return machine.custody.state;
    case "slice-part": {
      const { id, after } = query.args as { id: number; after: SliceCursor | null };
      return slicePart(machine, id, after);
    }
    case "slice-ids": {
      const { slice, after } = query.args as { slice: KeySlice; after: SliceIds["to"] };
      return sliceIds(machine, slice, after);
    }
    case "ids-elsewhere": {
      const { slice, ids } = query.args as { slice: KeySlice; ids: readonly string[] };
      return idsElsewhere(machine, slice, ids);
    }
    case "cut-sizes":
      return cutSizes(machine, query.args as Cut);
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
