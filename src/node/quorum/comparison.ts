// Runs one exchange with another copy: asks for what differs, merges it here, brings back what the other
// lacks, and takes over its floor when all of it is done and flushed. In the background it rests between
// portions; a read that concerns a whole shard (a search, a list) runs the very same with a client waiting,
// so that it answers from a state which lacks nothing of the copies it asked.

import { Exchange, type Question } from "../../consensus/quorum/exchange.ts";
import { absent, sameItem } from "../../consensus/quorum/versions.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import { pause, type Clock } from "../clock.ts";
import type { Pace } from "../moves/pace.ts";
import { notServing, refuseBehind, type CopyClient, type Standing } from "./calls.ts";
import { sizeOf, type Change } from "./copy-items.ts";
import type { ShardCopy } from "./shard-copy.ts";

export interface ComparisonLimits {
  readonly rangesPerQuestion: number;
  readonly leavesPerQuestion: number;
  readonly keysPerQuestion: number;
  /** Rest between questions in the background. */
  readonly restMs: number;
  /** Longest that an answer is waited for. */
  readonly callMs: number;
}

export interface Comparison {
  readonly peer: NodeId;
  readonly copy: ShardCopy;
  readonly client: CopyClient;
  readonly clock: Clock;
  /** The sets that all of it goes by: when they are others meanwhile, the peer refuses to go on. */
  readonly standing: Standing;
  readonly limits: ComparisonLimits;
  /** A client waits: no rests, and no floors are raised. */
  readonly reading: boolean;
  readonly deadlineMs: number;
  /** Where a new copy is filled: it can wait for the bound of the operation that fills it. */
  readonly pace?: Pace | undefined;
  /** Keys found to differ, and how many of them are equal now. */
  readonly onProgress?: (found: number, settled: number) => void;
}

export interface Compared {
  /** Whose floor the other now has, and the other's sets when it began. */
  readonly standing: Standing;
  /** The other did not hold everything that it acknowledged then. */
  readonly lacks: boolean;
  readonly floorOfPeer: Comparison["copy"]["floor"];
  /** The peer's clock, as it was when the comparison began. */
  readonly wallMs: number;
}

/** Throws what the calls throw; nothing is claimed then, and what was merged stays. */
export async function compare(comparison: Comparison): Promise<Compared> {
  const { copy, client, peer, clock, standing, limits, reading, deadlineMs } = comparison;
  // A read that goes on with the next copy, after the first told this one that it was away for too long.
  if (copy.withholds) throw notServing(copy.shard);
  const generation = copy.generation;
  const own = copy.opening();
  const { lacks } = copy;
  await copy.settled();
  const open = await client.call(
    peer,
    "quorum-open",
    copy.shard,
    { opening: own, reading, lacks, wallMs: clock.wallMs() },
    soon(comparison),
    standing,
  );
  if (copy.isBehind(open.opening.forgotten)) await copy.become("rebuilding");
  refuseWhenChanged(copy.generation, generation);
  if (open.ranges !== null) {
    const exchange = new Exchange(copy.items.tree.rangeDigests(), open.ranges, {
      ranges: limits.rangesPerQuestion,
      leaves: limits.leavesPerQuestion,
      keys: limits.keysPerQuestion,
    });
    let settled = 0;
    for (let question = exchange.next(); question !== undefined; question = exchange.next()) {
      if (!reading && limits.restMs > 0) await pause(clock, limits.restMs);
      if (clock.nowMs() >= deadlineMs) throw tookTooLong(peer);
      settled += await ask(question, exchange, comparison, open.generation);
      comparison.onProgress?.(exchange.found, settled);
      refuseWhenChanged(copy.generation, generation);
    }
  }
  await copy.settled();
  refuseWhenChanged(copy.generation, generation);
  if (!reading) {
    await copy.raiseFloor(open.opening);
    const { floor, forgotten } = own;
    const done = { floor, forgotten, generation: open.generation, lacks };
    await client.call(peer, "quorum-done", copy.shard, done, soon(comparison), standing);
    refuseWhenChanged(copy.generation, generation);
  }
  return {
    standing: open.standing,
    lacks: open.lacks,
    floorOfPeer: open.opening.floor,
    wallMs: open.wallMs,
  };
}

