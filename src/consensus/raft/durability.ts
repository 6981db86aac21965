// Which part of the log is on disk. Flushes complete later than they are asked for; what was truncated
// meanwhile must not count when an old one completes.

/** How far this replica's own disk is, from the persist effects it made and those reported done. */
export class Durability {
  /** Sequence of the newest persist effect. */
  sequence = 0;
  /** Sequence up to which the host reported persist effects flushed. */
  flushed = 0;
  /** Sequence up to which their hard state is flushed, which may be ahead of their entries. */
  hardStateFlushed = 0;
  #index: number;
  #pending: { readonly sequence: number; last: number }[] = [];

  constructor(index: number) {
    this.#index = index;
  }

  /** Entries up to here are flushed. */
  get index(): number {
    return this.#index;
  }

  /** A persist effect was made that brings the log on disk up to `last`. */
  wrote(sequence: number, last: number): void {
    this.#pending.push({ sequence, last });
  }

  /** From `index` on the log has other entries now, so no earlier flush says anything about them. */
  truncated(index: number): void {
    this.#index = Math.min(this.#index, index - 1);
    for (const write of this.#pending) write.last = Math.min(write.last, index - 1);
  }

  hardStatePersisted(sequence: number): void {
    this.hardStateFlushed = Math.max(this.hardStateFlushed, sequence);
  }

  /** Everything up to persist effect `sequence` is flushed. True when `index` moved. */
  persisted(sequence: number): boolean {
    this.flushed = Math.max(this.flushed, sequence);
    this.hardStatePersisted(sequence);
    const before = this.#index;
    let done = 0;
    for (const write of this.#pending) {
      if (write.sequence > sequence) break;
      this.#index = Math.max(this.#index, write.last);
      done += 1;
    }
    if (done > 0) this.#pending.splice(0, done);
    return this.#index > before;
  }
}
