// The shapes of what clients send: each reads unknown JSON into a typed value or throws naming the
// field, and each carries the JSON Schema that the OpenAPI document shows. One source for both, so that
// the document cannot promise what the server refuses. What a memory's fields may hold is memory/'s.

import {
  checkCategories,
  checkId,
  checkMetadata,
  checkText,
  checkVector,
  FieldError,
  ID_CHARACTERS_MAX,
  isPlainObject,
  METADATA_BYTES_MAX,
  SCOPE_CHARACTERS_MAX,
  TEXT_BYTES_MAX,
} from "../memory/record.ts";

export type JsonSchema = Readonly<Record<string, unknown>>;

/** What a shape needs to know of the running node. */
export interface Bounds {
  /** Length of every vector. */
  readonly dimensions: number;
  /** Most memories in one request. */
  readonly batchMax: number;
}

export interface Shape<Value> {
  readonly presence: "required" | "defaulted" | "optional";
  readonly schema: JsonSchema;
  /** `field` is the path that an error names. Throws FieldError (`field-invalid`, `field-too-large`). */
  readonly read: (value: unknown, field: string, bounds: Bounds) => Value;
}

export interface OptionalShape<Value> extends Shape<Value | undefined> {
  readonly presence: "optional";
}

type Fields = Readonly<Record<string, Shape<unknown>>>;

/** The object that the fields make: optional ones may be absent. */
export type ObjectOf<F extends Fields> = {
  readonly [K in keyof F as F[K] extends OptionalShape<unknown> ? never : K]: F[K] extends Shape<infer Value>
    ? Value
    : never;
} & {
  readonly [K in keyof F as F[K] extends OptionalShape<unknown> ? K : never]?: F[K] extends Shape<infer Value>
    ? Exclude<Value, undefined>
    : never;
};

export function refuse(field: string, message: string, hint?: string): FieldError {
  return new FieldError("invalid", "field-invalid", [{ field, message }], hint);
}

function required<Value>(
  schema: JsonSchema,
  read: (value: unknown, field: string, bounds: Bounds) => Value,
): Shape<Value> {
  return {
    presence: "required",
    schema,
    read: (value, field, bounds) => {
      if (value === undefined || value === null) throw refuse(field || "body", "is required");
      return read(value, field, bounds);
    },
  };
}

/** Absent, undefined and null are the same: not given. */
export function optional<Value>(shape: Shape<Value>): OptionalShape<Value> {
  return {
    presence: "optional",
    schema: shape.schema,
    read: (value, field, bounds) =>
      value === undefined || value === null ? undefined : shape.read(value, field, bounds),
  };
}

export function defaulted<Value>(shape: Shape<Value>, fallback: Value): Shape<Value> {
  return {
    presence: "defaulted",
    schema: { ...shape.schema, default: fallback },
    read: (value, field, bounds) =>
      value === undefined || value === null ? fallback : shape.read(value, field, bounds),
  };
}

export function described<S extends Shape<unknown>>(description: string, shape: S): S {
  return { ...shape, schema: { ...shape.schema, description } };
}

export function text(charactersMax: number): Shape<string> {
  return required({ type: "string", minLength: 1, maxLength: charactersMax }, (value, field) => {
    if (typeof value !== "string") throw refuse(field, "must be a string, given once");
    if (value.length === 0 || value.length > charactersMax) {
      throw refuse(field, `must have 1 to ${charactersMax} characters, has ${value.length}`);
    }
    return value;
  });
}

export function choice<const Value extends string>(values: readonly Value[]): Shape<Value> {
  return required({ type: "string", enum: values }, (value, field) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw refuse(field, `must be ${values.join(" or ")}`);
    return found;
  });
}

export function flag(): Shape<boolean> {
  return required({ type: "boolean" }, (value, field) => {
    if (typeof value !== "boolean") throw refuse(field, "must be true or false");
    return value;
  });
}

export function integer(min: number, max: number): Shape<number> {
  return required({ type: "integer", minimum: min, maximum: max }, (value, field) => {
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw refuse(field, `must be a whole number, ${min} to ${max}`);
    }
    return value;
  });
}

/** A whole number as a query string spells it. */
export function integerInQuery(min: number, max: number): Shape<number> {
  return required({ type: "integer", minimum: min, maximum: max }, (value, field) => {
    const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) throw refuse(field, `must be a whole number, ${min} to ${max}`);
    return number;
  });
}

export function number(min: number, max: number): Shape<number> {
  return required({ type: "number", minimum: min, maximum: max }, (value, field) => {
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw refuse(field, `must be a number, ${min} to ${max}`);
    }
    return value;
  });
}

/** One to `batchMax` entries; more are `batch-too-large`, kind `too-large`. */
export function batch<Value>(shape: Shape<Value>): Shape<readonly Value[]> {
  return required({ type: "array", minItems: 1, items: shape.schema }, (value, field, bounds) => {
    if (!Array.isArray(value)) throw refuse(field, "must be a list");
    if (value.length === 0) throw refuse(field, "must not be empty");
    if (value.length > bounds.batchMax) {
      throw new FieldError(
        "too-large",
        "batch-too-large",
        [{ field, message: `has ${value.length} entries, the limit is ${bounds.batchMax}` }],
        "send smaller batches",
      );
    }
    return value.map((item: unknown, index) => shape.read(item, `${field}[${index}]`, bounds));
  });
}

