// A plan for people: what it comes to and that it cannot be done with less, a bar for every node, the shard map
// before and after, and the steps.

import type { ClusterPlan, PlannedChange, RebalanceStep } from "../model/plan.ts";
import { measureWords } from "../model/plan.ts";
import { slotCount, slotsText } from "../model/shard-map.ts";
import { formatBytes, formatDuration } from "../model/units.ts";
import { safeText } from "./safe.ts";
import { type ShardMapView, type ShardMoves, drawnShardMap } from "./shard-map.ts";
import { type Column, renderTable } from "./table.ts";
import { counted, hang } from "./text.ts";
import type { Theme } from "./theme.ts";

export interface PlanShown {
  readonly plan: ClusterPlan;
  /** The cluster as it is and as it will be; undefined where no picture of it is wanted. */
  readonly maps: { readonly before: ShardMapView; readonly after: ShardMapView } | undefined;
}

/** On a terminal more steps than this are cut; `wide` has all. */
const STEPS_SHOWN_MAX = 16;
const RANGES_SHOWN_MAX = 4;
const BAR_CELLS = 18;

export function renderPlan({ plan, maps }: PlanShown, theme: Theme, wide: boolean): string {
  const isRefused = plan.problems.some(({ severity }) => severity === "hard");
  const parts = [
    [headline(plan, theme), ...(isRefused ? [] : proof(plan, theme))].join("\n"),
    ...(plan.problems.length === 0 ? [] : [problems(plan, theme)]),
    nodes(plan, theme),
    ...(maps === undefined || plan.predicted.moves === 0 ? [] : [pictures(plan, maps, theme)]),
    ...(plan.waves.length === 0 ? [] : [steps(plan, theme, wide)]),
  ];
  return `${parts.join("\n\n")}\n`;
}

function headline(plan: ClusterPlan, theme: Theme): string {
  const { cluster, threshold, predicted, waves, problems: found, balanced } = plan;
  const aim = `by ${measureWords(plan)}${threshold === 0 ? "" : `, within ${percent(threshold)}`}`;
  const name = theme.bold(safeText(cluster));
  if (found.some(({ severity }) => severity === "hard")) return `${name}  ${theme.bad("no plan")} ${aim}`;
  if (waves.length === 0)
    return `${name}  ${balanced ? theme.good(`balanced ${aim}`) : `as even ${aim} as it can be`}: nothing to do`;
  const { moves, bytes, leaderTransfers, durationMs } = predicted;
  const words = [
    ...(moves === 0
      ? []
      : [
          counted(moves, measureWords({ ...plan, by: "shards" }) === "slots" ? "slot" : "move") +
            (bytes === 0 ? "" : ` of ${formatBytes(bytes)} in all`),
        ]),
    ...(leaderTransfers === 0 ? [] : [counted(leaderTransfers, "leader change")]),
    counted(waves.length, "wave"),
    ...(durationMs === null ? [] : [`about ${formatDuration(durationMs)}`]),
  ];
  return `${name}  rebalance ${aim}\n${hang("", words.join(", "), theme.proseWidth)}`;
}

/** That it cannot be done with less, or by how much less at the most. */
function proof(
  { predicted, lowerBound, gap, optimal, by, problems: found }: ClusterPlan,
  theme: Theme,
): string[] {
  if (predicted.moves === 0 || found.some(({ code }) => code === "limited")) return [];
  const least = by === "bytes" || by === "memories" ? "moves fewer bytes" : "takes fewer moves";
  if (optimal) return [theme.good(`proven: no plan that is as even ${least}`)];
  const bound = `no plan that is as even moves less than ${formatBytes(lowerBound.bytes)}`;
  return [`${bound}; this one moves ${Number.isFinite(gap) ? `${percent(gap)} more` : "more"}`];
}

function problems({ problems: found }: ClusterPlan, theme: Theme): string {
  return found
    .flatMap(({ severity, message, hint }) => {
      const style = severity === "hard" ? theme.bad : theme.warn;
      const glyph = severity === "hard" ? theme.symbols.bad : theme.symbols.warn;
      return [
        style(hang(`${glyph} `, safeText(message), theme.proseWidth)),
        hang("  ", safeText(hint), theme.proseWidth),
      ];
    })
    .join("\n");
}

// --- nodes ---------------------------------------------------------------------------------------

function nodes(plan: ClusterPlan, theme: Theme): string {
  const zones = new Map(plan.state.nodes.map(({ id, zone }) => [id, zone]));
  const rows = plan.nodes.filter(
    ({ before, after, share }) => share > 0 || before.replicas > 0 || after.replicas > 0,
  );
  const most = Math.max(...rows.map(({ before, after }) => Math.max(before.held, after.held)), 0);
  const changes = rows.some(({ before, after }) => before.held !== after.held);
  const leads =
    plan.by !== "leaders" && rows.some(({ before, after }) => before.leads > 0 || after.leads > 0);
  const columns: Column<PlannedChange>[] = [
    { title: "NODE", text: ({ node }) => node, widthMin: 12 },
    { title: "ZONE", text: ({ node }) => zones.get(node) ?? "", dropRank: 4, widthMin: 6 },
    {
      title: changes ? "BEFORE" : "HOLDS",
      text: ({ before }) => amount(before.held, plan.by),
      align: "right",
    },
    ...(changes
      ? [
          {
            title: "AFTER",
            text: ({ after }: PlannedChange) => amount(after.held, plan.by),
            align: "right" as const,
          },
        ]
      : []),
    ...(changes && plan.by !== "leaders"
      ? [
          {
            title: "IN",
            text: ({ received }: PlannedChange) => String(received),
            align: "right" as const,
            dropRank: 2,
          },
          {
            title: "OUT",
            text: ({ given }: PlannedChange) => String(given),
            align: "right" as const,
            dropRank: 2,
          },
        ]
      : []),
    { title: "SHARE", text: ({ share }) => amount(share, plan.by), align: "right", dropRank: 3 },
    ...(leads
      ? [
          {
            title: "LEADS",
            text: ({ before, after }: PlannedChange) =>
              before.leads === after.leads ? String(before.leads) : `${before.leads} > ${after.leads}`,
            align: "right" as const,
          },
        ]
      : []),
    { title: "BALANCE", text: (change) => bar(change, most, theme), dropRank: 1 },
  ];
  const table = renderTable(theme, columns, rows);
  const { kept, come, gone } = marks(theme);
  return changes ? `${table}\n${theme.dim(`stays ${kept}  comes ${come}  goes ${gone}`)}` : table;
}

