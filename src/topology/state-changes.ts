// What became different between the state that a plan was made for and the one that it would be applied to.
// Sizes and leaders drift all the time and change nothing that a plan rests on; nodes and copies do.

import type { PlannedState } from "../model/plan.ts";

/** Sentences, nodes first; empty when the plan still fits. */
export function stateChanges(before: PlannedState, now: PlannedState): string[] {
  const changes: string[] = [];
  const nodesNow = new Map(now.nodes.map((node) => [node.id, node]));
  const nodesBefore = new Set(before.nodes.map(({ id }) => id));
  for (const node of before.nodes) {
    const other = nodesNow.get(node.id);
    if (other === undefined) {
      changes.push(`${node.id} has left`);
      continue;
    }
    for (const field of ["role", "zone", "weight"] as const) {
      if (node[field] !== other[field])
        changes.push(`the ${field} of ${node.id} was ${node[field]} and is ${other[field]}`);
    }
    if (node.draining !== other.draining)
      changes.push(`${node.id} ${other.draining ? "is draining" : "drains no longer"}`);
  }
  for (const { id } of now.nodes) if (!nodesBefore.has(id)) changes.push(`${id} has joined`);

  const shardsNow = new Map(now.shards.map((shard) => [shard.id, shard]));
  const shardsBefore = new Set(before.shards.map(({ id }) => id));
  for (const shard of before.shards) {
    const other = shardsNow.get(shard.id);
    if (other === undefined) changes.push(`shard ${shard.id} is there no more`);
    else if (!sameMembers(shard.replicas, other.replicas))
      changes.push(
        `shard ${shard.id} was on ${shard.replicas.join(", ")} and is on ${other.replicas.join(", ")}`,
      );
  }
  for (const { id } of now.shards) if (!shardsBefore.has(id)) changes.push(`shard ${id} is new`);
  return changes;
}

function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}
