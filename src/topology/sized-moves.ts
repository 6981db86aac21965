// Shards of different sizes: a placement in which every node holds a part within its bounds, with few bytes
// moved. To find the fewest is NP-hard (it is bin packing), so this is a descent by single moves and by
// exchanges, and then a second one that undoes and cheapens what was moved; how far it may be from the
// least is told by a lower bound. Cases small enough to look at every placement are another file's.
//
// Whether a move helps is judged by the present placement alone, never by the one that was there first: the end
// of a plan is an end for the next plan, too, and that one is empty.

import type { ZoneBounds } from "./shares.ts";

export interface SizedNode {
  readonly zone: number;
  /** What it should hold at least and at most, in the measure that is made even. */
  readonly least: number;
  readonly most: number;
  /** It may get copies that it does not have. */
  readonly open: boolean;
  /** Most bytes that it can hold. */
  readonly room: number;
}

export interface SizedShard {
  readonly holders: readonly number[];
  readonly copies: number;
  /** Of one copy, in the measure that is made even. */
  readonly value: number;
  readonly bytes: number;
}

export interface SizedProblem {
  readonly nodes: readonly SizedNode[];
  readonly zones: number;
  readonly shards: readonly SizedShard[];
  readonly bounds: ReadonlyMap<number, ZoneBounds>;
}

/** Below this, relative to the largest bound, a difference is one of rounding. */
const EPSILON = 1e-9;
/** Descents that follow each other: each ends where the one before left something to gain, which is soon nowhere. */
const ROUNDS_MAX = 8;

/** How far all nodes together are outside of their bounds. */
export function violationOf(nodes: readonly SizedNode[], loads: readonly number[]): number {
  return nodes.reduce((sum, node, index) => sum + outside(node, loads[index] ?? 0), 0);
}

function outside({ least, most }: SizedNode, load: number): number {
  return Math.max(0, load - most) + Math.max(0, least - load);
}

export function loadsOf(problem: SizedProblem, holders: readonly (readonly number[])[]): number[] {
  const loads = problem.nodes.map(() => 0);
  for (const [shard, nodes] of holders.entries()) {
    for (const node of nodes) loads[node] = (loads[node] ?? 0) + (problem.shards[shard]?.value ?? 0);
  }
  return loads;
}

export function bytesMoved(problem: SizedProblem, holders: readonly (readonly number[])[]): number {
  return holders.reduce((sum, nodes, shard) => {
    const { holders: before = [], bytes = 0 } = problem.shards[shard] ?? {};
    return sum + bytes * nodes.filter((node) => !before.includes(node)).length;
  }, 0);
}

/** Nodes of each shard: those that stay first, in their order. */
export function fewBytesMoved(problem: SizedProblem): number[][] {
  const search = new Descent(problem);
  search.repair();
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    search.improve(true);
    if (!search.cheapen()) break;
  }
  search.reconsider();
  search.improve(false);
  return search.result();
}

class Descent {
  private readonly problem: SizedProblem;
  private readonly nodes: readonly SizedNode[];
  private readonly shards: readonly SizedShard[];
  private readonly holders: number[][];
  private readonly loads: number[];
  private readonly bytes: number[];
  /** Shards on each node, largest first. */
  private readonly held: number[][];
  /** Open nodes, the one with the most room below its bounds first. */
  private byLoad: number[];
  private readonly tolerance: number;
  /** What has left its place already goes on elsewhere for nothing, and back for less. */
  private knowsOrigin = true;
  /** A shard that is not moved just now. */
  private pinned: number | undefined;
  /** Moves that may have to be taken back. */
  private journal: Move[] | undefined;
  private stepsLeft = 0;
  /** Counted from where the descent began. */
  private violation = 0;
  private movedBytes = 0;

