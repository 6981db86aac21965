// Fewest moves: of all placements in which every node holds a number of copies within its bounds, the one that
// differs least from what is there. Copies count alike here; shards of different sizes are another file's.
//
// It is a flow of least cost: a unit for each copy goes from its shard through a zone to a node and from there
// to the sink; shard to zone and node to sink are bounded from below and above, zone to node takes one
// unit, for 0 where the copy already is and for 1 elsewhere. What is there is a flow of cost 0 that
// breaks bounds; each breach is the start or the end of a path. Paths are taken shortest first, so that the
// flow is at every moment the cheapest for the breaches that are left, and in the end the cheapest of all
// (successive shortest paths: Ahuja, Magnanti, Orlin, Network Flows, section 9.7). The edges between zones
// and nodes, one for every shard and node, are never written down: nearly all of them cost 1.

import { membersByZone } from "./shares.ts";
import type { ZoneBounds } from "./shares.ts";

/** Nodes, zones and shards are numbers from 0. */
export interface CopyProblem {
  readonly nodes: readonly CopyNode[];
  readonly zones: number;
  readonly shards: readonly { readonly holders: readonly number[]; readonly copies: number }[];
  /** For each number of copies that a shard asks for. */
  readonly bounds: ReadonlyMap<number, ZoneBounds>;
}

export interface CopyNode {
  readonly zone: number;
  readonly weight: number;
  /** Copies that it should hold at least and at most. */
  readonly least: number;
  readonly most: number;
}

export interface CopyPlacement {
  /** Nodes of each shard: those that stay first, in their order. */
  readonly holders: readonly (readonly number[])[];
  /** Copies that are on a node where they were not: the proven minimum. */
  readonly moves: number;
  /** Breaches of bounds that no placement avoids; 0: all bounds hold. */
  readonly breaches: number;
}

export function fewestMoves(problem: CopyProblem): CopyPlacement {
  const flow = new CopyFlow(problem);
  const breaches = flow.solve();
  const holders = problem.shards.map(({ holders: before }, shard) => {
    const now = flow.holders[shard] ?? [];
    return [...before.filter((node) => now.includes(node)), ...now.filter((node) => !before.includes(node))];
  });
  const moves = holders.reduce(
    (sum, now, shard) =>
      sum + now.filter((node) => problem.shards[shard]?.holders.includes(node) !== true).length,
    0,
  );
  return { holders, moves, breaches };
}

type Vertex = number;
const NOBODY = -1;

/**
 * Vertices are numbered: nodes, shards, the sink, then the zones of each shard by the place of their first
 * holder. A zone in which a shard has no copy is passed on the way from the shard to the node, without a number,
 * but for the one that a search begins at.
 */
class CopyFlow {
  readonly holders: number[][];
  private readonly origin: readonly (readonly number[])[];
  private readonly copies: readonly number[];
  private readonly nodes: readonly CopyNode[];
  /** Shards that a node may hold, the newest last: what is gone, or came twice, is passed over. */
  private readonly held: number[][];
  private readonly heldCount: Int32Array;
  /** Flow from each node to the sink. */
  private readonly drained: Int32Array;
  /** What comes in less what goes out: above 0 paths begin there, below 0 they end there. */
  private readonly balance: Int32Array;
  /** The same for the zones of shards, by `shard * zones + zone`; nearly all are 0. */
  private readonly zoneBalance = new Map<number, number>();
  private readonly bounds: readonly ZoneBounds[];
  private readonly neededZones: ReadonlyMap<number, readonly number[]>;
  private readonly membersOf: readonly (readonly number[])[];
  private readonly zones: number;
  private readonly sink: Vertex;
  private readonly stride: number;

  // One search: labels count only where the stamp is the search's own.
  private search = 0;
  private readonly stamp: Int32Array;
  private readonly distance: Int32Array;
  private readonly parent: Int32Array;
  private readonly queued: Uint8Array;
  private readonly queue: Int32Array;
  private head = 0;
  private tail = 0;
  private reached: Vertex[] = [];
  private startZone = 0;
  private found: Vertex = NOBODY;
  private target = 0;
  /** A place where a path could end was seen, at whatever distance. */
  private endSeen = false;
  private readonly zoneFarthest: Int32Array;
  /** How far this search has gone through what a node holds, and from which distance. */
  private readonly lookedSearch: Int32Array;
  private readonly lookedDistance: Int32Array;
  private readonly lookedAt: Int32Array;
  private farthest = FAR;
  // From this distance on a vertex is known to lead nowhere in the present phase.
  private phase = 0;
  private readonly hopelessPhase: Int32Array;
  private readonly hopeless: Int32Array;

