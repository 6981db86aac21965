// All copies of leaderless shards on this node: opened and given up as the shard map says, compared with the
// others in the background, and what peers ask of them answered. It has no groups and no leader; the map
// itself comes from the metadata group.

import { everyone, sourcesNeeded } from "../../consensus/quorum/levels.ts";
import type { Witness } from "../../consensus/quorum/tombstones.ts";
import type { VersionVector } from "../../consensus/quorum/vectors.ts";
import type { HintLimits } from "../../consensus/quorum/hints.ts";
import type { Consistency } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { GroupReport } from "../../model/node-api.ts";
import type { ShardMap, ShardSlice } from "../../model/shard-map.ts";
import { every, type Clock, type Timer } from "../clock.ts";
import type { VectorCache } from "../../memory/vector-cache.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { CopyingReport } from "../moves/group-members.ts";
import type { Pace } from "../moves/pace.ts";
import type { WorstLag } from "../moves/health-bound.ts";
import { removeRange, type Store } from "../storage/store.ts";
import type { Network } from "../transport/network.ts";
import {
  CopyClient,
  notServing,
  refuseBehind,
  refuseOtherVersion,
  refuseOutdated,
  sameSets,
  standingOf,
  type CallBody,
  type CopyCall,
  type CopyCalls,
  type FilledAnswer,
  type ItemsAnswer,
  type Past,
  type Standing,
} from "./calls.ts";
import { compare, refuseWhenChanged, type ComparisonLimits } from "./comparison.ts";
import { Coordinator } from "./coordinator.ts";
import { Handoff } from "./handoff.ts";
import { Orphans } from "./orphans.ts";
import { PeerClocks } from "./peer-clocks.ts";
import { forgottenCopies, hasLater, rangeOfCopy, type CopyName } from "./forgotten.ts";
import { Scrub } from "../host/scrub.ts";
import type { CopyState } from "./records.ts";
import { copyReport } from "./report.ts";
import { ShardCopy, sizeOf, type Change } from "./shard-copy.ts";
import { Successions, type SuccessionReport } from "./successions.ts";

export interface LeaderlessLimits extends ComparisonLimits {
  /** Every copy is compared with every other of its shard once in this time. */
  readonly compareEveryMs: number;
  readonly compareMsMax: number;
  /** Age at which a tombstone may be forgotten: hints from before it are gone by then. */
  readonly graceMs: number;
  /** Absence after which a copy is not waited for with that, and is rebuilt when it comes back. */
  readonly awayMsMax: number;
  readonly hints: HintLimits;
  readonly hintsEveryMs: number;
  readonly slowMs: number;
}

export const LEADERLESS_LIMITS: LeaderlessLimits = {
  rangesPerQuestion: 8,
  leavesPerQuestion: 32,
  keysPerQuestion: 128,
  restMs: 5,
  callMs: 3000,
  compareEveryMs: 10_000,
  compareMsMax: 600_000,
  graceMs: 6 * 3_600_000,
  awayMsMax: 24 * 3_600_000,
  hints: { hintsMax: 100_000, bytesMax: 16 << 20, ageMsMax: 3 * 3_600_000 },
  hintsEveryMs: 500,
  slowMs: 100,
};

/** Largest answer with items, roughly. */
const ITEMS_BYTES_MAX = 4 << 20;
/** Rounds of comparisons for which a copy that was away waits for others that it has to ask, … */
const PATIENCE_ROUNDS = 3;
/** … and for those that are there and give no answer, such as one whose disk is full. */
const PATIENCE_ROUNDS_MAX = 10;
/** Of the comparisons, those that a copy waits for to be whole. */
const URGENT_SHARE = 0.75;
/** Pause between two comparisons, at least. */
const COMPARE_MS_MIN = 20;

export interface LeaderlessOptions {
  readonly self: NodeId;
  readonly store: Store;
  readonly network: Network;
  readonly clock: Clock;
  readonly vectors: VectorCache;
  readonly map: () => ShardMap;
  /** Of what new copies are filled with. */
  readonly pace: Pace;
  /** The manifest's levels. */
  readonly consistency: Consistency;
  readonly limits: LeaderlessLimits;
  readonly scrubBytesPerSecond: number;
  /** A copy lost a record; it repairs itself from the others. */
  readonly onDamage: (shard: ShardId, what: string) => void;
  /** The disk, or what this node knows, is broken. */
  readonly onFailure: (error: unknown) => void;
}

