import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Register } from "../../../src/node/storage/store.ts";
import { keyOf, nameOf, Unflushed, type Written } from "../../../src/node/storage/unflushed.ts";

const PLAIN = ["a", "ab", "b\0", "\u00ff", "long".repeat(700)];
const REGISTERS = ["r", "ra", "s"];

/** What a transaction does, one after the other; `fails`: then it throws. */
interface Step {
  readonly writes: readonly (
    | { readonly kind: "key" | "register" | "renew"; readonly at: number; readonly value: string | null }
    | { readonly kind: "read" }
  )[];
  readonly fails: boolean;
}

const write = fc.record({
  kind: fc.constantFrom("key", "register", "renew"),
  at: fc.nat(9),
  value: fc.option(fc.string({ maxLength: 5 })),
}) as fc.Arbitrary<Step["writes"][number]>;
const read = fc.constant({ kind: "read" } as const);
const steps = fc.array(
  fc.record({ writes: fc.array(fc.oneof(write, write, read), { maxLength: 8 }), fails: fc.boolean() }),
  { maxLength: 12 },
);

function listed(unflushed: Unflushed): Map<string, Written> {
  const found = new Map<string, Written>();
  for (let at = 0; at < unflushed.length; at += 1) {
    found.set(nameOf(unflushed.keyAt(at)), unflushed.valueAt(at));
  }
  return found;
}

describe("what is not flushed yet", () => {
  it("is by name, and as a list, what a map of it would be, whatever transaction failed and whenever it was read", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const unflushed = new Unflushed();
        const reads: { readonly found: Map<string, Written>; readonly meant: Map<string, Written> }[] = [];
        let model = new Map<string, Written>();
        let registers = REGISTERS.map((name) => new Register(keyOf(name)));
        for (const { writes, fails } of all) {
          const [before, registersBefore] = [new Map(model), [...registers]];
          unflushed.begin();
          for (const step of writes) {
            if (step.kind === "read") {
              reads.push({ found: new Map(unflushed), meant: new Map(model) });
              continue;
            }
            const value = step.value ?? undefined;
            const name = (step.kind === "key" ? PLAIN : REGISTERS)[
              step.at % (step.kind === "key" ? PLAIN : REGISTERS).length
            ];
            if (name === undefined) throw new Error("no such name");
            // Whoever held it is gone, as after a reload: whoever comes has a register of its own.
            if (step.kind === "renew") registers[step.at % REGISTERS.length] = new Register(keyOf(name));
            const register = registers[step.at % REGISTERS.length];
            unflushed.write(step.kind === "key" || register === undefined ? keyOf(name) : register, value);
            model.set(name, value);
          }
          if (!fails) continue;
          unflushed.undo();
          [model, registers] = [before, registersBefore];
        }
        expect(reads.map(({ found }) => found)).toEqual(reads.map(({ meant }) => meant));
        expect(listed(unflushed)).toEqual(model);
        expect(new Map(unflushed)).toEqual(model);
        expect([...unflushed.keys()].toSorted()).toEqual([...model.keys()].toSorted());
        for (const name of [...PLAIN, ...REGISTERS]) {
          expect(unflushed.has(name)).toBe(model.has(name));
          expect(unflushed.get(name)).toBe(model.get(name));
        }
        const anew = Unflushed.of(new Map(unflushed));
        expect(listed(anew)).toEqual(model);
        expect(anew.length).toBe(model.size);
      }),
      { numRuns: 500 },
    );
  });

  it("has one value of a register, and the bytes of that one", () => {
    const unflushed = new Unflushed();
    const register = new Register(keyOf("key"));
    for (const value of ["first", "2nd", undefined, "the last"]) {
      unflushed.begin();
      unflushed.write(register, value);
    }
    expect([unflushed.length, unflushed.valueAt(0), unflushed.bytes]).toEqual([1, "the last", 11]);
    unflushed.begin();
    unflushed.write(register, "undone");
    unflushed.undo();
    expect([unflushed.length, unflushed.valueAt(0), unflushed.bytes]).toEqual([1, "the last", 11]);
  });

  it("has a value of a register for each flush", () => {
    const register = new Register(keyOf("key"));
    const [one, next] = [new Unflushed(), new Unflushed()];
    one.write(register, "old");
    next.write(register, "new");
    expect([one.get("key"), next.get("key")]).toEqual(["old", "new"]);
  });
});
