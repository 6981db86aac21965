// Exact cosine search over the vectors of one shard: a WebAssembly memory that holds all of them as one
// matrix of unit vectors, scored row by row with SIMD. It knows ids and vectors, nothing else; what the
// ids stand for, who may see them and where they are kept is the caller's. Nothing here is approximate.

import { Mem0ctlError } from "../model/errors.ts";
import { DOT_PRODUCT_WASM_BASE64 } from "./dot-product-wasm.ts";
import { instantiate, PAGE_BYTES, type KernelMemory } from "./kernel.ts";
import { checkVector } from "./record.ts";

/** What 32-bit addresses reach: 4 GiB, e.g. 2.7 million vectors of 384 dimensions. */
const PAGES_MAX = 65_536;
/** Vectors are padded to this many bytes, which the kernel takes in one step. */
const STEP_BYTES = 64;
const SCORE_BYTES = 4;

/** What dot-product.wat exports. Addresses and sizes in bytes. */
interface Kernel {
  readonly memory: KernelMemory;
  scoreAll(query: number, rows: number, count: number, stride: number, scores: number): void;
  scoreAt(query: number, places: number, count: number, stride: number): void;
}

function newKernel(): Kernel {
  try {
    return instantiate<Kernel>(DOT_PRODUCT_WASM_BASE64);
  } catch (error) {
    throw outOfMemory(error);
  }
}

export interface Ranked {
  readonly id: string;
  /** Cosine similarity, -1 to 1. */
  readonly score: number;
}

/**
 * Ids by score, best first, equal scores by id ascending. Sorted only as far as it is read: the first
 * results cost one pass over the scores, each further one a logarithmic step. A snapshot: changes to the
 * set do not reach it. May be iterated several times.
 */
export class Ranking implements Iterable<Ranked> {
  readonly #ids: readonly string[];
  readonly #scores: Float32Array;

  constructor(ids: readonly string[], scores: Float32Array) {
    this.#ids = ids;
    this.#scores = scores;
  }

  get size(): number {
    return this.#scores.length;
  }

  *[Symbol.iterator](): Generator<Ranked, void, undefined> {
    const scores = this.#scores;
    const heap = new Uint32Array(scores.length);
    for (let place = 0; place < heap.length; place += 1) heap[place] = place;
    for (let place = (heap.length >>> 1) - 1; place >= 0; place -= 1)
      this.#siftDown(heap, place, heap.length);
    for (let left = heap.length; left > 0; left -= 1) {
      const best = heap[0] ?? 0;
      yield { id: this.#ids[best] ?? "", score: scores[best] ?? 0 };
      heap[0] = heap[left - 1] ?? 0;
      this.#siftDown(heap, 0, left - 1);
    }
  }

  /** Lets the row at `place` sink until no child of it comes before it. */
  #siftDown(heap: Uint32Array, from: number, length: number): void {
    const row = heap[from] ?? 0;
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#isBefore(heap[child + 1] ?? 0, heap[child] ?? 0)) child += 1;
      const childRow = heap[child] ?? 0;
      if (!this.#isBefore(childRow, row)) break;
      heap[place] = childRow;
      place = child;
    }
    heap[place] = row;
  }

