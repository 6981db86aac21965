// How text may look where it goes: colour, glyphs, width. Made once from what is known of the stream;
// renderers get it passed in. Meaning is never in a colour alone: a word or a glyph always says it too.

import { Chalk } from "chalk";

export interface Symbols {
  readonly good: string;
  readonly warn: string;
  readonly bad: string;
  readonly leader: string;
  readonly follower: string;
  readonly absent: string;
  readonly rule: string;
  readonly ellipsis: string;
  readonly barFull: string;
  readonly barEmpty: string;
}

export type Style = (text: string) => string;

export interface Theme {
  readonly colour: boolean;
  readonly unicode: boolean;
  /** Columns to lay pictures and tables out for. */
  readonly width: number;
  /** Columns to wrap sentences at; Infinity on a pipe, where one message is one line. */
  readonly proseWidth: number;
  /** A terminal: rules, glyphs beside words, thousands separators, columns that are cut to the width. */
  readonly terminal: boolean;
  readonly symbols: Symbols;
  readonly bold: Style;
  readonly dim: Style;
  readonly good: Style;
  readonly warn: Style;
  readonly bad: Style;
  readonly accent: Style;
}

const UNICODE: Symbols = {
  good: "●",
  warn: "▲",
  bad: "✗",
  leader: "●",
  follower: "○",
  absent: "·",
  rule: "─",
  ellipsis: "…",
  barFull: "█",
  barEmpty: "░",
};

const ASCII: Symbols = {
  good: "*",
  warn: "!",
  bad: "x",
  leader: "L",
  follower: "f",
  absent: ".",
  rule: "-",
  ellipsis: "...",
  barFull: "#",
  barEmpty: "-",
};

const WIDTH_COLUMNS_MIN = 40;

export interface Surroundings {
  readonly isTty: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly columns: number;
  /** `--no-color` was given. */
  readonly noColor: boolean;
}

/**
 * Colour: on a terminal that is not dumb, unless `--no-color` or a non-empty NO_COLOR (no-color.org); a
 * non-zero FORCE_COLOR asks for it elsewhere. Unicode: where the locale is UTF-8.
 */
export function makeTheme({ isTty, env, columns, noColor }: Surroundings): Theme {
  const forced = env["FORCE_COLOR"] ?? "";
  const refused = noColor || (env["NO_COLOR"] ?? "") !== "" || forced === "0";
  const colour = !refused && (forced !== "" || (isTty && env["TERM"] !== "dumb"));
  const unicode = isUnicode(env);
  const chalk = new Chalk({ level: colour ? 1 : 0 });
  const width = Math.max(WIDTH_COLUMNS_MIN, columns);
  return {
    colour,
    unicode,
    width,
    proseWidth: isTty ? width : Infinity,
    terminal: isTty,
    symbols: unicode ? UNICODE : ASCII,
    // Wrapped, because chalk would print every further argument too, such as the index that `map` passes.
    bold: (text) => chalk.bold(text),
    dim: (text) => chalk.dim(text),
    good: (text) => chalk.green(text),
    warn: (text) => chalk.yellow(text),
    bad: (text) => chalk.red(text),
    accent: (text) => chalk.cyan(text),
  };
}

function isUnicode(env: Surroundings["env"]): boolean {
  if (env["TERM"] === "linux") return false;
  // Windows consoles have no locale; these two names are set by the ones that draw everything.
  if (env["WT_SESSION"] !== undefined || env["TERM_PROGRAM"] === "vscode") return true;
  return /utf-?8/i.test(env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "");
}
