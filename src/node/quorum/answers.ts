// What the copies of a shard here answer the others of it. Nothing is told that a crash could take back.

import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import type { Clock } from "../clock.ts";
import {
  notServing,
  refuseBehind,
  refuseOtherVersion,
  refuseOutdated,
  standingOf,
  type CallBody,
  type CopyCall,
  type CopyCalls,
  type FilledAnswer,
  type ItemsAnswer,
  type Past,
  type Standing,
} from "./calls.ts";
import type { CopyHere } from "./copy-here.ts";
import { sizeOf, type Change } from "./copy-items.ts";
import type { PeerClocks } from "./peer-clocks.ts";
import type { ShardCopy } from "./shard-copy.ts";
import type { Upkeep } from "./upkeep.ts";

/** Largest answer with items, roughly. */
const ITEMS_BYTES_MAX = 4 << 20;

export interface CopyAnswersOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly clocks: PeerClocks;
  readonly map: () => ShardMap;
  /** undefined where this node holds none, or has stopped. */
  readonly copyOf: (shard: ShardId) => CopyHere | undefined;
  readonly upkeep: Upkeep;
}

export class CopyAnswers {
  private readonly options: CopyAnswersOptions;

  constructor(options: CopyAnswersOptions) {
    this.options = options;
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
      if (answer !== null && "standing" in answer) await this.options.upkeep.onDisk(answer.standing);
      return answer;
    } catch (error) {
      throw copy.noteDamage(error);
    }
  }

  /** Without one of two copies deletions were forgotten: it has to ask before it gives anything (10). */
  private heed(here: CopyHere, past: Past): void {
    const { copy } = here;
    refuseBehind(past, copy.forgotten, copy.shard);
    if (copy.isBehind(past.forgotten)) this.options.upkeep.rebuildSoon(here);
  }

  private async answerCopy(
    from: NodeId,
    here: CopyHere,
    method: CopyCall,
    body: CallBody<CopyCall>,
  ): Promise<CopyCalls[CopyCall]["answer"]> {
    const { clock, clocks, map, upkeep } = this.options;
    const { copy } = here;
    switch (method) {
      case "quorum-digests": {
        const { ask } = body as CallBody<"quorum-digests">;
        this.refuseReading(copy, body.standing);
        return { digests: ask.ids.map((id) => copy.items.digest(id)), wallMs: clock.wallMs() };
      }
      case "quorum-items": {
        const { ask } = body as CallBody<"quorum-items">;
        if (ask.reading) this.refuseReading(copy, body.standing);
        return itemsAnswer(copy, ask.ids);
      }
      case "quorum-store": {
        const { ask } = body as CallBody<"quorum-store">;
        await copy.take(ask.changes, ask.floor);
        return { digests: ask.changes.map(({ id }) => copy.items.digest(id)), floor: copy.floor };
      }
      case "quorum-open": {
        const { ask } = body as CallBody<"quorum-open">;
        if (ask.reading) this.refuseReading(copy, body.standing);
        upkeep.hear(here, from, ask.opening.floor);
        clocks.hear(from, ask.wallMs);
        if (copy.isBehind(ask.opening.forgotten)) {
          await upkeep.rebuild(here);
          if (ask.reading) this.refuseReading(copy, body.standing);
        }
        // Who lacks something itself is given all there is: it may be what it had acknowledged.
        if (copy.withholds && !ask.lacks) throw notServing(copy.shard);
        const { generation } = copy;
        const { tree } = copy.items;
        const ranges = tree.root === ask.opening.root ? null : tree.rangeDigests();
        const standing = standingOf(map(), copy.shard);
        const wallMs = clock.wallMs();
        return { opening: copy.opening(), generation, ranges, standing, lacks: copy.lacks, wallMs };
      }
      case "quorum-leaves": {
        const { ask } = body as CallBody<"quorum-leaves">;
        const leaves = ask.ranges.map((range) => copy.items.tree.leafDigests(range));
        return { leaves, generation: copy.generation };
      }
      case "quorum-keys": {
        const { ask } = body as CallBody<"quorum-keys">;
        return { keys: ask.leaves.map((leaf) => copy.items.listed(leaf)), generation: copy.generation };
      }
      case "quorum-done": {
        const { ask } = body as CallBody<"quorum-done">;
        if (ask.generation !== copy.generation) return null;
        await copy.raiseFloor(ask);
        // What was lost meanwhile it has not been told again.
        if (ask.generation !== copy.generation) return null;
        await upkeep.compared(here, from, { ...ask, standing: body.standing });
        return null;
      }
      case "quorum-outlines": {
        const { ask } = body as CallBody<"quorum-outlines">;
        const outlines = ask.ids.map((id) => copy.items.outline(id));
        return { outlines, floor: copy.floor, whole: copy.state === "serving" };
      }
      case "quorum-filled":
        return this.isFilled(copy.shard, (body as CallBody<"quorum-filled">).ask.since);
    }
  }

  /** The change ends when all have said so, and those before it go: told is only what a crash cannot take back. */
  async isFilled(shard: ShardId, since: number): Promise<FilledAnswer> {
    const copy = this.options.copyOf(shard)?.copy;
    if (copy === undefined) return { state: "filling", filled: false };
    const { state, filledFor } = copy;
    await copy.settled();
    return { state, filled: state === "serving" && filledFor === since };
  }

  private admit(shard: ShardId, sender: Standing): CopyHere {
    refuseOutdated(sender, standingOf(this.options.map(), shard));
    const here = this.options.copyOf(shard);
    if (here === undefined) {
      throw new Mem0ctlError("unavailable", "not-here", `this node holds no copy of shard ${shard}`);
    }
    refuseOtherVersion(sender, here.copy);
    if (!here.copy.isReadable) {
      throw new Mem0ctlError("unavailable", "copy-damaged", `this node's copy of shard ${shard} is damaged`);
    }
    this.options.upkeep.noticeAbsence(here);
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
