// What of an import can be taken: each record whole or not at all, one by one.

import type { ImportResult, MemoryRecord } from "../model/node-api.ts";
import { checkRecord, FieldError } from "./record.ts";

export function checkRecords(
  records: readonly unknown[],
  dimensions: number,
): { readonly good: readonly MemoryRecord[]; readonly failed: ImportResult["failed"] } {
  const good: MemoryRecord[] = [];
  const failed: { index: number; field: string; message: string }[] = [];
  records.forEach((candidate, index) => {
    try {
      good.push(checkRecord(candidate, dimensions));
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      for (const { field, message } of error.problems) failed.push({ index, field, message });
    }
  });
  return { good, failed };
}
