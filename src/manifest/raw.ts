// The raw tree: what a manifest says before anything is known about what it means. YAML text and the
// builder's plain values both become one, so that one set of checks serves both. It knows places and
// paths and nothing about fields.

import type { Finding, Severity } from "../model/findings.ts";

/** 1-based line and column of the first character; both 0 where there is no text. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

const NOWHERE: Place = { line: 0, column: 0 };

export interface RawScalar {
  readonly type: "scalar";
  readonly place: Place;
  readonly value: string | number | boolean | null;
  /** As it was written, e.g. `1e400` where the value is Infinity. */
  readonly source: string;
}

export interface RawSequence {
  readonly type: "sequence";
  readonly place: Place;
  readonly items: readonly RawNode[];
}

export interface RawEntry {
  readonly keyPlace: Place;
  readonly value: RawNode;
}

export interface RawMapping {
  readonly type: "mapping";
  readonly place: Place;
  readonly entries: ReadonlyMap<string, RawEntry>;
}

export type RawNode = RawScalar | RawSequence | RawMapping;

/** Keys and indexes from the root, e.g. `["spec", "nodes", 1, "address"]`. */
export type Path = readonly (string | number)[];

/** What a check reports; the line and column are looked up by the path unless `place` is given. */
export interface Problem {
  readonly code: string;
  /** Default: error. */
  readonly severity?: Severity;
  readonly path: Path;
  readonly place?: Place;
  readonly message: string;
  readonly hint?: string;
}

export type Report = (problem: Problem) => void;

/** Deeper trees are refused: no manifest needs it, and recursion over the tree stays bounded. */
export const DEPTH_MAX = 64;

/**
 * Names that JavaScript gives a meaning to in every object; refused as keys so that no consumer of the
 * manifest (or of the JSON made from it) can be surprised by one.
 */
export const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

export function reportForbiddenKey(key: string, path: Path, place: Place, report: Report): void {
  report({
    code: "forbidden-key",
    path,
    place,
    message: `the key ${key} is not allowed anywhere in a manifest`,
    hint: "choose another name; JavaScript gives this one a meaning of its own",
  });
}

/** `spec.nodes[1].address`; keys that are no plain words are quoted. */
function formatPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${shown(part)}]`;
  }
  return text;
}

/** The node at a path, or undefined where the manifest does not have it. */
export function nodeAt(root: RawNode, path: Path): RawNode | undefined {
  let node: RawNode | undefined = root;
  for (const part of path) {
    if (node?.type === "mapping" && typeof part === "string") node = node.entries.get(part)?.value;
    else if (node?.type === "sequence" && typeof part === "number") node = node.items[part];
    else return undefined;
  }
  return node;
}

/** Where to point for a path: its value, or the nearest ancestor that the manifest has. */
export function placeOf(root: RawNode, path: Path): Place {
  let node: RawNode = root;
  let place: Place = root.place;
  for (const part of path) {
    if (node.type === "mapping" && typeof part === "string") {
      const entry = node.entries.get(part);
      if (entry === undefined) return place;
      node = entry.value;
      // A block value begins on the next line; people look for the key.
      place = node.type === "scalar" && node.source !== "" ? node.place : entry.keyPlace;
    } else if (node.type === "sequence" && typeof part === "number") {
      const item = node.items[part];
      if (item === undefined) return place;
      node = item;
      place = item.place;
    } else return place;
  }
  return place;
}

/** A raw tree of a plain value (the builder's); `undefined` fields are left out. */
export function rawFromValue(value: unknown, report: Report, path: Path = []): RawNode {
  if (path.length > DEPTH_MAX) {
    report({
      code: "nesting-too-deep",
      path: path.slice(0, 3),
      message: `nested deeper than ${DEPTH_MAX} levels`,
    });
    return { type: "scalar", place: NOWHERE, value: null, source: "" };
  }
  if (Array.isArray(value)) {
    const items = value.map((item: unknown, index) => rawFromValue(item, report, [...path, index]));
    return { type: "sequence", place: NOWHERE, items };
  }
  if (typeof value === "object" && value !== null) {
    const entries = new Map<string, RawEntry>();
    for (const [key, inner] of Object.entries(value)) {
      if (inner === undefined) continue;
      if (FORBIDDEN_KEYS.has(key)) reportForbiddenKey(key, path, NOWHERE, report);
      else entries.set(key, { keyPlace: NOWHERE, value: rawFromValue(inner, report, [...path, key]) });
    }
    return { type: "mapping", place: NOWHERE, entries };
  }
  const scalar =
    typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null
      ? value
      : `(a ${typeof value})`;
  return { type: "scalar", place: NOWHERE, value: scalar, source: String(scalar) };
}

// C0 and C1 controls, the soft hyphen, zero-width and bidirectional controls, line separators, the BOM,
// lone surrogates: what a terminal obeys or hides instead of showing.
const UNSAFE =
  // eslint-disable-next-line no-control-regex -- finding control characters is what it is for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Surrogate}/u;
const UNSAFE_ALL = new RegExp(UNSAFE, "gu");
const SHOWN_LENGTH_MAX = 60;

/** Whether a text has characters that a terminal would obey or hide. */
export function hasUnsafeCharacters(text: string): boolean {
  return UNSAFE.test(text);
}

/** A text from a manifest as it may be put into a message: escaped, and cut where it is too long. */
export function escaped(text: string, lengthMax: number = SHOWN_LENGTH_MAX): string {
  const characters = Array.from(text.slice(0, lengthMax * 2));
  const cut = characters.length > lengthMax;
  const safe = characters
    .slice(0, lengthMax)
    .join("")
    .replaceAll(UNSAFE_ALL, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
  return cut ? `${safe}… (${text.length} characters)` : safe;
}

/** `escaped`, in double quotes. */
export function shown(text: string): string {
  return `"${escaped(text)}"`;
}

/** More are counted, not listed: nobody reads them, and a text of 1 MiB can make 100,000. */
const FINDINGS_MAX = 1000;

/** Problems become findings with a place; sorted as the text reads. */
export class FindingList {
  readonly #problems: Problem[] = [];
  #unlisted = 0;
  #hasErrors = false;

  readonly report: Report = (problem) => {
    if (problem.severity !== "warning") this.#hasErrors = true;
    if (this.#problems.length < FINDINGS_MAX) this.#problems.push(problem);
    else this.#unlisted += 1;
  };

  hasErrors(): boolean {
    return this.#hasErrors;
  }

  /** @param root the tree that paths are looked up in; without one every finding keeps its own place. */
  findings(root: RawNode | undefined): readonly Finding[] {
    const listed = this.#problems
      .map((problem) => findingOf(problem, root))
      .sort((one, other) => one.line - other.line || one.column - other.column);
    if (this.#unlisted === 0) return listed;
    const last = listed.at(-1);
    return [
      ...listed,
      {
        code: "more-findings",
        severity: this.#hasErrors ? "error" : "warning",
        path: "",
        line: last?.line ?? 0,
        column: last?.column ?? 0,
        message: `and ${this.#unlisted} more`,
        hint: "correct these first",
      },
    ];
  }
}

function findingOf(problem: Problem, root: RawNode | undefined): Finding {
  const { code, severity, path, place, message, hint } = problem;
  const { line, column } = place ?? (root === undefined ? NOWHERE : placeOf(root, path));
  return {
    code,
    severity: severity ?? "error",
    path: formatPath(path),
    line,
    column,
    message,
    ...(hint === undefined ? {} : { hint }),
  };
}
