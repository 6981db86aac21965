// Edits of a manifest's text that keep every comment and every space that they are not about: a node is
// added as a new entry, or cut out, and nothing else changes.

import { isMap, isScalar, isSeq, parseDocument } from "yaml";
import type { CST, Document, Pair, ParsedNode, YAMLMap, YAMLSeq } from "yaml";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { NodeInput } from "./builder.ts";
import { shown } from "./raw.ts";
import { yamlText } from "./yaml-text.ts";

/**
 * The text with one more node at the end of `spec.nodes`.
 * @throws Mem0ctlError (invalid) `manifest-not-editable` when the text has no list of nodes, and
 * `duplicate-node-id` (conflict) when it has a node of that id.
 */
export function addNodeToManifest(text: string, node: NodeInput): string {
  const { document, nodes } = open(text);
  if (indexOf(nodes, node.id) !== -1) {
    throw new Mem0ctlError(
      "conflict",
      "duplicate-node-id",
      `the manifest has a node ${shown(node.id)} already`,
      {
        hint: "give the new node an id of its own",
      },
    );
  }
  const entry = flowNode(node);
  const token = nodes.srcToken;
  const last = nodes.items.at(-1);
  if (token?.type === "block-seq" && last !== undefined) {
    const dash = dashOf(token, nodes.items.length - 1);
    const end = endOfLine(text, lastCharacterOf(text, last));
    if (dash !== undefined) {
      const indent = indentOf(text, dash);
      const newLine = text.includes("\r\n") ? "\r\n" : "\n";
      const edited = `${text.slice(0, end)}${newLine}${indent}- ${entry}${text.slice(end)}`;
      if (isEditOf(edited, [...ids(nodes), node.id])) return edited;
    }
  }
  // A flow list, an empty one, or a layout that cannot be cut by lines: let the library write it.
  document.addIn(["spec", "nodes"], document.createNode(node, { flow: true }));
  return document.toString({ lineWidth: 0 });
}

/**
 * The text without a node's entry. Comments on lines of their own stay.
 * @throws Mem0ctlError `unknown-node` (not-found), `last-node` (conflict), `manifest-not-editable` (invalid).
 */
export function removeNodeFromManifest(text: string, id: NodeId): string {
  const { document, nodes } = open(text);
  const index = indexOf(nodes, id);
  if (index === -1) throw unknownNode(nodes, id);
  if (nodes.items.length === 1) {
    throw new Mem0ctlError("conflict", "last-node", `${shown(id)} is the manifest's only node`, {
      hint: "a cluster needs a node; add another one first",
    });
  }
  const token = nodes.srcToken;
  const item = nodes.items[index];
  const dash = token?.type === "block-seq" ? dashOf(token, index) : undefined;
  if (dash !== undefined && item !== undefined) {
    const start = dash - indentOf(text, dash).length;
    const end = endOfLine(text, lastCharacterOf(text, item));
    const newLine = /^\r?\n/.exec(text.slice(end))?.[0].length ?? 0;
    const startsLine = start === 0 || text[start - 1] === "\n";
    const edited = text.slice(0, start) + text.slice(end + newLine);
    if (
      startsLine &&
      isEditOf(
        edited,
        ids(nodes).filter((each) => each !== id),
      )
    )
      return edited;
  }
  nodes.items.splice(index, 1);
  return document.toString({ lineWidth: 0 });
}

/**
 * The text with `draining: true` in a node's entry, or without it.
 * @throws Mem0ctlError `unknown-node` (not-found), `manifest-not-editable` (invalid).
 */
export function setDrainingInManifest(text: string, id: NodeId, draining: boolean): string {
  const { document, nodes } = open(text);
  const index = indexOf(nodes, id);
  const item = nodes.items[index];
  if (!isMap(item)) throw unknownNode(nodes, id);
  if (isDraining(item) === draining) return text;
  const at = item.items.findIndex(({ key }) => isScalar(key) && key.value === DRAINING);
  const cut = at === -1 ? text : withoutField(text, item, at);
  const edited = draining ? withField(cut, open(cut), index) : cut;
  if (
    edited !== undefined &&
    isEditOf(edited, ids(nodes)) &&
    isDraining(open(edited).nodes.items[index]) === draining
  )
    return edited;
  if (draining) document.setIn(["spec", "nodes", index, DRAINING], true);
  else document.deleteIn(["spec", "nodes", index, DRAINING]);
  return document.toString({ lineWidth: 0 });
}

const DRAINING = "draining";

function isDraining(item: ParsedNode | undefined): boolean {
  const value = isMap(item) ? valueOf(item.items, DRAINING) : undefined;
  return isScalar(value) && value.value === true;
}

type EntryPair = Pair<ParsedNode, ParsedNode | null>;

