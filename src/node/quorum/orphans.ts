// What a copy alone holds that was away for too long. Of a write that it took and no other copy did, the client heard
// nothing: it may have been sent again and done elsewhere, and then deleted. Who forgot that deletion meanwhile would take
// the version here for news, and the memory would be back (10). So before it gives anything to copies that are whole, it
// asks every other copy. A version that none has heard of, of a write that was to be acknowledged by more copies than its
// coordinator's, never was, and goes.
//
// All others have to be asked, not only as many as a write may miss: so who coordinated a version that is still on its way
// is among them, and who holds what it superseded. One that lacks something cannot tell, nor one that was away as well: of
// two that each dropped what superseded the same, none would have that any more. One that cannot be reached does not tell,
// and where the copies have changed since it last met one, who could tell may be none any more: then everything stays.

import { sameDot, type Dot, type VersionVector } from "../../consensus/quorum/vectors.ts";
import { unheardOf } from "../../consensus/quorum/versions.ts";
import type { NodeId } from "../../model/ids.ts";
import { giveWay, pause, type Clock } from "../clock.ts";
import type { Key } from "../storage/key.ts";
import { refuseBehind, sameSets, type CopyClient, type Standing } from "./calls.ts";
import { refuseWhenChanged, type ComparisonLimits } from "./comparison.ts";
import type { ShardCopy } from "./shard-copy.ts";

/** Keys looked at in one go. */
const KEYS_PER_TURN = 1000;

export interface OrphansOptions {
  readonly copy: ShardCopy;
  readonly client: CopyClient;
  readonly clock: Clock;
  readonly limits: ComparisonLimits;
  readonly isConnected: (peer: NodeId) => boolean;
  /** How long those are waited for who cannot be reached. */
  readonly patienceMs: number;
  /** … and those that can, and do not answer. */
  readonly patienceMsMax: number;
  /** A write of the memory is still under way here: others may be about to hear of it, and nobody can tell before its end. */
  readonly isBeingWritten: (id: string) => boolean;
}

interface Judgement {
  readonly generation: string;
  readonly standing: Standing;
  readonly sinceMs: number;
  /** Versions that none of those who were asked has heard of, by memory. */
  suspects: ReadonlyMap<string, readonly Dot[]>;
  /** Memories with such versions that were being written here when it began. */
  readonly beingWritten: ReadonlySet<string>;
  readonly asked: Set<NodeId>;
  allWhole: boolean;
}

export class Orphans {
  private readonly options: OrphansOptions;
  private judgement: Judgement | undefined;

  constructor(options: OrphansOptions) {
    this.options = options;
  }

  /** Whether this copy has to hear from another before it may give what it holds. */
  awaits(peer: NodeId): boolean {
    const { copy } = this.options;
    return copy.withholds && !(this.current()?.asked.has(peer) ?? false);
  }

  /** Asks another copy. Throws what the calls throw; nothing is concluded then. */
  async ask(peer: NodeId, standing: Standing): Promise<void> {
    const { copy, client, clock, limits } = this.options;
    const { generation } = copy;
    const outlines = (ids: readonly string[]) =>
      client.call(peer, "quorum-outlines", copy.shard, { ids }, clock.nowMs() + limits.callMs, standing);
    const { floor, whole } = await outlines([]);
    const known = this.current();
    const judgement = known ?? {
      generation,
      standing,
      sinceMs: clock.nowMs(),
      ...(await this.suspects(floor)),
      asked: new Set<NodeId>(),
      allWhole: true,
    };
    judgement.allWhole &&= whole;
    const left = new Map<string, readonly Dot[]>();
    const ids = [...judgement.suspects.keys()];
    while (ids.length > 0) {
      const portion = ids.splice(0, limits.keysPerQuestion);
      const newer: string[] = [];
      const answer = await outlines(portion);
      refuseWhenChanged(copy.generation, generation);
      // It may have lost something since it was asked first.
      judgement.allWhole &&= answer.whole;
      portion.forEach((id, at) => {
        const item = answer.outlines[at];
        if (item === undefined) return;
        const held = copy.guarded(() => copy.items.outline(id));
        const unheard = unheardOf(held, { item, floor: answer.floor });
        const dots = (judgement.suspects.get(id) ?? []).filter((dot) => includesDot(unheard, dot));
        if (dots.length === 0) return;
        left.set(id, dots);
        const own = held.versions.map(({ dot }) => dot);
        if (!item.versions.every(({ dot }) => includesDot(own, dot))) newer.push(id);
      });
      if (answer.whole) await this.takeNewer(peer, newer, generation, standing);
      if (limits.restMs > 0) await pause(clock, limits.restMs);
    }
    refuseWhenChanged(copy.generation, generation);
    judgement.suspects = left;
    judgement.asked.add(peer);
    this.judgement = judgement;
  }