  constructor(problem: SizedProblem) {
    this.problem = problem;
    this.nodes = problem.nodes;
    this.shards = problem.shards;
    this.holders = problem.shards.map(({ holders }) => [...holders]);
    this.loads = loadsOf(problem, this.holders);
    this.bytes = problem.nodes.map(() => 0);
    this.held = problem.nodes.map(() => []);
    for (const [shard, holders] of this.holders.entries()) {
      for (const node of holders) {
        this.bytes[node] = (this.bytes[node] ?? 0) + this.bytesOf(shard);
        this.held[node]?.push(shard);
      }
    }
    for (const list of this.held) list.sort((a, b) => this.order(a, b));
    this.byLoad = problem.nodes.flatMap(({ open }, node) => (open ? [node] : []));
    this.tolerance =
      EPSILON * Math.max(1, ...problem.nodes.map(({ most }) => (Number.isFinite(most) ? most : 0)));
    this.sortByLoad();
  }

  result(): number[][] {
    return this.holders.map((now, shard) => {
      const before = this.shards[shard]?.holders ?? [];
      return [
        ...before.filter((node) => now.includes(node)),
        ...now.filter((node) => !before.includes(node)),
      ];
    });
  }

  // --- hard rules ------------------------------------------------------------------------------

  /** Every shard with its number of copies, spread over zones, and none on a node that shall be empty. */
  repair(): void {
    const largestFirst = [...this.shards.keys()].sort((a, b) => this.order(a, b));
    for (const shard of largestFirst) this.drop(shard);
    for (const shard of largestFirst) {
      const { copies = 0 } = this.shards[shard] ?? {};
      while ((this.holders[shard]?.length ?? 0) < copies) {
        const to = this.byLoad.find((node) => this.mayHold(shard, node, undefined, true));
        if (to === undefined) break;
        this.put(shard, to);
      }
    }
  }

  /** Takes copies away where they break a rule, from the most loaded nodes first. */
  private drop(shard: number): void {
    const { copies = 0 } = this.shards[shard] ?? {};
    const { least, most } = this.boundsOf(shard);
    const worstFirst = (): number[] =>
      [...(this.holders[shard] ?? [])].sort((a, b) => this.relative(b) - this.relative(a) || a - b);
    for (const node of worstFirst()) {
      const zone = this.zoneOf(node);
      const isOver = this.countIn(shard, zone) > (most[zone] ?? 0);
      if (this.nodes[node]?.open === false || isOver) this.take(shard, node);
    }
    // What other zones still need must have room among the copies.
    const missing = (): number =>
      least.reduce((sum, count, zone) => sum + Math.max(0, count - this.countIn(shard, zone)), 0);
    for (const node of worstFirst()) {
      if ((this.holders[shard]?.length ?? 0) + missing() <= copies) break;
      const zone = this.zoneOf(node);
      if (this.countIn(shard, zone) > (least[zone] ?? 0)) this.take(shard, node);
    }
    for (const node of worstFirst().slice(0, Math.max(0, (this.holders[shard]?.length ?? 0) - copies)))
      this.take(shard, node);
  }

  /** Whether a shard may have a copy on a node once it has none on `without`. */
  private mayHold(shard: number, node: number, without: number | undefined, filling = false): boolean {
    const spec = this.nodes[node];
    if (spec === undefined || !spec.open || shard === this.pinned) return false;
    if (this.holders[shard]?.includes(node) === true) return false;
    if ((this.bytes[node] ?? 0) + this.bytesOf(shard) > spec.room) return false;
    const zone = spec.zone;
    const { least, most } = this.boundsOf(shard);
    const from = without === undefined ? undefined : this.zoneOf(without);
    if (from === zone) return true;
    if (this.countIn(shard, zone) >= (most[zone] ?? 0)) return false;
    if (from !== undefined) return this.countIn(shard, from) > (least[from] ?? 0);
    if (!filling) return true;
    const copies = this.shards[shard]?.copies ?? 0;
    const missing = least.reduce(
      (sum, count, each) => sum + Math.max(0, count - this.countIn(shard, each)),
      0,
    );
    const isNeeded = this.countIn(shard, zone) < (least[zone] ?? 0);
    return isNeeded || copies - (this.holders[shard]?.length ?? 0) > missing;
  }

