import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { boundingShardKeys, matches, parseFilter, scopeFilter } from "../../../src/memory/filter.ts";
import type { ShardKeyField } from "../../../src/model/ids.ts";
import type { FilterView } from "../../../src/memory/filter.ts";
import { shardKeyOf } from "../../../src/memory/record.ts";
import { outcome, refusal } from "./refusal.ts";

// The promised limits.
const FILTER_DEPTH_MAX = 16;
const FILTER_SIZE_MAX = 1000;

const RECORD: FilterView = {
  id: "m1",
  memory: "Sent the Invoice for the window seat",
  user_id: "u1",
  run_id: "r1",
  metadata: {
    source: "email",
    score: 0.8,
    tags: ["urgent-now", "home"],
    place: { city: "Cork" },
    done: null,
  },
  categories: ["Finance", "travel"],
  created_at: "2026-01-31T09:30:00Z",
  updated_at: "2026-02-10T00:00:00+02:00",
};

function accepts(json: unknown, record: FilterView = RECORD): boolean {
  return matches(parseFilter(json), record);
}

describe("a filter", () => {
  it.each<[string, unknown, boolean]>([
    ["everything when it is empty", {}, true],
    ["a bare value", { user_id: "u1" }, true],
    ["a bare value that differs", { user_id: "u2" }, false],
    ["siblings, all of them", { user_id: "u1", run_id: "r1" }, true],
    ["siblings, not only some of them", { user_id: "u1", run_id: "r2" }, false],
    ["AND", { AND: [{ user_id: "u1" }, { run_id: "r2" }] }, false],
    ["OR", { OR: [{ user_id: "u2" }, { run_id: "r1" }] }, true],
    ["OR beside another condition", { user_id: "u1", OR: [{ run_id: "r2" }, { run_id: "r3" }] }, false],
    ["NOT of an object", { NOT: { categories: { in: ["spam", "test"] } } }, true],
    ["NOT of a list: none of it", { NOT: [{ user_id: "u2" }, { run_id: "r1" }] }, false],
    ["NOT around OR", { NOT: { OR: [{ user_id: "u2" }, { run_id: "r2" }] } }, true],
    ["the wildcard, on a value", { run_id: "*" }, true],
    ["the wildcard, on no value", { agent_id: "*" }, false],
    ["the wildcard as eq", { agent_id: { eq: "*" } }, false],
    ["null, on no value", { agent_id: null }, true],
    ["null, on a value", { user_id: null }, false],
    ["eq", { user_id: { eq: "u1" } }, true],
    ["ne", { user_id: { ne: "u1" } }, false],
    ["ne, on no value", { agent_id: { ne: "a1" } }, true],
    ["in", { user_id: { in: ["u0", "u1"] } }, true],
    ["nin", { user_id: { nin: ["u0", "u1"] } }, false],
    ["nin, on no value", { app_id: { nin: ["x"] } }, true],
    ["a list of ids", { memory_ids: ["m0", "m1"] }, true],
    ["in of ids", { memory_ids: { in: ["m0"] } }, false],
    ["one id", { id: "m1" }, true],
    ["text with its case", { keywords: { contains: "Invoice" } }, true],
    ["text in another case", { keywords: { contains: "invoice" } }, false],
    ["text whatever its case", { keywords: { icontains: "INVOICE" } }, true],
    ["a category", { categories: { in: ["travel"] } }, true],
    ["a category, only whole", { categories: { in: ["trav"] } }, false],
    ["part of a category, whatever its case", { categories: { contains: "fin" } }, true],
    ["no such category", { categories: { ne: "spam" } }, true],
    ["a time after", { created_at: { gt: "2026-01-31T09:29:59Z" } }, true],
    ["a time at the bound", { created_at: { gte: "2026-01-31T10:30:00+01:00" } }, true],
    ["a time before the bound", { created_at: { lt: "2026-01-31T09:30:00Z" } }, false],
    ["a range in one condition", { created_at: { gte: "2026-01-01", lt: "2026-02-01" } }, true],
    ["a zone other than the bound's", { updated_at: { lt: "2026-02-10" } }, true],
    ["a time without a zone, as UTC", { created_at: "2026-01-31T09:30:00" }, true],
    ["metadata by key", { metadata: { source: "email" } }, true],
    ["metadata by all keys", { metadata: { source: "email", score: 1 } }, false],
    ["metadata inside eq", { metadata: { eq: { source: "email" } } }, true],
    ["metadata inside contains", { metadata: { contains: { source: "chat" } } }, false],
    ["metadata inside ne", { metadata: { ne: { source: "chat" } } }, true],
    ["a number in metadata", { metadata: { score: { gte: 0.8, lt: 0.9 } } }, true],
    ["a number against a string", { metadata: { source: { gt: 5 } } }, false],
    ["part of a string in metadata", { metadata: { source: { contains: "mai" } } }, true],
    ["part of a list in metadata", { metadata: { tags: { contains: "urgent" } } }, true],
    ["a list in metadata, as a whole", { metadata: { tags: ["urgent-now", "home"] } }, true],
    ["an object in metadata, as a whole", { metadata: { place: { city: "Cork" } } }, true],
    ["an object in metadata that has more", { metadata: { place: { city: "Cork", zip: 1 } } }, false],
    ["null in metadata", { metadata: { done: null } }, true],
    ["null in metadata is not a value", { metadata: { done: "*" } }, false],
    ["a key that every object inherits", { metadata: { toString: "*" } }, false],
    ["one of several in metadata", { metadata: { source: { in: ["chat", "email"] } } }, true],
    ["any metadata", { metadata: "*" }, true],
  ])("knows %s", (_, json, expected) => {
    expect(accepts(json)).toBe(expected);
  });

  it("finds no metadata and no categories where there are none", () => {
    const { metadata: _m, categories: _c, ...bare } = RECORD;
    expect(accepts({ metadata: { source: "email" } }, bare)).toBe(false);
    expect(accepts({ metadata: "*" }, bare)).toBe(false);
    expect(accepts({ metadata: { ne: { source: "email" } } }, bare)).toBe(true);
    expect(accepts({ categories: { contains: "f" } }, bare)).toBe(false);
    expect(accepts({ NOT: { categories: "travel" } }, bare)).toBe(true);
  });

  it.each<[unknown, string]>([
    [null, "filters"],
    ["user_id", "filters"],
    [[], "filters"],
    [{ usr_id: "u1" }, "filters.usr_id"],
    [{ "bad\u001b[31m": 1 }, 'filters."bad\\u001b[31m"'],
    [{ and: [] }, "filters.and"],
    [{ AND: { user_id: "u1" } }, "filters.AND"],
    [{ AND: [] }, "filters.AND"],
    [{ AND: [{ user_id: "u1" }, 5] }, "filters.AND[1]"],
    [{ OR: [{ user_id: { is: "u1" } }] }, "filters.OR[0].user_id.is"],
    [{ user_id: 5 }, "filters.user_id"],
    [{ user_id: {} }, "filters.user_id"],
    [{ user_id: { gt: "a" } }, "filters.user_id.gt"],
    [{ user_id: { in: "u1" } }, "filters.user_id.in"],
    [{ user_id: { in: [] } }, "filters.user_id.in"],
    [{ user_id: { in: ["u1", 5] } }, "filters.user_id.in[1]"],
    [{ created_at: { gte: "soon" } }, "filters.created_at.gte"],
    [{ created_at: { gte: 5 } }, "filters.created_at.gte"],
    [{ created_at: { contains: "2026" } }, "filters.created_at.contains"],
    [{ keywords: { contains: null } }, "filters.keywords.contains"],
    [{ metadata: "email" }, "filters.metadata"],
    [{ metadata: {} }, "filters.metadata"],
    [{ metadata: { score: { gt: true } } }, "filters.metadata.score.gt"],
    [{ metadata: { score: { gt: Number.NaN } } }, "filters.metadata.score.gt"],
    [{ metadata: { score: Number.POSITIVE_INFINITY } }, "filters.metadata.score"],
  ])("%j is refused at %s", (json, path) => {
    const error = refusal(() => parseFilter(json));
    expect(error).toMatchObject({ kind: "invalid", code: "filter-invalid", data: { field: path } });
    expect(error.message.startsWith(`${path}: `)).toBe(true);
  });

  it("says what was probably meant", () => {
    expect(refusal(() => parseFilter({ $or: [] })).hint).toContain("OR");
    expect(refusal(() => parseFilter({ source: "email" })).hint).toContain("metadata");
    expect(refusal(() => parseFilter({ user_id: { ">=": "a" } })).hint).toContain("gte");
  });

  it("is bounded in depth and in size", () => {
    const deep = (depth: number): unknown => (depth === 1 ? { user_id: "u1" } : { NOT: deep(depth - 1) });
    expect(accepts(deep(FILTER_DEPTH_MAX - 1))).toBeTypeOf("boolean");
    expect(refusal(() => parseFilter(deep(FILTER_DEPTH_MAX + 1))).message).toContain("deeper");
    expect(refusal(() => parseFilter(deep(5000))).message).toContain("deeper");
    let object: unknown = 1;
    for (let level = 0; level < 5000; level += 1) object = { inner: object };
    expect(refusal(() => parseFilter({ metadata: object })).message).toContain("deeper");

    const ids = Array.from({ length: FILTER_SIZE_MAX - 1 }, (_, index) => `m${index}`);
    expect(accepts({ memory_ids: ids })).toBe(true);
    for (const json of [
      { memory_ids: [...ids, "x"] },
      { metadata: { list: [...ids, 1, 2] } },
      { OR: ids.map((id) => ({ id })) },
    ]) {
      expect(refusal(() => parseFilter(json)).message).toContain(String(FILTER_SIZE_MAX));
    }
  });

  it("is plain data, so that a node can send it to another", () => {
    const filter = parseFilter({ user_id: "u1", NOT: [{ created_at: { lt: "2026-01-01" } }] });
    expect(JSON.parse(JSON.stringify(filter))).toEqual(filter);
  });

  it("is taken or refused, whatever comes in, and nothing else happens", () => {
    const keys = fc.constantFrom(
      "AND",
      "OR",
      "NOT",
      "user_id",
      "metadata",
      "categories",
      "created_at",
      "in",
      "x",
    );
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { depthSize: "small" },
        fc.anything({ maxDepth: 2 }),
        fc.array(tie("json"), { maxLength: 3 }),
        fc.dictionary(keys, tie("json"), { maxKeys: 3 }),
      ),
    }));
    fc.assert(
      fc.property(json, (value) => {
        expect(["done", "refused"]).toContain(outcome(() => accepts(value)));
      }),
      { numRuns: 300 },
    );
  });
});