/** What this node knows of another copy of a shard. */
export interface PeerKnowledge {
  floor: VersionVector | undefined;
  /** By the monotonic clock: the end of the last full comparison, or when it was first thought of. */
  heardMs: number;
  comparedMs: number | undefined;
  divergentKeys: number;
}

/** One copy with all that belongs to it. */
export interface CopyHere {
  readonly copy: ShardCopy;
  readonly handoff: Handoff;
  readonly coordinator: Coordinator;
  readonly orphans: Orphans;
  readonly peers: Map<NodeId, PeerKnowledge>;
  /** Compared with in full since this copy has to be filled or rebuilt, and whether it lacked something then. */
  readonly sources: Map<NodeId, { readonly lacks: boolean }>;
  /** The change that the sources are to fill it for; 0 where none. */
  sourcesSince: number;
  readonly comparing: Set<NodeId>;
}

export class LeaderlessShards {
  readonly client: CopyClient;
  private readonly options: LeaderlessOptions;
  private readonly clocks: PeerClocks;
  private readonly copies = new Map<ShardId, CopyHere>();
  /** Given up, and not gone from the disk yet: one that comes back waits for that. */
  private readonly clearing = new Set<string>();
  private readonly successions: Successions;
  private readonly timers: Timer[] = [];
  private readonly scrub: Scrub;
  private hasLookedForForgotten = false;
  private queue: { shard: ShardId; peer: NodeId }[] = [];
  private stopped = false;
  private nextComparison: Timer | undefined;

  constructor(options: LeaderlessOptions) {
    this.options = options;
    this.client = new CopyClient(options.network, options.map, ({ shard, version }) => {
      const copy = this.copies.get(shard)?.copy;
      return copy?.version === version ? copy.past : undefined;
    });
    this.clocks = new PeerClocks(options.clock);
    this.successions = new Successions({
      self: options.self,
      store: options.store,
      clock: options.clock,
      pace: options.pace,
      map: options.map,
      opened: ({ shard, version }) => {
        const copy = this.copies.get(shard)?.copy;
        return copy?.version === version ? copy : undefined;
      },
      make: (name) => this.makeCopy(name, "serving"),
      isClearing: (name) => this.clearing.has(wordsOf(name)),
      end: (copy) => {
        if (this.copies.get(copy.shard)?.copy === copy) this.copies.delete(copy.shard);
        copy.close();
      },
      serve: (copy) => void this.install(copy),
      clear: (name) => this.clear(name),
      onFailure: options.onFailure,
    });
    // Comparisons read outlines alone: a value that nobody asks for is read here.
    this.scrub = new Scrub({
      states: () =>
        [...this.copies.values()].flatMap(({ copy }) =>
          copy.isReadable
            ? [{ prefix: copy.prefix, onDamage: (error: Error) => void copy.noteDamage(error) }]
            : [],
        ),
      store: options.store,
      clock: options.clock,
      bytesPerSecond: options.scrubBytesPerSecond,
    });
  }

  /** Opens the copies that a founder holds from the beginning. */
  async found(map: ShardMap): Promise<void> {
    const { self, store } = this.options;
    for (const shard of map.shards) if (shard.replicas.includes(self)) this.open(shard, "serving");
    await store.flush();
  }

  start(): void {
    const { clock, limits } = this.options;
    this.timers.push(every(clock, limits.hintsEveryMs, () => this.handOff()));
    this.scheduleComparison();
    this.scrub.start();
  }

  stop(): void {
    this.stopped = true;
    this.scrub.stop();
    this.successions.stop();
    for (const timer of this.timers) timer.close();
    this.nextComparison?.close();
    for (const { copy } of this.copies.values()) copy.close();
  }

  /** Whether this node holds a copy of any shard. */
  holdsAny(): boolean {
    return this.copies.size > 0;
  }

