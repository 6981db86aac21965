// How much of its log a replica keeps for others that may need it.

import type { Entry } from "./seam.ts";

interface BoundedLog {
  /** The entry just before the first one kept. */
  readonly baseIndex: number;
  readonly dataBytes: number;
  entry(index: number): Entry | undefined;
}

/** The index up to which a log has to go, whoever needs it, so that no more than `bytesMax` of data are left. */
export function overflowOf(log: BoundedLog, bytesMax: number): number {
  let index = log.baseIndex;
  for (let bytes = log.dataBytes; bytes > bytesMax;) {
    index += 1;
    bytes -= log.entry(index)?.data.byteLength ?? 0;
  }
  return index;
}