  #isBefore(left: number, right: number): boolean {
    const difference = (this.#scores[left] ?? 0) - (this.#scores[right] ?? 0);
    return difference > 0 || (difference === 0 && (this.#ids[left] ?? "") < (this.#ids[right] ?? ""));
  }
}

/**
 * A set of unit vectors by id. Use one for each shard, not one for each user: an empty set costs nothing,
 * but every other one reserves 10 GiB of address space, and a process has room for some 13,000 of those.
 *
 * Memory, in this order: the query, the rows, and one place per row for scores. It grows by doubling and
 * is given back when the set becomes empty.
 */
export class VectorSet {
  readonly dimensions: number;
  readonly #strideBytes: number;
  readonly #rowOf = new Map<string, number>();
  #ids: string[] = [];
  #kernel: Kernel | undefined;
  /** All of the kernel's memory; replaced whenever that grows, which detaches the former. */
  #floats = new Float32Array(0);
  #capacity = 0;

  /** Throws RangeError unless `dimensions` is a positive integer. */
  constructor(dimensions: number) {
    if (!Number.isSafeInteger(dimensions) || dimensions < 1) {
      throw new RangeError(`a vector cannot have ${dimensions} dimensions`);
    }
    this.dimensions = dimensions;
    this.#strideBytes = Math.ceil((dimensions * Float32Array.BYTES_PER_ELEMENT) / STEP_BYTES) * STEP_BYTES;
  }

  get size(): number {
    return this.#ids.length;
  }

  /** Bytes of memory held for the vectors. */
  get bytes(): number {
    return this.#floats.byteLength;
  }

  has(id: string): boolean {
    return this.#rowOf.has(id);
  }

  /**
   * Adds the vector, or replaces the one of that id; only its direction is kept. Throws `field-invalid`
   * (checkVector) and, kind `full`, `vector-memory-full`; the set is then as it was.
   */
  set(id: string, vector: Float32Array): void {
    const scale = this.#unitScale(vector, "embedding");
    let row = this.#rowOf.get(id);
    if (row === undefined) {
      row = this.#ids.length;
      this.#reserve(row + 1);
      this.#ids.push(id);
      this.#rowOf.set(id, row);
    }
    this.#write(this.#rowAddress(row), vector, scale);
  }

  /** Removes the vector of that id; false when there is none. */
  delete(id: string): boolean {
    const row = this.#rowOf.get(id);
    const last = this.#ids.pop();
    if (row === undefined || last === undefined) {
      if (last !== undefined) this.#ids.push(last);
      return false;
    }
    this.#rowOf.delete(id);
    if (last !== id) {
      // The last row moves into the gap, so that the rows stay contiguous.
      this.#ids[row] = last;
      this.#rowOf.set(last, row);
      const from = this.#rowAddress(this.#ids.length) / SCORE_BYTES;
      this.#floats.copyWithin(this.#rowAddress(row) / SCORE_BYTES, from, from + this.dimensions);
    }
    if (this.#ids.length === 0) {
      this.#kernel = undefined;
      this.#floats = new Float32Array(0);
      this.#capacity = 0;
    }
    return true;
  }

  /**
   * Ranks all vectors, or those of the ids in `among` that are in the set, by their cosine with `query`.
   * Throws `field-invalid` when the query is not a vector of this set's dimensions, or zero.
   */
  search(query: Float32Array, among?: Iterable<string>): Ranking {
    const scale = this.#unitScale(query, "query");
    const kernel = this.#kernel;
    if (kernel === undefined) return new Ranking([], new Float32Array(0));
    this.#write(0, query, scale);
    if (among !== undefined) return this.#searchAmong(kernel, among);
    const scores = this.#rowAddress(this.#capacity);
    kernel.scoreAll(0, this.#strideBytes, this.#ids.length, this.#strideBytes, scores);
    return new Ranking(this.#ids.slice(), this.#takeScores(scores, this.#ids.length));
  }

  #searchAmong(kernel: Kernel, among: Iterable<string>): Ranking {
    const scores = this.#rowAddress(this.#capacity);
    const places = new Uint32Array(kernel.memory.buffer, scores, this.#capacity);
    const seen = new Uint8Array(this.#ids.length);
    const ids: string[] = [];
    for (const id of among) {
      const row = this.#rowOf.get(id);
      if (row === undefined || seen[row] === 1) continue;
      seen[row] = 1;
      places[ids.length] = this.#rowAddress(row);
      ids.push(id);
    }
    kernel.scoreAt(0, scores, ids.length, this.#strideBytes);
    return new Ranking(ids, this.#takeScores(scores, ids.length));
  }

  /** A copy of `count` scores, without the last bit by which a rounded sum may pass 1. */
  #takeScores(address: number, count: number): Float32Array {
    const scores = this.#floats.slice(address / SCORE_BYTES, address / SCORE_BYTES + count);
    for (let index = 0; index < count; index += 1) {
      const score = scores[index] ?? 0;
      if (score > 1) scores[index] = 1;
      else if (score < -1) scores[index] = -1;
    }
    return scores;
  }

  /** What the vector is multiplied with to have length 1. */
  #unitScale(vector: Float32Array, field: string): number {
    let squares = 0;
    for (let index = 0; index < vector.length; index += 1) squares += (vector[index] ?? 0) ** 2;
    // Sums of squares of float32 neither overflow nor vanish in a double: 0, NaN and Infinity tell all.
    if (vector.length !== this.dimensions || !(squares > 0) || squares === Number.POSITIVE_INFINITY) {
      checkVector(vector, this.dimensions, field);
    }
    return 1 / Math.sqrt(squares);
  }

  #write(address: number, vector: Float32Array, scale: number): void {
    const start = address / SCORE_BYTES;
    const floats = this.#floats;
    for (let index = 0; index < vector.length; index += 1)
      floats[start + index] = (vector[index] ?? 0) * scale;
    // The padding of a new row may have held scores before the memory grew.
    floats.fill(0, start + vector.length, start + this.#strideBytes / SCORE_BYTES);
  }

  #rowAddress(row: number): number {
    return (row + 1) * this.#strideBytes;
  }

  /** Makes room for `rows` rows, doubling the memory as often as that takes. */
  #reserve(rows: number): void {
    if (rows <= this.#capacity) return;
    const kernel = this.#kernel ?? newKernel();
    const held = kernel.memory.buffer.byteLength / PAGE_BYTES;
    const needed = Math.ceil((this.#strideBytes + rows * (this.#strideBytes + SCORE_BYTES)) / PAGE_BYTES);
    const pages = Math.min(PAGES_MAX, Math.max(needed, held * 2));
    if (needed > PAGES_MAX) throw outOfMemory(undefined);
    try {
      kernel.memory.grow(pages - held);
    } catch (error) {
      throw outOfMemory(error);
    }
    this.#kernel = kernel;
    this.#floats = new Float32Array(kernel.memory.buffer);
    const bytes = kernel.memory.buffer.byteLength;
    this.#capacity = Math.floor((bytes - this.#strideBytes) / (this.#strideBytes + SCORE_BYTES));
  }
}

function outOfMemory(cause: unknown): Mem0ctlError {
  return new Mem0ctlError("full", "vector-memory-full", "no memory is left for the vectors of a shard", {
    why: "a shard's vectors must fit into 4 GiB of memory, and all of a node's into what the machine has",
    hint: "spread the memories over more shards or nodes",
    cause,
  });
}
