// The slots in memory: base + 1 … last, each with the value accepted last or a hole. It knows which write
// brought a slot to the disk, so that a proposer counts itself, and an acceptor answers, for what is flushed
// alone. It does not know who proposes, what is chosen, or why.

import { entryBytes } from "../inflight-window.ts";
import { invariant } from "../invariant.ts";
import type { Entry } from "../seam.ts";

const NO_DATA = new Uint8Array(0);

/** Set in this step; the persist effect that will carry it has no sequence yet. */
const UNWRITTEN = Number.POSITIVE_INFINITY;

/** The round in which an entry was accepted where it lies. */
export function acceptedIn(entry: Entry): number {
  return entry.ballot ?? entry.term;
}

/** The same value, accepted in `round`. */
export function acceptAgain({ index, term, kind, data }: Entry, round: number): Entry {
  return round === term ? { index, term, kind, data } : { index, term, kind, data, ballot: round };
}

/** What a step changed, as a persist effect says it. */
export interface LogChange {
  readonly truncateFrom: number | undefined;
  readonly entries: readonly Entry[];
}

export class PaxosLog {
  #entries: Entry[];
  /** Of each slot, the persist effect that wrote what it holds. */
  #written: number[];
  #baseIndex: number;
  #baseTerm: number;
  #dataBytes = 0;
  /** Persist effects so far reach to this slot on disk. */
  #diskLast: number;
  /** Lowest slot that this step changed. */
  #changedFrom: number | undefined;
  /** The persist effect that made the log begin where it does. */
  #baseWritten = 0;
  /** Every slot up to here is flushed. */
  #durable: number;

  constructor(baseIndex: number, baseTerm: number, entries: readonly Entry[]) {
    this.#baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
    this.#entries = [...entries];
    this.#written = entries.map(() => 0);
    this.#diskLast = baseIndex + entries.length;
    this.#durable = this.#diskLast;
    entries.forEach((entry, position) => {
      invariant(entry.index === baseIndex + position + 1, "the slots on disk have no gap");
      this.#dataBytes += entry.data.byteLength;
    });
  }

  /** The slot just before the first one kept; it and all before it are chosen. */
  get baseIndex(): number {
    return this.#baseIndex;
  }

  get baseTerm(): number {
    return this.#baseTerm;
  }

  /** The highest slot that ever held a value. */
  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  /** Bytes of entry data in memory. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Every slot up to here is on disk as it is in memory. */
  get durableIndex(): number {
    return this.#durable;
  }

  get isChanged(): boolean {
    return this.#changedFrom !== undefined;
  }

  entry(index: number): Entry | undefined {
    return this.#entries[index - this.#baseIndex - 1];
  }

  /** The value at `index`; undefined for a hole and for what is not in memory. */
  value(index: number): Entry | undefined {
    const entry = this.entry(index);
    return entry?.kind === "hole" ? undefined : entry;
  }

  /** The term of the value at `index`; undefined when it is compacted or not there. */
  term(index: number): number | undefined {
    return index === this.#baseIndex ? this.#baseTerm : this.value(index)?.term;
  }

  /** Whether what the slot holds is flushed. */
  isDurable(index: number, flushed: number): boolean {
    return (this.#written[index - this.#baseIndex - 1] ?? UNWRITTEN) <= flushed;
  }

  /** Accepts a value. Slots between the last one and this become holes. */
  set(entry: Entry): void {
    invariant(entry.index > this.#baseIndex && entry.kind !== "hole", "only slots in memory are written");
    this.#change(Math.min(entry.index, this.lastIndex + 1));
    while (this.lastIndex < entry.index - 1) {
      this.#entries.push({ index: this.lastIndex + 1, term: 0, kind: "hole", data: NO_DATA });
      this.#written.push(UNWRITTEN);
    }
    const position = entry.index - this.#baseIndex - 1;
    this.#dataBytes += entry.data.byteLength - (this.#entries[position]?.data.byteLength ?? 0);
    this.#entries[position] = entry;
    this.#written[position] = UNWRITTEN;
  }

  /** What the step changed, to be carried by persist effect `sequence`; undefined when nothing did. */
  takeChange(sequence: number): LogChange | undefined {
    if (this.#baseWritten === UNWRITTEN) this.#baseWritten = sequence;
    const from = this.#changedFrom;
    if (from === undefined) return undefined;
    this.#changedFrom = undefined;
    const entries = this.#entries.slice(from - this.#baseIndex - 1);
    for (let position = from - this.#baseIndex - 1; position < this.#written.length; position += 1) {
      // What only follows a changed slot is written again with it, so it never leaves the disk.
      if (this.#written[position] === UNWRITTEN) this.#written[position] = sequence;
    }
    const truncateFrom = from <= this.#diskLast ? from : undefined;
    this.#diskLast = this.lastIndex;
    return { truncateFrom, entries };
  }

  /** Persist effects up to `flushed` are on disk. */
  markFlushed(flushed: number): void {
    if (this.#baseWritten <= flushed) this.#durable = Math.max(this.#durable, this.#baseIndex);
    while (this.#durable < this.lastIndex && this.isDurable(this.#durable + 1, flushed)) this.#durable += 1;
  }

  /** Forgets the slots up to `index`. Costs one copy of what stays, however many go. */
  compact(index: number): void {
    const term = this.term(index);
    invariant(term !== undefined && index <= this.#durable, "only what is flushed is compacted");
    this.#moveBase(index, term);
  }

  /**
   * Begins after a snapshot. What was accepted beyond it stays: an acceptor forgets nothing that may be
   * chosen. The switch leaves no log on disk, so what stays is written again with it. Until it is flushed, the disk
   * has below `index` whatever was accepted there, which need not be what was chosen.
   */
  reset(index: number, term: number): void {
    this.#durable = Math.min(this.#durable, this.#baseIndex);
    this.#moveBase(Math.min(index, this.lastIndex), term);
    this.#baseIndex = index;
    this.#baseWritten = UNWRITTEN;
    this.#diskLast = index;
    this.#changedFrom = this.lastIndex > index ? index + 1 : undefined;
  }

  /** Entries `from` … `to`, both in memory; all of them. */
  slice(from: number, to: number): Entry[] {
    return this.#entries.slice(from - this.#baseIndex - 1, to - this.#baseIndex);
  }

  /** Entries `from` … `to` that fit in `bytesMax`, but at least one if there is one. */
  batch(from: number, to: number, bytesMax: number): Entry[] {
    let bytes = 0;
    let end = from;
    for (; end <= to; end += 1) {
      const entry = this.entry(end);
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && end > from) break;
    }
    return this.slice(from, end - 1);
  }

  #moveBase(index: number, term: number): void {
    const gone = index - this.#baseIndex;
    for (let position = 0; position < gone; position += 1) {
      this.#dataBytes -= this.#entries[position]?.data.byteLength ?? 0;
    }
    this.#entries = this.#entries.slice(gone);
    this.#written = this.#written.slice(gone);
    this.#baseIndex = index;
    this.#baseTerm = term;
  }

  #change(index: number): void {
    this.#changedFrom = Math.min(this.#changedFrom ?? index, index);
    this.#durable = Math.min(this.#durable, index - 1);
  }
}
