import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Register } from "../../../src/node/storage/store.ts";
import { keyOf, nameOf } from "../../../src/node/storage/key.ts";
import { Unflushed, type Written } from "../../../src/node/storage/unflushed.ts";

const PLAIN = ["a", "ab", "b\0", "\u00ff", "long".repeat(700)];
const REGISTERS = ["r", "ra", "s"];

type Write =
  | { readonly kind: "key" | "register" | "renew"; readonly at: number; readonly value: string | null }
  | { readonly kind: "read" };

/** A transaction, which may throw at its end; or what becomes of a flush. */
type Step =
  | { readonly kind: "transaction"; readonly writes: readonly Write[]; readonly fails: boolean }
  | { readonly kind: "flush" | "flushed" | "no room" };

const write: fc.Arbitrary<Write> = fc.record({
  kind: fc.constantFrom("key" as const, "register" as const, "renew" as const),
  at: fc.nat(9),
  value: fc.option(fc.string({ maxLength: 5 }), { nil: null }),
});
const read: fc.Arbitrary<Write> = fc.constant({ kind: "read" });
const transaction: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant("transaction" as const),
  writes: fc.array(fc.oneof(write, write, read), { maxLength: 8 }),
  fails: fc.boolean(),
});
const flush: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("flush" as const, "flushed" as const, "no room" as const),
});
const steps = fc.array(fc.oneof({ weight: 3, arbitrary: transaction }, flush), { maxLength: 15 });

type Model = ReadonlyMap<string, Written>;

function listed(unflushed: Unflushed): Model {
  const found = new Map<string, Written>();
  for (const { key, value } of unflushed.inOrder()) found.set(nameOf(key), value);
  return found;
}

function bytesOf(model: Model): number {
  let bytes = 0;
  for (const [name, value] of model) bytes += name.length + (typeof value === "string" ? value.length : 0);
  return bytes;
}

/** What is written, flushed, or not for want of room, and what a map of it would be. */
class Store {
  active = new Unflushed();
  flushing: Unflushed | undefined;
  model: Model = new Map();
  flushingModel: Model = new Map();
  registers = REGISTERS.map((name) => new Register(keyOf(name)));
  readonly reads: { readonly found: Model; readonly meant: Model }[] = [];

  take(step: Step): void {
    if (step.kind === "transaction") {
      this.transact(step);
    } else if (step.kind === "flush" && this.flushing === undefined) {
      [this.flushing, this.active] = [this.active, new Unflushed()];
      [this.flushingModel, this.model] = [this.model, new Map()];
    } else if (step.kind === "flushed") {
      this.flushing = undefined;
    } else if (step.kind === "no room" && this.flushing !== undefined) {
      this.flushing.append(this.active);
      [this.active, this.flushing] = [this.flushing, undefined];
      this.model = new Map([...this.flushingModel, ...this.model]);
    }
  }

  private transact({ writes, fails }: Step & { readonly kind: "transaction" }): void {
    const [before, registersBefore] = [this.model, [...this.registers]];
    this.active.begin();
    for (const one of writes) this.write(one);
    if (fails) {
      this.active.undo();
      [this.model, this.registers] = [before, registersBefore];
    } else {
      this.active.end();
    }
  }

  private write(one: Write): void {
    if (one.kind === "read") {
      this.reads.push({ found: new Map(this.active), meant: this.model });
      return;
    }
    const names = one.kind === "key" ? PLAIN : REGISTERS;
    const name = names[one.at % names.length] ?? "";
    const which = one.at % REGISTERS.length;
    // Whoever held it is gone, as after a reload: whoever comes has a register of its own.
    if (one.kind === "renew") this.registers[which] = new Register(keyOf(name));
    const register = this.registers[which];
    const value = one.value ?? undefined;
    this.active.write(one.kind === "key" || register === undefined ? keyOf(name) : register, value);
    this.model = new Map([...this.model, [name, value]]);
  }
}

describe("what is not flushed yet", () => {
  it("is, by name and as a list, what a map of it would be, whatever failed and whenever it was read", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const store = new Store();
        for (const step of all) store.take(step);
        const { active, model } = store;
        expect(store.reads.map(({ found }) => found)).toEqual(store.reads.map(({ meant }) => meant));
        expect(listed(active)).toEqual(model);
        expect(new Map(active)).toEqual(model);
        expect([active.countNames(), active.bytes]).toEqual([model.size, bytesOf(model)]);
        expect([...active.keys()].toSorted()).toEqual([...model.keys()].toSorted());
        for (const name of [...PLAIN, ...REGISTERS]) {
          expect(active.has(name)).toBe(model.has(name));
          expect(active.get(name)).toBe(model.get(name));
        }
        expect(listed(active)).toEqual(model);
      }),
      { numRuns: 1000 },
    );
  });

  it("has one value of a register, and the bytes of that one", () => {
    const unflushed = new Unflushed();
    const register = new Register(keyOf("key"));
    for (const value of ["first", "2nd", undefined, "the last"]) {
      unflushed.begin();
      unflushed.write(register, value);
      unflushed.end();
    }
    expect([...unflushed.inOrder()]).toEqual([{ key: register.key, value: "the last" }]);
    expect([unflushed.length, unflushed.bytes]).toEqual([1, 11]);
  });

  it("keeps no value that it knows to be replaced", () => {
    const unflushed = new Unflushed();
    for (let at = 0; at < 100; at += 1) {
      unflushed.begin();
      unflushed.write(keyOf("key"), "v".repeat(100));
      unflushed.end();
      expect(unflushed.get("key")).toHaveLength(100);
      expect(unflushed.bytes).toBe(103);
    }
  });

  it("is let go when it was flushed, though registers that were written in it live on", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const registers = ["a", "b"].map((name) => new Register(keyOf(name)));
    const lists: WeakRef<Unflushed>[] = [];
    const fill = (at: number): void => {
      const unflushed = new Unflushed();
      for (const register of at % 3 === 0 ? registers : registers.slice(at % 3 === 1 ? 0 : 1)) {
        unflushed.begin();
        unflushed.write(register, "value");
        unflushed.end();
      }
      lists.push(new WeakRef(unflushed));
    };
    for (let at = 0; at < 20; at += 1) fill(at);
    await new Promise((resolve) => setTimeout(resolve, 1));
    collect();
    expect(lists.filter((list) => list.deref() !== undefined)).toEqual([]);
    expect(registers.map(({ place }) => place?.at)).not.toContain(undefined);
  });
});
