import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { lexicalEmbedding } from "../../../src/memory/lexical.ts";

const DIMENSIONS = 384;

function cosine(left: string, right: string): number {
  const other = lexicalEmbedding(right, DIMENSIONS);
  return lexicalEmbedding(left, DIMENSIONS).reduce(
    (sum, value, index) => sum + value * (other[index] ?? 0),
    0,
  );
}

describe("the lexical embedding", () => {
  it("has length 1 for every text that is not empty, in any number of dimensions", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 40, unit: "binary" }),
        fc.integer({ min: 1, max: 500 }),
        (text, dimensions) => {
          const vector = lexicalEmbedding(text, dimensions);
          expect(vector).toHaveLength(dimensions);
          const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
          expect(length).toBeCloseTo(1, 5);
        },
      ),
    );
  });

  it("is the same for the same text, and for the same text written otherwise", () => {
    expect(lexicalEmbedding("Café in Zürich", DIMENSIONS)).toEqual(
      lexicalEmbedding("Café in Zürich", DIMENSIONS),
    );
    expect(cosine("Cafe\u0301 IN ZÜRICH", "café in zürich")).toBeCloseTo(1, 6);
    expect(cosine("ﬁnance", "finance")).toBeCloseTo(1, 6);
  });

  it("does not change between versions: stored vectors would no longer match new ones", () => {
    const vector = lexicalEmbedding("Prefers a window seat", 8);
    expect([...vector].map((value) => Math.round(value * 1e4) / 1e4)).toMatchInlineSnapshot(`
      [
        0.1991,
        0.0885,
        0.5255,
        0.3762,
        -0.1659,
        -0.3319,
        0.3717,
        0.5089,
      ]
    `);
  });

  it("brings texts with common words near each other, whatever their order and endings", () => {
    const unrelated = cosine("Is allergic to peanuts", "The boiler makes a loud noise");
    expect(Math.abs(unrelated)).toBeLessThan(0.2);
    expect(cosine("Is allergic to peanuts", "peanuts: allergic")).toBeGreaterThan(0.6);
    expect(cosine("Is allergic to peanuts", "a peanut allergy")).toBeGreaterThan(unrelated + 0.2);
    expect(cosine("東京に住んでいます", "東京が好き")).toBeGreaterThan(
      cosine("東京に住んでいます", "大阪が好き"),
    );
  });

  it("tells texts apart that consist of punctuation", () => {
    expect(cosine("!!!", "!!!")).toBeCloseTo(1, 6);
    expect(Math.abs(cosine("!!!", "???"))).toBeLessThan(0.01);
  });

  it("refuses a number of dimensions that cannot be", () => {
    for (const dimensions of [0, -1, 1.5, Number.NaN]) {
      expect(() => lexicalEmbedding("x", dimensions)).toThrow(RangeError);
    }
  });
});