  /** Brings the copies of this node to what the map says. */
  follow(): void {
    const { self, store } = this.options;
    const map = this.options.map();
    if (map.epoch > 0 && !this.hasLookedForForgotten) {
      this.hasLookedForForgotten = true;
      const isNeeded = (name: CopyName): boolean =>
        this.successions.isNeeded(name) || this.copies.get(name.shard)?.copy.version === name.version;
      for (const name of forgottenCopies(store, map, self, isNeeded)) this.clear(name);
    }
    // Before anything is opened in the place of what was begun, and is not to be made any more. What serves is opened
    // next, so that copies which are made meanwhile are told of its writes; what takes over by this map is then followed
    // as any other.
    this.successions.giveUpUnwanted();
    this.openCurrent(map);
    this.successions.follow();
    this.openCurrent(map);
    if (map.epoch === 0) return;
    for (const shard of this.copies.keys()) {
      if (!map.shards.some(({ id }) => id === shard)) this.giveUpUnneeded(shard);
    }
    // When one that left comes again, it was not away meanwhile.
    for (const here of this.copies.values()) {
      const members = this.peersOf(here);
      for (const peer of here.peers.keys()) if (!members.includes(peer)) here.peers.delete(peer);
      this.noteMembers(here, members);
    }
  }

  private openCurrent(map: ShardMap): void {
    const { self } = this.options;
    for (const shard of map.shards) {
      const name = { shard: shard.id, version: shard.version ?? 0 };
      if (shard.founding === true) continue;
      const belongs = shard.replicas.includes(self) || shard.outgoing?.replicas.includes(self) === true;
      if (!belongs && map.epoch > 0) this.giveUpUnneeded(shard.id);
      if (!belongs || this.clearing.has(wordsOf(name))) continue;
      if (this.isCurrent(name)) this.fillWhenNew(this.open(shard, "filling"), shard);
    }
  }

  /** Whether it is the copy that is to serve: nothing newer is here, by an older map, and it is not being made still. */
  private isCurrent(name: CopyName): boolean {
    const open = this.copies.get(name.shard)?.copy;
    if (open?.version === name.version) return true;
    if (this.successions.isBecoming(name)) return false;
    if (open === undefined) return !hasLater(this.options.store, name);
    this.giveUp(name.shard);
    return true;
  }

  /** How far this node is with a handover of keys. */
  succession(handover: number): SuccessionReport {
    return this.successions.report(handover);
  }

  here(shard: ShardId): CopyHere | undefined {
    return this.copies.get(shard);
  }

  all(): Iterable<CopyHere> {
    return this.copies.values();
  }

  /** Those that answer: of the version of their shard that the map has. */
  private current(): readonly CopyHere[] {
    const map = this.options.map();
    return [...this.copies.values()].filter(
      ({ copy }) => standingOf(map, copy.shard).version === copy.version && shardById(map, copy.shard),
    );
  }

  /** The reports of all copies on this node. */
  reports(): readonly GroupReport[] {
    const { network, clock, map, self } = this.options;
    return this.current().map((here) =>
      copyReport(here, everyone(standingOf(map(), here.copy.shard)), {
        self,
        connected: (node) => network.connected(node),
        nowMs: clock.nowMs(),
        wallMs: clock.wallMs(),
      }),
    );
  }

  /** Whether every new member of a shard's change has said that it holds everything. */
  async areFilled(shard: ShardSlice, deadlineMs: number): Promise<boolean> {
    const { outgoing, replicas } = shard;
    if (outgoing === undefined) return false;
    const { self } = this.options;
    const added = replicas.filter((node) => !outgoing.replicas.includes(node));
    const ask = { since: outgoing.since };
    const answers = await Promise.all(
      added.map((node) =>
        (node === self
          ? this.isFilled(shard.id, ask.since)
          : this.client.call(node, "quorum-filled", shard.id, ask, deadlineMs)
        ).catch((): FilledAnswer => ({ state: "filling", filled: false })),
      ),
    );
    return answers.every(({ filled }) => filled);
  }

  /** How much of a shard this new copy has; undefined where it is none. */
  copying(shard: ShardId): CopyingReport | undefined {
    const slice = this.options.map().shards.find(({ id }) => id === shard);
    const copy = this.copies.get(shard)?.copy;
    const [from] = slice?.outgoing?.replicas ?? [];
    if (copy === undefined || from === undefined) return undefined;
    return { from, bytes: copy.size().bytes, bytesTotal: null };
  }

