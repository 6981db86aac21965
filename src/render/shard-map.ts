// The shard map as a picture: nodes down, shards across, one glyph for what a node is to a shard. Read
// without colour: leaders are filled, followers hollow, every trouble has a glyph and a legend. Up to
// `CELL_SHARDS_MAX` shards each has a cell of its own; beyond, a cell stands for several.

import type { ClusterView, NodeView, ReplicaView, ShardState, ShardView } from "../model/view.ts";
import { safeText } from "./safe.ts";
import { counted, displayWidth, hang, padEnd, padStart, runs, truncate } from "./text.ts";
import type { Style, Theme } from "./theme.ts";
import { isLeaderless } from "./words.ts";

const CELL_SHARDS_MAX = 256;
const NODE_COLUMNS_MAX = 24;
const ZONE_COLUMNS_MAX = 12;
const RUNS_SHOWN_MAX = 16;
const GAP = "  ";

export type ShardMapView = Pick<
  ClusterView,
  "cluster" | "protocol" | "sharding" | "epoch" | "copies" | "totalShards" | "nodes" | "shards"
>;

/** The picture, its legend, and what is wrong with which shards; no line wider than the theme says. */
export function renderShardMap(view: ShardMapView, theme: Theme): string {
  const title = `${theme.bold(safeText(view.cluster))}  ${counted(view.totalShards, "shard")} by ${view.sharding}, ${counted(view.copies, "copy", "copies")} each, ${isLeaderless(view) ? "leaderless by design, " : ""}epoch ${view.epoch}`;
  const picture = drawnShardMap(view, theme);
  const troubles = troublesOf(view, theme);
  return `${[title, picture.grid, picture.legend, ...troubles].join("\n\n")}\n`;
}

export interface Picture {
  readonly grid: string;
  readonly legend: string;
}

/** Nodes that a shard's copies come to and go from, by shard: what a plan changes. */
export interface ShardMoves {
  readonly came: ReadonlyMap<string, readonly string[]>;
  readonly went: ReadonlyMap<string, readonly string[]>;
}

/** Only the picture, for one that is shown beside another. */
export function drawnShardMap(view: ShardMapView, theme: Theme, moves?: ShardMoves): Picture {
  return view.shards.length > CELL_SHARDS_MAX ? drawShares(view, theme) : drawCells(view, theme, moves);
}

/** One glyph with its style and what it means. */
interface Glyph {
  readonly text: string;
  readonly style: Style;
  readonly meaning: string;
}

/** Copies of a leaderless shard are all alike. */
function glyphs(theme: Theme, { protocol }: Pick<ShardMapView, "protocol">) {
  const { symbols } = theme;
  const isPaxos = protocol === "paxos";
  return {
    leader: { text: symbols.leader, style: theme.good, meaning: isPaxos ? "proposer" : "leader" },
    follower:
      protocol === "quorum"
        ? { text: symbols.leader, style: theme.good, meaning: "copy" }
        : { text: symbols.follower, style: theme.accent, meaning: isPaxos ? "acceptor" : "follower" },
    arbiter: { text: "a", style: theme.accent, meaning: "arbiter" },
    learner: { text: "+", style: theme.warn, meaning: "learner" },
    snapshot: { text: "~", style: theme.warn, meaning: "catching up" },
    down: { text: "x", style: theme.bad, meaning: "down" },
    comes: { text: theme.unicode ? "▼" : "+", style: theme.good, meaning: "comes" },
    goes: { text: theme.unicode ? "△" : "-", style: theme.warn, meaning: "goes" },
    absent: { text: symbols.absent, style: theme.dim, meaning: "no replica" },
  } satisfies Record<string, Glyph>;
}

const MARKS: Readonly<Record<ShardState, { readonly text: string; readonly meaning: string }>> = {
  ok: { text: " ", meaning: "" },
  moving: { text: "~", meaning: "moving" },
  "under-replicated": { text: "-", meaning: "too few copies" },
  leaderless: { text: "!", meaning: "no leader" },
  down: { text: "!", meaning: "no leader" },
};
/** What a mark says; a leaderless shard that is down has fewer copies that answer than R or W. */
function markMeaning(state: ShardState, view: Pick<ShardMapView, "protocol">): string {
  return state === "down" && isLeaderless(view) ? "below R or W" : MARKS[state].meaning;
}

const SEVERITY: readonly ShardState[] = ["ok", "moving", "under-replicated", "leaderless", "down"];

function worstState(shards: readonly ShardView[]): ShardState {
  return shards.reduce<ShardState>(
    (worst, { state }) => (SEVERITY.indexOf(state) > SEVERITY.indexOf(worst) ? state : worst),
    "ok",
  );
}

