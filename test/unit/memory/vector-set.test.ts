import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { VectorSet } from "../../../src/memory/vector-set.ts";
import type { Ranked } from "../../../src/memory/vector-set.ts";
import { refusal } from "./refusal.ts";

/** What the set must agree with: a map of vectors, all scored in doubles, all sorted. */
class PlainSet {
  readonly vectors = new Map<string, Float32Array>();

  search(query: Float32Array): Ranked[] {
    return [...this.vectors]
      .map(([id, vector]) => ({ id, score: cosine(query, vector) }))
      .toSorted((left, right) => right.score - left.score || (left.id < right.id ? -1 : 1));
  }
}

function cosine(left: Float32Array, right: Float32Array): number {
  let product = 0;
  let leftSquares = 0;
  let rightSquares = 0;
  for (const [index, value] of left.entries()) {
    const other = right[index] ?? 0;
    product += value * other;
    leftSquares += value * value;
    rightSquares += other * other;
  }
  return product / Math.sqrt(leftSquares * rightSquares);
}

/** Same ids with nearly the same scores, best first; ids may only change places where scores are that near. */
function expectSameRanking(actual: readonly Ranked[], expected: readonly Ranked[]): void {
  expect(actual.map(({ id }) => id).toSorted()).toEqual(expected.map(({ id }) => id).toSorted());
  const scoreOf = new Map(expected.map(({ id, score }) => [id, score]));
  for (const [index, { id, score }] of actual.entries()) {
    expect(score).toBeCloseTo(scoreOf.get(id) ?? Number.NaN, 5);
    const before = actual[index - 1];
    if (before === undefined) continue;
    expect(before.score > score || (before.score === score && before.id < id)).toBe(true);
  }
}

const small = (dimensions: number) =>
  fc
    .array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: dimensions, maxLength: dimensions })
    .map((numbers) => new Float32Array(numbers))
    .filter((vector) => vector.some((value) => Math.abs(value) > 1e-3));