  // --- the descent -----------------------------------------------------------------------------

  /**
   * Moves and exchanges, those of the node farthest outside of its bounds first, as long as one helps. Which one is
   * taken may depend on where copies were first; whether there is one does not.
   */
  improve(knowsOrigin: boolean, stepsMax = Infinity): void {
    this.knowsOrigin = knowsOrigin;
    const stuck = new Set<number>();
    for (let steps = 0; steps < stepsMax; steps += 1) {
      let worst = -1;
      let farthest = 0;
      for (const [node, spec] of this.nodes.entries()) {
        const by = outside(spec, this.loads[node] ?? 0);
        if (by <= this.tolerance || stuck.has(node)) continue;
        const relative = by / Math.max(this.tolerance, spec.most);
        if (relative > farthest) [worst, farthest] = [node, relative];
      }
      if (worst === -1) return;
      const step = this.bestMove(worst) ?? this.bestExchange(worst);
      if (step === undefined) stuck.add(worst);
      else {
        for (const { shard, from, to } of step) this.move(shard, from, to);
        stuck.clear();
      }
    }
  }

  private bestMove(node: number): Move[] | undefined {
    const { most = 0 } = this.nodes[node] ?? {};
    return (this.loads[node] ?? 0) > most ? this.bestGift(node) : this.bestReceipt(node);
  }

  /** What an overloaded node best gives away: most gained for a byte; of equals the largest. */
  private bestGift(from: number): Move[] | undefined {
    let best: Move | undefined;
    let rating: Rating = NOTHING;
    for (const shard of this.held[from] ?? []) {
      const value = this.valueOf(shard);
      let tried = 0;
      for (const to of this.byLoad) {
        if (!this.mayHold(shard, to, from)) continue;
        const gain = this.gain(from, to, value);
        const found = this.rate(gain, this.cost(shard, from, to));
        if (better(found, rating)) {
          rating = found;
          best = { shard, from, to };
        }
        // Targets come by room; after a few that may hold it no later one is better.
        tried += 1;
        if (tried >= TARGETS_TRIED) break;
      }
    }
    return best === undefined ? undefined : [best];
  }

  /** What a node with too little best gets, from the most loaded donors first. */
  private bestReceipt(to: number): Move[] | undefined {
    if (this.nodes[to]?.open !== true) return undefined;
    let best: Move | undefined;
    let rating: Rating = NOTHING;
    for (const from of this.donors()) {
      const spec = this.nodes[from];
      if (from === to || spec === undefined) continue;
      const isOver = (this.loads[from] ?? 0) > spec.most + this.tolerance;
      // A donor within its bounds gains nothing itself: at most a byte's worth for each byte.
      if (!isOver && rating.perByte >= (1 - EPSILON) * this.perByteMax) break;
      for (const shard of this.held[from] ?? []) {
        const found = this.rate(this.gain(from, to, this.valueOf(shard)), this.cost(shard, from, to));
        if (better(found, rating) && this.mayHold(shard, to, from)) {
          rating = found;
          best = { shard, from, to };
        }
      }
    }
    return best === undefined ? undefined : [best];
  }

  /** Two shards that change places, where no single move helps: their difference goes where it is wanted. */
  private bestExchange(node: number): Move[] | undefined {
    const isOver = (this.loads[node] ?? 0) > (this.nodes[node]?.most ?? 0);
    const partners = isOver ? this.byLoad : this.donors();
    const wanted = outside(this.nodes[node] ?? NO_NODE, this.loads[node] ?? 0);
    let best: Move[] | undefined;
    let rating: Rating = NOTHING;
    let tried = 0;
    for (const partner of partners) {
      if (partner === node) continue;
      const [giver, taker] = isOver ? [node, partner] : [partner, node];
      for (const large of this.held[giver] ?? []) {
        for (const small of this.near(taker, this.valueOf(large) - wanted)) {
          const gain = this.gain(giver, taker, this.valueOf(large) - this.valueOf(small));
          const found = this.rate(gain, this.cost(large, giver, taker) + this.cost(small, taker, giver));
          if (better(found, rating) && this.mayExchange(large, giver, small, taker)) {
            rating = found;
            best = [
              { shard: large, from: giver, to: taker },
              { shard: small, from: taker, to: giver },
            ];
          }
        }
      }
      if (best !== undefined) tried += 1;
      if (rating.perByte === FREE || tried >= PARTNERS_TRIED) return best;
    }
    return best;
  }

