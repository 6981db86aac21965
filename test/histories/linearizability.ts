// Is there an order of a key's operations, each at one moment between its invocation and its return, in
// which every answer is right? The search is Wing & Gong's with Lowe's memory of configurations that led
// nowhere ("Testing for linearizability", 2017), key by key because linearizability is local (Herlihy &
// Wing, 1990). What makes it quick here: a read that fits the present state may be placed at once, since it
// changes nothing; an unknown update that nobody saw is left out, since nothing can depend on it; and of the unknown
// adds that nobody saw, as of the unknown deletions, one is as good as the other: the first that may come is tried, and
// only where nothing is there, or something.
//
// A stale read asks less: its value must have been current at some moment since `staleness` before it was
// asked for. That is the same question with an earlier invocation.

import { byKey, describe, type Operation, type Violation } from "./history.ts";

export interface LinearizabilityOptions {
  /** Configurations looked at per key. A search that needs more is a violation `undecided`, never a pass. */
  readonly stepsMax?: number;
}

const STEPS_MAX = 500_000;

/** Empty when every key's operations can be ordered. */
export function checkLinearizability(
  history: readonly Operation[],
  { stepsMax = STEPS_MAX }: LinearizabilityOptions = {},
): readonly Violation[] {
  const violations: Violation[] = [];
  for (const [key, operations] of byKey(history)) {
    const search = new Search(prepare(operations));
    const verdict = search.run(stepsMax);
    if (verdict === "yes") continue;
    violations.push({
      code: verdict === "no" ? "not-linearizable" : "undecided",
      key,
      message: verdict === "no" ? search.explain() : `undecided after ${stepsMax} steps`,
    });
  }
  return violations;
}

interface Candidate extends Operation {
  /** Of unknown outcome, and nobody can tell it from others that may have done the same. */
  readonly alike: "adds" | "removes" | undefined;
}

/** What the search is about: without what certainly did nothing, stale reads widened, in order of invocation. */
function prepare(operations: readonly Operation[]): readonly Candidate[] {
  const seen = new Set<string | null>();
  for (const { kind, value, expected } of operations) {
    if (kind === "read") seen.add(value);
    if (expected !== undefined) seen.add(expected);
  }
  const named = operations
    .filter(({ kind, outcome, value }) => {
      if (outcome === "failed") return false;
      if (outcome === "ok") return true;
      return (
        kind === "add" || kind === "delete" || kind === "clear" || (kind === "update" && seen.has(value))
      );
    })
    .map((operation) => {
      if (operation.outcome === "unknown") return { ...operation, returned: Infinity };
      return { ...operation, invoked: operation.invoked - (operation.staleness ?? 0) };
    })
    .toSorted((left, right) => left.invoked - right.invoked);
  return named.map((operation) => {
    const { outcome, kind, value } = operation;
    const isAlike = outcome === "unknown" && (value === null || (kind === "add" && !seen.has(value)));
    return { ...operation, alike: isAlike ? (value === null ? "removes" : "adds") : undefined };
  });
}

/** State after `operation`; undefined where its answer cannot be right in this state. */
function apply(state: string | null, operation: Operation): string | null | undefined {
  const { kind, value, outcome, expected } = operation;
  switch (kind) {
    case "read":
      return state === value ? state : undefined;
    case "add":
      return value;
    case "clear":
      return null;
    default:
      if (state !== null && (expected === undefined || expected === state)) return value;
      // Whoever does not know what became of it may have changed nothing.
      return outcome === "unknown" ? state : undefined;
  }
}

/** An operation that was placed, and the state before it, to go back to. */
interface Placed {
  readonly index: number;
  readonly before: string | null;
  /** Placed without an alternative: going back goes past it. */
  readonly forced: boolean;
}

class Search {
  private readonly operations: readonly Candidate[];
  private readonly placed: boolean[];
  private readonly stack: Placed[] = [];
  private readonly known = new Set<string>();
  private state: string | null = null;
  /** Operations with an answer that wait for their place. */
  private waiting: number;
  /** Every operation below is placed. */
  private low = 0;
  private longest = -1;
  private explanation = "";

  constructor(operations: readonly Candidate[]) {
    this.operations = operations;
    this.placed = operations.map(() => false);
    this.waiting = operations.filter(({ returned }) => returned !== Infinity).length;
  }

