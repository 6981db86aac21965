import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import {
  checkCategories,
  checkDate,
  checkId,
  checkMetadata,
  checkRecord,
  checkScope,
  checkText,
  checkVector,
  ID_CHARACTERS_MAX,
  METADATA_BYTES_MAX,
  SCOPE_CHARACTERS_MAX,
  shardKeyOf,
  TEXT_BYTES_MAX,
  textHash,
} from "../../../src/memory/record.ts";
import { outcome, refusal } from "./refusal.ts";

// The promised limits.
const METADATA_DEPTH_MAX = 16;
const CATEGORIES_MAX = 64;
const CATEGORY_CHARACTERS_MAX = 128;
const HISTORY_EVENTS_MAX = 10_000;

const MINIMAL = {
  id: "m-1",
  memory: "Prefers tea",
  user_id: "u1",
  created_at: "2026-01-31T09:30:00Z",
  updated_at: "2026-01-31T09:30:00.125+02:00",
};

function nested(depth: number): Record<string, unknown> {
  return depth === 1 ? {} : { inner: nested(depth - 1) };
}

describe("a scope", () => {
  it("needs at least one of its fields", () => {
    expect(refusal(() => checkScope({}))).toMatchObject({ code: "scope-missing", kind: "invalid" });
    expect(refusal(() => checkScope({ user_id: null, run_id: undefined }))).toMatchObject({
      code: "scope-missing",
    });
  });

  it("is taken from a request and leaves the rest of it behind", () => {
    const request = { user_id: "u1", agent_id: null, app_id: "a", text: "hello" };
    expect(checkScope(request)).toEqual({ user_id: "u1", app_id: "a" });
  });

  it.each([
    ["user_id", ""],
    ["agent_id", "x".repeat(SCOPE_CHARACTERS_MAX + 1)],
    ["run_id", "a\u0000b"],
    ["app_id", "a\u001b[31m"],
    ["user_id", "\ud800"],
    ["user_id", 7],
    ["agent_id", "*"],
  ])("refuses %s = %j and names the field", (field, value) => {
    const error = refusal(() => checkScope({ [field]: value }));
    expect(error).toMatchObject({ kind: "invalid", code: "field-invalid", data: { field } });
    expect(error.message).toContain(field);
  });

  it("takes a name at the limit, in any script", () => {
    const name = "名".repeat(SCOPE_CHARACTERS_MAX);
    expect(checkScope({ user_id: name })).toEqual({ user_id: name });
  });

  it("gives the shard key by the key field, else the first of user, agent, run, app", () => {
    const scope = { user_id: "u", agent_id: "a", run_id: "r", app_id: "p" };
    expect(shardKeyOf(scope, "agent")).toBe("a");
    expect(shardKeyOf(scope, "run")).toBe("r");
    expect(shardKeyOf(scope, "app")).toBe("p");
    expect(shardKeyOf({ agent_id: "a", app_id: "p" }, "user")).toBe("a");
    expect(shardKeyOf({ run_id: "r", app_id: "p" }, "agent")).toBe("r");
    expect(refusal(() => shardKeyOf({}, "user"))).toMatchObject({ code: "scope-missing" });
  });
});

describe("a text", () => {
  it.each(["", " \n\t ", 5, undefined, "half \udc00 pair"])("%j is refused as memory", (text) => {
    expect(refusal(() => checkText(text))).toMatchObject({
      code: "field-invalid",
      data: { field: "memory" },
    });
  });

  it("is limited in bytes, not in characters", () => {
    const euros = Math.floor(TEXT_BYTES_MAX / 3);
    expect(checkText("€".repeat(euros))).toHaveLength(euros);
    expect(refusal(() => checkText("€".repeat(euros + 1)))).toMatchObject({
      kind: "too-large",
      code: "field-too-large",
      message: expect.stringContaining(String(TEXT_BYTES_MAX)),
    });
  });

  it("has mem0's hash, the MD5 of its UTF-8", () => {
    expect(textHash("größer")).toBe(createHash("md5").update(Buffer.from("größer", "utf8")).digest("hex"));
    expect(textHash("")).toBe("d41d8cd98f00b204e9800998ecf8427e");
  });
});