// A second, dumb reading of the language: straight from the JSON, one rule per line, no parsing.
type Json = null | string | number | readonly Json[] | { readonly [key: string]: Json };

function dumb(json: { readonly [key: string]: Json }, record: FilterView): boolean {
  return Object.entries(json).every(([key, value]) => {
    const parts = (Array.isArray(value) ? value : [value]) as { readonly [key: string]: Json }[];
    if (key === "AND") return parts.every((part) => dumb(part, record));
    if (key === "OR") return parts.some((part) => dumb(part, record));
    if (key === "NOT") return parts.every((part) => !dumb(part, record));
    if (key === "metadata") {
      return Object.entries(value as { readonly [key: string]: Json }).every(([name, wanted]) =>
        dumbClause(record.metadata?.[name], wanted),
      );
    }
    const held = record[key as "user_id"];
    return dumbClause(key === "created_at" ? Date.parse(held ?? "") : held, value, key === "created_at");
  });
}

function dumbClause(held: unknown, wanted: Json, isTime = false): boolean {
  if (wanted === "*") return held !== undefined && held !== null;
  if (typeof wanted !== "object" || wanted === null) return dumbOperator(held, "eq", wanted, isTime);
  return Object.entries(wanted).every(([name, operand]) => dumbOperator(held, name, operand, isTime));
}

