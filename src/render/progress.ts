// One line that says how far a long call is. Pure: whoever calls it redraws the line or appends it.

import { safeText } from "./safe.ts";
import { displayWidth, truncate } from "./text.ts";
import type { Theme } from "./theme.ts";

const BAR_COLUMNS = 20;

export interface ProgressLine {
  readonly node?: string;
  readonly done: number;
  /** 0 when unknown: then there is no bar. */
  readonly total: number;
  readonly message: string;
}

/** On a terminal a bar, the share and the message, cut to the width; on a pipe `[done/total] message`. */
export function renderProgress({ node, done, total, message }: ProgressLine, theme: Theme): string {
  const what = safeText(node === undefined ? message : `${node}: ${message}`);
  if (!theme.terminal) return total > 0 ? `[${done}/${total}] ${what}` : what;
  // One column stays free: a cursor behind the last one wraps the line on some terminals.
  const room = theme.width - 1;
  if (total <= 0) return truncate(what, room, theme.symbols.ellipsis);
  const share = Math.min(1, Math.max(0, done / total));
  const full = Math.floor(share * BAR_COLUMNS);
  const percent = `${Math.floor(share * 100)}`.padStart(3);
  const rest = ` ${percent} %  `;
  const text = truncate(what, room - BAR_COLUMNS - displayWidth(rest), theme.symbols.ellipsis);
  const { barFull, barEmpty } = theme.symbols;
  return `${theme.accent(barFull.repeat(full))}${theme.dim(barEmpty.repeat(BAR_COLUMNS - full))}${rest}${text}`;
}