function marks(theme: Theme): { readonly kept: string; readonly come: string; readonly gone: string } {
  const { barFull, barEmpty } = theme.symbols;
  return { kept: barFull, come: theme.unicode ? "▒" : "+", gone: barEmpty };
}

/** As long as what the node holds, before or after, whichever is more. */
function bar({ before, after }: PlannedChange, most: number, theme: Theme): string {
  const cells = (value: number): number => (most === 0 ? 0 : Math.round((value / most) * BAR_CELLS));
  const { kept, come, gone } = marks(theme);
  const stays = cells(Math.min(before.held, after.held));
  const more = cells(Math.max(before.held, after.held)) - stays;
  return kept.repeat(stays) + (after.held > before.held ? come : gone).repeat(more);
}

// --- the map -------------------------------------------------------------------------------------

function pictures(
  plan: ClusterPlan,
  { before, after }: NonNullable<PlanShown["maps"]>,
  theme: Theme,
): string {
  const came = new Map<string, string[]>();
  const went = new Map<string, string[]>();
  const note = (where: Map<string, string[]>, shard: string, node: string): void => {
    where.set(shard, [...(where.get(shard) ?? []), node]);
  };
  for (const step of plan.waves.flat()) {
    if (step.kind === "transfer-leader" || step.kind === "move-slots") continue;
    if ("from" in step) note(went, step.shard, step.from);
    if ("to" in step) note(came, step.shard, step.to);
  }
  const moves: ShardMoves = { came, went };
  const first = drawnShardMap(before, theme);
  const last = drawnShardMap(after, theme, moves);
  return [theme.bold("before"), first.grid, theme.bold("after"), last.grid, last.legend].join("\n\n");
}

// --- steps ---------------------------------------------------------------------------------------

interface StepRow {
  readonly wave: number;
  readonly step: RebalanceStep;
}

const WORDS: Readonly<Record<RebalanceStep["kind"], string>> = {
  "move-replica": "move",
  "add-replica": "add",
  "remove-replica": "remove",
  "transfer-leader": "lead",
  "move-slots": "slots",
};

function steps({ waves }: ClusterPlan, theme: Theme, wide: boolean): string {
  const rows = waves.flatMap((wave, index) => wave.map((step): StepRow => ({ wave: index + 1, step })));
  const shown = wide || !theme.terminal ? rows : rows.slice(0, STEPS_SHOWN_MAX);
  const columns: Column<StepRow>[] = [
    { title: "WAVE", text: ({ wave }) => String(wave), align: "right" },
    { title: "STEP", text: ({ step }) => WORDS[step.kind] },
    { title: "SHARD", text: ({ step }) => whatOf(step, wide, theme), align: "right", widthMin: 8 },
    { title: "FROM", text: ({ step }) => ("from" in step ? step.from : ""), widthMin: 12 },
    { title: "TO", text: ({ step }) => ("to" in step ? (step.to ?? "") : ""), widthMin: 12 },
    {
      title: "SIZE",
      text: ({ step }) => ("bytes" in step ? formatBytes(step.bytes) : ""),
      align: "right",
      dropRank: 1,
    },
  ];
  const left = rows.length - shown.length;
  const more =
    left === 0
      ? ""
      : `\n${theme.symbols.ellipsis} and ${counted(left, "more step", "more steps")}; -o wide shows all`;
  return renderTable(theme, columns, shown) + more;
}

/** Slots that are chosen by what is in them lie scattered: hundreds of ranges would be a line without end. */
function whatOf(step: RebalanceStep, wide: boolean, theme: Theme): string {
  if (step.kind === "transfer-leader") return step.group;
  if (step.kind !== "move-slots") return step.shard;
  const { slots } = step;
  const shown = wide ? slots : slots.slice(0, RANGES_SHOWN_MAX);
  const ranges = slotsText(shown);
  if (shown.length === slots.length) return ranges;
  return `${ranges}, ${theme.symbols.ellipsis} (${slotCount(slots)} slots)`;
}

// --- numbers -------------------------------------------------------------------------------------

function amount(value: number, by: ClusterPlan["by"]): string {
  return by === "bytes" ? formatBytes(value) : String(Number(value.toFixed(1)));
}

function percent(part: number): string {
  return `${Number((part * 100).toFixed(2))} %`;
}

/** Why a shard moves or stays: one sentence for each of its copies. */
export function renderExplanation(
  { subject, reasons }: { readonly subject: string; readonly reasons: readonly string[] },
  theme: Theme,
): string {
  const lines = reasons.map((reason) => hang("  ", safeText(reason), theme.proseWidth));
  return `${[theme.bold(safeText(subject)), ...lines].join("\n")}\n`;
}