describe("metadata", () => {
  it("is any JSON object, and comes back as it was", () => {
    const metadata = { topic: "travel", tags: ["a", 1, null, true, { deep: [] }], größe: 1.5 };
    expect(checkMetadata(metadata)).toBe(metadata);
  });

  it.each([[[]], ["text"], [null], [new Date()], [new Map()]])("is refused when it is %j", (metadata) => {
    expect(refusal(() => checkMetadata(metadata))).toMatchObject({ data: { field: "metadata" } });
  });

  it("is refused with keys that reach a prototype, at any depth", () => {
    for (const key of ["__proto__", "constructor", "prototype"]) {
      const metadata: unknown = JSON.parse(`{"list": [{"${key}": 1}]}`);
      const error = refusal(() => checkMetadata(metadata));
      expect(error).toMatchObject({ code: "field-invalid", data: { field: "metadata.list[0]" } });
      expect(error.message).toContain(key);
    }
  });

  it("is refused with values that JSON has not", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, undefined, 1n, () => 0, "\ud800"]) {
      expect(refusal(() => checkMetadata({ a: [value] }))).toMatchObject({
        data: { field: "metadata.a[0]" },
      });
    }
  });

  it("is limited in depth", () => {
    expect(checkMetadata(nested(METADATA_DEPTH_MAX))).toBeDefined();
    expect(refusal(() => checkMetadata(nested(METADATA_DEPTH_MAX + 1))).message).toContain("deeper");
  });

  it("is limited in bytes of JSON", () => {
    const text = "x".repeat(METADATA_BYTES_MAX - '{"a":""}'.length);
    expect(checkMetadata({ a: text })).toBeDefined();
    expect(refusal(() => checkMetadata({ a: `${text}x` }))).toMatchObject({ kind: "too-large" });
  });

  it("that refers to itself many times over is refused without walking it all", () => {
    let value: unknown = "leaf";
    for (let level = 0; level < METADATA_DEPTH_MAX - 1; level += 1) value = Array(50).fill(value);
    expect(refusal(() => checkMetadata({ value }))).toMatchObject({ kind: "too-large" });
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    expect(refusal(() => checkMetadata(cycle)).message).toContain("deeper");
  });
});

describe("a vector", () => {
  it("is rounded to float32, and -0 becomes 0", () => {
    const vector = checkVector([0.1, -0, 3], 3);
    expect(vector).toEqual(new Float32Array([0.1, 0, 3]));
    expect(Object.is(vector[1], 0)).toBe(true);
  });

  it.each([
    [[1, 2], "embedding", "2 dimensions"],
    [[1, Number.NaN, 3], "embedding[1]", "finite"],
    [[1, 2, Number.NEGATIVE_INFINITY], "embedding[2]", "finite"],
    [[1e39, 2, 3], "embedding[0]", "float32"],
    [[1, "2", 3], "embedding[1]", "finite"],
    [[0, 0, 1e-60], "embedding", "zero vector"],
    ["1,2,3", "embedding", "list of 3"],
    [{ length: 3 }, "embedding", "list of 3"],
  ])("%j is refused, naming %s", (vector, field, reason) => {
    const error = refusal(() => checkVector(vector, 3));
    expect(error).toMatchObject({ kind: "invalid", data: { field } });
    expect(error.message).toContain(reason);
  });

  it("is named by the field it came in", () => {
    expect(refusal(() => checkVector([], 2, "embeddings[4]"))).toMatchObject({
      data: { field: "embeddings[4]" },
    });
  });
});

