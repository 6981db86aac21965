import { describe, expect, it } from "vitest";
import fc from "fast-check";
import type { MemoryRecord } from "../../../src/model/node-api.ts";
import { formatRecord, parseLine } from "../../../src/memory/interchange.ts";
import { refusal } from "./refusal.ts";

// The promised limit.
const LINE_BYTES_MAX = 8_388_608;

const DIMENSIONS = 5;
const NOW = "2026-03-04T05:06:07.890Z";
const TEXT = fc.string({ minLength: 1, unit: "binary" }).filter((text) => text.trim() !== "");
const NAME = fc.string({ minLength: 1, maxLength: 50, unit: "grapheme" }).filter((name) => name !== "*");
const ID = fc.uuid();
const DATE = fc
  .date({ min: new Date("2000-01-01T00:00:00Z"), max: new Date("2100-01-01T00:00:00Z"), noInvalidDate: true })
  .map((date) => date.toISOString());
const VALUE = fc.jsonValue({ maxDepth: 4 }).map((value): unknown => JSON.parse(JSON.stringify(value)));
const KEY = fc.string().filter((key) => !["__proto__", "constructor", "prototype"].includes(key));
const FLOAT = fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const RECORD: fc.Arbitrary<MemoryRecord> = fc.record(
  {
    id: ID,
    memory: TEXT,
    user_id: NAME,
    agent_id: NAME,
    run_id: NAME,
    app_id: NAME,
    metadata: fc.dictionary(KEY, VALUE.filter(isSafe)),
    categories: fc.array(NAME, { maxLength: 4 }),
    created_at: DATE,
    updated_at: DATE,
    embedding: fc
      .array(FLOAT, { minLength: DIMENSIONS, maxLength: DIMENSIONS })
      .filter((vector) => vector.some((value) => value !== 0)),
    history: fc.array(
      fc.record({
        id: ID,
        event: fc.constantFrom("ADD", "UPDATE", "DELETE"),
        old_memory: fc.option(TEXT),
        new_memory: fc.option(TEXT),
        created_at: DATE,
      }),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ["id", "memory", "app_id", "created_at", "updated_at"] },
);

function isSafe(value: unknown): boolean {
  const text = JSON.stringify(value);
  return !/"(__proto__|constructor|prototype)":/.test(text) && !/\\ud[89a-f]/i.test(text);
}

const MINIMAL: MemoryRecord = {
  id: "m1",
  memory: "Prefers tea",
  user_id: "u1",
  created_at: "2026-01-31T09:30:00Z",
  updated_at: "2026-01-31T09:30:00Z",
};

describe("the interchange format", () => {
  it("loses nothing of any record", () => {
    fc.assert(
      fc.property(RECORD, (record) => {
        const line = formatRecord(record);
        expect(line).not.toMatch(/[\r\n]/);
        const parsed = parseLine(line, 1, DIMENSIONS, NOW);
        expect(parsed).toEqual(record);
        expect(formatRecord(parsed)).toBe(line);
      }),
    );
  });

  it("keeps every float32 to the bit, with at most 9 digits in the usual range", () => {
    const bits = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((word) => {
      const view = new DataView(new ArrayBuffer(4));
      view.setInt32(0, word);
      return view.getFloat32(0) + 0;
    });
    const finite = bits.filter((value) => Number.isFinite(value) && value !== 0);
    fc.assert(
      fc.property(finite, (value) => {
        const { embedding } = parseLine(formatRecord({ ...MINIMAL, embedding: [value] }), 1, 1, NOW);
        expect(embedding).toEqual([value]);
      }),
      { numRuns: 1000 },
    );
    const usual = fc.integer({ min: 1_000_000, max: 999_999_999 }).map((number) => Math.fround(number / 1e9));
    fc.assert(
      fc.property(usual, (value) => {
        const line = formatRecord({ ...MINIMAL, embedding: [value] });
        expect(line).toMatch(/"embedding":\[(1|0\.0*[1-9]\d{0,8})\]/);
      }),
      { numRuns: 1000 },
    );
  });

  it("writes a number as a person would", () => {
    const embedding = [0.1, -0.25, 1, 0, 1 / 3].map((value) => Math.fround(value));
    expect(formatRecord({ ...MINIMAL, embedding })).toContain('"embedding":[0.1,-0.25,1,0,0.33333334]');
  });

  it("writes fields in one order, whatever order they came in", () => {
    const { id, ...rest } = MINIMAL;
    expect(formatRecord({ ...rest, id })).toBe(formatRecord(MINIMAL));
  });

  it.each([
    ["", "not a JSON object"],
    ["{", "not a JSON object"],
    ["[]", "JSON object"],
    ['"text"', "JSON object"],
    [JSON.stringify({ ...MINIMAL, colour: "red", shape: 1 }), "colour: unknown field; shape: unknown field"],
    [JSON.stringify({ ...MINIMAL, embedding: [1, 2] }), "2 dimensions"],
    [JSON.stringify(MINIMAL).replace("{", '{"__proto__":{"id":"x"},'), "__proto__: unknown field"],
  ])("%j is refused with the number of its line", (line, reason) => {
    const error = refusal(() => parseLine(line, 7431, DIMENSIONS, NOW));
    expect(error).toMatchObject({ kind: "invalid", code: "line-invalid", data: { line: 7431 } });
    expect(error.message).toMatch(/^line 7431: /);
    expect(error.message).toContain(reason);
  });

  it("never repeats in a message what an unknown field's name could do to a terminal", () => {
    const line = JSON.stringify({ ...MINIMAL, ["\u001b[31m".repeat(100)]: 1 });
    const { message } = refusal(() => parseLine(line, 1, DIMENSIONS, NOW));
    expect(message).not.toContain("\u001b");
    expect(message.length).toBeLessThan(700);
  });

  it("refuses a line beyond the limit before it is parsed", () => {
    const line = JSON.stringify({ ...MINIMAL, memory: "x".repeat(LINE_BYTES_MAX) });
    expect(refusal(() => parseLine(line, 2, DIMENSIONS, NOW)).message).toContain(String(LINE_BYTES_MAX));
  });
});

describe("a line that says only what is remembered of whom", () => {
  const said = { memory: "Prefers tea", user_id: "alice" };
  const parsed = (line: Readonly<Record<string, unknown>>, at = NOW): MemoryRecord =>
    parseLine(JSON.stringify(line), 1, DIMENSIONS, at);

  it("is a memory of now", () => {
    expect(parsed(said)).toEqual({
      ...said,
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      created_at: NOW,
      updated_at: NOW,
    });
  });

  it("has the same id wherever and whenever it is read", () => {
    const { id } = parsed(said);
    expect(parsed({ user_id: "alice", memory: "Prefers tea" }, "2027-01-01T00:00:00.000Z").id).toBe(id);
    const sources = [
      { a: 1, b: { c: [{ e: 1, d: 2 }], "10": 0 } },
      { b: { "10": 0, c: [{ d: 2, e: 1 }] }, a: 1 },
    ];
    expect(new Set(sources.map((metadata) => parsed({ ...said, metadata }).id)).size).toBe(1);
    // A vector is made of the text, and may come later.
    expect(parsed({ ...said, embedding: [1, 2, 3, 4, 5] }).id).toBe(id);
  });

  it("has another id than every line that says anything else", () => {
    const lines = [
      said,
      { ...said, memory: "Prefers tea." },
      { ...said, user_id: "alice2" },
      { memory: said.memory, agent_id: "alice" },
      { ...said, agent_id: "bot" },
      { ...said, run_id: "bot" },
      { ...said, metadata: { source: "chat" } },
      { ...said, metadata: { source: ["chat", "mail"] } },
      { ...said, metadata: { source: ["mail", "chat"] } },
      { ...said, categories: ["drinks"] },
      { ...said, created_at: "2026-01-31T09:30:00Z" },
      { ...said, updated_at: "2026-01-31T09:30:00Z" },
    ];
    expect(new Set(lines.map((line) => parsed(line).id)).size).toBe(lines.length);
  });

  it("keeps its id and the times that it gives; the other time is the same", () => {
    const [early, late] = ["2026-01-31T09:30:00Z", "2026-02-01T10:00:00Z"];
    expect(parsed({ ...said, id: "tea" })).toEqual({ ...said, id: "tea", created_at: NOW, updated_at: NOW });
    const timesOf = ({ created_at, updated_at }: MemoryRecord): readonly string[] => [created_at, updated_at];
    expect(timesOf(parsed({ ...said, created_at: early }))).toEqual([early, early]);
    expect(timesOf(parsed({ ...said, updated_at: late }))).toEqual([late, late]);
    expect(timesOf(parsed({ ...said, created_at: early, updated_at: late }))).toEqual([early, late]);
  });

  it("may be a memory as mem0 answers with it", () => {
    const answered = {
      id: "892db2ae-06d9-49e5-8b3e-585ef9b85b8e",
      ...said,
      agent_id: null,
      hash: "5d3ecd9a6ff4bd8ab6d0ea6ee2d4ed6e",
      metadata: null,
      created_at: "2024-07-26T10:29:36.630547-07:00",
      updated_at: null,
    };
    const { id, created_at } = answered;
    expect(parsed(answered)).toEqual({ ...said, id, created_at, updated_at: created_at });
    expect(parsed({ ...said, id: null, created_at: null }).id).toBe(parsed(said).id);
  });

  it("is refused for what is wrong with it alone", () => {
    for (const [line, message] of [
      [{ memory: "x" }, "line 1: user_id: a memory needs at least one of user_id, agent_id, run_id, app_id"],
      [{ user_id: "alice" }, "line 1: memory: is missing"],
      [
        { ...said, created_at: "today" },
        "line 1: created_at: must be a date and time such as 2026-01-31T09:30:00Z",
      ],
      [{ ...said, id: 7 }, 'line 1: id: must be 1 to 128 letters, digits, "-" or "_"'],
    ] as const) {
      expect(refusal(() => parsed(line)).message).toBe(message);
    }
  });
});