  /** What the copies of this node know of those that lag; of shards that are changing nobody can tell. */
  lags(): readonly WorstLag[] {
    const changing = new Set(
      this.options.map().shards.flatMap(({ id, outgoing }) => (outgoing === undefined ? [] : [id])),
    );
    return this.reports().flatMap(({ id, copy }) =>
      changing.has(id) || copy === undefined
        ? []
        : copy.peers.flatMap(({ node, state, lagMs }) =>
            state === "down" ? [] : [{ shard: id, node, lagMs }],
          ),
    );
  }

  /** Answers what another copy asks. */
  async answer<Method extends CopyCall>(
    from: NodeId,
    method: Method,
    body: CallBody<Method>,
  ): Promise<CopyCalls[CopyCall]["answer"]> {
    if (method === "quorum-filled") {
      const { ask, shard } = body as CallBody<"quorum-filled">;
      return this.isFilled(shard, ask.since);
    }
    const here = this.admit(body.shard, body.standing);
    const { copy } = here;
    if (method !== "quorum-open" && body.past !== undefined) this.heed(here, body.past);
    try {
      const answer = await this.answerCopy(from, here, method, body);
      // Nothing that a crash could take back is told to anyone.
      await copy.settled();
      if (answer !== null && "standing" in answer) await this.onDisk(answer.standing);
      return answer;
    } catch (error) {
      throw copy.noteDamage(error);
    }
  }

  /** Without one of two copies deletions were forgotten: it has to ask before it gives anything (10). */
  private heed(here: CopyHere, past: Past): void {
    const { copy } = here;
    refuseBehind(past, copy.forgotten, copy.shard);
    if (copy.isBehind(past.forgotten)) this.rebuildSoon(here);
  }

  private async answerCopy(
    from: NodeId,
    here: CopyHere,
    method: CopyCall,
    body: CallBody<CopyCall>,
  ): Promise<CopyCalls[CopyCall]["answer"]> {
    const { copy } = here;
    switch (method) {
      case "quorum-digests": {
        const { ask } = body as CallBody<"quorum-digests">;
        this.refuseReading(copy, body.standing);
        return { digests: ask.ids.map((id) => copy.digest(id)), wallMs: this.options.clock.wallMs() };
      }
      case "quorum-items": {
        const { ask } = body as CallBody<"quorum-items">;
        if (ask.reading) this.refuseReading(copy, body.standing);
        return itemsAnswer(copy, ask.ids);
      }
      case "quorum-store": {
        const { ask } = body as CallBody<"quorum-store">;
        await copy.take(ask.changes, ask.floor);
        return { digests: ask.changes.map(({ id }) => copy.digest(id)), floor: copy.floor };
      }
      case "quorum-open": {
        const { ask } = body as CallBody<"quorum-open">;
        if (ask.reading) this.refuseReading(copy, body.standing);
        this.hear(here, from, ask.opening.floor);
        this.clocks.hear(from, ask.wallMs);
        if (copy.isBehind(ask.opening.forgotten)) {
          await this.rebuild(here);
          if (ask.reading) this.refuseReading(copy, body.standing);
        }
        // Who lacks something itself is given all there is: it may be what it had acknowledged.
        if (copy.withholds && !ask.lacks) throw notServing(copy.shard);
        const { tree, generation } = copy;
        const ranges = tree.root === ask.opening.root ? null : tree.rangeDigests();
        const standing = standingOf(this.options.map(), copy.shard);
        const wallMs = this.options.clock.wallMs();
        return { opening: copy.opening(), generation, ranges, standing, lacks: copy.lacks, wallMs };
      }
      case "quorum-leaves": {
        const { ask } = body as CallBody<"quorum-leaves">;
        const leaves = ask.ranges.map((range) => copy.tree.leafDigests(range));
        return { leaves, generation: copy.generation };
      }
      case "quorum-keys": {
        const { ask } = body as CallBody<"quorum-keys">;
        return { keys: ask.leaves.map((leaf) => copy.listed(leaf)), generation: copy.generation };
      }
      case "quorum-done": {
        const { ask } = body as CallBody<"quorum-done">;
        if (ask.generation !== copy.generation) return null;
        await copy.raiseFloor(ask);
        // What was lost meanwhile it has not been told again.
        if (ask.generation !== copy.generation) return null;
        await this.compared(here, from, { ...ask, standing: body.standing });
        return null;
      }
      case "quorum-outlines": {
        const { ask } = body as CallBody<"quorum-outlines">;
        const outlines = ask.ids.map((id) => copy.outline(id));
        return { outlines, floor: copy.floor, whole: copy.state === "serving" };
      }
      case "quorum-filled":
        return this.isFilled(copy.shard, (body as CallBody<"quorum-filled">).ask.since);
    }
  }