  constructor(problem: CopyProblem) {
    const { nodes, shards, zones } = problem;
    this.nodes = nodes;
    this.zones = zones;
    this.holders = shards.map(({ holders }) => [...holders]);
    this.origin = shards.map(({ holders }) => holders);
    this.copies = shards.map(({ copies }) => copies);
    const nowhere: ZoneBounds = { least: [], most: [] };
    this.bounds = shards.map(({ copies }) => problem.bounds.get(copies) ?? nowhere);
    this.membersOf = membersByZone(nodes, zones);
    this.held = nodes.map(() => []);
    this.heldCount = new Int32Array(nodes.length);
    this.lookedSearch = new Int32Array(nodes.length);
    this.lookedDistance = new Int32Array(nodes.length);
    this.lookedAt = new Int32Array(nodes.length);
    for (const [shard, holders] of this.holders.entries()) {
      for (const node of holders) {
        this.held[node]?.push(shard);
        this.heldCount[node] = (this.heldCount[node] ?? 0) + 1;
      }
    }
    this.sink = nodes.length + shards.length;
    this.stride =
      Math.max(
        1,
        ...this.holders.map((holders, shard) => Math.max(holders.length, this.copies[shard] ?? 0)),
      ) + 2;
    const vertices = this.sink + 1 + shards.length * this.stride;
    this.stamp = new Int32Array(vertices);
    this.distance = new Int32Array(vertices);
    this.parent = new Int32Array(vertices);
    this.queued = new Uint8Array(vertices);
    this.queue = new Int32Array(vertices + 1);
    this.hopelessPhase = new Int32Array(this.sink + 1);
    this.hopeless = new Int32Array(this.sink + 1);
    this.zoneFarthest = new Int32Array(zones);
    this.drained = new Int32Array(nodes.length);
    this.balance = new Int32Array(this.sink + 1);
    this.neededZones = new Map(
      [...problem.bounds].map(([copies, { least }]) => [
        copies,
        least.flatMap((count, zone) => (count > 0 ? [zone] : [])),
      ]),
    );
    this.findBreaches();
  }

  private findBreaches(): void {
    let total = 0;
    for (const [shard, holders] of this.holders.entries()) {
      const copies = this.copies[shard] ?? 0;
      let flowing = 0;
      const { least, most } = this.boundsOf(shard);
      const needed = this.neededZones.get(copies) ?? [];
      const used = holders.map((node) => this.nodes[node]?.zone ?? 0);
      // A zone without a copy that needs none has no flow.
      for (const zone of new Set([...used, ...needed])) {
        const count = this.countIn(shard, zone);
        const bounded = Math.min(most[zone] ?? 0, Math.max(least[zone] ?? 0, count));
        if (bounded !== count) this.zoneBalance.set(shard * this.zones + zone, bounded - count);
        flowing += bounded;
      }
      this.balance[this.nodes.length + shard] = copies - flowing;
      total += copies;
    }
    let drained = 0;
    for (const [index, { least, most }] of this.nodes.entries()) {
      const count = this.heldCount[index] ?? 0;
      const bounded = Math.min(most, Math.max(least, count));
      this.drained[index] = bounded;
      this.balance[index] = count - bounded;
      drained += bounded;
    }
    this.balance[this.sink] = drained - total;
  }

  /** Mends every breach that can be mended; returns how many are left. */
  solve(): number {
    // Only a shard that has too many copies, in all or in a zone, is mended without a copy going anywhere.
    const isFree = [
      ...this.zoneBalance.values(),
      ...this.balance.subarray(this.nodes.length, this.sink),
    ].some((balance) => balance < 0);
    for (this.target = isFree ? 0 : 1; ; this.target += 1) {
      this.phase += 1;
      this.endSeen = false;
      let left = 0;
      for (const start of this.starts()) {
        while (this.balanceOf(start) > 0 && this.augment(start)) {
          // One path after another, until there is nothing to mend here or no way at this distance.
        }
        left += this.balanceOf(start);
      }
      if (left === 0 || !this.endSeen) return left;
    }
  }