/** Where a field's text ends. */
function endOfPair(text: string, { key, value }: EntryPair): number {
  return lastCharacterOf(text, value ?? key);
}

/** Behind the last field: on its line in a flow mapping, on one of its own in a block. */
function withField(text: string, { nodes }: Editable, index: number): string | undefined {
  const item = nodes.items[index];
  const last = isMap(item) ? item.items.at(-1) : undefined;
  if (!isMap(item) || last === undefined) return undefined;
  const end = endOfPair(text, last);
  if (item.flow === true) return `${text.slice(0, end)}, ${DRAINING}: true${text.slice(end)}`;
  const start = last.key.range[0];
  const indent = " ".repeat(start - text.lastIndexOf("\n", start - 1) - 1);
  const line = endOfLine(text, end);
  const newLine = text.includes("\r\n") ? "\r\n" : "\n";
  return `${text.slice(0, line)}${newLine}${indent}${DRAINING}: true${text.slice(line)}`;
}

/** What stands between the field before it and its own end goes. */
function withoutField(text: string, item: YAMLMap<ParsedNode, ParsedNode | null>, at: number): string {
  const [before, pair] = [item.items[at - 1], item.items[at]];
  if (before === undefined || pair === undefined) return text;
  const end = endOfPair(text, before);
  const from = item.flow === true ? end : endOfLine(text, end);
  return text.slice(0, from) + text.slice(endOfPair(text, pair));
}

interface Editable {
  readonly document: Document.Parsed;
  readonly nodes: YAMLSeq<ParsedNode> & { srcToken?: CST.Token };
}

function open(text: string): Editable {
  const document = parseDocument(text, { keepSourceTokens: true, logLevel: "silent" });
  const { contents } = document;
  const spec = isMap(contents) ? valueOf(contents.items, "spec") : undefined;
  const nodes = isMap(spec) ? valueOf(spec.items, "nodes") : undefined;
  if (document.errors.length === 0 && isSeq(nodes)) return { document, nodes };
  throw new Mem0ctlError("invalid", "manifest-not-editable", "the manifest cannot be edited", {
    why: document.errors.length > 0 ? "it is not valid YAML" : "it has no list spec.nodes",
    hint: "see what is wrong with `mem0ctl validate`",
  });
}

function valueOf(
  items: readonly Pair<ParsedNode, ParsedNode | null>[],
  key: string,
): ParsedNode | null | undefined {
  return items.find((pair) => isScalar(pair.key) && pair.key.value === key)?.value;
}

function ids(nodes: Editable["nodes"]): string[] {
  return nodes.items.map((item) => {
    const id = isMap(item) ? valueOf(item.items, "id") : undefined;
    return isScalar(id) ? String(id.value) : "";
  });
}

function unknownNode(nodes: Editable["nodes"], id: NodeId): Mem0ctlError {
  return new Mem0ctlError("not-found", "unknown-node", `the manifest has no node ${shown(id)}`, {
    hint: `its nodes: ${ids(nodes).join(", ")}`,
  });
}

function indexOf(nodes: Editable["nodes"], id: NodeId): number {
  return ids(nodes).indexOf(id);
}

/** Whether a cut text still parses and has exactly these nodes: no layout is trusted unseen. */
function isEditOf(text: string, expected: readonly string[]): boolean {
  try {
    return ids(open(text).nodes).join("\n") === expected.join("\n");
  } catch {
    return false;
  }
}

/** Offset of an entry's dash. */
function dashOf(sequence: CST.BlockSequence, index: number): number | undefined {
  // An entry of comments only can be in the tokens, never in the items; count the dashes.
  const dashes = sequence.items.flatMap(({ start }) =>
    start.filter((token) => token.type === "seq-item-ind"),
  );
  return dashes[index]?.offset;
}

/** The white space before an offset on its line; not empty only when nothing else is there. */
function indentOf(text: string, offset: number): string {
  const line = text.slice(text.lastIndexOf("\n", offset - 1) + 1, offset);
  return /^ *$/.test(line) ? line : "";
}

function lastCharacterOf(text: string, node: ParsedNode): number {
  let end = node.range[1];
  while (end > node.range[0] && /\s/.test(text[end - 1] ?? "")) end -= 1;
  return end;
}

function endOfLine(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  if (end === -1) return text.length;
  return text[end - 1] === "\r" ? end - 1 : end;
}

/** `{ id: node-4, address: "127.0.0.1:7004", role: primary }`, in the order of the fields of a manifest. */
function flowNode(node: NodeInput): string {
  const { id, address, listen, role, zone, weight, manage, draining, dataDir } = node;
  const fields = Object.entries({ id, address, listen, role, zone, weight, manage, draining, dataDir })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? yamlText(value) : String(value)}`);
  return `{ ${fields.join(", ")} }`;
}
