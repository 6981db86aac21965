// What mem0's routes stand on: the memory operations of a whole cluster, whatever keeps its memories. The
// embedded engine's nodes implement it over their replica groups.

import type { Consistency } from "../model/consistency.ts";
import type {
  ExportPage,
  ImportRequest,
  ImportResult,
  MemoryEvent,
  MemoryRecord,
  MemoryStats,
} from "../model/node-api.ts";
import type { Filter } from "./filter.ts";
import type { Scope } from "./record.ts";

/** A memory without its vector, as routes answer it. */
export interface StoredMemory extends Omit<MemoryRecord, "embedding" | "history"> {
  /** MD5 of the text in hex, as mem0 gives it. */
  readonly hash: string;
}

export interface ScoredMemory extends StoredMemory {
  /** Cosine similarity, -1 to 1. */
  readonly score: number;
}

/** Per call: the deadline on the node's monotonic clock, the levels of its reads and writes, the request's id for messages. */
export interface CallContext {
  readonly deadlineMs: number;
  readonly requestId: string;
  readonly consistency: Consistency;
}

export interface NewMemory extends Scope {
  readonly text: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly categories?: readonly string[];
  /** The caller's vector; absent: the node's embedder makes it. */
  readonly embedding?: Float32Array;
}

export interface EntityCount {
  readonly type: "user" | "agent" | "run" | "app";
  readonly name: string;
  readonly memories: number;
  readonly created_at: string;
  readonly updated_at: string;
}

/** Every method throws Mem0ctlError; a write that timed out throws kind `unknown-outcome`. */
export interface MemoryService {
  add(memories: readonly NewMemory[], context: CallContext): Promise<readonly StoredMemory[]>;
  /** `vector` absent: the embedder makes it from `query`. Best first; at most `topK`; score >= threshold. */
  search(
    request: {
      readonly query: string;
      readonly vector?: Float32Array;
      readonly filter: Filter;
      readonly topK: number;
      readonly threshold: number;
    },
    context: CallContext,
  ): Promise<readonly ScoredMemory[]>;
  /** Newest first. `count` is of all that match. */
  list(
    request: { readonly filter: Filter; readonly page: number; readonly pageSize: number },
    context: CallContext,
  ): Promise<{ readonly count: number; readonly results: readonly StoredMemory[] }>;
  get(id: string, context: CallContext): Promise<StoredMemory>;
  history(id: string, context: CallContext): Promise<readonly MemoryEvent[]>;
  update(
    id: string,
    change: {
      readonly text?: string;
      readonly metadata?: Readonly<Record<string, unknown>>;
      readonly embedding?: Float32Array;
      /** Only while the memory's text has this hash; else `memory-changed`, kind conflict. */
      readonly ifHash?: string;
    },
    context: CallContext,
  ): Promise<StoredMemory>;
  delete(id: string, context: CallContext): Promise<void>;
  /** Deletes all that match; resolves to how many. */
  deleteAll(filter: Filter, context: CallContext): Promise<number>;
  entities(context: CallContext): Promise<readonly EntityCount[]>;
  import(request: ImportRequest, context: CallContext): Promise<ImportResult>;
  export(shard: string, cursor: string | null, limit: number, context: CallContext): Promise<ExportPage>;
  stats(context: CallContext): Promise<MemoryStats>;
}