  private *starts(): Iterable<Start> {
    const { length } = this.nodes;
    for (let shard = 0; shard < this.holders.length; shard += 1) {
      if ((this.balance[length + shard] ?? 0) > 0) yield { vertex: length + shard };
    }
    for (const [key, balance] of this.zoneBalance) {
      if (balance > 0) yield { shard: Math.floor(key / this.zones), zone: key % this.zones };
    }
    for (let node = 0; node < length; node += 1) if ((this.balance[node] ?? 0) > 0) yield { vertex: node };
    if ((this.balance[this.sink] ?? 0) > 0) yield { vertex: this.sink };
  }

  private balanceOf(start: Start): number {
    if ("vertex" in start) return this.balance[start.vertex] ?? 0;
    return this.zoneBalance.get(start.shard * this.zones + start.zone) ?? 0;
  }

  // --- the search ------------------------------------------------------------------------------

  /** Finds a path of length `target` from a start, and takes it. */
  private augment(start: Start): boolean {
    this.search += 1;
    this.head = this.tail = 0;
    this.reached = [];
    this.found = NOBODY;
    this.zoneFarthest.fill(FAR);
    this.farthest = FAR;
    let vertex: Vertex;
    if ("vertex" in start) ({ vertex } = start);
    else {
      this.startZone = start.zone;
      vertex = this.vertexOf(start.shard, start.zone);
    }
    this.label(vertex, 0, NOBODY, 0);
    while (this.head !== this.tail && this.found === NOBODY) {
      const next = this.queue[this.head] ?? 0;
      this.head = (this.head + 1) % this.queue.length;
      this.queued[next] = 0;
      this.expand(next);
    }
    while (this.head !== this.tail) {
      this.queued[this.queue[this.head] ?? 0] = 0;
      this.head = (this.head + 1) % this.queue.length;
    }
    if (this.found !== NOBODY) {
      this.take();
      return true;
    }
    for (const each of this.reached) {
      if (each > this.sink) continue;
      const distance = this.distance[each] ?? 0;
      const known = this.hopelessPhase[each] === this.phase ? (this.hopeless[each] ?? 0) : FAR;
      this.hopelessPhase[each] = this.phase;
      this.hopeless[each] = Math.min(known, distance);
    }
    return false;
  }

  private label(vertex: Vertex, distance: number, from: Vertex, fromDistance: number): void {
    if (this.stamp[vertex] === this.search) {
      if ((this.distance[vertex] ?? 0) <= distance) return;
    } else {
      this.stamp[vertex] = this.search;
      this.reached.push(vertex);
    }
    this.distance[vertex] = distance;
    this.parent[vertex] = from;
    if (
      vertex <= this.sink &&
      this.hopelessPhase[vertex] === this.phase &&
      distance >= (this.hopeless[vertex] ?? 0)
    )
      return;
    if (this.isEnd(vertex)) {
      this.endSeen = true;
      if (distance <= this.target) {
        this.found = vertex;
        return;
      }
    }
    if (this.queued[vertex] === 1) return;
    if (distance <= fromDistance) this.queueFirst(vertex);
    else {
      this.queued[vertex] = 1;
      this.queue[this.tail] = vertex;
      this.tail = (this.tail + 1) % this.queue.length;
    }
  }

  private queueFirst(vertex: Vertex): void {
    this.queued[vertex] = 1;
    this.head = (this.head + this.queue.length - 1) % this.queue.length;
    this.queue[this.head] = vertex;
  }

  private isEnd(vertex: Vertex): boolean {
    if (vertex <= this.sink) return (this.balance[vertex] ?? 0) < 0;
    if (this.zoneBalance.size === 0) return false;
    const { shard, zone } = this.zoneVertex(vertex);
    return (this.zoneBalance.get(shard * this.zones + zone) ?? 0) < 0;
  }

  private expand(vertex: Vertex): void {
    const distance = this.distance[vertex] ?? 0;
    if (vertex < this.nodes.length) this.expandNode(vertex, distance);
    else if (vertex < this.sink) this.expandShard(vertex, distance);
    else if (vertex === this.sink) this.expandSink(distance);
    else {
      const { shard, zone } = this.zoneVertex(vertex);
      this.toOrigins(shard, zone, vertex, distance);
      this.toOthers(shard, zone, vertex, distance);
      if (this.found === NOBODY && this.flowInto(shard, zone) > (this.boundsOf(shard).least[zone] ?? 0))
        this.label(this.nodes.length + shard, distance, vertex, distance);
    }
  }

