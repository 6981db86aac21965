// An engine whose cluster is a script: views in a row, and memories in a map. It answers as the seam in
// engines/engine.ts says, so that the operations are tested without processes.

import type { Engine, EngineView, MemoryOperations, NodeAction } from "../../../src/engines/engine.ts";
import { buildView } from "../../../src/engines/embedded/view.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { ImportResult, MemoryRecord } from "../../../src/model/node-api.ts";
import type { Manifest } from "../../../src/model/manifest.ts";
import type { Step } from "../../../src/model/plan.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf, reportsOf } from "../engines/support.ts";
import type { Scene } from "../engines/support.ts";

export const manifest: Manifest = manifestOf();

/** What the embedded engine would see of the scene; `errors` are of the nodes that do not answer. */
export function viewOf(scene: Scene = {}, errors: Readonly<Record<string, string>> = {}): EngineView {
  return buildView(manifest, [
    ...reportsOf(manifest, scene).map((report) => ({ node: report.id, report })),
    ...Object.entries(errors).map(([node, error]) => ({ node, error })),
  ]);
}

export const healthy = viewOf();
export const oneDown = viewOf(
  { goneMs: { "node-3": 9000 }, leaders: { "0": "node-1", "1": "node-2", "2": "node-1" } },
  { "node-3": "connection refused" },
);
export const allDown = buildView(
  manifest,
  manifest.nodes.map(({ id }) => ({ node: id, error: "connection refused" })),
);

export interface ScriptedEngine extends Engine {
  /** What was done, in order. */
  readonly done: string[];
  readonly steps: Step[];
  readonly stored: Map<string, MemoryRecord>;
}

export interface Script {
  /** One per look; the last one stays. */
  readonly views?: readonly EngineView[];
  readonly down?: (node: string) => NodeAction["outcome"];
  /** Of one batch, in place of storing it. */
  readonly import?: (records: readonly MemoryRecord[]) => Promise<ImportResult | undefined>;
  readonly live?: boolean;
  readonly logFile?: string;
}

export function scriptedEngine(script: Script = {}): ScriptedEngine {
  const views = [...(script.views ?? [healthy])];
  const done: string[] = [];
  const steps: Step[] = [];
  const stored = new Map<string, MemoryRecord>();
  const map = initialShardMap(manifest);
  const never = (): never => {
    throw new Error("not part of this script");
  };
  const memories: MemoryOperations = {
    add: never,
    search: never,
    list: never,
    get: never,
    history: never,
    update: never,
    delete: never,
    deleteAll: never,
    async import({ records }) {
      const scripted = await script.import?.(records);
      if (scripted !== undefined) return scripted;
      for (const record of records) stored.set(record.id, record);
      return { imported: records.length, failed: [] };
    },
    async export({ shard, cursor, limit }) {
      const all = [...stored.values()]
        .filter((record) => Number(record.id.replace(/\D/g, "")) % map.shards.length === Number(shard))
        .toSorted((a, b) => (a.id < b.id ? -1 : 1));
      const start = cursor === null ? 0 : Number(cursor);
      const records = all.slice(start, start + limit);
      return { records, cursor: start + limit < all.length ? String(start + limit) : null };
    },
    async stats() {
      const entities = { users: 1, agents: 0, runs: 0, apps: 0 };
      return { memories: stored.size, bytes: 0, shards: [], entities };
    },
  };
  return {
    done,
    steps,
    stored,
    memories,
    capabilities: {
      engine: "embedded",
      sharding: [],
      protocols: [],
      replication: [],
      roles: [],
      joins: "before-start",
      drains: "in-cluster",
    },
    async up(nodes) {
      done.push(`up ${nodes.join(" ")}`);
      return nodes.map((node) => ({ node, outcome: "spawned", pid: 1 }));
    },
    async down(nodes) {
      done.push(`down ${nodes.join(" ")}`);
      return nodes.map((node) => ({ node, outcome: script.down?.(node) ?? "stopped", pid: 1 }));
    },
    async view({ signal }) {
      if (signal?.aborted === true) throw new Mem0ctlError("failed", "interrupted", "interrupted");
      const view = views.length > 1 ? views.shift() : views[0];
      done.push("look");
      return view ?? never();
    },
    async shardMap() {
      return { map, live: script.live ?? true };
    },
    async execute(step) {
      steps.push(step);
      return "done";
    },
    settle: () => Promise.resolve([]),
    logFile: () => script.logFile ?? "/nowhere/node.log",
    async close() {
      done.push("close");
    },
  };
}

export async function errorOf(promise: Promise<unknown>): Promise<Mem0ctlError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof Mem0ctlError) return error;
  throw new Error(`expected a Mem0ctlError, got ${String(error)}`);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
