// The orders in which memories are answered, the same whatever keeps them.

import { Mem0ctlError } from "../model/errors.ts";
import type { ScoredMemory, StoredMemory } from "./service.ts";

/** Newest records that one page may reach back to: pages deeper than this are refused. */
const PAGE_DEPTH_MAX = 100_000;

/**
 * How many of the newest a page needs.
 * @throws Mem0ctlError `page-too-deep`.
 */
export function pageDepth(page: number, pageSize: number): number {
  const depth = page * pageSize;
  if (depth <= PAGE_DEPTH_MAX) return depth;
  throw new Mem0ctlError("invalid", "page-too-deep", `page: pages reach back ${PAGE_DEPTH_MAX} memories`, {
    why: "every page looks again at all that is newer",
    hint: "narrow the filter, or use `mem0ctl memories export`",
  });
}

/** By creation, newest first; equal times by id, so that pages are stable. */
export function newestFirst(a: StoredMemory, b: StoredMemory): number {
  const byTime = Date.parse(b.created_at) - Date.parse(a.created_at);
  return byTime !== 0 ? byTime : a.id < b.id ? 1 : -1;
}

export function bestFirst(a: ScoredMemory, b: ScoredMemory): number {
  return b.score - a.score || (a.id < b.id ? -1 : 1);
}

/** Of two vectors of the same length; 0 where one has no direction. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0;
  let left = 0;
  let right = 0;
  for (let at = 0; at < a.length; at += 1) {
    const x = a[at] ?? 0;
    const y = b[at] ?? 0;
    dot += x * y;
    left += x * x;
    right += y * y;
  }
  return left === 0 || right === 0 ? 0 : dot / Math.sqrt(left * right);
}
