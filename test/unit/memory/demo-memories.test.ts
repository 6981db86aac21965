import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { formatRecord, parseLine } from "../../../src/memory/interchange.ts";
import { shardHint } from "../../../src/memory/id.ts";
import { lexicalEmbedding } from "../../../src/memory/lexical.ts";
import { VectorSet } from "../../../src/memory/vector-set.ts";

const DIMENSIONS = 384;
const text = readFileSync(new URL("../../../src/cli/demo/memories.jsonl", import.meta.url), "utf8");
const lines = text.trimEnd().split("\n");
const records = lines.map((line, index) => parseLine(line, index + 1, DIMENSIONS, ""));

describe("the demo's memories", () => {
  it("are 3,000 valid ones, of at least 30 users, in less than 900 kB", () => {
    expect(records).toHaveLength(3000);
    expect(new Set(records.map((record) => record.id)).size).toBe(3000);
    expect(new Set(records.flatMap((record) => record.user_id ?? [])).size).toBeGreaterThanOrEqual(30);
    expect(records.filter((record) => record.user_id === undefined).length).toBeGreaterThan(100);
    expect(Buffer.byteLength(text)).toBeLessThan(900_000);
  });

  it("are written exactly as an export would write them", () => {
    for (const [index, record] of records.entries()) expect(formatRecord(record)).toBe(lines[index]);
  });

  it("are varied, without vectors, and dated by their ids", () => {
    expect(new Set(records.map((record) => record.memory)).size).toBeGreaterThan(2500);
    for (const record of records) {
      expect(record.embedding).toBeUndefined();
      expect(shardHint(record.id)).toBeLessThan(16);
      expect(Number.parseInt(record.id.slice(0, 13).replace("-", ""), 16)).toBe(
        Date.parse(record.created_at),
      );
      expect(Date.parse(record.updated_at)).toBeGreaterThanOrEqual(Date.parse(record.created_at));
    }
  });

  it("are found by their words", () => {
    const set = new VectorSet(DIMENSIONS);
    const textOf = new Map(records.map((record) => [record.id, record.memory]));
    for (const record of records) set.set(record.id, lexicalEmbedding(record.memory, DIMENSIONS));
    const best = (query: string) =>
      [...set.search(lexicalEmbedding(query, DIMENSIONS))].slice(0, 5).map(({ id }) => textOf.get(id) ?? "");
    for (const found of best("who is allergic to penicillin?")) expect(found).toMatch(/allergic/);
    for (const found of best("sourdough, rye bread baking")) expect(found).toMatch(/bread|baking/i);
    for (const found of best("passport expires")) expect(found).toMatch(/expires/);
  });
});