const PLAIN: Style = (text) => text;

function markStyle(theme: Theme, state: ShardState): Style {
  if (state === "ok") return PLAIN;
  return state === "leaderless" || state === "down" ? theme.bad : theme.warn;
}

// --- the left side: node, zone, state ----------------------------------------------------------

interface Labels {
  readonly width: number;
  readonly of: (node: NodeView) => string;
}

/** Zones only where they say more than the node's id, states only where some node is not up. */
function labelsOf(nodes: readonly NodeView[], theme: Theme, withZones: boolean): Labels {
  const ellipsis = theme.symbols.ellipsis;
  const id = (node: NodeView): string => truncate(safeText(node.id), NODE_COLUMNS_MAX, ellipsis);
  const zone = (node: NodeView): string => truncate(safeText(node.zone), ZONE_COLUMNS_MAX, ellipsis);
  const columns: { readonly text: (node: NodeView) => string; readonly style?: (node: NodeView) => Style }[] =
    [{ text: id, style: (node) => (node.state === "up" ? theme.bold : theme.warn) }];
  if (withZones && nodes.some((node) => node.zone !== node.id))
    columns.push({ text: zone, style: () => theme.dim });
  if (nodes.some((node) => node.state !== "up")) {
    columns.push({
      text: (node) => (node.state === "up" ? "" : node.state),
      style: (node) => (node.state === "down" ? theme.bad : theme.warn),
    });
  }
  const widths = columns.map(({ text }) => Math.max(0, ...nodes.map((node) => displayWidth(text(node)))));
  return {
    width: widths.reduce((sum, width) => sum + width + GAP.length, 0),
    of: (node) =>
      columns
        .map(({ text, style }, index) => {
          const plain = text(node);
          const padding = " ".repeat((widths[index] ?? 0) - displayWidth(plain)) + GAP;
          return (style?.(node)(plain) ?? plain) + padding;
        })
        .join(""),
  };
}

// --- a cell for every shard --------------------------------------------------------------------

/** How shards are laid out: blocks of `perBlock`, in groups that a space divides. */
interface Layout {
  readonly labels: Labels;
  readonly perBlock: number;
  readonly perGroup: number;
  readonly cellWidth: number;
}

function layoutOf(view: ShardMapView, theme: Theme): Layout {
  const count = view.shards.length;
  const idWidth = Math.max(1, ...view.shards.map(({ id }) => displayWidth(safeText(id))));
  const withZones = labelsOf(view.nodes, theme, true);
  // Few shards: a column each, wide enough for its id.
  const perGroup = count % 8 === 0 ? 8 : 10;
  const spaced = { labels: withZones, perBlock: count, perGroup: count, cellWidth: idWidth + 1 };
  if (withZones.width + count * (idWidth + 1) <= theme.width) return spaced;
  const compact = (labels: Labels): Layout => {
    const groups = Math.max(1, Math.floor((theme.width - labels.width + 1) / (perGroup + 1)));
    const blocks = Math.ceil(count / (groups * perGroup));
    // Blocks of equal size look like one picture; a short last one does not.
    const perBlock = Math.ceil(count / blocks / perGroup) * perGroup;
    return { labels, perBlock, perGroup, cellWidth: 1 };
  };
  const withoutZones = compact(labelsOf(view.nodes, theme, false));
  const tight = compact(withZones);
  return withoutZones.perBlock > tight.perBlock ? withoutZones : tight;
}

function drawCells(view: ShardMapView, theme: Theme, moves?: ShardMoves): Picture {
  const layout = layoutOf(view, theme);
  const kinds = glyphs(theme, view);
  const inCopies = isLeaderless(view);
  const used = new Set<Glyph>([
    ...(inCopies ? [] : [kinds.leader]),
    ...(inCopies || view.copies > 1 ? [kinds.follower] : []),
  ]);
  const members = view.shards.map(
    (shard) => new Map(shard.replicas.map((replica) => [replica.node, replica])),
  );
  const tally = tallyOf(view, layout, theme);
  const blocks: string[] = [];
  for (let start = 0; start < view.shards.length; start += layout.perBlock) {
    const shards = view.shards.slice(start, start + layout.perBlock);
    const rows = view.nodes.map((node) => {
      const cells = shards.map((shard, index) => {
        const glyph =
          moves?.came.get(shard.id)?.includes(node.id) === true
            ? kinds.comes
            : moves?.went.get(shard.id)?.includes(node.id) === true
              ? kinds.goes
              : glyphOf(kinds, shard, members[start + index]?.get(node.id));
        used.add(glyph);
        return glyph;
      });
      return layout.labels.of(node) + row(cells, layout) + (tally?.of(node) ?? "");
    });
    const marks = shards.map(({ state }) => ({ text: MARKS[state].text, style: markStyle(theme, state) }));
    const indent = " ".repeat(layout.labels.width);
    const marked = shards.some(({ state }) => state !== "ok") ? [indent + row(marks, layout)] : [];
    blocks.push(
      [indent + theme.dim(header(shards, layout) + (tally?.title ?? "")), ...rows, ...marked]
        .map((line) => line.trimEnd())
        .join("\n"),
    );
  }
  const order = Object.values(kinds).filter((glyph) => used.has(glyph));
  return { grid: blocks.join("\n\n"), legend: legend(order, view, theme) };
}

