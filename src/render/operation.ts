// An operation and its steps: what it is for, how far it is, why it waits, and every step with its state.

import { stepsOf, stepWords, type OperationReport, type StepState } from "../model/operation.ts";
import type { Step } from "../model/plan.ts";
import { formatBytes, formatDuration } from "../model/units.ts";
import { safeText } from "./safe.ts";
import { type Column, renderTable } from "./table.ts";
import { hang } from "./text.ts";
import type { Style, Theme } from "./theme.ts";
import { UNKNOWN } from "./words.ts";

interface Row {
  readonly wave: number;
  readonly state: StepState;
  readonly step: string;
  readonly copied: string;
}

/** Steps shown; a large plan has thousands, and those that are over or far away tell little. */
const STEPS_SHOWN_MAX = 40;

/** @param nothingToDo why it changed nothing: all there is to say of it then. */
export function renderOperation(
  report: OperationReport<Step> | null,
  theme: Theme,
  nothingToDo?: string,
): string {
  if (nothingToDo !== undefined) return `nothing to do: ${safeText(nothingToDo)}\n`;
  if (report === null) return "no operation has been run\n";
  const { plan, progress } = report;
  const ended = progress.steps.filter((state) => state === "done").length;
  const took = progress.endedMs === null ? "" : `, took ${formatDuration(progress.endedMs - plan.startedMs)}`;
  const style = styleOf(progress.state, theme);
  const copied = report.copying.reduce((sum, { bytes }) => sum + bytes, progress.bytes);
  const parts = [
    `${theme.bold(safeText(plan.name))}  ${style(progress.state)}  ${ended} of ${progress.steps.length} steps done, ${formatBytes(copied)} copied${took}`,
    theme.dim(`started by ${safeText(plan.startedBy)}${mannerWords(report)}`),
  ];
  if (progress.why !== null) parts.push(style(hang("why: ", safeText(progress.why), theme.proseWidth)));
  const rows = rowsOf(report);
  const shown = rows.length <= STEPS_SHOWN_MAX ? rows : rows.filter(({ state }) => state !== "done");
  const columns: Column<Row>[] = [
    { title: "WAVE", text: (row) => String(row.wave), align: "right" },
    { title: "STATE", text: (row) => row.state, widthMin: 8 },
    { title: "STEP", text: (row) => safeText(row.step), widthMin: 24, linesMax: 4 },
    { title: "COPIED", text: (row) => row.copied, align: "right" },
  ];
  const table = renderTable(theme, columns, shown.slice(0, STEPS_SHOWN_MAX));
  const more = rows.length - Math.min(shown.length, STEPS_SHOWN_MAX);
  const rest = more > 0 ? `\n${theme.dim(`and ${more} more steps; all of them with -o json`)}` : "";
  return `${parts.join("\n")}\n\n${table}${rest}\n`;
}

function mannerWords({ plan }: OperationReport<Step>): string {
  const bound = plan.bytesPerSecondMax;
  return `, ${plan.concurrency} at a time${bound === null ? "" : `, at most ${formatBytes(bound)}/s from each node`}`;
}

function rowsOf({ plan, progress, copying }: OperationReport<Step>): Row[] {
  const waves = plan.waves.flatMap((wave, at) => wave.map(() => at + 1));
  const known = new Map(copying.map((copy) => [copy.step, copy]));
  return stepsOf(plan).map((step, at): Row => {
    const copy = known.get(at);
    const failure = progress.failures[at];
    const total = copy?.bytesTotal ?? null;
    return {
      wave: waves[at] ?? 1,
      state: progress.steps[at] ?? "waiting",
      step: failure === undefined ? stepWords(step) : failure,
      copied:
        copy === undefined
          ? UNKNOWN
          : `${formatBytes(copy.bytes)}${total === null ? "" : ` of ${formatBytes(Math.max(total, copy.bytes))}`}`,
    };
  });
}

function styleOf(state: string, theme: Theme): Style {
  if (state === "done") return theme.good;
  return state === "failed" ? theme.bad : state === "running" ? theme.accent : theme.warn;
}
