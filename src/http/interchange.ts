// Bulk import and export with vectors, and the counts. A record is imported whole or not at all, one by
// one: what is wrong with a record is said here, and the good ones go on.

import { checkRecord, FieldError } from "../memory/record.ts";
import type { ImportResult, MemoryRecord } from "../model/node-api.ts";
import { route, type Route } from "./route.ts";
import { named } from "./schemas.ts";
import { anything, batch, defaulted, integerInQuery, object, optional, text } from "./shapes.ts";

const EXPORT_LIMIT_MAX = 1000;
/** A shard key and an id, encoded. */
const CURSOR_CHARACTERS_MAX = 2048;

const importRoute = route({
  method: "POST",
  path: "/v1/memories/import",
  access: "write",
  operation: "importMemories",
  tag: "memories",
  summary: "Stores records as an export gave them; each whole or not at all.",
  body: object({ records: batch(anything(named("MemoryRecord"))) }),
  answer: named("ImportResult"),
  run: async ({ body, services, context }): Promise<ImportResult> => {
    const failed: { readonly index: number; readonly field: string; readonly message: string }[] = [];
    const records: MemoryRecord[] = [];
    /** Where each good record stood in the request. */
    const indexes: number[] = [];
    for (const [index, record] of body.records.entries()) {
      try {
        records.push(checkRecord(record, services.bounds.dimensions));
        indexes.push(index);
      } catch (error) {
        if (!(error instanceof FieldError)) throw error;
        failed.push({ index, field: error.problems[0]?.field ?? "record", message: error.message });
      }
    }
    if (records.length === 0) return { imported: 0, failed };
    const result = await services.memories.import({ records }, context);
    for (const failure of result.failed) {
      failed.push({ ...failure, index: indexes[failure.index] ?? failure.index });
    }
    failed.sort((left, right) => left.index - right.index);
    return { imported: result.imported, failed };
  },
});

const exportRoute = route({
  method: "GET",
  path: "/v1/memories/export",
  access: "read",
  operation: "exportMemories",
  tag: "memories",
  summary: "One shard's memories, vectors and history included, by pages.",
  query: object({
    shard: text(16),
    cursor: optional(text(CURSOR_CHARACTERS_MAX)),
    limit: defaulted(integerInQuery(1, EXPORT_LIMIT_MAX), 100),
  }),
  answer: named("ExportPage"),
  run: async ({ query, services, context }) =>
    services.memories.export(query.shard, query.cursor ?? null, query.limit, context),
});

const statsRoute = route({
  method: "GET",
  path: "/v1/memories/stats",
  access: "read",
  operation: "getMemoryStats",
  tag: "memories",
  summary: "How many memories and bytes there are, by shard.",
  answer: named("MemoryStats"),
  run: async ({ services, context }) => services.memories.stats(context),
});

export const INTERCHANGE_ROUTES: readonly Route[] = [importRoute, exportRoute, statsRoute];
