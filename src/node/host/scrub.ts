// Reads every record of every replica's state, slowly and again and again, only to see whether it can be
// read: damage is then found, and repaired, while other copies are whole, and not by the reader who needs it.

import { every, type Clock, type Timer } from "../clock.ts";
import { prefixEnd, type Key } from "../storage/key.ts";
import { StoreCorruptError, type Store } from "../storage/store.ts";

/** Short looks: everything else waits for the end of one. */
const LOOK_MS = 250;
/** A record weighs at least this, so that many small ones take their time, too. */
const RECORD_BYTES_MIN = 256;

/** A state of this node as it lies now: another one in its place lies elsewhere. */
export interface ScrubbedState {
  readonly prefix: Key;
  readonly onDamage: (error: StoreCorruptError) => void;
}

export class Scrub {
  private readonly states: () => readonly ScrubbedState[];
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly bytesPerLook: number;
  private timer: Timer | undefined;
  /** Where the next look goes on, and in which state. */
  private at: { readonly prefix: Key; readonly from: Key } | undefined;

  constructor(parts: {
    readonly states: () => readonly ScrubbedState[];
    readonly store: Store;
    readonly clock: Clock;
    readonly bytesPerSecond: number;
  }) {
    this.states = parts.states;
    this.store = parts.store;
    this.clock = parts.clock;
    this.bytesPerLook = (parts.bytesPerSecond * LOOK_MS) / 1000;
  }

  start(): void {
    this.timer ??= every(this.clock, LOOK_MS, () => this.look());
  }

  stop(): void {
    this.timer?.close();
  }

  /** Reads one portion of one state. */
  private look(): void {
    const states = this.states();
    const position = states.findIndex(({ prefix }) => this.at?.prefix.equals(prefix) === true);
    const state = states[Math.max(0, position)];
    if (state === undefined) return;
    const from = position === -1 ? state.prefix : (this.at?.from ?? state.prefix);
    const next = states[(Math.max(0, position) + 1) % states.length]?.prefix ?? state.prefix;
    this.at = { prefix: next, from: next };
    let bytes = 0;
    try {
      for (const { key, value } of this.store.range({
        start: from,
        end: prefixEnd(state.prefix),
        onDisk: true,
      })) {
        bytes += Math.max(RECORD_BYTES_MIN, key.length + value.length);
        if (bytes < this.bytesPerLook) continue;
        this.at = { prefix: state.prefix, from: Buffer.concat([key, Buffer.of(0)]) };
        return;
      }
    } catch (error) {
      if (!(error instanceof StoreCorruptError)) throw error;
      state.onDamage(error);
    }
  }
}
