// mem0's filter language (v2 and v3 of its API): from JSON to a typed filter once, then questions about
// it. A filter is plain data, so that a node can send it to another. Nothing here reads memories.
//
//   {"user_id": "u1", "created_at": {"gte": "2026-01-01", "lt": "2026-02-01"}}     siblings are ANDed
//   {"AND": [...]}   {"OR": [...]}   {"NOT": {...}}   {"NOT": [...]}: none of them may match
//   {"run_id": "*"}: any value, but one; {"run_id": null}: none

import { Mem0ctlError } from "../model/errors.ts";
import type { ShardKeyField } from "../model/ids.ts";
import type { MemoryRecord } from "../model/node-api.ts";
import { isPlainObject, SCOPE_FIELDS, scopeFieldOf } from "./record.ts";
import type { Scope } from "./record.ts";

/** Deepest nesting of a filter's objects and lists. */
const FILTER_DEPTH_MAX = 16;
/** Most conditions and list entries of a filter together. */
const FILTER_SIZE_MAX = 1000;

/** What a filter looks at: a record without vector and history. */
export type FilterView = Omit<MemoryRecord, "embedding" | "history">;

export type FilterOperator =
  | "eq"
  | "ne"
  | "gt"
  | "gte"
  | "lt"
  | "lte"
  | "in"
  | "nin"
  | "contains"
  | "icontains"
  | "exists";

export type FilterField =
  | "id"
  | "memory"
  | "user_id"
  | "agent_id"
  | "run_id"
  | "app_id"
  | "categories"
  | "created_at"
  | "updated_at"
  | "metadata";

/** One comparison. `key` is metadata's top-level key; times are milliseconds since the Unix epoch. */
export interface Condition {
  readonly kind: "condition";
  readonly field: FilterField;
  readonly key?: string;
  readonly operator: FilterOperator;
  /** A list for `in` and `nin`, null for `exists`. */
  readonly value: unknown;
}

/** `all` of nothing matches everything; `none`: not one of them may match. */
export type Filter =
  | { readonly kind: "all"; readonly of: readonly Filter[] }
  | { readonly kind: "any"; readonly of: readonly Filter[] }
  | { readonly kind: "none"; readonly of: readonly Filter[] }
  | Condition;

/** Filter language names of what a record holds; mem0 names the text `keywords` and the ids `memory_ids`. */
const FIELD_OF: ReadonlyMap<string, FilterField> = new Map<string, FilterField>([
  ["id", "id"],
  ["ids", "id"],
  ["memory_ids", "id"],
  ["keywords", "memory"],
  ["text", "memory"],
  ["user_id", "user_id"],
  ["agent_id", "agent_id"],
  ["run_id", "run_id"],
  ["app_id", "app_id"],
  ["categories", "categories"],
  ["created_at", "created_at"],
  ["updated_at", "updated_at"],
  ["metadata", "metadata"],
]);
const LOGICAL = { AND: "all", OR: "any", NOT: "none" } as const;
const FIELD_HINT = `fields are ${[...FIELD_OF.keys()].join(", ")}; a metadata key goes below "metadata"`;

const OPERATORS: ReadonlySet<string> = new Set<FilterOperator>([
  "eq",
  "ne",
  "gt",
  "gte",
  "lt",
  "lte",
  "in",
  "nin",
  "contains",
  "icontains",
]);
const OPERATOR_HINT = `operators are ${[...OPERATORS].join(", ")}`;

/** What a field's values are, which decides the operators and the operands it takes. */
type Comparison = "name" | "text" | "categories" | "time" | "json";
const COMPARISON_OF: Readonly<Record<FilterField, Comparison>> = {
  id: "name",
  user_id: "name",
  agent_id: "name",
  run_id: "name",
  app_id: "name",
  memory: "text",
  categories: "categories",
  created_at: "time",
  updated_at: "time",
  metadata: "json",
};
const OPERATORS_OF: Readonly<Record<Comparison, ReadonlySet<FilterOperator>>> = {
  name: new Set(["eq", "ne", "in", "nin", "contains", "icontains"]),
  text: new Set(["eq", "ne", "in", "nin", "contains", "icontains"]),
  categories: new Set(["eq", "ne", "in", "nin", "contains", "icontains"]),
  time: new Set(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]),
  json: new Set(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "icontains"]),
};

