// Figures as data, and the one table they are shown in. Measures nothing itself.
//
// A figure: {
//   what: string,                             what was measured, and how often
//   value: number, unit: string,              ours
//   peer?: { name: string, value: number },   the same on the same machine in the same run
//   ratio?: number,                           ours to the peer (or to the limit that the goal names)
//   goal?: { text: string, passed: boolean },
// }

/** The middle value; the mean of the two middle ones for an even count. Throws on an empty list. */
export function median(values) {
  return percentile(values, 50);
}

/** Linear interpolation between the closest ranks. */
export function percentile(values, percent) {
  if (values.length === 0) throw new Error("no values were measured");
  const sorted = [...values].sort((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const below = Math.floor(rank);
  const above = Math.ceil(rank);
  return sorted[below] + (sorted[above] - sorted[below]) * (rank - below);
}

export const atMost = (limit, value, unit) => ({
  text: `<= ${amount(limit)} ${unit}`,
  passed: value <= limit,
});
export const atLeast = (limit, value, unit) => ({
  text: `>= ${amount(limit)} ${unit}`,
  passed: value >= limit,
});

function amount(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

function verdict(goal) {
  if (goal === undefined) return "";
  return goal.passed ? "pass" : "FAIL";
}

/** Plain aligned columns, two spaces apart. */
export function figuresTable(benches) {
  const lines = [["bench", "what", "mem0ctl", "peer", "ratio", "goal", ""]];
  for (const { name, figures, skipped } of benches) {
    for (const figure of figures) {
      lines.push([
        name,
        figure.what,
        `${amount(figure.value)} ${figure.unit}`,
        figure.peer === undefined ? "" : `${figure.peer.name} ${amount(figure.peer.value)} ${figure.unit}`,
        figure.ratio === undefined ? "" : `${figure.ratio.toFixed(2)} x`,
        figure.goal?.text ?? "",
        verdict(figure.goal),
      ]);
    }
    for (const reason of skipped) lines.push([name, `not measured: ${reason}`, "", "", "", "", ""]);
  }
  // A sentence about what was not measured may run on to the right; it does not widen its column.
  const widths = lines[0].map((_, column) =>
    Math.max(
      ...lines.map((line) => (line[1].startsWith("not measured") && column === 1 ? 0 : line[column].length)),
    ),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