  /**
   * Resolves when this node goes by a change of copies that it knows of also after a crash. Whoever is filled counts those
   * that do, and the change ends: one that forgot it would acknowledge what the copies after the change never meet (12).
   */
  private async onDisk({ outgoing }: Standing): Promise<void> {
    if (outgoing.length > 0) await this.options.store.flush();
  }

  /** The change ends when all have said so, and those before it go: told is only what a crash cannot take back. */
  private async isFilled(shard: ShardId, since: number): Promise<FilledAnswer> {
    const copy = this.copies.get(shard)?.copy;
    if (copy === undefined) return { state: "filling", filled: false };
    const { state, filledFor } = copy;
    await copy.settled();
    return { state, filled: state === "serving" && filledFor === since };
  }

  private admit(shard: ShardId, sender: Standing): CopyHere {
    refuseOutdated(sender, standingOf(this.options.map(), shard));
    const here = this.copies.get(shard);
    if (here === undefined || this.stopped) {
      throw new Mem0ctlError("unavailable", "not-here", `this node holds no copy of shard ${shard}`);
    }
    refuseOtherVersion(sender, here.copy);
    if (!here.copy.isReadable) {
      throw new Mem0ctlError("unavailable", "copy-damaged", `this node's copy of shard ${shard} is damaged`);
    }
    this.noticeAbsence(here);
    return here;
  }

  /**
   * One that is being rebuilt answers no reads (9). A new member does while the change goes on: its own set
   * needs the level as well, and everything older is met in the set before (12).
   */
  private refuseReading(copy: ShardCopy, sender: Standing): void {
    if (copy.state === "serving") return;
    const joins = copy.state === "filling" && sender.outgoing.length > 0;
    if (joins && !sender.outgoing.includes(this.options.self)) return;
    throw notServing(copy.shard);
  }

  private open(shard: ShardSlice, initial: "serving" | "filling"): CopyHere {
    const known = this.copies.get(shard.id);
    if (known !== undefined) return known;
    const { self } = this.options;
    // A member of old without a record has lost it: nobody fills it as a new one, and it must not seem whole.
    const isNew = shard.outgoing !== undefined && !shard.outgoing.replicas.includes(self);
    const state = initial === "serving" || isNew ? initial : "rebuilding";
    const copy = this.makeCopy({ shard: shard.id, version: shard.version ?? 0 }, state);
    copy.open();
    const here = this.install(copy);
    if (copy.isReadable) here.handoff.open();
    this.noteMembers(here, [...shard.replicas, ...(shard.outgoing?.replicas ?? [])]);
    return here;
  }

  private noteMembers({ copy }: CopyHere, members: readonly NodeId[]): void {
    if (!copy.isReadable) return;
    const others = members.filter((node) => node !== this.options.self);
    copy.joinedBy(others).catch((error: unknown) => this.options.onFailure(error));
  }

  private makeCopy({ shard, version }: CopyName, initial: CopyState): ShardCopy {
    const { store, vectors, clock, onDamage } = this.options;
    const copy: ShardCopy = new ShardCopy({
      shard,
      version,
      store,
      vectors,
      clock,
      initial,
      isAlone: () => this.isAlone(shard),
      onDamage: (id, what) => {
        const here = this.copies.get(id);
        if (here?.copy === copy) here.sources.clear();
        this.successions.damaged(copy);
        onDamage(id, what);
      },
    });
    return copy;
  }

  /** No other node has what it has; the keys of a shard that has gone are the one's that they went to. */
  private isAlone(shard: ShardId): boolean {
    const map = this.options.map();
    const owner = shardById(map, shard) === undefined ? (map.handover?.to ?? shard) : shard;
    return everyone(standingOf(map, owner)).length < 2;
  }