  private expandNode(node: number, distance: number): void {
    const { most = 0, zone = 0 } = this.nodes[node] ?? {};
    if (this.lookedSearch[node] !== this.search || this.lookedDistance[node] !== distance) {
      this.lookedSearch[node] = this.search;
      this.lookedDistance[node] = distance;
      this.lookedAt[node] = this.held[node]?.length ?? 0;
      if ((this.drained[node] ?? 0) < most) this.label(this.sink, distance, node, distance);
    }
    const shard = this.nextHeld(node);
    if (shard === undefined || this.found !== NOBODY) return;
    // What else it holds waits behind what this shard leads to: most paths need no more.
    this.queueFirst(node);
    const saved = this.origin[shard]?.includes(node) === true ? 0 : 1;
    this.label(this.vertexOf(shard, zone), distance - saved, node, distance);
  }

  /** The newest first. What is gone is dropped where nothing is behind it. */
  private nextHeld(node: number): number | undefined {
    const held = this.held[node] ?? [];
    for (let at = (this.lookedAt[node] ?? 0) - 1; at >= 0; at -= 1) {
      const shard = held[at] ?? NOBODY;
      if (this.holders[shard]?.includes(node) === true) {
        this.lookedAt[node] = at;
        return shard;
      }
      if (at === held.length - 1) held.pop();
    }
    this.lookedAt[node] = 0;
    return undefined;
  }

  private expandShard(vertex: Vertex, distance: number): void {
    const shard = vertex - this.nodes.length;
    const { most } = this.boundsOf(shard);
    for (const node of this.holders[shard] ?? []) {
      const zone = this.nodes[node]?.zone ?? 0;
      if (this.flowInto(shard, zone) < (most[zone] ?? 0))
        this.label(this.vertexOf(shard, zone), distance, vertex, distance);
    }
    for (const node of this.origin[shard] ?? []) {
      const zone = this.nodes[node]?.zone ?? 0;
      if (this.flowInto(shard, zone) < (most[zone] ?? 0)) this.toOrigins(shard, zone, vertex, distance);
    }
    if (this.farthest <= distance + 1) return;
    let farthest = -FAR;
    for (let zone = 0; zone < this.zones && this.found === NOBODY; zone += 1) {
      const isKnown = (this.zoneFarthest[zone] ?? 0) <= distance + 1;
      if (!isKnown && this.flowInto(shard, zone) < (most[zone] ?? 0))
        this.toOthers(shard, zone, vertex, distance);
      farthest = Math.max(farthest, this.zoneFarthest[zone] ?? 0);
    }
    this.farthest = farthest;
  }

  /** Most loaded first, so that all give alike. */
  private expandSink(distance: number): void {
    const giving = this.nodes.flatMap(({ least }, node) => ((this.drained[node] ?? 0) > least ? [node] : []));
    giving.sort((a, b) => this.loadOf(a) - this.loadOf(b) || b - a);
    for (const node of giving) this.label(node, distance, this.sink, distance);
  }

  /** From a shard's zone back to where it had a copy: that costs nothing. */
  private toOrigins(shard: number, zone: number, from: Vertex, distance: number): void {
    for (const node of this.origin[shard] ?? []) {
      if (this.nodes[node]?.zone === zone && this.holders[shard]?.includes(node) !== true)
        this.label(node, distance, from, distance);
    }
  }

  /** From a shard's zone to the nodes of the zone that have no copy; of several ends the least loaded. */
  private toOthers(shard: number, zone: number, from: Vertex, distance: number): void {
    const holders = this.holders[shard] ?? [];
    // The farthest label of the zone: when even that is not farther than this would be, all are known.
    if ((this.zoneFarthest[zone] ?? 0) <= distance + 1) return;
    let farthest = -FAR;
    let end: Vertex = NOBODY;
    for (const node of this.membersOf[zone] ?? []) {
      if (this.nodes[node]?.most !== 0 && !holders.includes(node)) {
        const isNew = this.stamp[node] !== this.search || (this.distance[node] ?? 0) > distance + 1;
        if (isNew && distance + 1 <= this.target && (this.balance[node] ?? 0) < 0) {
          if (end === NOBODY || this.loadOf(node) < this.loadOf(end)) end = node;
        } else if (isNew) this.label(node, distance + 1, from, distance);
      }
      if (this.nodes[node]?.most !== 0)
        farthest = Math.max(farthest, this.stamp[node] === this.search ? (this.distance[node] ?? 0) : FAR);
    }
    if (end === NOBODY) this.zoneFarthest[zone] = farthest;
    else this.label(end, distance + 1, from, distance);
  }

