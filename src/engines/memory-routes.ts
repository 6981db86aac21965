// The memory operations as calls of mem0's routes and of import, export and stats: over HTTP where nodes
// serve them, in this process where it is the engine that stands behind them. Either way a request is read
// and refused by the same shapes.

import { checkConditional } from "../model/consistency.ts";
import type { ReplicationProtocol } from "../model/ids.ts";
import {
  deletion,
  exportPage,
  importResult,
  memories,
  memory,
  memoryEvents,
  memoryPage,
  memoryStats,
} from "./embedded/answers.ts";
import { anything, type Decoder } from "../model/decode.ts";
import type { CallOptions, MemoryOperations } from "./engine.ts";

export interface RouteRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly write: boolean;
  readonly body?: unknown;
}

export interface RouteCaller {
  readonly protocol: ReplicationProtocol;
  request<T>(request: RouteRequest, decode: Decoder<T>, options: CallOptions): Promise<T>;
}

export function memoryOperations(nodes: RouteCaller): MemoryOperations {
  return {
    add({ texts, embeddings, metadata, user_id, agent_id, run_id, app_id }, options) {
      const body = {
        messages: texts.map((content) => ({ role: "user", content })),
        user_id,
        agent_id,
        run_id,
        app_id,
        metadata,
        embeddings,
        infer: false,
      };
      return nodes.request(
        { method: "POST", path: "/v3/memories/add/", body, write: true },
        memories,
        options,
      );
    },
    search({ query, filters, topK, threshold, embedding }, options) {
      const body = { query, filters, top_k: topK, threshold, embedding };
      const path = "/v3/memories/search/";
      return nodes.request({ method: "POST", path, body, write: false }, memories, options);
    },
    list({ filters, page, pageSize }, options) {
      const path = `/v3/memories/?${queryOf({ page: String(page), page_size: String(pageSize) })}`;
      return nodes.request({ method: "POST", path, body: { filters }, write: false }, memoryPage, options);
    },
    get(id, options) {
      return nodes.request({ method: "GET", path: pathOf(id), write: false }, memory, options);
    },
    history(id, options) {
      const path = `${pathOf(id)}history/`;
      return nodes.request({ method: "GET", path, write: false }, memoryEvents, options);
    },
    async update(id, { text, metadata, ifHash }, options) {
      if (ifHash !== undefined) checkConditional(nodes.protocol);
      const body = { text, metadata, if_hash: ifHash };
      return nodes.request({ method: "PUT", path: pathOf(id), body, write: true }, memory, options);
    },
    async delete(id, options) {
      await nodes.request({ method: "DELETE", path: pathOf(id), write: true }, anything, options);
    },
    async deleteAll({ user_id, agent_id, run_id, app_id }, options) {
      const path = `/v1/memories/?${queryOf({ user_id, agent_id, run_id, app_id })}`;
      const { deleted } = await nodes.request({ method: "DELETE", path, write: true }, deletion, options);
      return deleted;
    },
    import(request, options) {
      const path = "/v1/memories/import";
      return nodes.request({ method: "POST", path, body: request, write: true }, importResult, options);
    },
    export({ shard, cursor, limit }, options) {
      const query = { shard, cursor: cursor ?? undefined, limit: String(limit) };
      const path = `/v1/memories/export?${queryOf(query)}`;
      return nodes.request({ method: "GET", path, write: false }, exportPage, options);
    },
    stats(options) {
      return nodes.request({ method: "GET", path: "/v1/memories/stats", write: false }, memoryStats, options);
    },
  };
}

function pathOf(id: string): string {
  return `/v1/memories/${encodeURIComponent(id)}/`;
}

function queryOf(fields: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) query.set(name, value);
  return query.toString();
}
