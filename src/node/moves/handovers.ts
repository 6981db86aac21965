// Carries a handover of keys out, on the node that leads the metadata group, over the logs of both shards: the slice is
// copied while its giver serves it, then what has changed meanwhile; the giver's log says from which entry on it
// serves the slice no more; what is left is copied, with the last part of which the slice is the taker's; the map says
// so; the giver forgets it. How far it is, is in the map and in both logs alone, and every command may come twice
// or late, so whoever leads next goes on.
//
// Where both shards have a memory of one id under different keys it is given up instead: before the fence by the giver's
// log, after it by the taker's, which refuses the last part for good (handover-commands.ts). Then the giver stays, the
// taker discards, the map forgets the handover, in this order: until the map does, whoever leads next sees that it was
// given up, and does the rest.

import type { ShardId } from "../../model/ids.ts";
import type { StepState } from "../../model/operation.ts";
import type { HandoverStep } from "../../model/plan.ts";
import type { Handover, ShardMap } from "../../model/shard-map.ts";
import { isHandedOver, mapHandedOver, mapHandingOver, mapWithoutHandover } from "../../topology/handovers.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { Clock } from "../clock.ts";
import type { Router } from "../cluster/router.ts";
import { queries } from "../cluster/shard-queries.ts";
import type { HandoverCommand } from "../memories/commands.ts";
import type { CustodyState } from "../memories/custody.ts";
import type { SlicePart } from "../memories/slice-parts.ts";
import type { GroupMembers } from "./group-members.ts";
import { idsClash } from "./id-clashes.ts";
import type { Pace } from "./pace.ts";

const CALL_MS = 3000;
/** One look copies no longer, so that it is seen when an operation is cancelled. */
const LOOK_MS = 1000;

export interface HandoversOptions {
  readonly clock: Clock;
  readonly router: Router;
  readonly members: GroupMembers;
  readonly pace: Pace;
  readonly changeMap: (change: (map: ShardMap) => ShardMap) => Promise<ShardMap>;
  /** Whether more than half of a shard's voters are up: a slice is not fenced for one that cannot take it. */
  readonly hasQuorum: (map: ShardMap, shard: ShardId) => boolean;
}

/** Told of every part that was copied. */
type Note = (handover: Handover, bytes: number) => void;

export class Handovers {
  private readonly options: HandoversOptions;

  constructor(options: HandoversOptions) {
    this.options = options;
  }

  /** Brings a step as far as it can be brought now. Throws what the logs and the map are answered with. */
  async advance(step: HandoverStep, state: StepState, note: Note): Promise<StepState> {
    const isUndoing = state === "undoing";
    const map = await this.options.changeMap((known) =>
      isUndoing && known.handover === undefined ? known : mapHandingOver(known, step),
    );
    if (map.handover === undefined) return isHandedOver(map, step) ? "done" : "dropped";
    const after = await this.further(map, map.handover, isUndoing, note);
    if (after.handover !== undefined) return state;
    if (isHandedOver(after, step)) return "done";
    // Another one gave it up at the same time, and may not have come to say so: begun anew, it says why.
    return isUndoing ? "dropped" : state;
  }

  /** Ends what a step has left that nobody carries out any more. */
  async settle(map: ShardMap): Promise<void> {
    if (map.handover !== undefined) await this.further(map, map.handover, true, () => undefined);
  }

  private async further(
    map: ShardMap,
    handover: Handover,
    isUndoing: boolean,
    note: Note,
  ): Promise<ShardMap> {
    if (handover.phase === "dropping") return this.drop(map, handover);
    const { from, to, id, slice } = handover;
    if (isUndoing && (await this.giveUp(handover))) return this.withoutIt(handover);
    const { members, hasQuorum } = this.options;
    // A shard that is being made has to have its members, and somebody who leads.
    if (!isUndoing && !(await members.areSettled(map, to, this.soon()))) return map;
    const left = await this.tell(from, { do: "leave", id, slice });
    // Its end was begun before: it has been handed over, and the map says so, or it is given up.
    if (left.leaving?.id !== id || left.leaving.state === "ended") {
      const now = await this.options.changeMap((known) => known);
      const isGivenUp = now.handover?.id === id && now.handover.phase === "copying" && left.last >= id;
      return isGivenUp ? this.abandon(handover, isUndoing) : now;
    }
    const isFenced = left.leaving.state === "fenced";
    if (!isFenced) {
      const isCopied = await this.copy(handover, false, note);
      if ((await this.clashesOf(handover)).length > 0) return this.abandon(handover, isUndoing);
      if (!isCopied) return map;
    }
    if (!hasQuorum(map, to)) return map;
    if (!isFenced && (await this.tell(from, { do: "fence", id })).leaving?.state !== "fenced") return map;
    await this.copy(handover, true, note);
    const taken = await this.custodyOf(to);
    // Ids came to be in both shards so late that the last part told of them.
    if (taken.refused?.id === id) return this.abandon(handover, isUndoing);
    // The last part came with everything; its sender may have been another one.
    if (taken.last !== id || taken.arriving !== null) return map;
    const after = await this.options.changeMap((known) =>
      known.handover?.id === id ? mapHandedOver(known) : known,
    );
    return after.handover === undefined ? after : this.drop(after, after.handover);
  }

