// An error for people: what, why, what to do, one line each.

import type { Mem0ctlError } from "../model/errors.ts";
import { safeText } from "./safe.ts";
import type { Theme } from "./theme.ts";

/**
 * `error[code]: what`, then `why:` and `try:` where the error has them. Not wrapped: one line is one
 * grep. A message of several lines keeps them.
 */
export function renderError(
  error: Pick<Mem0ctlError, "code" | "message" | "why" | "hint">,
  theme: Theme,
): string {
  const lines = [`${theme.bad(theme.bold(`error[${safeText(error.code)}]:`))} ${linesOf(error.message)}`];
  if (error.why !== undefined) lines.push(`  ${theme.dim("why:")} ${linesOf(error.why)}`);
  if (error.hint !== undefined) lines.push(`  ${theme.accent("try:")} ${linesOf(error.hint)}`);
  return `${lines.join("\n")}\n`;
}

/** What is no error of the command, on a line, and what to do about it; without a line end. */
export function renderWarning(
  { message, hint }: { readonly message: string; readonly hint: string | undefined },
  theme: Theme,
): string {
  const what = `${theme.warn("warning:")} ${linesOf(message)}`;
  return hint === undefined ? what : `${what}\n  ${theme.accent("try:")} ${linesOf(hint)}`;
}

/** Line ends are our own, except that an indented one cannot pass for a line of the program. */
function linesOf(text: string): string {
  return text.split("\n").map(safeText).join("\n       ");
}
