// The kinds of value that a manifest's fields can have. A kind knows two things about itself: how to
// read a raw node (reporting what is wrong with it) and how to describe itself as JSON Schema. So the
// checks and the schema that editors use cannot disagree. Rules between fields are not here.

import { parseBytes, parseDuration } from "../model/units.ts";
import { didYouMean } from "./did-you-mean.ts";
import { escaped, hasUnsafeCharacters, rawFromValue, shown } from "./raw.ts";
import type { Path, RawNode, RawScalar, Report } from "./raw.ts";

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface Kind<T> {
  readonly schema: JsonSchema;
  /** The value, or undefined after at least one report. */
  read(node: RawNode, path: Path, report: Report): T | undefined;
}

/** A value as it would be written in the manifest. */
export type Written = string | number | boolean | readonly Written[] | { readonly [key: string]: Written };

export interface Field<T> {
  readonly kind: Kind<T>;
  /** For people: shown by editors and in the reference. */
  readonly description: string;
  readonly required?: true;
  /** What an absent field means, as it would be written; read by the field's own kind. */
  readonly fallback?: Written;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** A mapping as read: a field is undefined when it is absent without a fallback, or was reported. */
export type Draft<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T | undefined : never;
};

/** What a kind reads. */
export type ReadBy<K> = K extends Kind<infer T> ? T : never;

const NAMES_OF_TYPES = { mapping: "a mapping", sequence: "a list" } as const;

function typeName(node: RawNode): string {
  if (node.type !== "scalar") return NAMES_OF_TYPES[node.type];
  if (node.value === null) return "nothing";
  return typeof node.value === "string" ? "text" : `a ${typeof node.value}`;
}

/** Values next to secrets are never repeated: somebody may have put the secret there. */
function mayShow(path: Path): boolean {
  return path[1] !== "security" && !path.includes("apiKey");
}

/** `, not text "3"` for messages; without the value where it may be a secret. */
function butFound(node: RawNode, path: Path): string {
  const what = typeName(node);
  if (node.type !== "scalar" || node.value === null || !mayShow(path)) return `, not ${what}`;
  return `, not ${what === "text" ? `the text ${shown(String(node.value))}` : escaped(node.source)}`;
}

function reportType(node: RawNode, path: Path, report: Report, expected: string, hint?: string): undefined {
  report({
    code: "wrong-type",
    path,
    message: `${nameOf(path)} must be ${expected}${butFound(node, path)}`,
    ...(hint === undefined ? {} : { hint }),
  });
  return undefined;
}

/** The last named part of a path, for messages: `replicas`, `nodes[1]`, `the manifest`. */
function nameOf(path: Path): string {
  const last = path.at(-1);
  if (last === undefined) return "the manifest";
  if (typeof last === "string") return escaped(last);
  const before = path.at(-2);
  return `${before === undefined ? "" : escaped(String(before))}[${last}]`;
}

interface TextRules {
  readonly pattern?: RegExp;
  /** The pattern in words: `lower-case letters, digits and hyphens, 1 to 63 characters`. */
  readonly patternMeans?: string;
  /** The code when the pattern does not match. Default: invalid-text. */
  readonly code?: string;
  readonly lengthMax?: number;
}

/** Text without control characters, not empty. */
export function text(rules: TextRules = {}): Kind<string> {
  const lengthMax = rules.lengthMax ?? 1024;
  return {
    schema: {
      type: "string",
      minLength: 1,
      maxLength: lengthMax,
      ...(rules.pattern === undefined ? {} : { pattern: rules.pattern.source }),
    },
    read(node, path, report) {
      if (node.type !== "scalar" || typeof node.value !== "string") {
        const quotable = node.type === "scalar" && node.value !== null && mayShow(path);
        return reportType(
          node,
          path,
          report,
          "text",
          quotable ? `put it in quotes: "${escaped(node.source)}"` : undefined,
        );
      }
      const { value } = node;
      const itself = mayShow(path) ? ` ${shown(value)}` : "";
      const wrong = (message: string, code = "invalid-text"): undefined => {
        report({
          code,
          path,
          message,
          ...(rules.patternMeans === undefined ? {} : { hint: `allowed: ${rules.patternMeans}` }),
        });
        return undefined;
      };
      if (rules.pattern !== undefined && !rules.pattern.test(value)) {
        return wrong(`${nameOf(path)}${itself} is not allowed`, rules.code);
      }
      if (value === "") return wrong(`${nameOf(path)} must not be empty`);
      if (hasUnsafeCharacters(value))
        return wrong(`${nameOf(path)}${itself} has control or invisible characters`);
      if (value.length > lengthMax) {
        return wrong(`${nameOf(path)} has ${value.length} characters; at most ${lengthMax} are allowed`);
      }
      return value;
    },
  };
}

