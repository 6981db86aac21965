// YAML text -> raw tree, by a careful subset of YAML 1.2: one document, plain keys, no merge keys, no
// tags of one's own, bounded nesting and bounded alias expansion. Never throws, whatever the text is.

import { Composer, isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, Parser } from "yaml";
import type { CST, Document, ParsedNode, YAMLMap } from "yaml";
import { DEPTH_MAX, escaped, FORBIDDEN_KEYS, reportForbiddenKey, shown } from "./raw.ts";
import type { Path, Place, RawEntry, RawNode, Report } from "./raw.ts";

/** Aliases that are followed, counted as they unfold: more is an alias bomb, not a manifest. */
const ALIAS_EXPANSIONS_MAX = 100;
/** Syntax errors that are listed; one misplaced quote can make thousands. */
const SYNTAX_FINDINGS_MAX = 10;
/** Of the message and of the line that is shown with it. */
const SYNTAX_LINE_LENGTH_MAX = 120;

/** The library's code for a key that is a list, a mapping or an alias. */
const NOT_A_TEXT = "NON_STRING_KEY";

const CORE_TAGS: ReadonlySet<string> = new Set(
  ["str", "int", "float", "bool", "null", "map", "seq"].map((name) => `tag:yaml.org,2002:${name}`),
);

/** The raw tree of a text; undefined when it is empty, or too broken to look further. */
export function rawFromYaml(text: string, report: Report): RawNode | undefined {
  const lines = new LineCounter();
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(Math.max(0, Math.min(offset, text.length)));
    return { line, column: col };
  };

  const tokens = tokensOf(text, lines);
  if (tokens.deepAt !== undefined) {
    report({
      code: "nesting-too-deep",
      path: [],
      place: at(tokens.deepAt),
      message: `nested deeper than ${DEPTH_MAX} levels`,
    });
    return undefined;
  }

  // Unique keys are checked below: the library's own check compares every key with every other.
  const composer = new Composer<ParsedNode>({
    uniqueKeys: false,
    stringKeys: true,
    resolveKnownTags: false,
    merge: false,
    prettyErrors: false,
    logLevel: "silent",
  });
  const documents = [...composer.compose(tokens.list)];
  const [document] = documents;
  const errors = documents.flatMap((each) => each.errors);
  // A key that is no text is no syntax error of a manifest: where it is all, the tree is read, and names it there.
  if (errors.some(({ code }) => code !== NOT_A_TEXT)) {
    const sourceLines = text.split(/\r?\n/);
    for (const error of errors.slice(0, SYNTAX_FINDINGS_MAX)) {
      const place = at(error.pos[0]);
      if (error.code === NOT_A_TEXT) {
        reportComplexKey([], place, report);
        continue;
      }
      report({
        code: "yaml-syntax",
        path: [],
        place,
        message: `not valid YAML: ${syntaxMessage(error.message)}${sourceLine(sourceLines[place.line - 1] ?? "")}`,
        ...(error.code === "TAB_AS_INDENT" ? { hint: "indent with spaces" } : {}),
      });
    }
    return undefined;
  }
  if (documents.length > 1) {
    report({
      code: "several-documents",
      path: [],
      place: at(documents[1]?.range[0] ?? 0),
      message: `one YAML document is expected, ${documents.length} were found`,
      hint: "remove the `---` separators, or keep one cluster per file",
    });
    return undefined;
  }
  if (document === undefined || isEmptyScalar(document.contents)) {
    report({
      code: "manifest-empty",
      path: [],
      place: at(0),
      message: "the manifest is empty",
      hint: "make one with `mem0ctl init cluster`",
    });
    return undefined;
  }
  if (document.directives.yaml.explicit === true && document.directives.yaml.version !== "1.2") {
    report({
      code: "yaml-version",
      path: [],
      place: at(0),
      message: `the manifest is read as YAML 1.2, not ${document.directives.yaml.version}`,
      hint: "remove the %YAML line",
    });
    return undefined;
  }
  return new TreeReader(document, text, at, report).read();
}

function reportComplexKey(path: Path, place: Place, report: Report): void {
  report({
    code: "complex-key",
    path,
    place,
    message: "a key has to be a text, and this one is a list, a mapping or an alias",
    hint: "write `name: value`, without `?`; quote a text that begins with a bracket, a brace or a star",
  });
}

function isEmptyScalar(node: ParsedNode | null): boolean {
  return node === null || (isScalar(node) && node.value === null && node.range[0] === node.range[1]);
}

/**
 * The token tree, made with the parser's own stack in view: composing a deeply nested one recurses, and
 * a recursion near the end of the stack has been seen to abort the whole process.
 */
function tokensOf(text: string, lines: LineCounter): { list: CST.Token[]; deepAt?: number } {
  const list: CST.Token[] = [];
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    list.push(...parser.next(lexeme));
    // The document itself and a scalar at the end are on the stack too.
    if (parser.stack.length > DEPTH_MAX + 2) return { list, deepAt: parser.offset };
  }
  list.push(...parser.end());
  return { list };
}