describe("categories, dates and ids", () => {
  it("categories are limited in number and length", () => {
    const most = Array.from({ length: CATEGORIES_MAX }, (_, index) => `c${index}`);
    expect(checkCategories(most)).toEqual(most);
    expect(refusal(() => checkCategories([...most, "x"]))).toMatchObject({ data: { field: "categories" } });
    for (const category of ["", "x".repeat(CATEGORY_CHARACTERS_MAX + 1), 3, "a\nb"]) {
      expect(refusal(() => checkCategories(["ok", category]))).toMatchObject({
        data: { field: "categories[1]" },
      });
    }
  });

  it("dates need a day that exists, a time and a zone", () => {
    for (const date of ["2024-02-29T23:59:59Z", "2026-01-31T09:30:00.123456+05:30"]) {
      expect(checkDate(date, "created_at")).toBe(date);
    }
    for (const date of [
      "2026-02-29T00:00:00Z",
      "2026-04-31T00:00:00+02:00",
      "2026-13-01T00:00:00Z",
      "2026-01-01T25:00:00Z",
      "2026-01-01",
      "2026-01-01T00:00:00",
      "yesterday",
      1_700_000_000,
    ]) {
      expect(refusal(() => checkDate(date, "created_at"))).toMatchObject({ data: { field: "created_at" } });
    }
  });

  it("ids are safe in paths and URLs", () => {
    expect(checkId("Az_0-9")).toBe("Az_0-9");
    for (const id of ["", "a/b", "..", "a b", "ü", "x".repeat(ID_CHARACTERS_MAX + 1), 7]) {
      expect(refusal(() => checkId(id))).toMatchObject({ data: { field: "id" } });
    }
  });
});

describe("a record of an import", () => {
  it("comes back with every field it had", () => {
    const record = {
      ...MINIMAL,
      agent_id: "a1",
      metadata: { topic: "food" },
      categories: ["food"],
      embedding: [0.5, -0.25],
      history: [
        {
          id: "h1",
          event: "ADD",
          old_memory: null,
          new_memory: "Prefers tea",
          created_at: MINIMAL.created_at,
        },
      ],
    };
    expect(checkRecord(record, 2)).toEqual(record);
    expect(checkRecord(MINIMAL, 2)).toEqual(MINIMAL);
  });

  it("is told what it lacks, not how that would have to look", () => {
    expect(refusal(() => checkRecord({ user_id: "ada", memory: "Likes tea" }, 2)).message).toBe(
      "id: is missing; created_at: is missing; updated_at: is missing",
    );
  });

  it("is refused with every wrong field named at once", () => {
    const error = refusal(() =>
      checkRecord(
        {
          ...MINIMAL,
          id: "../x",
          memory: "",
          user_id: 5,
          metadata: [],
          categories: "food",
          created_at: "soon",
          embedding: [1],
          history: [{ id: "h", event: "ADD", old_memory: null, new_memory: null, created_at: "x" }],
          colour: "red",
        },
        2,
      ),
    );
    expect(error).toMatchObject({ kind: "invalid", code: "record-invalid" });
    for (const field of [
      "colour",
      "id",
      "memory",
      "user_id",
      "metadata",
      "categories",
      "created_at",
      "embedding",
      "history[0].created_at",
    ]) {
      expect(error.data?.["problems"]).toContainEqual(expect.objectContaining({ field }));
      expect(error.message).toContain(`${field}: `);
    }
  });

  it("is refused without a scope, with a null field, or with too long a history", () => {
    const { user_id: _, ...unscoped } = MINIMAL;
    expect(refusal(() => checkRecord(unscoped, 2)).message).toContain("user_id");
    expect(refusal(() => checkRecord({ ...MINIMAL, agent_id: null }, 2)).message).toContain("agent_id");
    const history = Array.from({ length: HISTORY_EVENTS_MAX + 1 }, () => null);
    expect(refusal(() => checkRecord({ ...MINIMAL, history }, 2)).message).toContain("history");
  });

  it("is refused with __proto__ as a field, and no prototype changes", () => {
    const record: unknown = JSON.parse(JSON.stringify(MINIMAL).replace("{", '{"__proto__":{"polluted":1},'));
    expect(refusal(() => checkRecord(record, 2)).message).toContain("__proto__");
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  it("is taken or refused, whatever it is, and nothing else happens", () => {
    const anything = fc.anything({ withNullPrototype: true, withSparseArray: true, withBigInt: true });
    fc.assert(
      fc.property(anything, (value) => {
        expect(outcome(() => checkRecord(value, 3))).toBe("refused");
      }),
    );
    const fields = fc.record(
      { metadata: anything, embedding: anything, history: anything, user_id: anything },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fields, (changed) => {
        expect(["done", "refused"]).toContain(outcome(() => checkRecord({ ...MINIMAL, ...changed }, 3)));
      }),
    );
  });
});