async function ask(
  question: Question,
  exchange: Exchange,
  comparison: Comparison,
  generation: string,
): Promise<number> {
  const { copy, client, peer, standing, reading } = comparison;
  const own = copy.generation;
  switch (question.kind) {
    case "leaves": {
      const { ranges } = question;
      const answer = await client.call(
        peer,
        "quorum-leaves",
        copy.shard,
        { ranges },
        soon(comparison),
        standing,
      );
      refuseWhenChanged(answer.generation, generation);
      ranges.forEach((range, at) => {
        exchange.leavesCompared(range, copy.items.tree.leafDigests(range), answer.leaves[at] ?? []);
      });
      return 0;
    }
    case "keys": {
      const { leaves } = question;
      const answer = await client.call(
        peer,
        "quorum-keys",
        copy.shard,
        { leaves },
        soon(comparison),
        standing,
      );
      refuseWhenChanged(answer.generation, generation);
      copy.guarded(() => {
        leaves.forEach((leaf, at) => exchange.keysCompared(copy.items.listed(leaf), answer.keys[at] ?? []));
      });
      return 0;
    }
    case "items": {
      let ids = question.keys;
      while (ids.length > 0) {
        const answer = await client.call(
          peer,
          "quorum-items",
          copy.shard,
          { ids, reading },
          soon(comparison),
          standing,
        );
        refuseWhenChanged(answer.generation, generation);
        refuseBehind(answer.past, copy.forgotten, copy.shard);
        await copy.guarded(() => copy.take(answer.changes, answer.floor));
        refuseWhenChanged(copy.generation, own);
        await bringBack(answer.changes, comparison);
        const bytes = answer.changes.reduce((sum, change) => sum + sizeOf(change), 0);
        await comparison.pace?.sent(bytes);
        ids = ids.slice(Math.max(1, answer.changes.length));
      }
      return question.keys.length;
    }
  }
}

/** What this copy now knows and the other did not. */
async function bringBack(theirs: readonly Change[], comparison: Comparison): Promise<void> {
  const { copy, client, peer, standing } = comparison;
  const { generation } = copy;
  const changes = copy.guarded(() =>
    theirs
      .map(({ id, item }) => ({ id, item: copy.held(id).item, theirs: item }))
      .filter((change) => !sameItem(change.item, change.theirs))
      .map(({ id, item }): Change => ({ id, item })),
  );
  if (changes.length === 0) return;
  const { floor } = copy;
  await copy.settled();
  refuseWhenChanged(copy.generation, generation);
  const answer = await client.call(
    peer,
    "quorum-store",
    copy.shard,
    { changes, floor },
    soon(comparison),
    standing,
  );
  // What the other does not hold afterwards it had seen and forgotten: it is gone for this copy as well.
  const gone = changes.filter((_, at) => answer.digests[at] === "");
  if (gone.length === 0) return;
  await copy.guarded(() =>
    copy.take(
      gone.map(({ id }) => ({ id, item: absent() })),
      answer.floor,
    ),
  );
}

/** When the answer to one question has to be there. */
function soon({ clock, limits, deadlineMs }: Comparison): number {
  return Math.min(deadlineMs, clock.nowMs() + limits.callMs);
}

export function refuseWhenChanged(now: string, before: string): void {
  if (now === before) return;
  throw new Mem0ctlError("unavailable", "copy-changed", "a copy lost something while it was compared", {
    hint: "the comparison begins again",
  });
}

function tookTooLong(peer: NodeId): Mem0ctlError {
  return new Mem0ctlError("unavailable", "comparison-timed-out", `comparing with ${peer} took too long`);
}