interface Bounds {
  readonly min: number;
  readonly max: number;
  /** The lower bound itself is not allowed. */
  readonly aboveMin?: true;
}

function boundsText({ min, max, aboveMin }: Bounds): string {
  return aboveMin === true ? `above ${min}, at most ${max}` : `${min}..${max}`;
}

function outOfRange(node: RawScalar, path: Path, report: Report, range: string): undefined {
  report({
    code: "out-of-range",
    path,
    message: `${nameOf(path)} is ${escaped(node.source)}; it must be ${range}`,
  });
  return undefined;
}

function numeric(bounds: Bounds, whole: boolean): Kind<number> {
  const expected = `a ${whole ? "whole " : ""}number`;
  const { min, max, aboveMin } = bounds;
  return {
    schema: {
      type: whole ? "integer" : "number",
      ...(aboveMin === true ? { exclusiveMinimum: min } : { minimum: min }),
      maximum: max,
    },
    read(node, path, report) {
      if (node.type !== "scalar" || typeof node.value !== "number") {
        const hint = isQuotedNumber(node) ? "remove the quotes" : undefined;
        return reportType(node, path, report, `${expected}, ${boundsText(bounds)}`, hint);
      }
      const { value } = node;
      if (Number.isNaN(value) || (whole && Number.isFinite(value) && !Number.isInteger(value))) {
        return reportType(node, path, report, `${expected}, ${boundsText(bounds)}`);
      }
      const inRange = (aboveMin === true ? value > min : value >= min) && value <= max;
      return inRange ? value : outOfRange(node, path, report, boundsText(bounds));
    },
  };
}

export function integer(min: number, max: number): Kind<number> {
  return numeric({ min, max }, true);
}

/** A number above 0. */
export function positive(max: number): Kind<number> {
  return numeric({ min: 0, max, aboveMin: true }, false);
}

interface UnitBounds {
  /** As written, e.g. `10ms`. */
  readonly min: string;
  readonly max: string;
}

/** A number with its unit, by one of the parsers of model/units.ts. */
function withUnit(
  what: string,
  units: string,
  example: string,
  pattern: string,
  parse: (written: string) => number | undefined,
  { min, max }: UnitBounds,
): Kind<number> {
  const minValue = parse(min) ?? 0;
  const maxValue = parse(max) ?? Infinity;
  return {
    schema: { type: "string", pattern, examples: [example] },
    read(node, path, report) {
      const written = node.type === "scalar" ? String(node.value ?? "") : undefined;
      const hint = `write a number and its unit (${units}), for example ${example}`;
      if (written === undefined) return reportType(node, path, report, what, hint);
      const value = parse(written);
      if (value === undefined || node.type !== "scalar") {
        report({
          code: `invalid-${what.split(" ")[1] ?? what}`,
          path,
          message: `${nameOf(path)} must be ${what} from ${min} to ${max}, not ${shown(written)}`,
          hint,
        });
        return undefined;
      }
      return value >= minValue && value <= maxValue
        ? value
        : outOfRange(node, path, report, `${min} to ${max}`);
    },
  };
}

/** Milliseconds, written `100ms`, `1s`, `2m`, `1h`. */
export function duration(bounds: UnitBounds): Kind<number> {
  return withUnit("a duration", "ms, s, m, h", "100ms", "^\\d+(\\.\\d+)?(ms|s|m|h)$", parseDuration, bounds);
}

