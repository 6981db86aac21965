// What a memory may be: its scope, text, metadata, vector and dates, each checked once at the edge and
// trusted inside. Every refusal names the field and the limit. Nothing here reads, writes or keeps time.

import { hash } from "node:crypto";
import { Mem0ctlError } from "../model/errors.ts";
import type { ShardKeyField } from "../model/ids.ts";
import type { MemoryEvent, MemoryRecord } from "../model/node-api.ts";

/** Longest text of a memory, in UTF-8 bytes: 1 MiB. */
export const TEXT_BYTES_MAX = 1_048_576;
/** Longest user_id, agent_id, run_id or app_id, in UTF-16 units. */
export const SCOPE_CHARACTERS_MAX = 256;
/** Largest metadata object, in UTF-8 bytes of its JSON: 64 KiB. */
export const METADATA_BYTES_MAX = 65_536;
/** Deepest nesting of metadata; `{}` is 1, `{"a": {}}` is 2. */
const METADATA_DEPTH_MAX = 16;
const CATEGORIES_MAX = 64;
const CATEGORY_CHARACTERS_MAX = 128;
export const ID_CHARACTERS_MAX = 128;
/** Most earlier versions that one imported memory may carry. */
const HISTORY_EVENTS_MAX = 10_000;

/** Whom or what a memory belongs to; at least one field is present in a valid one. */
export interface Scope {
  readonly user_id?: string;
  readonly agent_id?: string;
  readonly run_id?: string;
  readonly app_id?: string;
}

export const SCOPE_FIELDS = ["user_id", "agent_id", "run_id", "app_id"] as const;
export type ScopeField = (typeof SCOPE_FIELDS)[number];

const SCOPE_FIELD_OF: Readonly<Record<ShardKeyField, ScopeField>> = {
  user: "user_id",
  agent: "agent_id",
  run: "run_id",
  app: "app_id",
};

const RECORD_FIELDS: ReadonlySet<string> = new Set([
  "id",
  "memory",
  ...SCOPE_FIELDS,
  "metadata",
  "categories",
  "created_at",
  "updated_at",
  "embedding",
  "history",
]);
const EVENT_FIELDS: ReadonlySet<string> = new Set(["id", "event", "old_memory", "new_memory", "created_at"]);

const ID_PATTERN = /^[A-Za-z0-9_-]+$/;
const DATE_PATTERN = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
// Half of a surrogate pair has no UTF-8 form: it would come back from the disk as another character.
const LONE_SURROGATE = /\p{Surrogate}/u;
const CONTROL_CHARACTER = /\p{Control}/u;
// Keys that reach an object's prototype when a reader copies them by assignment.
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** One wrong field of a record: `field` is a path such as `metadata.tags[2]`. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/**
 * What is wrong with the fields of one memory. Codes: `field-invalid` and `scope-missing` (one field),
 * `record-invalid` (all of a record), kind `invalid`; `field-too-large`, kind `too-large`. The message
 * names the fields; `data` carries `field`, the first of them, and `problems`.
 */
export class FieldError extends Mem0ctlError {
  readonly problems: readonly FieldProblem[];

  constructor(kind: "invalid" | "too-large", code: string, problems: readonly FieldProblem[], hint?: string) {
    const message = problems.map((problem) => `${problem.field}: ${problem.message}`).join("; ");
    super(kind, code, message, {
      ...(hint === undefined ? {} : { hint }),
      data: { field: problems[0]?.field ?? "record", problems },
    });
    this.problems = problems;
  }
}

function fieldError(field: string, message: string, hint?: string): FieldError {
  return new FieldError("invalid", "field-invalid", [{ field, message }], hint);
}

function tooLargeError(field: string, message: string): FieldError {
  return new FieldError("too-large", "field-too-large", [{ field, message }]);
}

function scopeMissingError(): FieldError {
  const fields = SCOPE_FIELDS.join(", ");
  return new FieldError(
    "invalid",
    "scope-missing",
    [{ field: "user_id", message: `a memory needs at least one of ${fields}` }],
    "say whom or what the memory belongs to",
  );
}

/** An object with string keys that is not an array; class instances other than plain objects are not. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * The scope fields of `scope`, checked; other properties are ignored, so a whole request may be passed.
 * Absent, undefined and null are the same. Throws `field-invalid` naming the field, or `scope-missing`.
 */
