import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { renderJson } from "../../../src/render/json.ts";
import { safeText } from "../../../src/render/safe.ts";
import { renderYaml } from "../../../src/render/yaml.ts";

const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({
    unit: fc.constantFrom(
      "a",
      "\u001b",
      "[31m",
      "\u009b",
      "\n",
      "\r",
      "\u202e",
      "\u2066",
      "\u200b",
      "\u200d",
      "❤",
      "\ufe0f",
      "👩",
      "می",
      "\u{e0041}",
      "\ud800",
      "\u2028",
      "\u007f",
      "\u00ad",
    ),
  }),
);
const ACTIVE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u;

describe("untrusted text", () => {
  test.each([
    ["\u001b[31mred\u001b[0m", "\\x1b[31mred\\x1b[0m"],
    ["\u001b]0;title\u0007", "\\x1b]0;title\\x07"],
    ["\u009b31m", "\\x9b31m"],
    ["one\ntwo\r\n\tthree", "one\\ntwo\\r\\n\\tthree"],
    ["abc\u202efdp.exe", "abc\\u{202e}fdp.exe"],
    ["pay\u200bpal", "pay\\u{200b}pal"],
    ["tag\u{e0041}", "tag\\u{e0041}"],
    ["\ufeffbom", "\\u{feff}bom"],
    ["lone \ud800 half", "lone \\u{d800} half"],
    ["line\u2028separator", "line\\u{2028}separator"],
    ["hangul\u3164filler", "hangul\\u{3164}filler"],
  ])("%j is shown as %s", (untrusted, shown) => {
    expect(safeText(untrusted)).toBe(shown);
  });

  test.each(["plain", "é 日本語 Ελλάδα", "👨‍👩‍👧 ❤️ 👍🏽", "می‌خواهم", "C:\\temp"])("%j stays as it is", (text) => {
    expect(safeText(text)).toBe(text);
  });

  test("nothing that a terminal acts upon comes through, whatever goes in", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(safeText(text)).not.toMatch(ACTIVE);
      }),
    );
  });
});

describe("documents for scripts", () => {
  test("JSON says what was in the value, and has no character that a terminal acts upon but its line ends", () => {
    fc.assert(
      fc.property(anyText, anyText, (key, text) => {
        const json = renderJson({ [`k${key}`]: [text] });
        expect(JSON.parse(json)).toEqual({ [`k${key}`]: [text] });
        expect(json.replaceAll("\n", "")).not.toMatch(ACTIVE);
      }),
    );
  });

  test("JSON is indented by two and ends its line", () => {
    expect(renderJson({ a: [1], b: undefined })).toBe('{\n  "a": [\n    1\n  ]\n}\n');
  });

  test("YAML says the same, as safely", async () => {
    await fc.assert(
      fc.asyncProperty(anyText, anyText, async (key, text) => {
        // A lone surrogate is no character: YAML has no way to write it.
        fc.pre(!/\p{Cs}/u.test(text + key));
        const yaml = await renderYaml({ [`k${key}`]: [text], n: null });
        expect(parse(yaml)).toEqual({ [`k${key}`]: [text], n: null });
        expect(yaml.replaceAll("\n", "")).not.toMatch(ACTIVE);
      }),
      { numRuns: 60 },
    );
  });

  test("YAML repeats what appears twice and keeps text that looks like a number a text", async () => {
    const shared = { a: "1" };
    expect(await renderYaml({ x: shared, y: shared, left: undefined })).toBe('x:\n  a: "1"\ny:\n  a: "1"\n');
  });
});
