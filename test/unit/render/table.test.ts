import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renderFields, renderTable } from "../../../src/render/table.ts";
import { displayWidth, runs, truncate, wrap } from "../../../src/render/text.ts";
import { makeTheme } from "../../../src/render/theme.ts";

const terminal = (columns: number) =>
  makeTheme({ isTty: true, env: { LANG: "en_US.UTF-8" }, columns, noColor: true });
const pipe = makeTheme({ isTty: false, env: {}, columns: 80, noColor: false });

interface Row {
  readonly id: string;
  readonly text: string;
}
const columns = [
  { title: "ID", text: (row: Row) => row.id },
  { title: "LESS", text: () => "0123456789", dropRank: 1 },
  { title: "LEAST", text: () => "0123456789", dropRank: 2 },
  { title: "TEXT", text: (row: Row) => row.text, widthMin: 10 },
];
const titles = (table: string): string[] => (table.split("\n")[0] ?? "").split(/ +/);

describe("a table", () => {
  test("on a pipe is columns two spaces apart and nothing else, and is never cut", () => {
    const table = renderTable(pipe, columns, [{ id: "a", text: "x".repeat(100) }]);
    expect(table).toBe(`ID  LESS        LEAST       TEXT\na   0123456789  0123456789  ${"x".repeat(100)}`);
  });

  test("on a terminal has a rule and fits: texts are shortened, then the least important columns go", () => {
    const rows = [{ id: "a", text: "x".repeat(60) }];
    expect(titles(renderTable(terminal(100), columns, rows))).toEqual(["ID", "LESS", "LEAST", "TEXT"]);
    expect(renderTable(terminal(60), columns, rows)).toContain(`${"x".repeat(31)}…`);
    expect(titles(renderTable(terminal(40), columns, rows))).toEqual(["ID", "LESS", "LEAST", "TEXT"]);
    const narrow = [{ id: "a".repeat(12), text: "x".repeat(60) }];
    expect(titles(renderTable(terminal(40), columns, narrow))).toEqual(["ID", "LESS", "TEXT"]);
  });

  test("no cell can make a line of its own, or a line wider than the terminal", () => {
    const cell = fc.string({
      unit: fc.constantFrom("a", " ", "\n", "\u001b", "日", "👩", "e\u0301"),
      maxLength: 90,
    });
    fc.assert(
      fc.property(fc.array(fc.record({ id: cell, text: cell }), { maxLength: 4 }), (rows) => {
        const lines = renderTable(terminal(60), columns, rows).split("\n");
        expect(lines).toHaveLength(rows.length + 2);
        expect(lines.filter((line) => displayWidth(line) > 60)).toEqual([]);
      }),
    );
  });

  test("a column of several lines goes on below itself", () => {
    const table = renderTable(
      terminal(40),
      [
        { title: "ID", text: () => "a" },
        {
          title: "TEXT",
          text: () => "one two three four five six seven eight nine ten",
          widthMin: 10,
          linesMax: 2,
        },
      ],
      [0],
    );
    expect(table.split("\n").slice(2)).toEqual([
      "a   one two three four five six seven",
      "    eight nine ten",
    ]);
  });

  test("columns stay aligned over more rows than are laid out in one go", () => {
    const rows = Array.from({ length: 100 }, (_, index) => ({
      id: "x".repeat((index % 90) + 1),
      text: "end",
    }));
    const ends = renderTable(pipe, columns, rows)
      .split("\n")
      .slice(1)
      .map((line) => line.indexOf("end"));
    expect(new Set(ends)).toEqual(new Set([90 + 2 + 10 + 2 + 10 + 2]));
  });

  test("titles alone when there is no row", () => {
    expect(renderTable(pipe, columns, [])).toBe("ID  LESS  LEAST  TEXT");
  });
});

test("fields are aligned, and a long value goes on below itself", () => {
  expect(
    renderFields(terminal(40), [
      ["id", "x"],
      ["memory", "one two three four five six seven eight"],
    ]),
  ).toBe("id      x\nmemory  one two three four five six\n        seven eight");
});

describe("the width of text", () => {
  test.each([
    ["plain", 5],
    ["日本", 4],
    ["e\u0301", 1],
    ["👩", 2],
    ["👨‍👩‍👧", 2],
    ["👍🏽", 2],
    ["🇫🇷", 2],
    ["●○·─", 4],
    ["", 0],
  ])("%s takes %i columns", (text, width) => {
    expect(displayWidth(text)).toBe(width);
  });

  test("cut text fits, and is left alone when it did", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", " ", "日", "👩", "e\u0301"), maxLength: 30 }),
        fc.integer({ min: 1, max: 20 }),
        (text, width) => {
          const cut = truncate(text, width);
          expect(displayWidth(cut)).toBeLessThanOrEqual(width);
          expect(displayWidth(text) <= width ? cut : text).toBe(text);
        },
      ),
    );
  });

  test("wrapped lines fit and hold every word", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom("a", "b", "日"), minLength: 1, maxLength: 12 })),
        fc.integer({ min: 4, max: 20 }),
        (words, width) => {
          const lines = wrap(words.join(" "), width);
          expect(lines.filter((line) => displayWidth(line) > width)).toEqual([]);
          expect(lines.join("").replaceAll(" ", "")).toBe(words.join(""));
        },
      ),
    );
  });
});

test.each([
  [["0", "1", "2", "3", "5", "9", "10"], "0-3, 5, 9, 10"],
  [["7"], "7"],
  [["a", "b", "1", "2", "3"], "a, b, 1-3"],
  [[], ""],
])("ids %j as runs: %s", (ids, text) => {
  expect(runs(ids)).toBe(text);
});
