// The log in memory: entries base.index + 1 … last. It knows terms, bytes and conflicts; it does not
// know who leads, what is committed, or what is on disk.

import { entryBytes } from "../inflight-window.ts";
import { invariant } from "../invariant.ts";
import type { Entry } from "../seam.ts";

export class RaftLog {
  #entries: Entry[];
  #baseIndex: number;
  #baseTerm: number;
  #dataBytes = 0;

  constructor(baseIndex: number, baseTerm: number, entries: readonly Entry[]) {
    this.#baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
    this.#entries = [];
    this.append(entries);
  }

  /** The entry just before the first one kept; its term is still known. */
  get baseIndex(): number {
    return this.#baseIndex;
  }

  get baseTerm(): number {
    return this.#baseTerm;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#baseTerm;
  }

  /** Bytes of entry data in memory. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  entry(index: number): Entry | undefined {
    return this.#entries[index - this.#baseIndex - 1];
  }

  /** The term of the entry at `index`; undefined when it is compacted or not there. */
  term(index: number): number | undefined {
    return index === this.#baseIndex ? this.#baseTerm : this.entry(index)?.term;
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      invariant(entry.index === this.lastIndex + 1, "the log has no gaps");
      invariant(entry.term >= this.lastTerm, "terms in the log never fall");
      this.#entries.push(entry);
      this.#dataBytes += entry.data.byteLength;
    }
  }

  /** Drops the entries with index >= `from`. */
  truncate(from: number): void {
    invariant(from > this.#baseIndex, "only entries in memory are truncated");
    for (const entry of this.#entries.splice(from - this.#baseIndex - 1)) {
      this.#dataBytes -= entry.data.byteLength;
    }
  }

  /** Forgets the entries up to `index`. Costs one copy of what stays, however many go. */
  compact(index: number): void {
    const term = this.term(index);
    invariant(term !== undefined && index > this.#baseIndex, "only entries in memory are compacted");
    const gone = index - this.#baseIndex;
    for (let position = 0; position < gone; position += 1) {
      this.#dataBytes -= this.#entries[position]?.data.byteLength ?? 0;
    }
    this.#entries = this.#entries.slice(gone);
    this.#baseIndex = index;
    this.#baseTerm = term;
  }

  /** An empty log that begins after a snapshot. */
  reset(baseIndex: number, baseTerm: number): void {
    this.#entries = [];
    this.#dataBytes = 0;
    this.#baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
  }

  /** Entries `from` … `to`, both in memory; all of them. */
  slice(from: number, to: number): Entry[] {
    return this.#entries.slice(from - this.#baseIndex - 1, to - this.#baseIndex);
  }

  /** Entries from `from` on that fit in `bytesMax`, but at least one if there is one. */
  batch(from: number, bytesMax: number): Entry[] {
    const start = from - this.#baseIndex - 1;
    let end = start;
    let bytes = 0;
    for (; end < this.#entries.length; end += 1) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && end > start) break;
    }
    return this.#entries.slice(start, end);
  }

  /** Raft 5.4.1: whether a log that ends with (lastIndex, lastTerm) is at least as up to date as this one. */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  /**
   * The highest index <= `index` whose term here is <= `term`: the two logs can agree there at best,
   * for terms never fall. Both sides skip whole terms this way (Raft 5.3, fast backtracking). The base
   * is the answer when everything in memory is of later terms.
   */
  lastNotAfter(index: number, term: number): number {
    let low = this.#baseIndex;
    let high = Math.max(low, Math.min(index, this.lastIndex));
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.term(middle) ?? 0) <= term) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