function dumbOperator(held: unknown, name: string, operand: Json, isTime: boolean): boolean {
  if (Array.isArray(operand)) {
    const found = operand.some((one: Json) => dumbOperator(held, "eq", one, isTime));
    return name === "in" ? found : !found;
  }
  const value = isTime && typeof operand === "string" ? Date.parse(operand) : operand;
  const isSame = Array.isArray(held)
    ? held.includes(value)
    : value === null
      ? (held ?? null) === null
      : held === value;
  if (name === "eq") return isSame;
  if (name === "ne") return !isSame;
  const text = typeof value === "string" ? value : "";
  if (name === "contains") return typeof held === "string" && held.includes(text);
  if (name === "icontains")
    return typeof held === "string" && held.toLowerCase().includes(text.toLowerCase());
  if (typeof held !== typeof value || held === undefined || value === null) return false;
  if (name === "gt") return (held as number) > (value as number);
  if (name === "gte") return (held as number) >= (value as number);
  if (name === "lt") return (held as number) < (value as number);
  return (held as number) <= (value as number);
}

const NAME = fc.constantFrom("a", "b", "c", "B");
const DATE = fc.constantFrom("2026-01-01", "2026-01-02T03:00:00Z", "2026-01-02T05:00:00+02:00", "2026-03-01");
const list = (value: fc.Arbitrary<Json>) => fc.array(value, { minLength: 1, maxLength: 3 });
const nameClause: fc.Arbitrary<Json> = fc.oneof(
  NAME,
  fc.constant("*"),
  fc.constant(null),
  fc.record({ eq: NAME, ne: NAME, contains: NAME, icontains: NAME }, { requiredKeys: [] }).filter(hasKeys),
  fc.record({ in: list(NAME), nin: list(NAME) }, { requiredKeys: [] }).filter(hasKeys),
);
const timeClause: fc.Arbitrary<Json> = fc.oneof(
  DATE,
  fc.record({ gt: DATE, gte: DATE, lt: DATE, lte: DATE, ne: DATE }, { requiredKeys: [] }).filter(hasKeys),
  fc.record({ in: list(DATE) }),
);
const NUMBER = fc.constantFrom(0, 1, 1.5, -2);
const jsonClause: fc.Arbitrary<Json> = fc.oneof(
  nameClause,
  NUMBER,
  fc
    .record({ gt: NUMBER, gte: NUMBER, lt: NUMBER, lte: NUMBER, eq: NUMBER }, { requiredKeys: [] })
    .filter(hasKeys),
);
const categoryClause: fc.Arbitrary<Json> = fc.oneof(
  NAME,
  fc.record({ in: list(NAME) }),
  fc.record({ ne: NAME }),
  fc.record({ nin: list(NAME) }),
);
const field = fc.oneof(
  fc.tuple(fc.constantFrom("user_id", "agent_id", "run_id", "app_id"), nameClause),
  fc.tuple(fc.constant("created_at"), timeClause),
  fc.tuple(fc.constant("categories"), categoryClause),
  fc.tuple(fc.constant("metadata"), fc.dictionary(fc.constantFrom("k", "l"), jsonClause, { minKeys: 1 })),
);
const leaf = fc
  .array(field, { minLength: 1, maxLength: 2 })
  .map((entries) => Object.fromEntries<Json>(entries));
