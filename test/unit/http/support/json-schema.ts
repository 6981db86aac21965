// Checks a value against the part of JSON Schema that the OpenAPI document uses; any other keyword is an
// error, so that a schema never passes because a word of it was not understood. Strict on purpose: a
// property that no schema names is a problem too, since then the document is silent about an answer.

import { at } from "./running-server.ts";

const KNOWN = new Set([
  "type",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "enum",
  "oneOf",
  "minLength",
  "maxLength",
  "minimum",
  "maximum",
  "minItems",
  "maxItems",
  "pattern",
  "format",
  "default",
  "description",
  "$ref",
]);

/** What is wrong, each with its path; empty when the value fits. */
export function problemsOf(
  value: unknown,
  schema: unknown,
  document: unknown,
  path = "$",
): readonly string[] {
  if (typeof schema !== "object" || schema === null) return [`${path}: not a schema`];
  const unknownWords = Object.keys(schema).filter((word) => !KNOWN.has(word));
  if (unknownWords.length > 0) return [`${path}: unknown keywords ${unknownWords.join(", ")}`];
  const reference = at(schema, "$ref");
  if (typeof reference === "string") {
    return problemsOf(value, at(document, ...reference.slice(2).split("/")), document, path);
  }
  const alternatives = at(schema, "oneOf");
  if (Array.isArray(alternatives)) {
    const fitting = alternatives.filter((each) => problemsOf(value, each, document, path).length === 0);
    return fitting.length === 1 ? [] : [`${path}: fits ${fitting.length} alternatives`];
  }
  const types = [at(schema, "type")].flat();
  if (types[0] !== undefined && !types.some((type) => isOfType(value, type))) {
    return [`${path}: ${JSON.stringify(value)} is not ${types.join(" or ")}`];
  }
  const choices = at(schema, "enum");
  if (Array.isArray(choices) && !choices.includes(value))
    return [`${path}: not one of ${choices.join(", ")}`];
  if (typeof value === "string") return problemsOfText(value, schema, path);
  if (typeof value === "number") {
    const [least, most] = [at(schema, "minimum"), at(schema, "maximum")];
    const isInside =
      !(typeof least === "number" && value < least) && !(typeof most === "number" && value > most);
    return isInside ? [] : [`${path}: ${value} is out of range`];
  }
  if (Array.isArray(value)) {
    const [least, most] = [at(schema, "minItems"), at(schema, "maxItems")];
    if (typeof least === "number" && value.length < least) return [`${path}: too few items`];
    if (typeof most === "number" && value.length > most) return [`${path}: too many items`];
    return value.flatMap((item: unknown, index) =>
      problemsOf(item, at(schema, "items"), document, `${path}[${index}]`),
    );
  }
  return typeof value === "object" && value !== null ? problemsOfObject(value, schema, document, path) : [];
}

function problemsOfText(value: string, schema: object, path: string): readonly string[] {
  const [least, most, pattern] = [at(schema, "minLength"), at(schema, "maxLength"), at(schema, "pattern")];
  if (typeof least === "number" && value.length < least) return [`${path}: too short`];
  if (typeof most === "number" && value.length > most) return [`${path}: too long`];
  if (typeof pattern === "string" && !new RegExp(pattern).test(value))
    return [`${path}: does not match ${pattern}`];
  const isTime = at(schema, "format") !== "date-time" || !Number.isNaN(Date.parse(value));
  return isTime ? [] : [`${path}: not a time`];
}

function problemsOfObject(value: object, schema: object, document: unknown, path: string): readonly string[] {
  const properties = at(schema, "properties");
  const names = at(schema, "required");
  const required: readonly string[] = Array.isArray(names) ? names.map(String) : [];
  const rest = at(schema, "additionalProperties");
  const missing = required.filter((name) => !Object.hasOwn(value, name));
  const problems = missing.map((name) => `${path}.${name}: is missing`);
  // A schema without properties says "any object".
  if (properties === undefined && rest === undefined) return problems;
  for (const [name, item] of Object.entries(value)) {
    const known = at(properties, name) ?? rest;
    if (known === undefined) problems.push(`${path}.${name}: is not in the document`);
    else problems.push(...problemsOf(item, known, document, `${path}.${name}`));
  }
  return problems;
}

function isOfType(value: unknown, type: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}