describe("a vector set", () => {
  it("agrees with a plain one after any changes, in any number of dimensions", () => {
    const scenario = fc.integer({ min: 1, max: 40 }).chain((dimensions) =>
      fc.record({
        dimensions: fc.constant(dimensions),
        changes: fc.array(
          fc.record({
            id: fc.integer({ min: 0, max: 30 }).map(String),
            vector: fc.option(small(dimensions)),
          }),
          { maxLength: 80 },
        ),
        query: small(dimensions),
      }),
    );
    fc.assert(
      fc.property(scenario, ({ dimensions, changes, query }) => {
        const set = new VectorSet(dimensions);
        const plain = new PlainSet();
        for (const { id, vector } of changes) {
          const wasThere = plain.vectors.has(id);
          const removed = vector === null && set.delete(id);
          expect(removed).toBe(vector === null && wasThere);
          if (vector === null) plain.vectors.delete(id);
          else plain.vectors.set(id, vector);
          if (vector !== null) set.set(id, vector);
          expect(set.size).toBe(plain.vectors.size);
          expect(set.has(id)).toBe(plain.vectors.has(id));
        }
        expectSameRanking([...set.search(query)], plain.search(query));
        const among = [...plain.vectors.keys()].filter((id) => Number(id) % 3 === 0);
        expectSameRanking(
          [...set.search(query, [...among, ...among, "unknown"])],
          plain.search(query).filter(({ id }) => among.includes(id)),
        );
      }),
      { numRuns: 60 },
    );
  });

  it("keeps what it holds while its memory grows, and gives memory back when it is emptied", () => {
    const dimensions = 100;
    const set = new VectorSet(dimensions);
    expect(set.bytes).toBe(0);
    const vectorOf = (number: number) =>
      Float32Array.from({ length: dimensions }, (_, index) => Math.sin(number * 7.1 + index * (number + 1)));
    const plain = new PlainSet();
    for (let number = 0; number < 3000; number += 1) {
      set.set(String(number), vectorOf(number));
      plain.vectors.set(String(number), vectorOf(number));
      // Scores lie behind the rows, where later rows will be: they must leave nothing behind there.
      if (number % 500 === 0) set.search(vectorOf(number));
    }
    expect(set.bytes).toBeGreaterThanOrEqual(3000 * dimensions * 4);
    expect(set.bytes).toBeLessThan(3000 * dimensions * 4 * 4);
    expectSameRanking([...set.search(vectorOf(1234))], plain.search(vectorOf(1234)));
    const [best] = set.search(vectorOf(1234));
    expect(best?.id).toBe("1234");
    for (let number = 0; number < 3000; number += 1) set.delete(String(number));
    expect(set.size).toBe(0);
    expect(set.bytes).toBe(0);
    expect([...set.search(vectorOf(1))]).toEqual([]);
    set.set("again", vectorOf(1));
    expect([...set.search(vectorOf(1))]).toEqual([{ id: "again", score: expect.closeTo(1, 5) }]);
  });

  it("ranks equal scores by id, and only as far as it is read", () => {
    const set = new VectorSet(2);
    for (const id of ["d", "b", "a", "c"]) set.set(id, new Float32Array([1, 1]));
    set.set("far", new Float32Array([-1, -1]));
    const ranking = set.search(new Float32Array([2, 2]));
    expect(ranking.size).toBe(5);
    const first: string[] = [];
    for (const { id } of ranking) {
      first.push(id);
      if (first.length === 2) break;
    }
    expect(first).toEqual(["a", "b"]);
    expect([...ranking].map(({ id }) => id)).toEqual(["a", "b", "c", "d", "far"]);
  });

  it("gives scores within -1 and 1", () => {
    fc.assert(
      fc.property(small(7), fc.float({ noNaN: true, min: Math.fround(0.01), max: 50 }), (vector, factor) => {
        const set = new VectorSet(7);
        set.set(
          "same",
          vector.map((value) => value * factor),
        );
        set.set(
          "opposite",
          vector.map((value) => value * -factor),
        );
        const [same, opposite] = [...set.search(vector)];
        expect(same).toEqual({ id: "same", score: expect.closeTo(1, 5) });
        expect(opposite).toEqual({ id: "opposite", score: expect.closeTo(-1, 5) });
        expect(same?.score).toBeLessThanOrEqual(1);
        expect(opposite?.score).toBeGreaterThanOrEqual(-1);
      }),
    );
  });

  it("takes vectors of any length that float32 can hold", () => {
    const set = new VectorSet(2);
    set.set("huge", new Float32Array([3e38, 3e38]));
    set.set("tiny", new Float32Array([1e-45, -1e-45]));
    const ranking = [...set.search(new Float32Array([1e-44, 1e-44]))];
    expect(ranking).toEqual([
      { id: "huge", score: expect.closeTo(1, 5) },
      { id: "tiny", score: expect.closeTo(0, 5) },
    ]);
  });

  it("gives a ranking that later changes do not reach", () => {
    const set = new VectorSet(2);
    set.set("a", new Float32Array([1, 0]));
    set.set("b", new Float32Array([0, 1]));
    const ranking = set.search(new Float32Array([1, 0]));
    set.delete("a");
    set.set("c", new Float32Array([1, 0]));
    set.search(new Float32Array([0, 1]));
    expect([...ranking].map(({ id }) => id)).toEqual(["a", "b"]);
  });

  it("keeps several sets apart", () => {
    const sets = Array.from({ length: 5 }, () => new VectorSet(3));
    for (const [index, set] of sets.entries()) set.set(`id-${index}`, new Float32Array([index + 1, 1, 0]));
    for (const [index, set] of sets.entries()) {
      expect([...set.search(new Float32Array([index + 1, 1, 0]))]).toEqual([
        { id: `id-${index}`, score: expect.closeTo(1, 5) },
      ]);
    }
  });

  it("refuses what has no direction or another dimension, and stays as it was", () => {
    const set = new VectorSet(2);
    set.set("a", new Float32Array([1, 0]));
    for (const vector of [[1, 2, 3], [0, 0], [1, Number.NaN], [Number.POSITIVE_INFINITY, 1], []]) {
      expect(refusal(() => set.set("a", new Float32Array(vector)))).toMatchObject({
        kind: "invalid",
        message: expect.stringContaining("embedding"),
      });
      expect(refusal(() => set.search(new Float32Array(vector))).message).toContain("query");
    }
    expect([...set.search(new Float32Array([1, 0]))]).toEqual([{ id: "a", score: 1 }]);
    expect(() => new VectorSet(0)).toThrow(RangeError);
  });
});

describe("the compiled kernel", () => {
  const root = fileURLToPath(new URL("../../../", import.meta.url));

  it("is the one of its source, and a stale one is reported", () => {
    const folder = mkdtempSync(join(tmpdir(), "mem0ctl-wasm-"));
    try {
      mkdirSync(join(folder, ".config"));
      mkdirSync(join(folder, "src"));
      cpSync(join(root, ".config/wasm.mjs"), join(folder, ".config/wasm.mjs"));
      cpSync(join(root, "src/memory"), join(folder, "src/memory"), { recursive: true });
      symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
      const check = () =>
        spawnSync(process.execPath, [join(folder, ".config/wasm.mjs"), "--check"], { encoding: "utf8" });
      expect(check()).toMatchObject({ status: 0, stderr: "" });
      writeFileSync(join(folder, "src/memory/dot-product.wat"), '(module (memory (export "memory") 1))');
      expect(check()).toMatchObject({ status: 1, stderr: expect.stringContaining("dot-product-wasm.ts") });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
