// Exact search within one scope. Its vectors are read from the servers and kept for the next search, which
// first asks for the name of the scope's last write: where it is still the same, so are the vectors.

import { matches, type Filter } from "../../../memory/filter.ts";
import type { ScoredMemory } from "../../../memory/service.ts";
import { VectorCache } from "../../../memory/vector-cache.ts";
import { VectorSet } from "../../../memory/vector-set.ts";
import { slotOf } from "../../../topology/slots.ts";
import type { MemoryStore, ReadOptions } from "./store.ts";

const CACHE_BYTES_MAX = 256 << 20;
const CACHE_SETS_MAX = 256;
/** Vectors read with one call. */
const READ_AT_ONCE = 1000;
/** Records are read for the best only, some more than asked for, because the filter may refuse some. */
const SPARE = 10;

export interface RankedScope {
  /** The best that match, best first. */
  best(query: {
    readonly filter: Filter;
    readonly topK: number;
    readonly threshold: number;
  }): Promise<ScoredMemory[]>;
}

export class ScopeVectors {
  readonly #store: MemoryStore;
  readonly #dimensions: number;
  readonly #cache = new VectorCache({ bytesMax: CACHE_BYTES_MAX, setsMax: CACHE_SETS_MAX });
  /** Shard key -> the last write when its vectors were read. */
  readonly #readAt = new Map<string, string>();

  constructor(store: MemoryStore, dimensions: number) {
    this.#store = store;
    this.#dimensions = dimensions;
  }

  async search(shardKey: string, vector: Float32Array, options: ReadOptions): Promise<RankedScope> {
    const set = await this.#vectorsOf(shardKey, options);
    const ranking = set.search(vector);
    const slot = slotOf(shardKey);
    const best: RankedScope["best"] = async ({ filter, topK, threshold }) => {
      const found: ScoredMemory[] = [];
      let batch: { id: string; score: number }[] = [];
      const take = async (): Promise<void> => {
        const held = await this.#store.read(
          batch.map(({ id }) => ({ slot, shardKey, id })),
          "without-vectors",
          options,
        );
        const byId = new Map(held.map((one) => [one.id, one]));
        for (const { id, score } of batch) {
          const record = byId.get(id)?.record;
          if (record !== undefined && matches(filter, { id, ...record }))
            found.push({ id, ...record, score });
        }
        batch = [];
      };
      for (const ranked of ranking) {
        if (ranked.score < threshold || found.length >= topK) break;
        batch.push(ranked);
        if (batch.length >= topK + SPARE) await take();
      }
      if (found.length < topK) await take();
      return found.slice(0, topK);
    };
    return { best };
  }

  async #vectorsOf(shardKey: string, options: ReadOptions): Promise<VectorSet> {
    const write = await this.#store.lastWrite(shardKey, options);
    const known = this.#cache.get("", shardKey);
    if (known !== undefined && write !== null && this.#readAt.get(shardKey) === write) return known;
    const set = new VectorSet(this.#dimensions);
    const indexed = await this.#store.index(shardKey, options);
    for (let from = 0; from < indexed.length; from += READ_AT_ONCE) {
      const part = await this.#store.vectors(indexed.slice(from, from + READ_AT_ONCE), options);
      for (const { id, vector } of part) set.set(id, vector);
    }
    this.#cache.forget("", shardKey);
    this.#readAt.delete(shardKey);
    // Copies that are behind may each be at another place; what they say together is no state to keep.
    if (options.stale !== undefined) return set;
    // What was written while they were read may be half in them: good for this search, not for the next.
    if (write !== null && set.size > 0 && (await this.#store.lastWrite(shardKey, options)) === write) {
      if (this.#readAt.size >= CACHE_SETS_MAX) this.#readAt.clear();
      this.#cache.add("", shardKey, set);
      this.#readAt.set(shardKey, write);
    }
    return set;
  }
}