  // --- taking a path ---------------------------------------------------------------------------

  private take(): void {
    const path: Vertex[] = [];
    for (let at = this.found; at !== NOBODY; at = this.parent[at] ?? NOBODY) path.unshift(at);
    // What a number of a zone stands for changes with the first copy that goes.
    const stops = path.map((vertex): Stop => {
      if (vertex < this.nodes.length) return { kind: "node", node: vertex };
      if (vertex < this.sink) return { kind: "shard", shard: vertex - this.nodes.length };
      if (vertex === this.sink) return { kind: "sink" };
      return { kind: "zone", ...this.zoneVertex(vertex) };
    });
    this.change(stops[0], -1);
    this.change(stops.at(-1), 1);
    for (const [index, to] of stops.entries()) {
      const from = stops[index - 1];
      if (from === undefined) continue;
      if (from.kind === "node" && to.kind === "zone") this.remove(to.shard, from.node);
      else if (to.kind === "node" && (from.kind === "zone" || from.kind === "shard"))
        this.add(from.shard, to.node);
      else if (from.kind === "node" && to.kind === "sink")
        this.drained[from.node] = (this.drained[from.node] ?? 0) + 1;
      else if (from.kind === "sink" && to.kind === "node")
        this.drained[to.node] = (this.drained[to.node] ?? 0) - 1;
    }
  }

  private change(stop: Stop | undefined, by: number): void {
    if (stop?.kind === "zone") {
      const key = stop.shard * this.zones + stop.zone;
      const balance = (this.zoneBalance.get(key) ?? 0) + by;
      if (balance === 0) this.zoneBalance.delete(key);
      else this.zoneBalance.set(key, balance);
    } else if (stop !== undefined) {
      const vertex =
        stop.kind === "node" ? stop.node : stop.kind === "shard" ? this.nodes.length + stop.shard : this.sink;
      this.balance[vertex] = (this.balance[vertex] ?? 0) + by;
    }
  }

  private add(shard: number, node: number): void {
    this.holders[shard]?.push(node);
    this.held[node]?.push(shard);
    this.heldCount[node] = (this.heldCount[node] ?? 0) + 1;
  }

  private remove(shard: number, node: number): void {
    this.holders[shard] = (this.holders[shard] ?? []).filter((one) => one !== node);
    this.heldCount[node] = (this.heldCount[node] ?? 0) - 1;
  }

  // --- small questions -------------------------------------------------------------------------

  private loadOf(node: number): number {
    return (this.heldCount[node] ?? 0) / (this.nodes[node]?.weight ?? 1);
  }

  private boundsOf(shard: number): ZoneBounds {
    return this.bounds[shard] ?? { least: [], most: [] };
  }

  private countIn(shard: number, zone: number, holders = this.holders[shard] ?? []): number {
    let count = 0;
    for (const node of holders) if (this.nodes[node]?.zone === zone) count += 1;
    return count;
  }

  /** Flow from a shard to its zone. */
  private flowInto(shard: number, zone: number): number {
    const breach = this.zoneBalance.size === 0 ? 0 : (this.zoneBalance.get(shard * this.zones + zone) ?? 0);
    return this.countIn(shard, zone) + breach;
  }

  private vertexOf(shard: number, zone: number): Vertex {
    const place = (this.holders[shard] ?? []).findIndex((node) => this.nodes[node]?.zone === zone);
    return this.sink + 1 + shard * this.stride + (place === -1 ? this.stride - 1 : place);
  }

  private zoneVertex(vertex: Vertex): { readonly shard: number; readonly zone: number } {
    const offset = vertex - this.sink - 1;
    const shard = Math.floor(offset / this.stride);
    const place = offset % this.stride;
    const node = this.holders[shard]?.[place];
    const zone =
      place === this.stride - 1 || node === undefined ? this.startZone : (this.nodes[node]?.zone ?? 0);
    return { shard, zone };
  }
}

/** Fits an Int32Array, and leaves room to add to. */
const FAR = 1 << 29;

type Start = { readonly vertex: Vertex } | { readonly shard: number; readonly zone: number };

type Stop =
  | { readonly kind: "node"; readonly node: number }
  | { readonly kind: "shard"; readonly shard: number }
  | { readonly kind: "zone"; readonly shard: number; readonly zone: number }
  | { readonly kind: "sink" };