  /** Gives it up rather than one memory of each id that both shards have. Throws what it was given up for. */
  private async abandon(handover: Handover, isUndoing: boolean): Promise<ShardMap> {
    // What is undone is given up anyway, and its taker may have nobody who leads.
    const clashes = isUndoing ? [] : await this.clashesOf(handover);
    // It became too late for that.
    if (!(await this.giveUp(handover))) return this.options.changeMap((known) => known);
    const map = await this.withoutIt(handover);
    if (clashes.length === 0) return map;
    throw idsClash("step-outdated", handover.name, handover, clashes);
  }

  /** Ids that came about in both shards since it began, kept by the taker's log until the next handover. */
  private async clashesOf({ to, id }: Handover): Promise<readonly string[]> {
    const { arriving, refused } = await this.custodyOf(to);
    if (refused?.id === id) return refused.clashes;
    return arriving?.id === id ? (arriving.clashes ?? []) : [];
  }

  private withoutIt({ id }: Handover): Promise<ShardMap> {
    return this.options.changeMap((known) => (known.handover?.id === id ? mapWithoutHandover(known) : known));
  }

  /** Copies part after part; true when nothing was left to copy for a moment. */
  private async copy(handover: Handover, isFenced: boolean, note: Note): Promise<boolean> {
    const { from, to, id, slice, isWhole } = handover;
    const { clock, router, pace } = this.options;
    const untilMs = clock.nowMs() + LOOK_MS;
    let { arriving, last, refused } = await this.custodyOf(to);
    // What is fenced is missed by clients: it is not held up.
    while (clock.nowMs() < untilMs && (isFenced || (await pace.isFree(untilMs)))) {
      // All of it has come already, or none of it is taken any more.
      if ((arriving === null && last === id) || refused?.id === id) return true;
      const after = arriving?.id === id ? arriving.cursor : null;
      const query = queries.slicePart(id, after);
      const part = (await router.readState(from, query, this.soon())) as SlicePart;
      pace.count(part.bytes);
      const { bytes, isEnd, ...taken } = isWhole ? part : withoutSessions(part);
      ({ arriving, last, refused } = await this.tell(to, { do: "arrive", id, slice, after, ...taken }));
      note(handover, bytes);
      if (isEnd) return true;
    }
    return false;
  }

  private async drop(map: ShardMap, handover: Handover): Promise<ShardMap> {
    const { from, id } = handover;
    const { clock } = this.options;
    const untilMs = clock.nowMs() + LOOK_MS;
    while (shardById(map, from) !== undefined) {
      const { leaving } = await this.tell(from, { do: "drop", id });
      if (leaving?.id !== id) break;
      if (clock.nowMs() >= untilMs) return map;
    }
    return this.withoutIt(handover);
  }

  /**
   * False where it is too late: the slice is no longer its giver's, and must become the taker's, unless the taker's log
   * has refused it.
   */
  private async giveUp({ from, to, id }: Handover): Promise<boolean> {
    let refused: { readonly refused?: true } = {};
    for (;;) {
      const { leaving } = await this.tell(from, { do: "stay", id, ...refused });
      if (leaving?.id !== id) break;
      if (leaving.state !== "fenced" || refused.refused === true) continue;
      if ((await this.custodyOf(to)).refused?.id !== id) return false;
      refused = { refused: true };
    }
    // A shard that was made for it goes as a whole.
    const taker = shardById(await this.options.changeMap((known) => known), to);
    if (taker?.founding === true) return true;
    for (;;) {
      const { arriving } = await this.tell(to, { do: "discard", id });
      if (arriving?.id !== id) return true;
    }
  }

  private tell(shard: ShardId, part: HandoverCommand): Promise<CustodyState> {
    return this.options.router.handOver(shard, part, this.soon());
  }

  private async custodyOf(shard: ShardId): Promise<CustodyState> {
    return (await this.options.router.readState(shard, queries.custody(), this.soon())) as CustodyState;
  }

  private soon(): number {
    return this.options.clock.nowMs() + CALL_MS;
  }
}

/** Sessions of a shard that goes on stay with it: it answers for what was sent to it. */
function withoutSessions(part: SlicePart): SlicePart {
  return part.last === undefined ? part : { ...part, last: { sessions: [] } };
}
