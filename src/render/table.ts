// Tables: aligned columns two spaces apart under upper-case titles, a thin rule below them on a terminal.
// There a table is cut to the width: long texts are shortened and the least important columns left out.
// On a pipe nothing is cut, coloured or drawn, so that a script finds every column, always.

import CliTable from "cli-table3";
import { safeText } from "./safe.ts";
import { displayWidth, truncate, wrap } from "./text.ts";
import type { Style, Theme } from "./theme.ts";

export interface Column<Row> {
  readonly title: string;
  /** The cell as plain text from anywhere; made safe here. */
  readonly text: (row: Row) => string;
  readonly style?: (row: Row) => Style | undefined;
  readonly align?: "left" | "right";
  /** Columns with a higher rank are left out first when the width is short; without one, never. */
  readonly dropRank?: number;
  /** Shortened down to this many columns before any column is left out. */
  readonly widthMin?: number;
  /** What is shortened goes on below, up to this many lines (default 1). */
  readonly linesMax?: number;
}

const GAP = "  ";
/**
 * cli-table3 takes time that grows with the square of the rows: 16,384 took 22 s in one go, and take less
 * than 2 s in chunks.
 */
const CHUNK_ROWS = 32;

/**
 * Lines without trailing spaces, no final line end. `fit: false` never cuts: on a terminal that is too narrow
 * the table goes on below, each part with the first column. Titles alone when there is no row.
 */
export function renderTable<Row>(
  theme: Theme,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: { readonly fit?: boolean } = {},
): string {
  const cells = new Map(columns.map((column) => [column, rows.map((row) => safeText(column.text(row)))]));
  const natural = columns.map((column) => ({
    column,
    width: (cells.get(column) ?? []).reduce(
      (width, text) => Math.max(width, displayWidth(text)),
      column.title.length,
    ),
  }));
  if (!theme.terminal) return drawn(theme, natural, cells, rows);
  if (options.fit !== false) return drawn(theme, fit(natural, theme.width), cells, rows);
  // A text that alone is wider than the terminal is wrapped, all of it.
  return parts(natural, theme.width)
    .map((part) => drawn(theme, fit(part, theme.width), cells, rows, Infinity))
    .join("\n\n");
}

/** Columns side by side as far as they have room, each part begun by the first one. */
function parts<Row>(natural: readonly Fitted<Row>[], width: number): readonly (readonly Fitted<Row>[])[] {
  const [first, ...rest] = natural;
  if (first === undefined) return [natural];
  const found: Fitted<Row>[][] = [[first]];
  let used = first.width;
  for (const column of rest) {
    const part = found.at(-1);
    const needed = GAP.length + column.width;
    if (part === undefined || (part.length > 1 && used + needed > width)) {
      found.push([first, column]);
      used = first.width + needed;
    } else {
      part.push(column);
      used += needed;
    }
  }
  return found;
}

function drawn<Row>(
  theme: Theme,
  fitted: readonly Fitted<Row>[],
  cells: ReadonlyMap<Column<Row>, readonly string[]>,
  rows: readonly Row[],
  linesMin = 1,
): string {
  const { ellipsis, rule } = theme.symbols;
  const lines = [
    ...layOut([
      fitted.map((each) => aligned(each, truncate(each.column.title, each.width, ellipsis), theme.bold)),
    ]),
    ...(theme.terminal ? [fitted.map(({ width }) => theme.dim(rule.repeat(width))).join(GAP)] : []),
  ];
  for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
    const chunk = rows.slice(start, start + CHUNK_ROWS).map((row, offset) =>
      fitted.map((each) => {
        const text = cells.get(each.column)?.[start + offset] ?? "";
        const style = each.column.style?.(row);
        return cellLines(text, each.width, Math.max(linesMin, each.column.linesMax ?? 1), ellipsis)
          .map((line) => aligned(each, line, style))
          .join("\n");
      }),
    );
    for (const line of layOut(chunk)) lines.push(line);
  }
  return lines.map((line) => line.trimEnd()).join("\n");
}

/** Cells of one width side by side. They come padded: cli-table3 measures some scripts wider than they are. */
function layOut(cells: readonly (readonly string[])[]): string[] {
  const table = new CliTable({
    chars: NO_LINES,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  for (const row of cells) table.push([...row]);
  return table.toString().split("\n");
}

function aligned<Row>({ column, width }: Fitted<Row>, text: string, style: Style | undefined): string {
  const padding = " ".repeat(Math.max(0, width - displayWidth(text)));
  const styled = style?.(text) ?? text;
  return column.align === "right" ? padding + styled : styled + padding;
}

function cellLines(text: string, width: number, linesMax: number, ellipsis: string): string[] {
  if (displayWidth(text) <= width) return [text];
  const lines = wrap(text, width);
  if (lines.length <= linesMax) return lines;
  const last = lines.slice(linesMax - 1).join(" ");
  return [...lines.slice(0, linesMax - 1), truncate(last, width, ellipsis)];
}

const NO_LINES = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: GAP,
};

interface Fitted<Row> {
  readonly column: Column<Row>;
  readonly width: number;
}

function fit<Row>(natural: readonly Fitted<Row>[], width: number): readonly Fitted<Row>[] {
  let fitted = natural;
  for (;;) {
    const excess =
      fitted.reduce((sum, each) => sum + each.width, 0) + GAP.length * (fitted.length - 1) - width;
    if (excess <= 0) return fitted;
    const shrinkable = widest(fitted.filter(({ column, width: now }) => now > (column.widthMin ?? Infinity)));
    const dropped = fitted.reduce<Fitted<Row> | undefined>(
      (worst, each) => ((each.column.dropRank ?? 0) > (worst?.column.dropRank ?? 0) ? each : worst),
      undefined,
    );
    if (shrinkable !== undefined) {
      fitted = shrink(
        fitted,
        shrinkable,
        Math.max(shrinkable.column.widthMin ?? 0, shrinkable.width - excess),
      );
    } else if (dropped !== undefined) {
      // What was shortened may have room again.
      const left = fitted.filter((each) => each !== dropped).map(({ column }) => column);
      fitted = natural.filter(({ column }) => left.includes(column));
    } else {
      // Texts give way below their minimum before ids do.
      const texts = fitted.filter(({ column, width: now }) => column.widthMin !== undefined && now > 12);
      const longest = widest(texts) ?? widest(fitted);
      if (longest === undefined || longest.width <= 4) return fitted;
      fitted = shrink(fitted, longest, longest.width - 1);
    }
  }
}

function widest<Row>(fitted: readonly Fitted<Row>[]): Fitted<Row> | undefined {
  return fitted.reduce<Fitted<Row> | undefined>(
    (best, each) => (best === undefined || each.width > best.width ? each : best),
    undefined,
  );
}

function shrink<Row>(
  fitted: readonly Fitted<Row>[],
  which: Fitted<Row>,
  width: number,
): readonly Fitted<Row>[] {
  return fitted.map((each) => (each === which ? { column: each.column, width } : each));
}

/** `label  value` lines, labels aligned; values made safe, wrapped to the width on a terminal. */
export function renderFields(
  theme: Theme,
  fields: readonly (readonly [label: string, value: string])[],
): string {
  const indent = Math.max(...fields.map(([label]) => label.length)) + GAP.length;
  return fields
    .map(([label, value]) => {
      const lines = theme.terminal ? wrap(safeText(value), theme.width - indent) : [safeText(value)];
      return lines
        .map((line, index) => (index === 0 ? theme.bold(label.padEnd(indent)) : " ".repeat(indent)) + line)
        .join("\n");
    })
    .join("\n");
}
