// What every part of a run shares: time, chance, the trace and its hash, and the first violation, which ends
// the run. A violation is reported and never thrown: code under test must not catch it.

import { crc32 } from "node:zlib";
import { Chance } from "./chance.ts";
import { Timeline } from "./timeline.ts";

export interface SimulationViolation {
  /** Stable: tests and deliberate bugs are told apart by it. */
  readonly invariant: string;
  readonly message: string;
}

/** How deep a run looks for what it hides: what is added to the hash is enough to compare two runs. */
export class World {
  readonly timeline = new Timeline();
  readonly chance: Chance;
  readonly #seed: number;
  readonly #lines: string[] | undefined;
  #violation: SimulationViolation | undefined;
  #hash = 0;
  #count = 0;

  constructor(seed: number, isTraced: boolean) {
    this.chance = new Chance(seed);
    this.#seed = seed;
    this.#lines = isTraced ? [] : undefined;
  }

  /** A stream of its own, which moves no draw of what a seed has had before. */
  chanceApart(name: string): Chance {
    return new Chance(this.#seed ^ 0x5bd1e995).fork(name);
  }

  get nowMs(): number {
    return this.timeline.nowMs;
  }

  get isTraced(): boolean {
    return this.#lines !== undefined;
  }

  get violation(): SimulationViolation | undefined {
    return this.#violation;
  }

  get lines(): readonly string[] | undefined {
    return this.#lines;
  }

  get traceHash(): string {
    return `${this.#hash.toString(16).padStart(8, "0")}-${this.#count}`;
  }

  violate(invariant: string, message: string): void {
    if (this.#violation !== undefined) return;
    this.#violation = { invariant, message };
    this.say("!", `VIOLATION ${invariant}: ${message}`);
  }

  must(holds: boolean, invariant: string, message: () => string): void {
    if (!holds) this.violate(invariant, message());
  }

  /** A line of the trace. What is rare enough to be told is part of the hash as well. */
  say(who: string, what: string): void {
    this.mix(what);
    this.note(who, what);
  }

  /** A line of the trace alone, for what happens too often to be put into words without need. */
  note(who: string, what: string): void {
    this.#lines?.push(`${this.nowMs.toFixed(3).padStart(11)} ${who.padEnd(8)} ${what}`);
  }

  /** Makes `data`, and the moment, part of what two runs of a seed have to agree in. */
  mix(data: string | Uint8Array): void {
    this.#hash = crc32(data, Math.trunc(this.#hash ^ Math.imul(this.nowMs * 1000, 0x9e3779b1)) >>> 0);
    this.#count += 1;
  }
}
