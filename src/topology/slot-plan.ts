// The planner for engines that shard by slots: a slot is a shard of one copy, so the same code finds the fewest
// slots that have to move, and only the steps look different, because slots move in ranges.

import type { NodeId } from "../model/ids.ts";
import type {
  Measure,
  MoveSlots,
  Plan,
  PlannedNode,
  PlannedShard,
  PlannedState,
  RebalanceStep,
} from "../model/plan.ts";
import type { SlotRange } from "../model/shard-map.ts";
import { durationOf, planRebalance } from "./rebalance.ts";
import type { RebalanceOptions } from "./rebalance.ts";
import { rangesOf } from "./slot-ranges.ts";
import { SLOTS } from "./slots.ts";
import { inWaves } from "./waves.ts";

/** A node that owns slots, or may own some; replicas of it follow by themselves. */
export interface SlotOwner extends Pick<PlannedNode, "id" | "weight" | "draining" | "capacityBytes"> {
  readonly slots: readonly SlotRange[];
}

/** What one slot holds, as far as it is known; 0 where it is not. */
export type SlotSize = (slot: number) => Readonly<Record<Exclude<Measure, "shards">, number>>;

export interface SlotState {
  readonly epoch: number;
  readonly owners: readonly SlotOwner[];
  readonly sizeOf?: SlotSize;
}

const NOTHING_KNOWN = { bytes: 0, memories: 0, load: 0 };

/**
 * Which slots go where: every owner with as many slots, bytes, keys or requests as its weight asks for, and
 * moving as few as that takes. Steps are `move-slots`, one for each pair of nodes.
 */
export function planSlots(state: SlotState, options: RebalanceOptions): Plan {
  const planned = slotState(state);
  // The waves are made of ranges, below: thousands of single slots need none of their own.
  const plan = planRebalance(planned, { ...options, perNode: Infinity });
  if (plan.problems.some(({ severity }) => severity === "hard")) return plan;
  const uncovered = SLOTS - new Set(planned.shards.map(({ id }) => id)).size;
  if (uncovered > 0) {
    return {
      ...plan,
      waves: [],
      problems: [
        {
          code: "slots-uncovered",
          severity: "hard",
          message: `${uncovered} of ${SLOTS} slots belong to no node`,
          hint: "give every slot an owner first; a plan that moves the others would hide the gap",
        },
      ],
    };
  }
  const steps = inRanges(plan.waves.flat());
  const { waves } = inWaves(steps, { perNode: options.perNode ?? 1, room: new Map() });
  const { bytesPerSecond } = options;
  const durationMs = bytesPerSecond === undefined ? null : durationOf(waves, bytesPerSecond);
  return { ...plan, waves, predicted: { ...plan.predicted, durationMs } };
}

/** The state as plans know it: each slot as a shard of one copy. */
export function slotState(state: SlotState): PlannedState {
  const nodes = state.owners.map((owner): PlannedNode => {
    const { id, weight, draining, capacityBytes } = owner;
    const room = capacityBytes === undefined ? {} : { capacityBytes };
    return { id, weight, draining, role: "primary", zone: id, ...room };
  });
  const shards = state.owners.flatMap(({ id, slots }) =>
    slots.flatMap(({ from, to }) =>
      Array.from({ length: to - from + 1 }, (_, index): PlannedShard => {
        const slot = from + index;
        return {
          id: String(slot),
          replicas: [id],
          leader: null,
          copies: 1,
          ...(state.sizeOf?.(slot) ?? NOTHING_KNOWN),
        };
      }),
    ),
  );
  return { epoch: state.epoch, nodes, shards };
}

/** All slots that go from one node to another as one step, neighbours as a range. */
function inRanges(steps: readonly RebalanceStep[]): MoveSlots[] {
  const pairs = new Map<string, { from: NodeId; to: NodeId; bytes: number; slots: number[] }>();
  for (const step of steps) {
    if (step.kind !== "move-replica") continue;
    const { from, to, bytes, shard } = step;
    const pair = pairs.get(`${from} ${to}`) ?? { from, to, bytes: 0, slots: [] };
    pairs.set(`${from} ${to}`, pair);
    pair.bytes += bytes;
    pair.slots.push(Number(shard));
  }
  return [...pairs.values()].map(({ from, to, bytes, slots }) => ({
    kind: "move-slots",
    slots: rangesOf(slots.sort((a, b) => a - b)),
    from,
    to,
    bytes,
  }));
}