interface Tally {
  readonly title: string;
  readonly of: (node: NodeView) => string;
}

/** How many shards each node leads and holds, to the right of a picture that leaves room for it. */
function tallyOf(view: ShardMapView, layout: Layout, theme: Theme): Tally | undefined {
  const inCopies = isLeaderless(view);
  const title = inCopies ? `${GAP}holds` : `${GAP}leads${GAP}holds`;
  const groups = Math.ceil(view.shards.length / layout.perGroup);
  const width = layout.labels.width + view.shards.length * layout.cellWidth + groups - 1 + title.length;
  if (layout.perBlock < view.shards.length || width > theme.width) return undefined;
  const column = (count: number): string => GAP + String(count).padStart("leads".length);
  return { title, of: (node) => (inCopies ? "" : column(node.leads)) + column(node.replicas) };
}

function glyphOf(
  kinds: ReturnType<typeof glyphs>,
  shard: ShardView,
  replica: ReplicaView | undefined,
): Glyph {
  if (replica === undefined) return kinds.absent;
  if (replica.state === "down") return kinds.down;
  if (replica.node === shard.leader) return kinds.leader;
  const isBehind = shard.leaderless === true && replica.state !== "replicating";
  if (replica.state === "snapshot" || isBehind) return kinds.snapshot;
  return replica.role === "leader" ? kinds.follower : kinds[replica.role];
}

/** Cells side by side; neighbours of one style are styled together, which keeps the output short. */
function row(cells: readonly { readonly text: string; readonly style: Style }[], layout: Layout): string {
  let line = "";
  let pending = "";
  let style: Style | undefined;
  const flush = (): void => {
    if (pending !== "") line += style?.(pending) ?? pending;
    pending = "";
  };
  for (const [index, cell] of cells.entries()) {
    const gap = index > 0 && index % layout.perGroup === 0 ? " " : "";
    if (cell.style !== style) {
      flush();
      line += gap;
      style = cell.style;
    } else pending += gap;
    pending += padStart(cell.text, layout.cellWidth);
  }
  flush();
  return line;
}

/** Ids over their cells where they fit, else over the first cell of each group. */
function header(shards: readonly ShardView[], layout: Layout): string {
  const ids = shards.map(({ id }) => safeText(id));
  if (layout.cellWidth > 1) return ids.map((id) => padStart(id, layout.cellWidth)).join("");
  return ids
    .filter((_, index) => index % layout.perGroup === 0)
    .map((id) => padEnd(truncate(id, layout.perGroup, ""), layout.perGroup))
    .join(" ");
}

function legend(order: readonly Glyph[], view: ShardMapView, theme: Theme): string {
  const marks = new Map(
    SEVERITY.filter((state) => state !== "ok" && view.shards.some((shard) => shard.state === state)).map(
      (state) => {
        const meaning = markMeaning(state, view);
        return [meaning, { text: MARKS[state].text, meaning, style: markStyle(theme, state) }];
      },
    ),
  );
  const entries = [
    ...order.map(({ text, style, meaning }) => [text, meaning, style] as const),
    ...[...marks.values()].map(({ text, style, meaning }) => [text, meaning, style] as const),
  ];
  let line = "";
  let used = 0;
  const lines: string[] = [];
  for (const [text, meaning, style] of entries) {
    const width = displayWidth(text) + 1 + meaning.length;
    if (used > 0 && used + GAP.length + width > theme.width) {
      lines.push(line);
      [line, used] = ["", 0];
    }
    line += `${used > 0 ? GAP : ""}${style(text)} ${meaning}`;
    used += (used > 0 ? GAP.length : 0) + width;
  }
  return [...lines, line].join("\n");
}

// --- a cell for several shards -----------------------------------------------------------------

const SHARES_UNICODE = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const SHARES_ASCII = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
const TICK_CELLS = 8;

