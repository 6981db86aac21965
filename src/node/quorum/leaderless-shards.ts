// All copies of leaderless shards on this node: opened and given up as the shard map says, compared with the
// others in the background, and what peers ask of them answered. It has no groups and no leader; the map
// itself comes from the metadata group.

import { everyone } from "../../consensus/quorum/levels.ts";
import type { Consistency } from "../../model/consistency.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { GroupReport } from "../../model/node-api.ts";
import type { ShardMap, ShardSlice } from "../../model/shard-map.ts";
import { every, type Clock, type Timer } from "../clock.ts";
import { Scrub } from "../host/scrub.ts";
import type { VectorCache } from "../../memory/vector-cache.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { CopyingReport } from "../moves/group-members.ts";
import type { Pace } from "../moves/pace.ts";
import type { WorstLag } from "../moves/health-bound.ts";
import { removeRange, type Store } from "../storage/store.ts";
import type { Network } from "../transport/network.ts";
import { CopyAnswers } from "./answers.ts";
import { CopyClient, standingOf, type FilledAnswer } from "./calls.ts";
import { ComparisonRounds } from "./comparison-rounds.ts";
import { Coordinator } from "./coordinator.ts";
import type { CopyHere, LeaderlessLimits } from "./copy-here.ts";
import { forgottenCopies, hasLater, rangeOfCopy, type CopyName } from "./forgotten.ts";
import { Handoff } from "./handoff.ts";
import { Orphans } from "./orphans.ts";
import { PeerClocks } from "./peer-clocks.ts";
import type { CopyState } from "./records.ts";
import { copyReport } from "./report.ts";
import { ShardCopy } from "./shard-copy.ts";
import { Successions, type SuccessionReport } from "./successions.ts";
import { Upkeep } from "./upkeep.ts";

/** Rounds of comparisons for which a copy that was away waits for others that it has to ask, … */
const PATIENCE_ROUNDS = 3;
/** … and for those that are there and give no answer, such as one whose disk is full. */
const PATIENCE_ROUNDS_MAX = 10;
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

export class LeaderlessShards {
  readonly client: CopyClient;
  private readonly options: LeaderlessOptions;
  readonly answers: CopyAnswers;
  private readonly clocks: PeerClocks;
  private readonly upkeep: Upkeep;
  private readonly rounds: ComparisonRounds;
  private readonly copies = new Map<ShardId, CopyHere>();
  /** Given up, and not gone from the disk yet: one that comes back waits for that. */
  private readonly clearing = new Set<string>();
  private readonly successions: Successions;
  private readonly timers: Timer[] = [];
  private readonly scrub: Scrub;
  private hasLookedForForgotten = false;
  private stopped = false;

  constructor(options: LeaderlessOptions) {
    this.options = options;
    this.client = new CopyClient(options.network, options.map, ({ shard, version }) => {
      const copy = this.copies.get(shard)?.copy;
      return copy?.version === version ? copy.past : undefined;
    });
    this.clocks = new PeerClocks(options.clock);
    this.upkeep = new Upkeep(options);
    const { client, clocks, upkeep } = this;
    const { self, store, clock, network, map, pace, limits } = options;
    this.answers = new CopyAnswers({
      self,
      clock,
      clocks,
      map,
      copyOf: (shard) => (this.stopped ? undefined : this.copies.get(shard)),
      upkeep,
    });
    this.rounds = new ComparisonRounds({
      self,
      clock,
      clocks,
      network,
      client,
      map,
      pace,
      limits,
      all: () => this.copies.values(),
      current: () => this.current(),
      upkeep,
    });
    this.successions = new Successions({
      self,
      store,
      clock,
      pace,
      map,
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
      store,
      clock,
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
    this.rounds.start();
    this.scrub.start();
  }

  stop(): void {
    this.stopped = true;
    this.scrub.stop();
    this.rounds.stop();
    this.successions.stop();
    for (const timer of this.timers) timer.close();
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
      const members = this.upkeep.peersOf(here);
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
      if (this.isCurrent(name)) this.upkeep.fillWhenNew(this.open(shard, "filling"), shard);
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
          ? this.answers.isFilled(shard.id, ask.since)
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
      noticeAbsence: () => this.upkeep.noticeAbsence(here),
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
    if (copy.state === "serving" && wasAway && !this.isAlone(copy.shard)) this.upkeep.rebuildSoon(here);
    return here;
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
}

function wordsOf({ shard, version }: CopyName): string {
  return `${shard} ${version}`;
}