/** Bytes, written `512KiB`, `4MiB`. */
export function size(bounds: UnitBounds): Kind<number> {
  return withUnit(
    "a size",
    "B, KiB, MiB, GiB",
    "4MiB",
    "^\\d+(\\.\\d+)?(B|KiB|MiB|GiB)$",
    parseBytes,
    bounds,
  );
}

function isQuotedNumber(node: RawNode): boolean {
  return node.type === "scalar" && typeof node.value === "string" && /^-?\d+(\.\d+)?$/.test(node.value);
}

/** One of a few words. `otherwise`: what else is expected there, as it is told to whoever wrote neither. */
export function choice<const C extends string>(choices: readonly C[], otherwise = ""): Kind<C> {
  return {
    schema: choices.length === 1 ? { const: choices[0] } : { enum: choices },
    read(node, path, report) {
      const written = node.type === "scalar" ? node.value : undefined;
      const chosen = choices.find((each) => each === written);
      if (chosen !== undefined) return chosen;
      const list = choices.join(", ");
      const expected = `${choices.length === 1 ? list : `one of ${list}`}${otherwise}`;
      if (typeof written !== "string") return reportType(node, path, report, expected);
      const near = didYouMean(written, choices);
      report({
        code: "unknown-value",
        path,
        message: `${nameOf(path)} must be ${expected}${mayShow(path) ? `, not ${shown(written)}` : ""}`,
        ...(near === undefined || !mayShow(path) ? {} : { hint: `did you mean ${near}?` }),
      });
      return undefined;
    },
  };
}

/** `true` or `false`. */
export function truth(): Kind<boolean> {
  return {
    schema: { type: "boolean" },
    read(node, path, report) {
      if (node.type === "scalar" && typeof node.value === "boolean") return node.value;
      return reportType(node, path, report, "true or false");
    },
  };
}

/** One of a few words, or a whole number (whose range is left to a rule). */
export function choiceOrCount<const C extends string>(choices: readonly C[]): Kind<C | number> {
  const otherwise = " or a whole number";
  const words = choice(choices, otherwise);
  return {
    schema: { anyOf: [words.schema, { type: "integer", minimum: 1 }] },
    read(node, path, report) {
      if (node.type === "scalar" && typeof node.value === "number" && Number.isSafeInteger(node.value)) {
        return node.value;
      }
      const isQuoted = isQuotedNumber(node);
      if (node.type === "scalar" && typeof node.value === "string" && !isQuoted) {
        return words.read(node, path, report);
      }
      const hint = isQuoted ? "remove the quotes" : undefined;
      return reportType(node, path, report, `one of ${choices.join(", ")}${otherwise}`, hint);
    },
  };
}

/** A list; items that were reported are undefined in it, so that indexes stay those of the text. */
export function list<T>(item: Kind<T>, itemsMax = Infinity): Kind<readonly (T | undefined)[]> {
  return {
    schema: { type: "array", items: item.schema, ...(itemsMax === Infinity ? {} : { maxItems: itemsMax }) },
    read(node, path, report) {
      if (node.type !== "sequence") return reportType(node, path, report, "a list");
      if (node.items.length > itemsMax) {
        report({
          code: "out-of-range",
          path,
          message: `${nameOf(path)} has ${node.items.length} items; at most ${itemsMax} are allowed`,
        });
        return undefined;
      }
      return node.items.map((each, index) => item.read(each, [...path, index], report));
    },
  };
}

/** A mapping with free keys and values of one kind. Values that were reported are left out. */
export function dictionary<T>(value: Kind<T>): Kind<ReadonlyMap<string, T>> {
  const key = text({ lengthMax: 512 });
  return {
    schema: { type: "object", additionalProperties: value.schema },
    read(node, path, report) {
      if (node.type !== "mapping") return reportType(node, path, report, "a mapping");
      const result = new Map<string, T>();
      for (const [name, entry] of node.entries) {
        const place = entry.keyPlace;
        const keyNode: RawScalar = { type: "scalar", place, value: name, source: name };
        const valid = key.read(keyNode, path, (problem) =>
          report({ ...problem, path: [...path, name], place }),
        );
        const read = value.read(entry.value, [...path, name], report);
        if (valid !== undefined && read !== undefined) result.set(name, read);
      }
      return result;
    },
  };
}