type FilterJson = { readonly [key: string]: Json };
function filterOf(part: fc.Arbitrary<FilterJson>): fc.Arbitrary<FilterJson> {
  const { filter } = fc.letrec<{ filter: FilterJson }>((tie) => ({
    filter: fc.oneof(
      { maxDepth: 4 },
      { weight: 4, arbitrary: part },
      { weight: 3, arbitrary: fc.record({ AND: fc.array(tie("filter"), { minLength: 1, maxLength: 3 }) }) },
      { weight: 3, arbitrary: fc.record({ OR: fc.array(tie("filter"), { minLength: 1, maxLength: 3 }) }) },
      fc.record({ NOT: fc.array(tie("filter"), { minLength: 1, maxLength: 2 }) }),
      fc.record({ NOT: tie("filter") }),
    ),
  }));
  return filter;
}
const FILTER = filterOf(leaf);
/** Few names and mostly positive conditions, so that many records match. */
const SCOPE_FILTER = filterOf(
  fc
    .tuple(
      fc.constantFrom("user_id", "user_id", "user_id", "agent_id"),
      fc.oneof({ weight: 4, arbitrary: fc.record({ in: list(NAME) }) }, { weight: 2, arbitrary: nameClause }),
    )
    .map((entry) => Object.fromEntries<Json>([entry])),
);
const VIEW: fc.Arbitrary<FilterView> = fc
  .record(
    {
      id: NAME,
      memory: NAME,
      user_id: NAME,
      agent_id: NAME,
      run_id: NAME,
      app_id: NAME,
      categories: fc.uniqueArray(NAME),
      metadata: fc.dictionary(fc.constantFrom("k", "l"), fc.oneof(NAME, NUMBER, fc.constant(null))),
      created_at: fc.constantFrom("2026-01-01T00:00:00Z", "2026-01-02T03:00:00Z", "2026-02-01T00:00:00.5Z"),
      updated_at: fc.constant("2026-02-01T00:00:00Z"),
    },
    { requiredKeys: ["id", "memory", "created_at", "updated_at"] },
  )
  .filter((view) => ["user_id", "agent_id", "run_id", "app_id"].some((field) => field in view));