export function checkScope(scope: { readonly [Field in ScopeField]?: unknown }): Scope {
  const checked: { -readonly [Field in ScopeField]?: string } = {};
  for (const field of SCOPE_FIELDS) {
    const value = scope[field];
    if (value !== undefined && value !== null) checked[field] = checkScopeValue(value, field);
  }
  if (Object.keys(checked).length === 0) throw scopeMissingError();
  return checked;
}

function checkScopeValue(value: unknown, field: ScopeField): string {
  if (typeof value !== "string") throw fieldError(field, "must be a string");
  if (value.length === 0 || value.length > SCOPE_CHARACTERS_MAX) {
    throw fieldError(field, `must have 1 to ${SCOPE_CHARACTERS_MAX} characters, has ${value.length}`);
  }
  if (LONE_SURROGATE.test(value)) throw fieldError(field, "is not valid Unicode text");
  if (CONTROL_CHARACTER.test(value)) throw fieldError(field, "must not contain control characters");
  // In a filter "*" means any: a memory of such a name could be neither named nor deleted alone.
  if (value === "*") throw fieldError(field, 'must not be "*", which means any value in filters');
  return value;
}

/** Text with at least one character that is not white space, at most TEXT_BYTES_MAX bytes of UTF-8. */
export function checkText(text: unknown, field = "memory"): string {
  if (typeof text !== "string") throw fieldError(field, "must be a string");
  // Each UTF-16 unit is at most three bytes, so short texts need no count.
  if (text.length * 3 > TEXT_BYTES_MAX && Buffer.byteLength(text) > TEXT_BYTES_MAX) {
    throw tooLargeError(field, `is longer than the limit of ${TEXT_BYTES_MAX} bytes`);
  }
  if (text.trim() === "") throw fieldError(field, "must not be empty");
  if (LONE_SURROGATE.test(text)) throw fieldError(field, "is not valid Unicode text");
  return text;
}

/** A JSON object within METADATA_BYTES_MAX and METADATA_DEPTH_MAX, without keys that reach a prototype. */
export function checkMetadata(metadata: unknown, field = "metadata"): Readonly<Record<string, unknown>> {
  if (!isPlainObject(metadata)) throw fieldError(field, "must be a JSON object");
  // A value takes at least two bytes of JSON; the count also ends a walk over shared references.
  const budget = { values: METADATA_BYTES_MAX / 2 };
  checkJsonValue(metadata, field, field, 1, budget);
  if (Buffer.byteLength(JSON.stringify(metadata)) > METADATA_BYTES_MAX) {
    throw tooLargeError(field, `is larger than the limit of ${METADATA_BYTES_MAX} bytes of JSON`);
  }
  return metadata;
}

function checkJsonValue(
  value: unknown,
  path: string,
  field: string,
  depth: number,
  budget: { values: number },
): void {
  budget.values -= 1;
  if (budget.values < 0) {
    throw tooLargeError(field, `is larger than the limit of ${METADATA_BYTES_MAX} bytes of JSON`);
  }
  if (value === null || typeof value === "boolean") return;
  if (typeof value === "string") {
    if (LONE_SURROGATE.test(value)) throw fieldError(path, "is not valid Unicode text");
    return;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw fieldError(path, "must be a finite number");
    return;
  }
  const isArray = Array.isArray(value);
  if (!isArray && !isPlainObject(value)) throw fieldError(path, "is not a JSON value");
  if (depth > METADATA_DEPTH_MAX) throw fieldError(field, `is nested deeper than ${METADATA_DEPTH_MAX}`);
  if (isArray) {
    // Not forEach: it would skip the holes of a sparse array.
    for (let index = 0; index < value.length; index += 1) {
      checkJsonValue(value[index], `${path}[${index}]`, field, depth + 1, budget);
    }
    return;
  }
  for (const key of Object.keys(value)) {
    if (FORBIDDEN_KEYS.has(key)) throw fieldError(path, `the key "${key}" is forbidden`);
    if (LONE_SURROGATE.test(key)) throw fieldError(path, "has a key that is not valid Unicode text");
    checkJsonValue(value[key], `${path}.${key}`, field, depth + 1, budget);
  }
}