/** A list of at most so many. */
export function listOf<Value>(shape: Shape<Value>, countMax: number): Shape<readonly Value[]> {
  return required({ type: "array", maxItems: countMax, items: shape.schema }, (value, field, bounds) => {
    if (!Array.isArray(value)) throw refuse(field, "must be a list");
    if (value.length > countMax) throw refuse(field, `has ${value.length} entries, the limit is ${countMax}`);
    return value.map((item: unknown, index) => shape.read(item, `${field}[${index}]`, bounds));
  });
}

/** One of several objects; the field `by` says which. */
export function eitherOf<Value>(by: string, shapes: Readonly<Record<string, Shape<Value>>>): Shape<Value> {
  return required({ oneOf: Object.values(shapes).map(({ schema }) => schema) }, (value, field, bounds) => {
    const which = isPlainObject(value) ? value[by] : undefined;
    const shape = typeof which === "string" && Object.hasOwn(shapes, which) ? shapes[which] : undefined;
    if (shape === undefined) throw refuse(at(field, by), `must be ${Object.keys(shapes).join(" or ")}`);
    return shape.read(value, field, bounds);
  });
}

/**
 * An object of exactly these fields. Any other is refused, so that a misspelt one never widens a search
 * or a deletion; null and false are not asking for anything and pass. `ignored`: what mem0's clients may
 * send that means nothing here.
 */
export function object<F extends Fields>(fields: F, ignored: readonly string[] = []): Shape<ObjectOf<F>> {
  const entries = Object.entries(fields);
  const known = new Set([...entries.map(([name]) => name), ...ignored]);
  const requiredNames = entries.filter(([, shape]) => shape.presence === "required").map(([name]) => name);
  const schema = {
    type: "object",
    properties: {
      ...Object.fromEntries(entries.map(([name, shape]) => [name, shape.schema])),
      ...Object.fromEntries(ignored.map((name) => [name, { description: "Accepted; has no effect." }])),
    },
    ...(requiredNames.length === 0 ? {} : { required: requiredNames }),
  };
  return required(schema, (value, field, bounds) => {
    if (!isPlainObject(value)) throw refuse(field || "body", "must be a JSON object");
    for (const name of Object.keys(value)) {
      if (known.has(name) || value[name] === null || value[name] === false) continue;
      throw refuse(
        at(field, printable(name)),
        "is not a field of this request",
        `fields are ${[...known].join(", ")}`,
      );
    }
    const result: Record<string, unknown> = {};
    for (const [name, shape] of entries) {
      const item = shape.read(value[name], at(field, name), bounds);
      if (item !== undefined) result[name] = item;
    }
    // Every entry of F was read by its own shape just now, which is what ObjectOf<F> says.
    return result as ObjectOf<F>;
  });
}

function at(parent: string, name: string): string {
  return parent === "" ? name : `${parent}.${name}`;
}

function printable(name: string): string {
  return name.length <= 64 && /^[\w-]+$/.test(name) ? name : JSON.stringify(name.slice(0, 64));
}

/** A JSON object that someone further in checks. */
export function freeObject(schema: JsonSchema = {}): Shape<Readonly<Record<string, unknown>>> {
  return required({ type: "object", ...schema }, (value, field) => {
    if (!isPlainObject(value)) throw refuse(field, "must be a JSON object");
    return value;
  });
}

/** Whatever was sent, absent or not: someone further in checks it. */
export function anything(schema: JsonSchema): Shape<unknown> {
  return { presence: "required", schema, read: (value) => value };
}

export const memoryText = required(
  { type: "string", minLength: 1, description: `Stored as given; at most ${TEXT_BYTES_MAX} bytes of UTF-8.` },
  checkText,
);
export const metadata = required(
  { type: "object", description: `Any JSON; at most ${METADATA_BYTES_MAX} bytes.` },
  checkMetadata,
);
export const categories = required({ type: "array", items: { type: "string" } }, checkCategories);
export const memoryId = required(
  { type: "string", pattern: "^[A-Za-z0-9_-]+$", maxLength: ID_CHARACTERS_MAX },
  checkId,
);
/** As a memory's `hash` gives it. */
export const textHash = required({ type: "string", pattern: "^[0-9a-f]{32}$" }, (value, field) => {
  if (typeof value === "string" && /^[0-9a-f]{32}$/.test(value)) return value;
  throw refuse(field, "must be the hash of a memory's text: 32 lower-case hexadecimal digits");
});
/** Whether it is a name at all is checkScope's to say. */
export const scopeName = anything({ type: "string", minLength: 1, maxLength: SCOPE_CHARACTERS_MAX });
export const vector = required(
  { type: "array", items: { type: "number" }, description: "As many numbers as the cluster's vectors have." },
  (value, field, bounds) => checkVector(value, bounds.dimensions, field),
);
