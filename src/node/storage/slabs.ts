// Memory for what lives as long as one flush, and for the next one again. Taken anew for each record it would be freed
// by full collections alone, for a flush outlives the young ones, and calls for those collections: V8 counts memory
// outside its heap.

const SLAB_BYTES = 1 << 20;

export class Slabs {
  readonly #slabs: Buffer[] = [];
  /** Which of them is being filled, and up to where. */
  #at = 0;
  #end = 0;

  /** Not zeroed. It is its taker's until `reuse`. */
  take(bytes: number): Buffer {
    if (bytes > SLAB_BYTES) return Buffer.allocUnsafeSlow(bytes);
    if (this.#end + bytes > SLAB_BYTES) {
      this.#at += 1;
      this.#end = 0;
    }
    const slab = (this.#slabs[this.#at] ??= Buffer.allocUnsafeSlow(SLAB_BYTES));
    this.#end += bytes;
    return slab.subarray(this.#end - bytes, this.#end);
  }

  /** Nothing that was taken is needed any more. Keeps as much as was taken this time. */
  reuse(): void {
    this.#slabs.length = Math.min(this.#slabs.length, this.#at + 1);
    this.#at = 0;
    this.#end = 0;
  }
}