/** At most CATEGORIES_MAX names of 1 to CATEGORY_CHARACTERS_MAX characters. */
export function checkCategories(categories: unknown, field = "categories"): readonly string[] {
  if (!Array.isArray(categories)) throw fieldError(field, "must be a list of strings");
  if (categories.length > CATEGORIES_MAX) {
    throw fieldError(field, `has ${categories.length} entries, the limit is ${CATEGORIES_MAX}`);
  }
  return categories.map((category: unknown, index) => {
    const path = `${field}[${index}]`;
    if (typeof category !== "string") throw fieldError(path, "must be a string");
    if (category.length === 0 || category.length > CATEGORY_CHARACTERS_MAX) {
      throw fieldError(path, `must have 1 to ${CATEGORY_CHARACTERS_MAX} characters`);
    }
    if (LONE_SURROGATE.test(category) || CONTROL_CHARACTER.test(category)) {
      throw fieldError(path, "must be Unicode text without control characters");
    }
    return category;
  });
}

/**
 * The vector rounded to float32, `-0` as `0` (JSON has no way to keep it). Refused: another length than
 * `dimensions`, anything that is not a finite float32, and the zero vector, which has no direction.
 */
export function checkVector(vector: unknown, dimensions: number, field = "embedding"): Float32Array {
  if (!Array.isArray(vector) && !(vector instanceof Float32Array)) {
    throw fieldError(field, `must be a list of ${dimensions} numbers`);
  }
  const numbers: ArrayLike<unknown> = vector;
  if (numbers.length !== dimensions) {
    throw fieldError(
      field,
      `has ${numbers.length} dimensions, this cluster's memories have ${dimensions}`,
      "embed with the model that the manifest names, or leave the vector out",
    );
  }
  const checked = new Float32Array(dimensions);
  let isZero = true;
  for (let index = 0; index < dimensions; index += 1) {
    const value = numbers[index];
    const rounded = typeof value === "number" ? Math.fround(value) : Number.NaN;
    if (!Number.isFinite(rounded)) throw fieldError(`${field}[${index}]`, "must be a finite float32 number");
    if (rounded !== 0) {
      checked[index] = rounded;
      isZero = false;
    }
  }
  if (isZero) throw fieldError(field, "is the zero vector, which has no direction");
  return checked;
}

/**
 * A date and time of RFC 3339 with its zone, e.g. `2026-01-31T09:30:00.125Z`; kept as it was given.
 *
 * @internal The tests try it on many dates.
 */
export function checkDate(date: unknown, field: string): string {
  const match = typeof date === "string" ? DATE_PATTERN.exec(date) : null;
  if (typeof date !== "string" || match === null || Number.isNaN(Date.parse(date))) {
    throw fieldError(field, "must be a date and time such as 2026-01-31T09:30:00Z");
  }
  // Date.parse takes February 30 for March 1 or 2.
  const [, year, month, day] = match;
  const midnight = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  if (midnight.getUTCDate() !== Number(day)) throw fieldError(field, "names a day that does not exist");
  return date;
}

/** 1 to ID_CHARACTERS_MAX of `A-Z a-z 0-9 _ -`, so that an id is safe in a path and in a URL. */
export function checkId(id: unknown, field = "id"): string {
  if (typeof id !== "string" || id.length > ID_CHARACTERS_MAX || !ID_PATTERN.test(id)) {
    throw fieldError(field, `must be 1 to ${ID_CHARACTERS_MAX} letters, digits, "-" or "_"`);
  }
  return id;
}

/** What decides the memory's shard: the key field's value, else the first present of user, agent, run, app. */
export function shardKeyOf(scope: Scope, keyField: ShardKeyField): string {
  const key =
    scope[SCOPE_FIELD_OF[keyField]] ?? scope.user_id ?? scope.agent_id ?? scope.run_id ?? scope.app_id;
  if (key === undefined) throw scopeMissingError();
  return key;
}

/** The scope field that a shard key setting names: `user` -> `user_id`. */
export function scopeFieldOf(keyField: ShardKeyField): ScopeField {
  return SCOPE_FIELD_OF[keyField];
}

/** MD5 of the text in hex: the `hash` field of mem0's answers. A fingerprint, not a protection. */
export function textHash(text: string): string {
  return hash("md5", text);
}