  /** From here on it is what this node answers with for its shard. */
  private install(copy: ShardCopy): CopyHere {
    const { self, store, clock, network, map, limits } = this.options;
    const { client } = this;
    const handoff = new Handoff({ copy, store, clock, client, limits: limits.hints });
    const coordinator = new Coordinator({
      self,
      copy,
      handoff,
      client,
      network,
      clock,
      map,
      comparison: limits,
      slowMs: limits.slowMs,
      clocks: this.clocks,
      noticeAbsence: () => this.noticeAbsence(here),
    });
    const here: CopyHere = {
      copy,
      handoff,
      coordinator,
      orphans: new Orphans({
        copy,
        client,
        clock,
        limits,
        isConnected: (node) => network.connected(node),
        patienceMs: PATIENCE_ROUNDS * limits.compareEveryMs,
        patienceMsMax: PATIENCE_ROUNDS_MAX * limits.compareEveryMs,
        isBeingWritten: (id) => coordinator.isBeingWritten(id),
      }),
      peers: new Map(),
      sources: new Map(),
      sourcesSince: 0,
      comparing: new Set(),
    };
    this.copies.set(copy.shard, here);
    // Away for longer than tombstones are kept: the others may have forgotten what this copy still holds.
    const wasAway = clock.wallMs() - copy.syncedMs > limits.awayMsMax;
    if (copy.state === "serving" && wasAway && !this.isAlone(copy.shard)) this.rebuildSoon(here);
    return here;
  }

  /** A copy that is in the new set of a change and was not in the old one has to be filled for it. */
  private fillWhenNew(here: CopyHere, shard: ShardSlice): void {
    const { copy } = here;
    this.gatherFor(here, shard);
    const since = this.joinedSince(shard);
    if (since === undefined || copy.state !== "serving" || copy.filledFor === since) {
      this.serveWhenFilled(here, shard);
      return;
    }
    here.sources.clear();
    void copy.become("filling").catch((error: unknown) => this.options.onFailure(error));
  }

  /** The change by which this node's copy is new; undefined where it is not. */
  private joinedSince({ outgoing }: ShardSlice): number | undefined {
    return outgoing?.replicas.includes(this.options.self) === false ? outgoing.since : undefined;
  }

  /** What was read before a change that makes this copy new says nothing of what its copies acknowledged until then. */
  private gatherFor(here: CopyHere, shard: ShardSlice): void {
    const since = this.joinedSince(shard) ?? 0;
    if (here.sourcesSince !== since) here.sources.clear();
    here.sourcesSince = since;
  }

  private async rebuild(here: CopyHere): Promise<void> {
    here.sources.clear();
    await here.copy.become("rebuilding");
  }

  private rebuildSoon(here: CopyHere): void {
    this.rebuild(here).catch((error: unknown) => this.options.onFailure(error));
  }

  /** One that was cut off from all others for too long is rebuilt as soon as it meets one, before it tells it anything. */
  private noticeAbsence(here: CopyHere): void {
    const { clock, limits, network, store } = this.options;
    // One that was given up meanwhile has nothing to be rebuilt. While its own disk is full it compares nothing, and could
    // not be.
    if (here.copy.state !== "serving" || !here.copy.isReadable || store.full) return;
    const peers = this.peersOf(here);
    const heardMs = Math.max(...peers.map((peer) => this.knowledge(here, peer).heardMs));
    if (peers.length === 0 || clock.nowMs() - heardMs <= limits.awayMsMax) return;
    if (!peers.some((peer) => network.connected(peer))) return;
    this.rebuildSoon(here);
  }

  /**
   * Enough others were read in full since it has to be filled: it holds whatever any of them acknowledged or told. One that
   * lacks something itself, or is new, does not count: two of them would take each other for whole. Only when there is
   * nobody else to ask is what they have together all that there is.
   */
  private serveWhenFilled(here: CopyHere, shard: ShardSlice): void {
    const { copy, sources } = here;
    if (copy.state === "serving" || !copy.isReadable) return;
    if (copy.withholds && this.peersOf(here).length > 0) return;
    const { self, consistency } = this.options;
    const since = this.joinedSince(shard);
    const set = since === undefined ? shard.replicas : (shard.outgoing?.replicas ?? []);
    const others = set.filter((node) => node !== self);
    const isNew = since !== undefined && copy.filledFor !== since;
    // One that was away lost nothing that it had acknowledged: any other copy tells it what was forgotten.
    const needed =
      copy.lacks || isNew
        ? sourcesNeeded(consistency, set.length, others.length)
        : Math.min(1, others.length);
    const whole = others.filter((node) => sources.get(node)?.lacks === false);
    if (whole.length < needed && !this.peersOf(here).every((node) => sources.has(node))) return;
    sources.clear();
    copy.become("serving", since ?? copy.filledFor).catch((error: unknown) => this.options.onFailure(error));
  }

