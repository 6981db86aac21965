import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { lexicalEmbedding } from "../../../src/memory/lexical.ts";
import { referenceEmbedding } from "./lexical-reference.ts";

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

  const units = fc.oneof(
    fc.constantFrom("a", "b", "z", "0", "9", " ", " ", "`", "{", "/", ":", "\u0000", "\u007f"),
    fc.constantFrom("\u00aa", "\u00b5", "\u00bf", "\u00c0", "\u00d7", "\u00f7", "\u2014", "\u2070", "\u2e7f"),
    fc.constantFrom(
      "\u2e80",
      "\u3040",
      "東",
      "京",
      "\ud7ff",
      "\ud800",
      "\udfff",
      "\ue000",
      "\ufaff",
      "\ufb00",
    ),
    fc.string({ maxLength: 3, unit: "binary" }),
    // More features of one word than are held at once.
    fc.integer({ min: 200, max: 900 }).map((length) => "abcdefg".repeat(length / 7)),
  );

  it("is, bit for bit, what its features give when they are added one by one", () => {
    fc.assert(
      fc.property(
        fc.array(units, { maxLength: 60 }).map((parts) => parts.join("")),
        fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(384, 1536, 4095, 4096)),
        (text, dimensions) => {
          expect(lexicalEmbedding(text, dimensions)).toEqual(referenceEmbedding(text, dimensions));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("is so for words of every length, wherever in the text they end", () => {
    const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    const word = fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 1, max: 14 }) },
      { weight: 1, arbitrary: fc.integer({ min: 15, max: 140 }) },
    );
    const text = fc.array(
      fc.tuple(word, fc.nat(35), fc.constantFrom(" ", " ", " ", ", ", ". ", " \u2014 ", "\u00e9", "東")),
      { minLength: 1, maxLength: 80 },
    );
    fc.assert(
      fc.property(text, fc.constantFrom(1, 7, 384, 1000), (parts, dimensions) => {
        const made = parts
          .map(([length, from, end]) => {
            const units = Array.from({ length }, (_, at) => letters[(from + at * (from + 1)) % 36] ?? "");
            return units.join("") + end;
          })
          .join("");
        expect(lexicalEmbedding(made, dimensions)).toEqual(referenceEmbedding(made, dimensions));
      }),
      { numRuns: 500 },
    );
  });

  it("takes a text of megabytes, and then a short one", () => {
    const long = "Prefers a window seat. ".repeat(100_000);
    for (const text of [long, "a", long, "Prefers an aisle seat"]) {
      expect(lexicalEmbedding(text, 16)).toEqual(referenceEmbedding(text, 16));
    }
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
