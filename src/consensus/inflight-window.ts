// What a leader has sent to one follower and not heard of again: so many messages, so many bytes.

import type { Entry } from "./seam.ts";

/** What an entry weighs in messages besides its data; keeps floods of empty entries bounded too. */
const ENTRY_OVERHEAD_BYTES = 32;

/** Bytes by which messages and windows are bounded. */
export function entryBytes(entry: Entry): number {
  return entry.data.byteLength + ENTRY_OVERHEAD_BYTES;
}

/** What an entry counts against the bound on proposals; what leaders add themselves was never refused for it. */
export function proposedBytes({ kind, data }: Entry): number {
  return kind === "command" ? data.byteLength : 0;
}

/** Messages sent and not yet acknowledged, oldest first. */
export class InflightWindow {
  #ends: number[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;

  get messages(): number {
    return this.#ends.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(lastIndex: number, bytes: number): void {
    this.#ends.push(lastIndex);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** Acknowledgements are cumulative: everything that ends at or before `index` arrived. */
  release(index: number): void {
    while (this.#head < this.#ends.length && (this.#ends[this.#head] ?? 0) <= index) {
      this.#bytes -= this.#sizes[this.#head] ?? 0;
      this.#head += 1;
    }
    if (this.#head === this.#ends.length) this.clear();
    else if (this.#head > 1024) {
      this.#ends = this.#ends.slice(this.#head);
      this.#sizes = this.#sizes.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    if (this.#ends.length === 0) return;
    this.#ends = [];
    this.#sizes = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
