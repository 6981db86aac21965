// What is known of the other copies of a shard here, and what follows for this node's: a new one is filled, one that was
// away for too long or lost something is rebuilt, and serves once enough others were compared with in full; what all have
// seen of deletions is forgotten.

import { everyone, sourcesNeeded } from "../../consensus/quorum/levels.ts";
import type { Witness } from "../../consensus/quorum/tombstones.ts";
import type { VersionVector } from "../../consensus/quorum/vectors.ts";
import type { Consistency } from "../../model/consistency.ts";
import type { NodeId } from "../../model/ids.ts";
import type { ShardMap, ShardSlice } from "../../model/shard-map.ts";
import type { Clock } from "../clock.ts";
import type { Store } from "../storage/store.ts";
import type { Network } from "../transport/network.ts";
import { sameSets, standingOf, type Standing } from "./calls.ts";
import type { CopyHere, LeaderlessLimits, PeerKnowledge } from "./copy-here.ts";

export interface UpkeepOptions {
  readonly self: NodeId;
  readonly store: Store;
  readonly network: Network;
  readonly clock: Clock;
  readonly map: () => ShardMap;
  /** The manifest's levels. */
  readonly consistency: Consistency;
  readonly limits: LeaderlessLimits;
  /** The disk, or what this node knows, is broken. */
  readonly onFailure: (error: unknown) => void;
}

export class Upkeep {
  private readonly options: UpkeepOptions;

  constructor(options: UpkeepOptions) {
    this.options = options;
  }

  peersOf(here: CopyHere): readonly NodeId[] {
    const standing = standingOf(this.options.map(), here.copy.shard);
    return everyone(standing).filter((node) => node !== this.options.self);
  }

  knowledge(here: CopyHere, peer: NodeId): PeerKnowledge {
    let known = here.peers.get(peer);
    if (known === undefined) {
      const heardMs = this.options.clock.nowMs();
      known = { floor: undefined, heardMs, comparedMs: undefined, divergentKeys: 0 };
      here.peers.set(peer, known);
    }
    return known;
  }

  hear(here: CopyHere, peer: NodeId, floor: VersionVector): void {
    this.knowledge(here, peer).floor = floor;
  }

  /** A copy that is in the new set of a change and was not in the old one has to be filled for it. */
  fillWhenNew(here: CopyHere, shard: ShardSlice): void {
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

  async rebuild(here: CopyHere): Promise<void> {
    here.sources.clear();
    await here.copy.become("rebuilding");
  }

  rebuildSoon(here: CopyHere): void {
    this.rebuild(here).catch((error: unknown) => this.options.onFailure(error));
  }

  /** One that was cut off from all others for too long is rebuilt as soon as it meets one, before it tells it anything. */
  noticeAbsence(here: CopyHere): void {
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

  /** A full comparison with a peer is over: it holds what this copy held, and the other way round. */
  async compared(
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

  /**
   * Resolves when this node goes by a change of copies that it knows of also after a crash. Whoever is filled counts those
   * that do, and the change ends: one that forgot it would acknowledge what the copies after the change never meet (12).
   */
  async onDisk({ outgoing }: Standing): Promise<void> {
    if (outgoing.length > 0) await this.options.store.flush();
  }
}
