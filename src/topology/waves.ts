// Steps in waves: what may run side by side. No two steps of a wave are about one shard, because a group changes
// one member at a time and never has fewer up-to-date copies than its quorum that way; no node sends or takes
// more copies at once than was allowed; and a copy goes only where there is room for it before any other left.

import type { NodeId, ShardId } from "../model/ids.ts";
import type { RebalanceStep } from "../model/plan.ts";

export interface WaveLimits {
  /** Copies that one node sends, and that one node takes, in one wave. */
  readonly perNode: number;
  /** Free bytes of the nodes that have a bound. */
  readonly room: ReadonlyMap<NodeId, number>;
}

export interface Waves {
  readonly waves: readonly (readonly RebalanceStep[])[];
  /** Steps whose node never has the room: each waits for another to go first. */
  readonly stuck: readonly RebalanceStep[];
}

/** In the order given as far as the rules let it; removals of a copy follow additions of the same shard. */
export function inWaves(steps: readonly RebalanceStep[], limits: WaveLimits): Waves {
  const room = new Map(limits.room);
  const waves: RebalanceStep[][] = [];
  let left = steps;
  while (left.length > 0) {
    const wave: RebalanceStep[] = [];
    const later: RebalanceStep[] = [];
    const shards = new Set<ShardId>();
    const sending = new Map<NodeId, number>();
    const taking = new Map<NodeId, number>();
    const leaving: [NodeId, number][] = [];
    for (const step of left) {
      const { shard, from, to, bytes } = partsOf(step);
      const isFree =
        (shard === undefined || !shards.has(shard)) &&
        (from === undefined || (sending.get(from) ?? 0) < limits.perNode) &&
        (to === undefined || (taking.get(to) ?? 0) < limits.perNode) &&
        (to === undefined || (room.get(to) ?? Infinity) >= bytes);
      // A later step of a shard never overtakes an earlier one.
      if (shard !== undefined) shards.add(shard);
      if (!isFree) {
        later.push(step);
        continue;
      }
      wave.push(step);
      if (from !== undefined) {
        sending.set(from, (sending.get(from) ?? 0) + 1);
        leaving.push([from, bytes]);
      }
      if (to !== undefined) {
        taking.set(to, (taking.get(to) ?? 0) + 1);
        if (room.has(to)) room.set(to, (room.get(to) ?? 0) - bytes);
      }
    }
    if (wave.length === 0) return { waves, stuck: later };
    for (const [node, bytes] of leaving) if (room.has(node)) room.set(node, (room.get(node) ?? 0) + bytes);
    waves.push(wave);
    left = later;
  }
  return { waves, stuck: [] };
}

interface Parts {
  readonly shard?: ShardId;
  readonly from?: NodeId;
  readonly to?: NodeId;
  readonly bytes: number;
}

function partsOf(step: RebalanceStep): Parts {
  switch (step.kind) {
    case "move-replica":
      return { shard: step.shard, from: step.from, to: step.to, bytes: step.bytes };
    case "add-replica":
      return { shard: step.shard, to: step.to, bytes: step.bytes };
    case "remove-replica":
      return { shard: step.shard, bytes: 0 };
    case "move-slots":
      return { from: step.from, to: step.to, bytes: step.bytes };
    case "transfer-leader":
      return { shard: step.group, bytes: 0 };
  }
}
