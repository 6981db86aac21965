// The manifest's plan for people: a line for each difference, what it costs and risks, and what then moves.

import type { ManifestChange, ManifestPlan } from "../model/plan.ts";
import { formatBytes } from "../model/units.ts";
import { safeText } from "./safe.ts";
import { counted, hang } from "./text.ts";
import type { Theme } from "./theme.ts";

const SIGNS: Readonly<Record<ManifestChange["action"], string>> = { add: "+", change: "~", remove: "-" };

export function renderManifestPlan({ cluster, changes, plan }: ManifestPlan, theme: Theme): string {
  const name = theme.bold(safeText(cluster));
  if (changes.length === 0) return `${name}  ${theme.good("is as the manifest says: nothing to do")}\n`;
  const { moves, bytes, leaderTransfers } = plan.predicted;
  const words = [
    counted(changes.length, "change"),
    ...(moves > 0
      ? [`${counted(moves, "copy made elsewhere", "copies made elsewhere")}, ${formatBytes(bytes)}`]
      : []),
    ...(leaderTransfers > 0 ? [counted(leaderTransfers, "leader change")] : []),
  ];
  const refusals = plan.problems.map(({ severity, message, hint }) => {
    const style = severity === "hard" ? theme.bad : theme.warn;
    const glyph = severity === "hard" ? theme.symbols.bad : theme.symbols.warn;
    return `${style(hang(`${glyph} `, safeText(message), theme.proseWidth))}\n${hang("  ", safeText(hint), theme.proseWidth)}`;
  });
  return `${[`${name}  ${words.join(", ")}`, ...changes.map((change) => changeText(change, theme)), ...refusals].join("\n\n")}\n`;
}

function changeText({ action, message, cost, risk, live, hint }: ManifestChange, theme: Theme): string {
  const style = !live ? theme.bad : action === "add" ? theme.good : theme.warn;
  const line = (label: string, text: string): string[] =>
    text === "" ? [] : [hang(`  ${label} `, safeText(text), theme.proseWidth)];
  return [
    style(hang(`${live ? SIGNS[action] : theme.symbols.bad} `, safeText(message), theme.proseWidth)),
    ...line("costs", cost),
    ...line("risks", risk),
    ...(live ? [] : line("not while it runs:", hint ?? "")),
  ].join("\n");
}