  /** What this node holds of another shard may still have to be made of one that the map has taken away. */
  private giveUpUnneeded(shard: ShardId): void {
    const copy = this.copies.get(shard)?.copy;
    if (copy !== undefined && !this.successions.isNeeded(copy)) this.giveUp(shard);
  }

  /** A copy that the map has taken away: it answers nothing from here on, and is deleted at leisure. */
  private giveUp(shard: ShardId): void {
    const here = this.copies.get(shard);
    if (here === undefined) return;
    this.copies.delete(shard);
    here.copy.close();
    this.clear(here.copy);
  }

  private clear(name: CopyName): void {
    const { start, end } = rangeOfCopy(name);
    const words = wordsOf(name);
    this.clearing.add(words);
    removeRange(this.options.store, start, end, () => this.stopped)
      .catch((error: unknown) => this.options.onFailure(error))
      .finally(() => this.clearing.delete(words));
  }

  private peersOf(here: CopyHere): readonly NodeId[] {
    const standing = standingOf(this.options.map(), here.copy.shard);
    return everyone(standing).filter((node) => node !== this.options.self);
  }

  private knowledge(here: CopyHere, peer: NodeId): PeerKnowledge {
    let known = here.peers.get(peer);
    if (known === undefined) {
      const heardMs = this.options.clock.nowMs();
      known = { floor: undefined, heardMs, comparedMs: undefined, divergentKeys: 0 };
      here.peers.set(peer, known);
    }
    return known;
  }

  private hear(here: CopyHere, peer: NodeId, floor: VersionVector): void {
    this.knowledge(here, peer).floor = floor;
  }

  /** A full comparison with a peer is over: it holds what this copy held, and the other way round. */
  private async compared(
    here: CopyHere,
    peer: NodeId,
    {
      floor,
      lacks,
      standing,
    }: { readonly floor: VersionVector; readonly lacks: boolean; readonly standing: Standing },
  ): Promise<void> {
    const { clock, map, limits } = this.options;
    const known = this.knowledge(here, peer);
    const nowMs = clock.nowMs();
    known.floor = floor;
    known.heardMs = nowMs;
    known.comparedMs = nowMs;
    known.divergentKeys = 0;
    const own = standingOf(map(), here.copy.shard);
    const slice = map().shards.find(({ id }) => id === here.copy.shard);
    if (slice !== undefined) this.gatherFor(here, slice);
    // Only one that went by the same sets refuses what older ones would still acknowledge (12), and only as those of this
    // change: of an earlier one to the same sets, which was undone, it may not know that, nor that its copy is new again.
    const knowsOfChange = standing.epoch >= (slice?.outgoing?.since ?? 0);
    if (sameSets(standing, own) && knowsOfChange) here.sources.set(peer, { lacks });
    if (slice !== undefined) this.serveWhenFilled(here, slice);
    if (here.copy.state !== "serving") return;
    const { graceMs, awayMsMax } = limits;
    await here.copy.collect(this.witnesses(here), { nowMs: clock.wallMs(), graceMs, awayMsMax });
  }

  private witnesses(here: CopyHere): readonly Witness[] {
    const nowMs = this.options.clock.nowMs();
    return this.peersOf(here).map((node): Witness => {
      const { floor, heardMs } = this.knowledge(here, node);
      return { node, floor, awayMs: nowMs - heardMs };
    });
  }

  private handOff(): void {
    const { network, map } = this.options;
    const current = new Set(this.current());
    for (const here of this.copies.values()) {
      if (!here.copy.isReadable) continue;
      // What waits until its successor is made brings nothing to anybody, and its hints grow old all the same.
      const serves = current.has(here);
      const members = everyone(standingOf(map(), here.copy.shard));
      here.handoff.expire((node) => !serves || members.includes(node));
      if (!serves || here.copy.withholds) continue;
      for (const target of here.handoff.book.targets()) {
        if (network.connected(target)) here.handoff.bring(target).catch(() => undefined);
      }
    }
  }

