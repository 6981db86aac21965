// What the steps of a plan make of the shards: the one place that says what a step does to the order of a shard's
// copies and to its leader.

import type { NodeId, ShardId } from "../model/ids.ts";
import type { Plan, RebalanceStep } from "../model/plan.ts";

/** A shard's copies and leader when the plan is done. */
export interface ShardOutcome {
  readonly replicas: readonly NodeId[];
  readonly leader: NodeId | null;
}

/** Of the shards that the plan changes. */
export function outcomeOf({ waves, state }: Pick<Plan, "waves" | "state">): Map<ShardId, ShardOutcome> {
  const before = new Map(state.shards.map((shard) => [shard.id, shard]));
  const after = new Map<ShardId, ShardOutcome>();
  for (const step of waves.flat()) {
    const id = shardOf(step);
    const shard = id === undefined ? undefined : (after.get(id) ?? before.get(id));
    if (id === undefined || shard === undefined) continue;
    if (step.kind === "transfer-leader") after.set(id, { replicas: shard.replicas, leader: step.to ?? null });
    else {
      const from = "from" in step ? step.from : undefined;
      const to = "to" in step ? step.to : undefined;
      after.set(id, withChange(shard, from, to));
    }
  }
  return after;
}

/** Whether a step is about this shard, or about the slot of this number. */
export function concerns(step: RebalanceStep, id: ShardId): boolean {
  if (step.kind !== "move-slots") return shardOf(step) === id;
  const slot = Number(id);
  return step.slots.some(({ from, to }) => from <= slot && slot <= to);
}

/** The shard that a step is about; slots are none. */
function shardOf(step: RebalanceStep): ShardId | undefined {
  if (step.kind === "transfer-leader") return step.group;
  return step.kind === "move-slots" ? undefined : step.shard;
}

/** `to` stands where `from` stood; one that comes alone stands last. */
export function withChange(
  { replicas, leader }: ShardOutcome,
  from: NodeId | undefined,
  to: NodeId | undefined,
): ShardOutcome {
  if (from === undefined) return { leader, replicas: to === undefined ? replicas : [...replicas, to] };
  const kept = replicas.flatMap((id) => (id !== from ? [id] : to === undefined ? [] : [to]));
  return { replicas: kept, leader: leader === from ? (to ?? kept[0] ?? null) : leader };
}