/** The library's messages are sentences of its own; ours begin small and end without a full stop. */
function syntaxMessage(message: string): string {
  const line = escaped(message.split("\n")[0] ?? "", SYNTAX_LINE_LENGTH_MAX).replace(/\.$/, "");
  return line.charAt(0).toLowerCase() + line.slice(1);
}

/** The line itself, unless it may hold a secret: messages end up in logs of build servers. */
function sourceLine(line: string): string {
  const trimmed = line.trim();
  if (trimmed === "" || /passw|secret|token|api_?key|credential/i.test(trimmed)) return "";
  return `: ${escaped(trimmed, SYNTAX_LINE_LENGTH_MAX)}`;
}

/** Walks the composed document once; holds what one walk needs to know. */
class TreeReader {
  readonly #document: Document.Parsed;
  readonly #text: string;
  readonly #at: (offset: number) => Place;
  readonly #report: Report;
  readonly #anchors = new Map<string, ParsedNode>();
  #aliasExpansions = 0;
  /** A bound was passed or an alias has no anchor: what is left of the tree is not worth checking. */
  #gaveUp = false;

  constructor(document: Document.Parsed, text: string, at: (offset: number) => Place, report: Report) {
    this.#document = document;
    this.#text = text;
    this.#at = at;
    this.#report = report;
  }

  read(): RawNode | undefined {
    const root = this.#node(this.#document.contents, []);
    return this.#gaveUp ? undefined : root;
  }

  #node(node: ParsedNode | null, path: Path, aliasPlace?: Place): RawNode {
    const place = aliasPlace ?? this.#at(node?.range[0] ?? 0);
    const nothing: RawNode = { type: "scalar", place, value: null, source: "" };
    if (node === null) return nothing;
    if (this.#gaveUp) return nothing;
    if (path.length > DEPTH_MAX) {
      this.#gaveUp = true;
      this.#report({
        code: "nesting-too-deep",
        path: path.slice(0, 3),
        place,
        message: `nested deeper than ${DEPTH_MAX} levels`,
      });
      return nothing;
    }
    if (isAlias(node)) return this.#alias(node.source, path, place) ?? nothing;
    if ("anchor" in node && typeof node.anchor === "string") this.#anchors.set(node.anchor, node);
    this.#checkTag(node.tag, path, place);
    if (isMap(node)) return { type: "mapping", place, entries: this.#entries(node, path, aliasPlace) };
    if (isSeq(node)) {
      const items: readonly (ParsedNode | null)[] = node.items;
      return {
        type: "sequence",
        place,
        items: items.map((item, index) => this.#node(item, [...path, index], aliasPlace)),
      };
    }
    const { value } = node;
    const source = this.#text.slice(node.range[0], node.range[1]);
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      return { type: "scalar", place, value, source };
    }
    return { type: "scalar", place, value: null, source };
  }

  #entries(map: YAMLMap.Parsed, path: Path, aliasPlace: Place | undefined): ReadonlyMap<string, RawEntry> {
    const entries = new Map<string, RawEntry>();
    for (const pair of map.items) {
      const key: unknown = isScalar(pair.key) ? pair.key.value : undefined;
      const keyPlace = aliasPlace ?? this.#at(pair.key.range[0]);
      if (typeof key !== "string") {
        reportComplexKey(path, keyPlace, this.#report);
        continue;
      }
      if (key === "<<") {
        this.#report({
          code: "merge-key",
          path,
          place: keyPlace,
          message: "merge keys (<<) are not supported",
          hint: "write the fields out",
        });
        continue;
      }
      if (FORBIDDEN_KEYS.has(key)) {
        reportForbiddenKey(key, path, keyPlace, this.#report);
        continue;
      }
      const first = entries.get(key);
      if (first !== undefined) {
        this.#report({
          code: "duplicate-key",
          path: [...path, key],
          place: keyPlace,
          message: `the key ${shown(key)} is here (line ${keyPlace.line}) and on line ${first.keyPlace.line}`,
          hint: "keep one of them",
        });
        continue;
      }
      entries.set(key, { keyPlace, value: this.#node(pair.value, [...path, key], aliasPlace) });
    }
    return entries;
  }

  /** Findings inside an alias point to where it is used: there the path is the reader's. */
  #alias(name: string, path: Path, place: Place): RawNode | undefined {
    this.#aliasExpansions += 1;
    if (this.#aliasExpansions > ALIAS_EXPANSIONS_MAX) {
      this.#gaveUp = true;
      this.#report({
        code: "alias-limit",
        path,
        place,
        message: `aliases unfold more than ${ALIAS_EXPANSIONS_MAX} times, which is the limit`,
        hint: "write the values out",
      });
      return undefined;
    }
    const target = this.#anchors.get(name);
    if (target === undefined) {
      this.#gaveUp = true;
      this.#report({
        code: "unknown-alias",
        path,
        place,
        message: `the alias *${escaped(name)} has no anchor before it`,
      });
      return undefined;
    }
    return this.#node(target, path, place);
  }

  #checkTag(tag: string | undefined, path: Path, place: Place): void {
    if (tag === undefined || CORE_TAGS.has(tag)) return;
    this.#report({
      code: "tag-not-allowed",
      path,
      place,
      message: `the tag ${shown(tag)} is not allowed`,
      hint: "remove it; plain YAML values are all a manifest needs",
    });
  }
}