/** Thousands of shards: each cell says how many of its shards the node leads, as the height of a bar. */
function drawShares(view: ShardMapView, theme: Theme): Picture {
  const labels = labelsOf(view.nodes, theme, false);
  const columns = Math.max(TICK_CELLS, theme.width - labels.width);
  const perCell = roundSize(Math.ceil(view.shards.length / columns));
  const buckets: ShardView[][] = [];
  for (let start = 0; start < view.shards.length; start += perCell)
    buckets.push(view.shards.slice(start, start + perCell));

  const kinds = glyphs(theme, view);
  const inCopies = isLeaderless(view);
  const levels = theme.unicode ? SHARES_UNICODE : SHARES_ASCII;
  const used = new Set<Glyph>();
  const rows = view.nodes.map((node) => {
    const cells = buckets.map((shards) => {
      const replicas = shards.flatMap(({ replicas }) =>
        replicas.filter((replica) => replica.node === node.id),
      );
      const led = inCopies ? replicas.length : shards.filter(({ leader }) => leader === node.id).length;
      const trouble = replicas.some(({ state }) => state === "down")
        ? kinds.down
        : replicas.some(({ state }) => state === "snapshot")
          ? kinds.snapshot
          : undefined;
      const plain =
        trouble ?? (replicas.length === 0 ? kinds.absent : led === 0 ? kinds.follower : undefined);
      if (plain !== undefined) {
        used.add(plain);
        return plain;
      }
      const level = Math.ceil((led / shards.length) * levels.length) - 1;
      return { text: levels[level] ?? "", style: theme.good };
    });
    return (
      labels.of(node) +
      row(cells, { labels, perBlock: buckets.length, perGroup: buckets.length, cellWidth: 1 })
    );
  });
  const indent = " ".repeat(labels.width);
  const ticks = buckets
    .filter((_, index) => index % TICK_CELLS === 0)
    .map((shards) => truncate(safeText(shards[0]?.id ?? ""), TICK_CELLS - 1, "").padEnd(TICK_CELLS))
    .join("")
    .slice(0, columns);
  const states = buckets.map(worstState);
  const marks = states.map((state) => ({ text: MARKS[state].text, style: markStyle(theme, state) }));
  const marked = states.some((state) => state !== "ok")
    ? [indent + row(marks, { labels, perBlock: marks.length, perGroup: marks.length, cellWidth: 1 })]
    : [];
  const scale = `each cell is ${perCell} shards; ${theme.good(levels.join(""))} the share that the node ${inCopies ? "holds" : "leads"}`;
  const order = Object.values(kinds).filter((glyph) => used.has(glyph));
  const marksAndGlyphs = legend(order, view, theme);
  return {
    grid: [indent + theme.dim(ticks), ...rows, ...marked].map((line) => line.trimEnd()).join("\n"),
    legend: marksAndGlyphs === "" ? scale : `${scale}\n${marksAndGlyphs}`,
  };
}

/** The next power of two: cells that begin at round shard numbers. */
function roundSize(least: number): number {
  let size = 1;
  while (size < least) size *= 2;
  return size;
}

// --- what is wrong with which shards -----------------------------------------------------------

const TROUBLE_WORDS: Readonly<Record<ShardState, string>> = {
  ok: "",
  moving: "moving",
  "under-replicated": "too few copies",
  leaderless: "no leader",
  down: "no replica answers",
};

function troublesOf(view: ShardMapView, theme: Theme): string[] {
  const lines = SEVERITY.toReversed().flatMap((state) => {
    const ids = view.shards
      .filter((shard) => state !== "ok" && shard.state === state)
      .map(({ id }) => safeText(id));
    if (ids.length === 0) return [];
    const all = ids.length === view.shards.length;
    const isBelow = state === "down" && isLeaderless(view);
    const what =
      (isBelow ? "fewer copies answer than R or W" : TROUBLE_WORDS[state]) +
      (all ? ": " : ` (${counted(ids.length, "shard")}): `);
    const style = markStyle(theme, state);
    return [style(hang(what, all ? "every shard" : firstOf(ids, theme), theme.proseWidth))];
  });
  return lines.length === 0 ? [] : [lines.join("\n")];
}

/** Enough runs to see which; thousands would push the picture off the screen. */
function firstOf(ids: readonly string[], theme: Theme): string {
  const parts = runs(ids).split(", ");
  const left = parts.length - RUNS_SHOWN_MAX;
  return left <= 0
    ? parts.join(", ")
    : `${parts.slice(0, RUNS_SHOWN_MAX).join(", ")}, ${theme.symbols.ellipsis} (see \`mem0ctl shards list\`)`;
}