function hasKeys(value: object): boolean {
  return Object.keys(value).length > 0;
}

describe("any filter", () => {
  it("says of any record what a dumb reading of it says", () => {
    fc.assert(
      fc.property(FILTER, VIEW, (json, record) => {
        expect(accepts(json, record)).toBe(dumb(json, record));
      }),
      { numRuns: 400 },
    );
  });

  it("is bounded to shard keys that every match is stored under", () => {
    let boundedMatches = 0;
    const keyFields = fc.constantFrom<ShardKeyField>("user", "agent");
    fc.assert(
      fc.property(SCOPE_FILTER, VIEW, keyFields, (json, record, keyField) => {
        const filter = parseFilter(json);
        const stored = shardKeyOf(record, keyField);
        const keys = matches(filter, record) ? boundingShardKeys(filter, keyField) : undefined;
        if (keys !== undefined) boundedMatches += 1;
        expect(keys ?? [stored]).toContain(stored);
      }),
      { numRuns: 1000 },
    );
    expect(boundedMatches).toBeGreaterThan(20);
  });
});

describe("the shard keys of a filter", () => {
  it.each<[unknown, readonly string[] | undefined]>([
    [{ user_id: "u1" }, ["u1"]],
    [{ user_id: { in: ["u2", "u1"] } }, ["u1", "u2"]],
    [{ AND: [{ user_id: { in: ["u1", "u2"] } }, { user_id: { in: ["u2", "u3"] } }] }, ["u2"]],
    [{ AND: [{ user_id: "u1" }, { user_id: "u2" }] }, []],
    [{ OR: [{ user_id: "u1" }, { user_id: "u2", agent_id: "a" }] }, ["u1", "u2"]],
    [{ user_id: "u1", NOT: { run_id: "r" } }, ["u1"]],
    [{ OR: [{ user_id: "u1" }, { agent_id: "a" }] }, undefined],
    [{ agent_id: "a" }, undefined],
    [{ user_id: "*" }, undefined],
    [{ user_id: null }, undefined],
    [{ user_id: { ne: "u1" } }, undefined],
    [{ NOT: { user_id: "u1" } }, undefined],
    [{ user_id: { in: ["u1", null] } }, undefined],
    [{}, undefined],
  ])("of %j are %j", (json, expected) => {
    expect(boundingShardKeys(parseFilter(json), "user")).toEqual(expected);
  });

  it("come from the field that the cluster shards by", () => {
    const filter = parseFilter({ user_id: "u1", agent_id: "a1" });
    expect(boundingShardKeys(filter, "agent")).toEqual(["a1"]);
    expect(boundingShardKeys(filter, "run")).toBeUndefined();
  });
});

describe("the filter of a scope", () => {
  it("matches what has at least these values, even one called like the wildcard", () => {
    expect(matches(scopeFilter({ user_id: "u1" }), RECORD)).toBe(true);
    expect(matches(scopeFilter({ user_id: "u1", run_id: "r2" }), RECORD)).toBe(false);
    expect(matches(scopeFilter({ user_id: "*" }), RECORD)).toBe(false);
    expect(boundingShardKeys(scopeFilter({ user_id: "u1", run_id: "r1" }), "user")).toEqual(["u1"]);
  });
});