  /** Ends the withholding when nothing is left to ask of `peers`, the other copies by `standing`. */
  async conclude(peers: readonly NodeId[], standing: Standing): Promise<void> {
    const { copy, clock, isConnected, isBeingWritten, patienceMs, patienceMsMax } = this.options;
    const judgement = this.current();
    if (judgement === undefined || !copy.withholds) return;
    const { suspects, beingWritten, asked, allWhole, sinceMs } = judgement;
    if (beingWritten.size > 0) {
      // No other write begins meanwhile. Who was asked before the end of this one may have heard of it since. It ends by its
      // deadline, unless this disk holds it up: then nothing can be told to anybody either.
      if (![...beingWritten].some(isBeingWritten)) this.judgement = undefined;
      return;
    }
    const haveChanged =
      !sameSets(standing, judgement.standing) || !copy.members.every((node) => peers.includes(node));
    const missing = peers.filter((peer) => !asked.has(peer));
    const isOver = clock.nowMs() - sinceMs > (missing.some(isConnected) ? patienceMsMax : patienceMs);
    if (suspects.size > 0 && missing.length > 0 && !haveChanged && !isOver) return;
    this.judgement = undefined;
    const cannotTell = missing.length > 0 || haveChanged || !allWhole;
    await copy.endWithholding(cannotTell ? new Map() : suspects);
  }

  /**
   * What takes the place of a version that goes: it may have superseded the same, and the one that has it may be gone
   * before it is compared.
   */
  private async takeNewer(
    peer: NodeId,
    newer: readonly string[],
    generation: string,
    standing: Standing,
  ): Promise<void> {
    const { copy, client, clock, limits } = this.options;
    for (let ids = newer; ids.length > 0;) {
      const ask = { ids, reading: false };
      const answer = await client.call(
        peer,
        "quorum-items",
        copy.shard,
        ask,
        clock.nowMs() + limits.callMs,
        standing,
      );
      refuseWhenChanged(copy.generation, generation);
      refuseBehind(answer.past, copy.forgotten, copy.shard);
      await copy.guarded(() => copy.take(answer.changes, answer.floor));
      refuseWhenChanged(copy.generation, generation);
      ids = ids.slice(Math.max(1, answer.changes.length));
    }
  }

  private current(): Judgement | undefined {
    const { copy } = this.options;
    return this.judgement?.generation === copy.generation ? this.judgement : undefined;
  }

  /** What a copy with that floor may not have heard of. */
  private async suspects(floor: VersionVector): Promise<Pick<Judgement, "suspects" | "beingWritten">> {
    const { copy, clock, isBeingWritten } = this.options;
    const suspects = new Map<string, readonly Dot[]>();
    const beingWritten = new Set<string>();
    for (let after: Key | undefined; ;) {
      const { ids, to } = copy.guarded(() => copy.items.idsAfter(after, KEYS_PER_TURN));
      for (const id of ids) {
        const outline = copy.guarded(() => copy.items.outline(id));
        const dots = unheardOf(outline, { item: { context: [], versions: [] }, floor });
        if (dots.length === 0) continue;
        if (isBeingWritten(id)) beingWritten.add(id);
        else suspects.set(id, dots);
      }
      if (ids.length < KEYS_PER_TURN) return { suspects, beingWritten };
      after = to;
      await giveWay(clock);
    }
  }
}

function includesDot(dots: readonly Dot[], wanted: Dot): boolean {
  return dots.some((dot) => sameDot(dot, wanted));
}