// Fields that exist in no mapping, but that people write: their values are secrets.
const SECRET_NAME = /^(pass(word|wd|phrase)?|secrets?|tokens?|api_?key|credentials?|value)$/i;

interface MappingRules {
  /** One of these, and only one, must be given. */
  readonly exactlyOne?: readonly string[];
  /** A scalar in place of this mapping is a secret written out. */
  readonly holdsSecret?: true;
}

/** A mapping of known fields. */
export function mapping<const F extends Fields>(fields: F, rules: MappingRules = {}): Kind<Draft<F>> {
  const names = Object.keys(fields);
  const { exactlyOne } = rules;
  return {
    schema: {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, fieldSchema(fields[name])])),
      required: names.filter((name) => fields[name]?.required === true),
      additionalProperties: false,
      ...(exactlyOne === undefined ? {} : { oneOf: exactlyOne.map((name) => ({ required: [name] })) }),
    },
    read(node, path, report) {
      if (node.type !== "mapping") {
        if (rules.holdsSecret === true && node.type === "scalar" && node.value !== null) {
          return reportInlineSecret(path, report, nameOf(path));
        }
        return reportType(node, path, report, "a mapping");
      }
      const draft: Record<string, unknown> = {};
      for (const name of names) {
        const field = fields[name];
        const entry = node.entries.get(name);
        if (field === undefined) continue;
        if (entry !== undefined) draft[name] = field.kind.read(entry.value, [...path, name], report);
        else if (field.fallback !== undefined) {
          // A fallback is ours: reading it cannot fail, and its inner fields take their own fallbacks.
          draft[name] = field.kind.read(rawFromValue(field.fallback, report), [...path, name], report);
        } else if (field.required === true) {
          report({
            code: "missing-field",
            path: [...path, name],
            message: `${nameOf(path)} has no ${name}`,
            hint: field.description,
          });
        }
      }
      for (const [name, { keyPlace, value }] of node.entries) {
        if (Object.hasOwn(fields, name)) continue;
        if (SECRET_NAME.test(name) && value.type === "scalar") {
          reportInlineSecret([...path, name], report, nameOf([name]));
          continue;
        }
        const near = didYouMean(name, names);
        report({
          code: "unknown-field",
          path: [...path, name],
          place: keyPlace,
          message: `unknown field ${shown(name)} in ${nameOf(path)}`,
          hint: near === undefined ? `known fields: ${names.join(", ")}` : `did you mean ${near}?`,
        });
      }
      if (exactlyOne !== undefined) {
        const given = exactlyOne.filter((name) => node.entries.has(name));
        const inline = [...node.entries.keys()].some((name) => SECRET_NAME.test(name));
        if (given.length !== 1 && !inline) {
          report({
            code: "one-of",
            path,
            message: `${nameOf(path)} needs exactly one of ${exactlyOne.join(", ")}; it has ${given.length === 0 ? "none" : given.join(" and ")}`,
          });
        }
      }
      // The loop above gave every name of `fields` what that field's kind reads, which is what Draft<F>
      // says; the compiler cannot follow a loop over keys.
      return draft as Draft<F>;
    },
  };
}

function reportInlineSecret(path: Path, report: Report, name: string): undefined {
  report({
    code: "inline-secret",
    path,
    message: `${name} seems to be a secret written into the manifest`,
    hint: "put it into a file or an environment variable and refer to that: `file: path` or `env: NAME`; and replace the secret, it has been in a file that is shared",
  });
  return undefined;
}

function fieldSchema(field: Field<unknown> | undefined): JsonSchema {
  if (field === undefined) return {};
  return {
    description: field.description,
    ...field.kind.schema,
    ...(field.fallback === undefined ? {} : { default: field.fallback }),
  };
}