  private mayExchange(large: number, giver: number, small: number, taker: number): boolean {
    if (large === small) return false;
    const room = (node: number): number => (this.nodes[node]?.room ?? 0) - (this.bytes[node] ?? 0);
    const more = this.bytesOf(large) - this.bytesOf(small);
    // A copy comes before the other goes, so both need the room at the same time, one after the other.
    if (room(taker) < Math.max(more, this.bytesOf(large)) || room(giver) < Math.max(-more, 0)) return false;
    return this.mayHold(large, taker, giver) && this.mayHold(small, giver, taker);
  }

  /** The shards of a node whose values are next to one that is wanted: the two around it. */
  private near(node: number, value: number): number[] {
    const list = this.held[node] ?? [];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.valueOf(list[middle] ?? -1) > value) low = middle + 1;
      else high = middle;
    }
    return list.slice(Math.max(0, low - 1), low + 1);
  }

  // --- cheaper ---------------------------------------------------------------------------------

  /** Undoes moves that are not needed, and puts smaller shards in the place of larger ones; true if any. */
  cheapen(): boolean {
    let changed = false;
    for (const { shard, to } of this.movedCopies()) {
      // It may have gone on meanwhile, in the place of a larger one.
      if (this.holders[shard]?.includes(to) !== true) continue;
      const homes = (this.shards[shard]?.holders ?? []).filter((home) => this.mayHold(shard, home, to));
      for (const home of homes) {
        const done = this.undo(shard, home, to);
        changed ||= done;
        if (done) break;
      }
    }
    return changed;
  }

  private undo(shard: number, home: number, to: number): boolean {
    const value = this.valueOf(shard);
    if (this.gain(to, home, value) >= -this.tolerance) {
      this.move(shard, to, home);
      return true;
    }
    // Another of the home's shards may do as well: the smallest that does.
    for (const other of (this.held[home] ?? []).toReversed()) {
      if (this.bytesOf(other) >= this.bytesOf(shard) || !this.isAtHome(other, home)) continue;
      if (this.gain(to, home, value - this.valueOf(other)) < -this.tolerance) continue;
      if (this.isAtHome(other, to) || !this.mayExchange(shard, to, other, home)) continue;
      this.move(shard, to, home);
      this.move(other, home, to);
      return true;
    }
    return false;
  }

  /**
   * One copy after the other that moved, the largest first, goes home or to another node and stays there, and the
   * descent makes up for it with others: kept where nodes are then less far outside, or no farther with fewer bytes
   * moved; else taken back (a large neighbourhood search: Shaw, CP 1998). Large ones are worth it most: the descent
   * begins with what gains most for a byte, and has filled every gap with small ones before a large one needs it.
   */
  reconsider(): void {
    const emptiestFirst = this.byFirstLoad();
    const heldEach = this.held.reduce((sum, { length }) => sum + length, 0) / Math.max(1, this.held.length);
    this.stepsLeft = Math.min(TRIAL_STEPS_ALL_MAX, Math.ceil(TRIAL_LOOKS_MAX / Math.max(1, heldEach)));
    for (let found = true; found && this.stepsLeft > 0;) {
      found = false;
      for (const [rank, { shard, to }] of this.movedCopies().entries()) {
        const homes = this.shards[shard]?.holders ?? [];
        const others = rank < LARGE_TRIED ? emptiestFirst : [];
        let tried = 0;
        for (const other of [...homes, ...others]) {
          if (this.stepsLeft <= 0 || tried > OTHERS_TRIED || this.holders[shard]?.includes(to) !== true)
            break;
          if (!this.mayHold(shard, other, to)) continue;
          tried += 1;
          if (this.tryAt(shard, to, other)) found = true;
        }
      }
    }
  }

  private tryAt(shard: number, from: number, to: number): boolean {
    const journal: Move[] = [];
    const [violation, bytes] = [this.violation, this.movedBytes];
    this.journal = journal;
    this.pinned = shard;
    this.move(shard, from, to);
    this.improve(true, Math.min(TRIAL_STEPS_MAX, this.stepsLeft));
    this.stepsLeft -= journal.length;
    this.pinned = undefined;
    this.journal = undefined;
    const isEven = this.violation < violation - this.tolerance;
    const isSame = this.violation <= violation + this.tolerance;
    if (isEven || (isSame && this.movedBytes < bytes - EPSILON * Math.abs(bytes))) return true;
    for (const done of journal.toReversed()) this.move(done.shard, done.to, done.from);
    // Sums that went there and back again differ in their last digits.
    [this.violation, this.movedBytes] = [violation, bytes];
    return false;
  }

  /** Open nodes, those first that held least for their bounds before anything moved. */
  private byFirstLoad(): number[] {
    const loads = loadsOf(
      this.problem,
      this.shards.map(({ holders }) => holders),
    );
    const part = (node: number): number =>
      (loads[node] ?? 0) / Math.max(this.nodes[node]?.most ?? 0, this.tolerance);
    return [...this.byLoad].sort((a, b) => part(a) - part(b) || a - b);
  }

  private movedCopies(): { readonly shard: number; readonly to: number }[] {
    const moved = [...this.shards.keys()].flatMap((shard) =>
      (this.holders[shard] ?? []).filter((to) => !this.isAtHome(shard, to)).map((to) => ({ shard, to })),
    );
    return moved.sort((a, b) => this.bytesOf(b.shard) - this.bytesOf(a.shard) || a.shard - b.shard);
  }

  private isAtHome(shard: number, node: number): boolean {
    return this.shards[shard]?.holders.includes(node) === true;
  }

  // --- state -----------------------------------------------------------------------------------

  private move(shard: number, from: number, to: number): void {
    this.journal?.push({ shard, from, to });
    this.violation -= this.gain(from, to, this.valueOf(shard));
    this.movedBytes +=
      this.bytesOf(shard) * (Number(this.isAtHome(shard, from)) - Number(this.isAtHome(shard, to)));
    this.take(shard, from);
    this.put(shard, to);
  }

  private take(shard: number, node: number): void {
    this.holders[shard] = (this.holders[shard] ?? []).filter((one) => one !== node);
    const list = this.held[node] ?? [];
    list.splice(list.indexOf(shard), 1);
    this.account(shard, node, -1);
  }

  private put(shard: number, node: number): void {
    this.holders[shard]?.push(node);
    const list = this.held[node] ?? [];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.order(list[middle] ?? -1, shard) < 0) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, shard);
    this.account(shard, node, 1);
  }

  private account(shard: number, node: number, sign: number): void {
    this.loads[node] = (this.loads[node] ?? 0) + sign * this.valueOf(shard);
    this.bytes[node] = (this.bytes[node] ?? 0) + sign * this.bytesOf(shard);
    const place = this.byLoad.indexOf(node);
    if (place === -1) return;
    this.byLoad.splice(place, 1);
    let low = 0;
    let high = this.byLoad.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.before(this.byLoad[middle] ?? -1, node) < 0) low = middle + 1;
      else high = middle;
    }
    this.byLoad.splice(low, 0, node);
  }

  private sortByLoad(): void {
    this.byLoad.sort((a, b) => this.before(a, b));
  }

  private before(a: number, b: number): number {
    return this.relative(a) - this.relative(b) || a - b;
  }

  private donors(): number[] {
    return [...this.nodes.keys()].sort((a, b) => this.relative(b) - this.relative(a) || a - b);
  }

  /** Above 0: too much; below 0: too little or room left; relative to what it may hold. */
  private relative(node: number): number {
    const { most = 0 } = this.nodes[node] ?? {};
    return most > 0 && Number.isFinite(most)
      ? ((this.loads[node] ?? 0) - most) / most
      : (this.loads[node] ?? 0);
  }

  /** By how much less all nodes are outside of their bounds when `value` goes from one to another. */
  private gain(from: number, to: number, value: number): number {
    const giver = this.nodes[from] ?? NO_NODE;
    const taker = this.nodes[to] ?? NO_NODE;
    const [given, taken] = [this.loads[from] ?? 0, this.loads[to] ?? 0];
    return (
      outside(giver, given) +
      outside(taker, taken) -
      outside(giver, given - value) -
      outside(taker, taken + value)
    );
  }

  /** Bytes more that are moved; nothing for one that is on its way anyhow. */
  private cost(shard: number, from: number, to: number): number {
    const bytes = this.bytesOf(shard);
    if (!this.knowsOrigin) return bytes;
    return bytes * (Number(!this.isAtHome(shard, to)) - Number(!this.isAtHome(shard, from)));
  }

  private rate(gain: number, bytes: number): Rating {
    return { gain, perByte: gain <= this.tolerance ? 0 : bytes <= 0 ? FREE : gain / bytes };
  }

  /** Most value that a byte of any shard carries. */
  private get perByteMax(): number {
    this.perByteKnown ??= this.shards.reduce(
      (most, { value, bytes }) => Math.max(most, value / Math.max(bytes, Number.MIN_VALUE)),
      0,
    );
    return this.perByteKnown;
  }
  private perByteKnown: number | undefined;

  private order(a: number, b: number): number {
    return this.valueOf(b) - this.valueOf(a) || a - b;
  }

  private valueOf(shard: number): number {
    return this.shards[shard]?.value ?? 0;
  }

  private bytesOf(shard: number): number {
    return this.shards[shard]?.bytes ?? 0;
  }

  private zoneOf(node: number): number {
    return this.nodes[node]?.zone ?? 0;
  }

  private boundsOf(shard: number): ZoneBounds {
    return this.problem.bounds.get(this.shards[shard]?.copies ?? 0) ?? { least: [], most: [] };
  }

  private countIn(shard: number, zone: number): number {
    let count = 0;
    for (const node of this.holders[shard] ?? []) if (this.nodes[node]?.zone === zone) count += 1;
    return count;
  }
}