  private scheduleComparison(): void {
    if (this.stopped) return;
    const { clock, limits } = this.options;
    const pairs = [...this.copies.values()].reduce((sum, here) => sum + this.peersOf(here).length, 0);
    const isHurried = this.ablePairs().some(isUrgent);
    const everyMs = isHurried ? COMPARE_MS_MIN : limits.compareEveryMs / Math.max(1, pairs);
    // A little chance in it, so that two copies do not always compare at the same moment.
    const waitMs = Math.max(COMPARE_MS_MIN, everyMs * (0.5 + clock.random()));
    this.nextComparison = clock.later(waitMs, () => {
      this.compareNext()
        .catch(() => undefined)
        .finally(() => this.scheduleComparison());
    });
  }

  /** The next pair of copies in turn; those that have to be filled come first. */
  private async compareNext(): Promise<void> {
    const able = this.ablePairs();
    const allUrgent = able.filter(isUrgent);
    const { clock } = this.options;
    // Any of them, and now and then another: one that answers nothing yet must not keep the others waiting.
    const urgent =
      clock.random() < URGENT_SHARE ? allUrgent[Math.floor(clock.random() * allUrgent.length)] : undefined;
    if (this.queue.length === 0) this.queue = able.map(({ shard, peer }) => ({ shard, peer }));
    let next = urgent;
    while (next === undefined) {
      const turn = this.queue.shift();
      if (turn === undefined) return;
      next = able.find(({ shard, peer }) => shard === turn.shard && peer === turn.peer);
    }
    await this.compareWith(next.here, next.peer);
  }

  private ablePairs(): readonly Pair[] {
    const { network } = this.options;
    return this.current().flatMap((here) =>
      here.copy.isReadable
        ? this.peersOf(here).flatMap((peer) =>
            network.connected(peer) && !here.comparing.has(peer)
              ? [{ shard: here.copy.shard, peer, here }]
              : [],
          )
        : [],
    );
  }

  private async compareWith(here: CopyHere, peer: NodeId): Promise<void> {
    const { self, clock, limits, map } = this.options;
    const beganMs = clock.wallMs();
    const own = standingOf(map(), here.copy.shard);
    here.comparing.add(peer);
    try {
      await this.onDisk(own);
      if (!here.copy.isReadable) return;
      this.noticeAbsence(here);
      if (here.copy.withholds) {
        here.sources.clear();
        try {
          await here.orphans.ask(peer, own);
        } finally {
          await here.orphans.conclude(this.peersOf(here), standingOf(map(), here.copy.shard));
        }
        return;
      }
      const { generation } = here.copy;
      const { standing, lacks, floorOfPeer, wallMs } = await compare({
        peer,
        copy: here.copy,
        client: this.client,
        clock,
        standing: own,
        limits,
        reading: false,
        pace: here.copy.state === "filling" ? this.options.pace : undefined,
        deadlineMs: clock.nowMs() + limits.compareMsMax,
        onProgress: (found, settled) => {
          this.knowledge(here, peer).divergentKeys = found - settled;
        },
      });
      this.clocks.hear(peer, wallMs);
      here.handoff.settle(peer, beganMs);
      // Those of before, too: what it took meanwhile may have been for them.
      await here.copy.exchanged([...everyone(own), ...this.peersOf(here)].filter((node) => node !== self));
      // What was lost while that was written it has not been told again.
      refuseWhenChanged(here.copy.generation, generation);
      await this.compared(here, peer, { floor: floorOfPeer, lacks, standing });
    } finally {
      here.comparing.delete(peer);
    }
  }
}

function wordsOf({ shard, version }: CopyName): string {
  return `${shard} ${version}`;
}

interface Pair {
  readonly shard: ShardId;
  readonly peer: NodeId;
  readonly here: CopyHere;
}

function isUrgent({ here, peer }: Pair): boolean {
  if (here.copy.withholds) return here.orphans.awaits(peer);
  return here.copy.state !== "serving" && !here.sources.has(peer);
}

function itemsAnswer(copy: ShardCopy, ids: readonly string[]): ItemsAnswer {
  const changes: Change[] = [];
  let bytes = 0;
  for (const id of ids) {
    const change = { id, item: copy.held(id).item };
    bytes += sizeOf(change);
    if (changes.length > 0 && bytes > ITEMS_BYTES_MAX) break;
    changes.push(change);
  }
  return { changes, floor: copy.floor, generation: copy.generation, past: copy.past };
}