const DATE_PATTERN = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** Kind `invalid`, code `filter-invalid`; `path` as in `filters.AND[0].user_id`. */
function filterError(path: string, message: string, hint?: string): Mem0ctlError {
  return new Mem0ctlError("invalid", "filter-invalid", `${path}: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    data: { field: path },
  });
}

/** Where the parser is, and what is left of FILTER_SIZE_MAX; shared by the whole parse. */
interface Budget {
  left: number;
}

/**
 * The typed form of a filter; `{}` matches everything. Throws kind `invalid`, code `filter-invalid`, with
 * the path of what is wrong: an unknown field or operator, an operand of another type, an empty list, more
 * than FILTER_SIZE_MAX conditions and list entries, or nesting below FILTER_DEPTH_MAX.
 */
export function parseFilter(json: unknown): Filter {
  return parseGroup(json, "filters", 1, { left: FILTER_SIZE_MAX });
}

function parseGroup(json: unknown, path: string, depth: number, budget: Budget): Filter {
  if (!isPlainObject(json)) throw filterError(path, "must be a JSON object");
  checkDepth(path, depth);
  const parts: Filter[] = [];
  for (const [key, value] of Object.entries(json)) {
    const at = `${path}.${printable(key)}`;
    if (key === "AND" || key === "OR" || key === "NOT") {
      parts.push({ kind: LOGICAL[key], of: parseOperands(key, value, at, depth + 1, budget) });
      continue;
    }
    const field = FIELD_OF.get(key);
    if (field === undefined) throw filterError(at, "unknown field", unknownFieldHint(key));
    if (field === "metadata") parts.push(parseMetadata(value, at, depth + 1, budget));
    else parts.push(parseClause(field, undefined, value, at, depth + 1, budget));
  }
  return single(parts);
}

function parseOperands(
  key: "AND" | "OR" | "NOT",
  value: unknown,
  path: string,
  depth: number,
  budget: Budget,
): readonly Filter[] {
  if (key === "NOT" && isPlainObject(value)) {
    spend(budget, path);
    return [parseGroup(value, path, depth, budget)];
  }
  if (!Array.isArray(value)) throw filterError(path, "must be a list of conditions");
  if (value.length === 0) throw filterError(path, "must have at least one condition");
  checkDepth(path, depth);
  return value.map((operand: unknown, index) => {
    spend(budget, path);
    return parseGroup(operand, `${path}[${index}]`, depth + 1, budget);
  });
}

/** `{"key": value}` or, as mem0 has it, `eq`, `ne` or `contains` around such an object. */
function parseMetadata(json: unknown, path: string, depth: number, budget: Budget): Filter {
  if (json === "*") return condition("metadata", undefined, "exists", null, path, budget);
  if (!isPlainObject(json)) throw filterError(path, "must be a JSON object of keys and values");
  checkDepth(path, depth);
  const entries = Object.entries(json);
  if (entries.length === 0) throw filterError(path, "must name at least one key");
  const [first] = entries;
  if (first !== undefined && entries.length === 1 && isPlainObject(first[1])) {
    const [operator, inner] = first;
    if (operator === "eq" || operator === "contains") {
      return parseMetadata(inner, `${path}.${operator}`, depth + 1, budget);
    }
    if (operator === "ne") {
      return { kind: "none", of: [parseMetadata(inner, `${path}.ne`, depth + 1, budget)] };
    }
  }
  return single(
    entries.map(([key, value]) =>
      parseClause("metadata", key, value, `${path}.${printable(key)}`, depth + 1, budget),
    ),
  );
}

/** One field's condition: a bare value, `"*"`, null, a list, or an object of operators that all must hold. */
function parseClause(
  field: FilterField,
  key: string | undefined,
  json: unknown,
  path: string,
  depth: number,
  budget: Budget,
): Filter {
  if (json === "*") return condition(field, key, "exists", null, path, budget);
  const isJson = COMPARISON_OF[field] === "json";
  if (isPlainObject(json)) {
    const entries = Object.entries(json);
    // A metadata value may itself be an object; it is one when not all its keys are operators.
    if (!isJson || (entries.length > 0 && entries.every(([name]) => OPERATORS.has(name)))) {
      checkDepth(path, depth);
      if (entries.length === 0) throw filterError(path, "must have an operator", OPERATOR_HINT);
      return single(
        entries.map(([name, operand]) =>
          parseOperator(field, key, name, operand, `${path}.${printable(name)}`, depth + 1, budget),
        ),
      );
    }
  }
  // A bare list is `in` for fields that hold one value, and a value like any other in metadata.
  const operator = Array.isArray(json) && !isJson ? "in" : "eq";
  return parseOperator(field, key, operator, json, path, depth, budget);
}

function parseOperator(
  field: FilterField,
  key: string | undefined,
  name: string,
  operand: unknown,
  path: string,
  depth: number,
  budget: Budget,
): Filter {
  if (!isOperator(name)) throw filterError(path, "unknown operator", OPERATOR_HINT);
  const comparison = COMPARISON_OF[field];
  const allowed = OPERATORS_OF[comparison];
  if (!allowed.has(name)) {
    throw filterError(path, `${field} does not take ${name}`, `it takes ${[...allowed].join(", ")}`);
  }
  if (name === "eq" && operand === "*") return condition(field, key, "exists", null, path, budget);
  if (name === "in" || name === "nin") {
    if (!Array.isArray(operand)) throw filterError(path, "must be a list");
    if (operand.length === 0) throw filterError(path, "must have at least one value");
    for (let index = 0; index < operand.length; index += 1) spend(budget, path);
    const values = operand.map((value: unknown, index) =>
      parseValue(comparison, "eq", value, `${path}[${index}]`, depth + 1, budget),
    );
    return condition(field, key, name, values, path, budget);
  }
  return condition(
    field,
    key,
    name,
    parseValue(comparison, name, operand, path, depth, budget),
    path,
    budget,
  );
}

function isOperator(name: string): name is FilterOperator {
  return OPERATORS.has(name);
}

/** The operand of one comparison: times become milliseconds, everything else stays what it is. */
function parseValue(
  comparison: Comparison,
  operator: FilterOperator,
  value: unknown,
  path: string,
  depth: number,
  budget: Budget,
): unknown {
  const isEquality = operator === "eq" || operator === "ne";
  if (isEquality && value === null) return null;
  if (comparison === "time") {
    const ms = typeof value === "string" && DATE_PATTERN.test(value) ? Date.parse(utc(value)) : Number.NaN;
    if (Number.isNaN(ms))
      throw filterError(path, "must be a date such as 2026-01-31 or 2026-01-31T09:30:00Z");
    return ms;
  }
  if (comparison === "json") {
    if (isEquality) return checkOperand(value, path, depth, budget);
    if (operator === "contains" && (typeof value === "number" || typeof value === "boolean")) return value;
    if (operator !== "contains" && operator !== "icontains" && typeof value === "number") {
      if (Number.isFinite(value)) return value;
      throw filterError(path, "must be a finite number");
    }
  }
  if (typeof value === "string") return value;
  throw filterError(path, comparison === "json" ? "must be a string or a number" : "must be a string");
}

/** A JSON value within the budget; objects and lists are compared whole. */
function checkOperand(value: unknown, path: string, depth: number, budget: Budget): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (!Array.isArray(value) && !isPlainObject(value)) throw filterError(path, "must be a JSON value");
  checkDepth(path, depth);
  for (const inner of Object.values(value)) {
    spend(budget, path);
    checkOperand(inner, path, depth + 1, budget);
  }
  return value;
}

function condition(
  field: FilterField,
  key: string | undefined,
  operator: FilterOperator,
  value: unknown,
  path: string,
  budget: Budget,
): Condition {
  spend(budget, path);
  return { kind: "condition", field, ...(key === undefined ? {} : { key }), operator, value };
}

function spend(budget: Budget, path: string): void {
  budget.left -= 1;
  if (budget.left < 0) {
    throw filterError(path, `the filter has more than ${FILTER_SIZE_MAX} conditions and values`);
  }
}

function checkDepth(path: string, depth: number): void {
  if (depth > FILTER_DEPTH_MAX) throw filterError(path, `nested deeper than ${FILTER_DEPTH_MAX}`);
}

function single(parts: readonly Filter[]): Filter {
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : { kind: "all", of: parts };
}

/** A date without a time is midnight UTC, and so is a time without a zone: nodes differ in their zone. */
function utc(date: string): string {
  return date.length > 10 && !/(Z|[+-]\d{2}:?\d{2})$/.test(date) ? `${date}Z` : date;
}

function unknownFieldHint(key: string): string {
  const upper = key.replace(/^\$/, "").toUpperCase();
  return upper === "AND" || upper === "OR" || upper === "NOT" ? `did you mean ${upper}?` : FIELD_HINT;
}

function printable(key: string): string {
  return key.length > 64 || !/^[\w.$-]*$/.test(key) ? JSON.stringify(key.slice(0, 64)) : key;
}

/** The filter for exactly the present fields of a scope; the others may hold anything. */
export function scopeFilter(scope: Scope): Filter {
  const parts: Condition[] = [];
  for (const field of SCOPE_FIELDS) {
    const value = scope[field];
    if (value !== undefined) parts.push({ kind: "condition", field, operator: "eq", value });
  }
  return single(parts);
}

/**
 * Whether the record satisfies the filter. A missing value satisfies `ne`, `nin` and equality with null
 * and nothing else, as in mem0. Strings and numbers are ordered among themselves only.
 */
export function matches(filter: Filter, record: FilterView): boolean {
  switch (filter.kind) {
    case "all":
      return filter.of.every((part) => matches(part, record));
    case "any":
      return filter.of.some((part) => matches(part, record));
    case "none":
      return !filter.of.some((part) => matches(part, record));
    case "condition":
      return holds(filter, record);
  }
}

function holds(test: Condition, record: FilterView): boolean {
  const held = valueOf(test, record);
  switch (test.operator) {
    case "exists":
      return held !== undefined && held !== null;
    case "eq":
      return isEqual(test.field, held, test.value);
    case "ne":
      return !isEqual(test.field, held, test.value);
    case "in":
      return isAmong(test, held);
    case "nin":
      return !isAmong(test, held);
    case "contains":
      // mem0 looks through categories without regard to case, through everything else with it.
      return contains(held, test.value, test.field === "categories");
    case "icontains":
      return contains(held, test.value, true);
    case "gt":
      return compare(held, test.value, (order) => order > 0);
    case "gte":
      return compare(held, test.value, (order) => order >= 0);
    case "lt":
      return compare(held, test.value, (order) => order < 0);
    case "lte":
      return compare(held, test.value, (order) => order <= 0);
  }
}

function valueOf(test: Condition, record: FilterView): unknown {
  if (test.field === "created_at" || test.field === "updated_at") return Date.parse(record[test.field]);
  if (test.field !== "metadata" || test.key === undefined) return record[test.field];
  const metadata = record.metadata;
  return metadata !== undefined && Object.hasOwn(metadata, test.key) ? metadata[test.key] : undefined;
}

function isAmong(test: Condition, held: unknown): boolean {
  return Array.isArray(test.value) && test.value.some((value) => isEqual(test.field, held, value));
}

/** A memory has a category when one of its categories is it; metadata is equal as a whole. */
function isEqual(field: FilterField, held: unknown, value: unknown): boolean {
  if (value === null) return held === undefined || held === null;
  if (field === "categories") return Array.isArray(held) && held.includes(value);
  return isSameJson(held, value);
}

function isSameJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((value, index) => isSameJson(value, right[index]));
  }
  if (!isPlainObject(left) || !isPlainObject(right)) return false;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && isSameJson(left[key], right[key]))
  );
}

/** Part of a string; part of one of the strings, or one of the values, of a list. */
function contains(held: unknown, part: unknown, ignoreCase: boolean): boolean {
  if (Array.isArray(held)) return held.some((value) => value === part || contains(value, part, ignoreCase));
  if (typeof held !== "string" || typeof part !== "string") return false;
  return ignoreCase ? held.toLowerCase().includes(part.toLowerCase()) : held.includes(part);
}

function compare(held: unknown, value: unknown, accept: (order: number) => boolean): boolean {
  if (typeof held === "number" && typeof value === "number") return accept(held - value);
  if (typeof held === "string" && typeof value === "string") {
    return accept(held < value ? -1 : held > value ? 1 : 0);
  }
  return false;
}

/**
 * The shard keys under which a match can be stored, sorted; undefined when any shard may hold one; empty
 * when nothing can match. Only a positive condition on the key field bounds: a memory without that field
 * is stored under another field's value (`shardKeyOf`).
 */
export function boundingShardKeys(filter: Filter, keyField: ShardKeyField): readonly string[] | undefined {
  const keys = boundOf(filter, scopeFieldOf(keyField));
  return keys === undefined ? undefined : [...keys].toSorted();
}

function boundOf(filter: Filter, field: FilterField): ReadonlySet<string> | undefined {
  switch (filter.kind) {
    case "all": {
      let bound: ReadonlySet<string> | undefined;
      for (const part of filter.of) {
        const keys = boundOf(part, field);
        if (keys === undefined) continue;
        const before = bound;
        bound = before === undefined ? keys : new Set([...keys].filter((key) => before.has(key)));
      }
      return bound;
    }
    case "any": {
      const union = new Set<string>();
      for (const part of filter.of) {
        const keys = boundOf(part, field);
        if (keys === undefined) return undefined;
        for (const key of keys) union.add(key);
      }
      return union;
    }
    case "none":
      return undefined;
    case "condition": {
      if (filter.field !== field) return undefined;
      const values =
        filter.operator === "eq" ? [filter.value] : filter.operator === "in" ? filter.value : null;
      if (!Array.isArray(values)) return undefined;
      const keys = values.filter((value): value is string => typeof value === "string");
      // A list that also accepts a missing value accepts memories stored elsewhere.
      return keys.length === values.length ? new Set(keys) : undefined;
    }
  }
}
