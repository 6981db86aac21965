// What validation found: for people with the line it was found in, for GitHub as annotations. The texts
// are made where the findings are made.

import type { Finding } from "../model/findings.ts";
import { safeText } from "./safe.ts";
import { counted, displayWidth, truncate } from "./text.ts";
import type { Theme } from "./theme.ts";

/** Where findings point into; `text` as it was read. */
export interface FindingsSource {
  readonly file: string;
  readonly text: string;
}

/**
 * For each finding `file:line:column path: message`, which editors jump to, then the line with a caret
 * below the place, then the hint; at the end how many there are. Empty for no findings.
 */
export function renderFindings(findings: readonly Finding[], source: FindingsSource, theme: Theme): string {
  if (findings.length === 0) return "";
  const lines = source.text.split(/\r\n|\r|\n/);
  const gutter = String(Math.max(...findings.map(({ line }) => line))).length + 2;
  const blocks = findings.map((finding) =>
    [
      headline(finding, source.file, theme),
      ...excerpt(finding, lines[finding.line - 1], gutter, theme),
      ...(finding.hint === undefined
        ? []
        : [`${" ".repeat(gutter)} ${theme.accent("hint:")} ${safeText(finding.hint)}`]),
    ].join("\n"),
  );
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  const totals = [
    ...(errors === 0 ? [] : [theme.bad(counted(errors, "error"))]),
    ...(warnings === 0 ? [] : [theme.warn(counted(warnings, "warning"))]),
  ];
  return `${blocks.join("\n\n")}\n\n${totals.join(", ")}\n`;
}

function headline(
  { severity, code, path, line, column, message }: Finding,
  file: string,
  theme: Theme,
): string {
  const place = line === 0 ? safeText(file) : `${safeText(file)}:${line}:${column}`;
  const where = path === "" ? place : `${place} ${safeText(path)}`;
  const word = severity === "error" ? theme.bad("error") : theme.warn("warning");
  return `${theme.bold(where)}: ${safeText(message)} ${theme.dim("(")}${word}${theme.dim(` ${code})`)}`;
}

/** The line of a finding and a caret; a long line is cut to what is around the caret. */
function excerpt(
  { line: number, column }: Finding,
  line: string | undefined,
  gutter: number,
  theme: Theme,
): string[] {
  if (line === undefined || line.trim() === "") return [];
  const room = Math.max(20, theme.width - gutter - 3);
  const at = Math.max(0, Math.min(column - 1, line.length));
  // Enough of what stands before to see where one is; the rest of the room is for what follows.
  const from = at > room - 10 ? at - Math.floor(room / 2) : 0;
  const lead = from > 0 ? theme.symbols.ellipsis : "";
  const before = lead + safeText(line.slice(from, at));
  const shown = truncate(before + safeText(line.slice(at)), room, theme.symbols.ellipsis);
  const bar = theme.dim("|");
  return [
    `${theme.dim(String(number).padStart(gutter - 1))} ${bar} ${shown}`,
    `${" ".repeat(gutter - 1)} ${bar} ${" ".repeat(displayWidth(before))}${theme.bad("^")}`,
  ];
}

/**
 * GitHub workflow commands, one a line: `::error file=…,line=…,col=…,title=code::message`. Escaped as
 * actions/toolkit (packages/core/src/command.ts) does it, so that no text can end a command or begin another.
 */
export function renderGithubAnnotations(findings: readonly Finding[], file: string): string {
  return findings
    .map(({ severity, code, path, line, column, message, hint }) => {
      const place = line === 0 ? [] : [`line=${line}`, `col=${column}`];
      const properties = [`file=${property(file)}`, ...place, `title=${property(code)}`].join(",");
      const text = `${path === "" ? "" : `${path}: `}${message}${hint === undefined ? "" : `\n${hint}`}`;
      return `::${severity} ${properties}::${data(text)}\n`;
    })
    .join("");
}

function data(text: string): string {
  const visible = text.split("\n").map(safeText).join("\n");
  return visible.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function property(text: string): string {
  return data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
