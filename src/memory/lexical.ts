// An embedding without a model: words and character n-grams, hashed into a fixed number of dimensions.
// LEXICAL, NOT SEMANTIC: texts are near each other when they share words and spellings ("flight to
// Lisbon", "flights: Lisbon"), not when they mean the same ("plane to Portugal"). Deterministic on every
// machine, so replicas and callers agree; good for trying things out, for tests, and where words suffice.
//
// The hashing trick with signs: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning",
// ICML 2009, section 2. Subword n-grams as in Bojanowski et al., "Enriching Word Vectors with Subword
// Information", TACL 2017, section 3.2.
//
// A text of 1 KiB has 2,400 features, and every write makes them: lexical.wat does so in a third of the time that
// JavaScript takes, or less, and in the same time whatever the compiler thinks of it (6 us; 18 to 36).

import { instantiate, PAGE_BYTES, type KernelMemory } from "./kernel.ts";
import { LEXICAL_WASM_BASE64 } from "./lexical-wasm.ts";

/** What lexical.wat exports. Addresses in bytes. */
interface Kernel {
  readonly memory: KernelMemory;
  embed(text: number, end: number, dimensions: number): void;
}

/** Where lexical.wat has the vector, in bytes. */
const VECTOR_AT = 12_288;
/** What lexical.wat takes behind the text. */
const BEYOND_BYTES = 144;
/** What a long text made it take is given back. */
const KEPT_BYTES_MAX = 1 << 20;

let kernel: Kernel | undefined;

/**
 * The embedding of a text: `dimensions` float32 numbers of length 1. Features are the words, pairs of
 * neighbouring words and the 3- and 4-grams of each word's UTF-16 units, ends included, of the lower-cased
 * NFKC form; ideographs count alone and in pairs. Each word counts four times under hashes of its own, so that no
 * single collision makes two texts look alike ("multiple hashing" in Weinberger et al.); words of up to three
 * units, which are mostly grammar, count for a third. Any text that is not empty has features, so the result is never
 * the zero vector. Throws RangeError unless `dimensions` is a positive integer.
 */
export function lexicalEmbedding(text: string, dimensions: number): Float32Array {
  if (!Number.isSafeInteger(dimensions) || dimensions < 1) {
    throw new RangeError(`a vector cannot have ${dimensions} dimensions`);
  }
  // ASCII is its own NFKC form, and has as many bytes as units.
  const composed = Buffer.byteLength(text) === text.length ? text : text.normalize("NFKC");
  const units = composed.toLowerCase();
  const textAt = VECTOR_AT + dimensions * Float32Array.BYTES_PER_ELEMENT;
  const end = textAt + units.length * 2;
  const own = (kernel ??= instantiate<Kernel>(LEXICAL_WASM_BASE64));
  const missing = end + BEYOND_BYTES - own.memory.buffer.byteLength;
  if (missing > 0) own.memory.grow(Math.ceil(missing / PAGE_BYTES));
  const { buffer } = own.memory;
  Buffer.from(buffer).write(units, textAt, "utf16le");
  own.embed(textAt, end, dimensions);
  if (end > KEPT_BYTES_MAX) kernel = undefined;
  return new Float32Array(buffer, VECTOR_AT, dimensions).slice();
}
