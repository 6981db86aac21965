// Progress of a long call on stderr: one line that is redrawn on a terminal; on a pipe a line for each
// thing that happens, and none for mere counting.

import type { Theme } from "../render/theme.ts";
import { write } from "./io.ts";
import type { OutputStream } from "./io.ts";

/** What operations report; `total` 0 where nobody knows it. */
export interface ProgressReport {
  readonly node?: string;
  readonly done: number;
  readonly total: number;
  readonly message: string;
}

/** Redrawing more often than this only costs time. */
const REDRAW_MS = 50;
const ERASE_LINE = "\r\u001b[2K";
/** `1200 memories imported` and `1400 memories imported` are the same message. */
const COUNTS = /\d+/g;

/** Runs `work`, showing what it reports meanwhile; the line is gone again before this resolves. */
export async function withProgress<Result>(
  stream: OutputStream,
  theme: Theme,
  work: (report: (progress: ProgressReport) => void) => Promise<Result>,
): Promise<Result> {
  const { renderProgress } = await import("../render/progress.ts");
  const terminal = stream.isTTY === true;
  let shown = false;
  let lastDrawnMs = -Infinity;
  let lastMessage = "";
  const report = (progress: ProgressReport): void => {
    if (terminal) {
      const nowMs = performance.now();
      if (nowMs - lastDrawnMs < REDRAW_MS && progress.done !== progress.total) return;
      lastDrawnMs = nowMs;
      shown = true;
      stream.write(`${ERASE_LINE}${renderProgress(progress, theme)}`);
      return;
    }
    const message = progress.message.replaceAll(COUNTS, "#");
    if (message === lastMessage) return;
    lastMessage = message;
    stream.write(`${renderProgress(progress, theme)}\n`);
  };
  try {
    return await work(report);
  } finally {
    if (shown) await write(stream, ERASE_LINE);
  }
}