  run(stepsMax: number): "yes" | "no" | "undecided" {
    let next = 0;
    for (let steps = 0; this.waiting > 0;) {
      steps += 1;
      if (steps > stepsMax) return "undecided";
      const choice = this.choose(next);
      if (choice !== undefined) {
        const forced = this.operations[choice]?.kind === "read";
        this.place(choice, forced);
        // A read leaves the state as it was, so the configuration needs no remembering.
        if (forced || this.remember()) next = 0;
        else next = this.unplace().index + 1;
        continue;
      }
      this.note();
      let back = this.stack.length === 0 ? undefined : this.unplace();
      while (back?.forced === true) back = this.stack.length === 0 ? undefined : this.unplace();
      if (back === undefined) return "no";
      next = back.index + 1;
    }
    return "yes";
  }

  explain(): string {
    return this.explanation;
  }

  /**
   * An operation that may come now, from `from` on: nothing that had returned before its invocation is
   * still without a place. A fitting read comes first and alone.
   */
  private choose(from: number): number | undefined {
    let deadline = Infinity;
    let first: number | undefined;
    const useful = this.state === null ? "adds" : "removes";
    let isTried = false;
    for (let index = this.low; index < this.operations.length; index += 1) {
      const operation = this.operations[index];
      if (operation === undefined || operation.invoked > deadline) break;
      if (this.placed[index] === true) continue;
      deadline = Math.min(deadline, operation.returned);
      if (operation.kind === "read") {
        if (from === 0 && operation.value === this.state) return index;
      } else if (operation.alike !== undefined) {
        if (operation.alike !== useful || isTried) continue;
        isTried = true;
        if (first === undefined && index >= from) first = index;
      } else if (first === undefined && index >= from && apply(this.state, operation) !== undefined) {
        first = index;
      }
    }
    return first;
  }

  private place(index: number, forced: boolean): void {
    const operation = this.operations[index];
    if (operation === undefined) return;
    const after = apply(this.state, operation);
    this.stack.push({ index, before: this.state, forced });
    this.state = after ?? null;
    this.placed[index] = true;
    if (operation.returned !== Infinity) this.waiting -= 1;
    while (this.placed[this.low] === true) this.low += 1;
  }

  private unplace(): Placed {
    const top = this.stack.pop();
    if (top === undefined) throw new Error("nothing is placed");
    this.state = top.before;
    this.placed[top.index] = false;
    if (this.operations[top.index]?.returned !== Infinity) this.waiting += 1;
    this.low = Math.min(this.low, top.index);
    return top;
  }

  /** False when the same operations were placed before with the same state: that led nowhere. */
  private remember(): boolean {
    // What is placed from `low` on, sixteen to a character, without the empty end.
    const bits: number[] = [];
    for (let index = this.low; index < this.operations.length; index += 1) {
      if (this.placed[index] !== true) continue;
      const word = (index - this.low) >> 4;
      while (bits.length <= word) bits.push(0);
      bits[word] = (bits[word] ?? 0) | (1 << ((index - this.low) & 15));
    }
    const state = this.state === null ? "" : `=${this.state}`;
    const name = `${this.low} ${String.fromCharCode(...bits)} ${state}`;
    if (this.known.has(name)) return false;
    this.known.add(name);
    return true;
  }

  /** Keeps the longest order found, and what could not follow it. */
  private note(): void {
    if (this.stack.length <= this.longest) return;
    this.longest = this.stack.length;
    const open = this.operations.filter((_operation, index) => this.placed[index] !== true);
    const deadline = Math.min(...open.map(({ returned }) => returned));
    const state = this.state === null ? "nothing" : JSON.stringify(this.state);
    const next = open.filter(({ invoked }) => invoked <= deadline).map(describe);
    this.explanation = [
      `no order explains all ${this.operations.length} operations; the longest has ${this.stack.length} and ends with`,
      ...this.stack.slice(-5).map(({ index }) => `  ${this.line(index)}`),
      `then ${state} is there, and one of these would have to be next:`,
      ...next.slice(0, 12).map((line) => `  ${line}`),
    ].join("\n");
  }

  private line(index: number): string {
    const operation = this.operations[index];
    return operation === undefined ? "" : describe(operation);
  }
}