/** Moves in which others have to make up for one that stays, and of all trials together: a second or two. */
const TRIAL_STEPS_MAX = 150;
const TRIAL_STEPS_ALL_MAX = 30_000;
/** A step looks at what a node holds: of many shards fewer steps. */
const TRIAL_LOOKS_MAX = 3_000_000;
/** The largest that moved are tried at so many other nodes. */
const LARGE_TRIED = 40;
const OTHERS_TRIED = 30;
const TARGETS_TRIED = 3;
/** Partners with whom an exchange helps: the best of so many, most room first. */
const PARTNERS_TRIED = 8;
/** Value for a byte where no byte is moved for it. */
const FREE = Number.MAX_VALUE;
const NO_NODE: SizedNode = { zone: 0, least: 0, most: 0, open: false, room: 0 };

interface Move {
  readonly shard: number;
  readonly from: number;
  readonly to: number;
}

interface Rating {
  readonly gain: number;
  readonly perByte: number;
}

const NOTHING: Rating = { gain: 0, perByte: 0 };

function better(a: Rating, b: Rating): boolean {
  if (a.perByte <= 0) return false;
  const slack = b.perByte * EPSILON;
  return a.perByte > b.perByte + slack || (a.perByte >= b.perByte - slack && a.gain > b.gain);
}