/**
 * A whole memory as an import brings it. Throws one error that names every wrong field: code
 * `record-invalid` with `data.problems` (FieldProblem[]) and `data.field`, the first of them.
 * The vector comes back rounded to float32.
 */
export function checkRecord(record: unknown, dimensions: number): MemoryRecord {
  if (!isPlainObject(record)) throw fieldError("record", "must be a JSON object");
  const problems: FieldProblem[] = [];
  // Runs one check, notes its problem, and lets the others run too.
  const attempt = <Value>(check: () => Value): Value | undefined => {
    try {
      return check();
    } catch (error) {
      // Anything else is a bug and must not pass for bad input.
      if (!(error instanceof FieldError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  for (const field of Object.keys(record)) {
    if (!RECORD_FIELDS.has(field)) problems.push({ field: printableKey(field), message: "unknown field" });
  }
  const optional = <Value>(field: string, check: (value: unknown) => Value): Value | undefined => {
    const value = record[field];
    return value === undefined ? undefined : attempt(() => check(value));
  };
  const required = <Value>(
    field: string,
    check: (value: unknown, field: string) => Value,
  ): Value | undefined =>
    attempt(() => {
      if (record[field] === undefined) throw fieldError(field, "is missing");
      return check(record[field], field);
    });

  const id = required("id", checkId);
  const memory = required("memory", checkText);
  const scope = attempt(() => checkRecordScope(record));
  const metadata = optional("metadata", checkMetadata);
  const categories = optional("categories", checkCategories);
  const createdAt = required("created_at", checkDate);
  const updatedAt = required("updated_at", checkDate);
  const embedding = optional("embedding", (value) => Array.from(checkVector(value, dimensions)));
  const history = optional("history", checkHistory);

  if (
    problems.length > 0 ||
    id === undefined ||
    memory === undefined ||
    scope === undefined ||
    createdAt === undefined ||
    updatedAt === undefined
  ) {
    throw new FieldError("invalid", "record-invalid", problems);
  }
  return {
    id,
    memory,
    ...scope,
    ...(metadata === undefined ? {} : { metadata }),
    ...(categories === undefined ? {} : { categories }),
    created_at: createdAt,
    updated_at: updatedAt,
    ...(embedding === undefined ? {} : { embedding }),
    ...(history === undefined ? {} : { history }),
  };
}

function checkRecordScope(record: Readonly<Record<string, unknown>>): Scope {
  for (const field of SCOPE_FIELDS) {
    if (record[field] === null) throw fieldError(field, "must be a string; leave it out when there is none");
  }
  return checkScope(record);
}

function checkHistory(history: unknown): readonly MemoryEvent[] {
  if (!Array.isArray(history)) throw fieldError("history", "must be a list of events");
  if (history.length > HISTORY_EVENTS_MAX) {
    throw fieldError("history", `has ${history.length} events, the limit is ${HISTORY_EVENTS_MAX}`);
  }
  return history.map((event: unknown, index) => checkEvent(event, `history[${index}]`));
}

function checkEvent(event: unknown, path: string): MemoryEvent {
  if (!isPlainObject(event)) throw fieldError(path, "must be a JSON object");
  for (const field of Object.keys(event)) {
    if (!EVENT_FIELDS.has(field)) throw fieldError(`${path}.${printableKey(field)}`, "unknown field");
  }
  const kind = event["event"];
  if (kind !== "ADD" && kind !== "UPDATE" && kind !== "DELETE") {
    throw fieldError(`${path}.event`, "must be ADD, UPDATE or DELETE");
  }
  return {
    id: checkId(event["id"], `${path}.id`),
    event: kind,
    old_memory: checkEventText(event["old_memory"], `${path}.old_memory`),
    new_memory: checkEventText(event["new_memory"], `${path}.new_memory`),
    created_at: checkDate(event["created_at"], `${path}.created_at`),
  };
}

function checkEventText(text: unknown, field: string): string | null {
  return text === null ? null : checkText(text, field);
}

/** A key that came from outside, short enough and safe to show in a message. */
function printableKey(key: string): string {
  return key.length > 64 || !/^[\w.$-]*$/.test(key) ? JSON.stringify(key.slice(0, 64)) : key;
}
