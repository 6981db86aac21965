// Why a plan moves a shard or lets it stay, in sentences made from the plan alone.

import type { NodeId, ShardId } from "../model/ids.ts";
import { measureWords } from "../model/plan.ts";
import type { Plan, PlannedChange, PlannedShard, RebalanceStep } from "../model/plan.ts";
import { formatBytes } from "../model/units.ts";
import { concerns, outcomeOf } from "./outcome.ts";

export function explained(plan: Plan, id: ShardId): string[] {
  const shard = plan.state.shards.find((each) => each.id === id);
  if (shard === undefined) return [];
  const steps = plan.waves.flat().filter((step) => concerns(step, id));
  const leaving = new Set(steps.flatMap((step) => ("from" in step ? [step.from] : [])));
  return [
    ...steps.map((step) => whyMoves(plan, shard, step)),
    ...shard.replicas.filter((node) => !leaving.has(node)).map((node) => whyStays(plan, shard, node)),
  ];
}

function whyMoves(plan: Plan, shard: PlannedShard, step: RebalanceStep): string {
  switch (step.kind) {
    case "move-replica":
    case "move-slots":
      return `moves from ${step.from} to ${step.to}: ${whyLeaves(plan, shard, step.from)}, and ${holds(plan, step.to)}`;
    case "add-replica":
      return `gets a copy on ${step.to}: it has ${shard.replicas.length} of ${shard.copies} copies, and ${holds(plan, step.to)}`;
    case "remove-replica":
      return `loses its copy on ${step.from}: it has ${shard.replicas.length} copies, and ${shard.copies} are asked for`;
    case "transfer-leader": {
      const to = changeOf(plan, step.to ?? "");
      return `is led by ${step.to ?? "another"} afterwards: leaders are balanced by weight, and ${step.to ?? "it"} leads ${to?.before.leads ?? 0} now and ${to?.after.leads ?? 0} then`;
    }
  }
}

function whyLeaves(plan: Plan, shard: PlannedShard, node: NodeId): string {
  const spec = plan.state.nodes.find(({ id }) => id === node);
  if (spec?.draining === true) return `${node} drains`;
  if (spec?.role === "arbiter") return `${node} is an arbiter, and holds no data`;
  const crowded = shard.replicas.filter(
    (other) => other !== node && zoneOf(plan, other) === zoneOf(plan, node),
  );
  const after = outcomeOf(plan).get(shard.id)?.replicas ?? [];
  const zonesBefore = new Set(shard.replicas.map((each) => zoneOf(plan, each))).size;
  const zonesAfter = new Set(after.map((each) => zoneOf(plan, each))).size;
  if (crowded.length > 0 && zonesAfter > zonesBefore)
    return `${node} and ${crowded.join(", ")} are in one zone, ${zoneOf(plan, node)}, while another has none`;
  return holds(plan, node);
}

function whyStays(plan: Plan, shard: PlannedShard, node: NodeId): string {
  const change = changeOf(plan, node);
  if (change === undefined) return `stays on ${node}`;
  if (change.given === 0) return `stays on ${node}: ${holds(plan, node)}, and it gives nothing away`;
  const takers = plan.nodes.filter(({ received }) => received > 0).map((each) => each.node);
  const open = takers.filter((taker) => !shard.replicas.includes(taker));
  if (open.length === 0)
    return `stays on ${node}: it has a copy on ${takers.join(", ")} already, and two copies on one node are one`;
  return `stays on ${node}: that gives ${change.given} away and is even then; which of its ${unitOf(plan)} go is open, and smaller ones go first`;
}

/** `node-1 holds 22 shards, and its share is 16.5`. */
function holds(plan: Plan, node: NodeId): string {
  const change = changeOf(plan, node);
  if (change === undefined) return `${node} is known no more`;
  const { before, share } = change;
  if (plan.by === "bytes")
    return `${node} holds ${formatBytes(before.held)}, and its share is ${formatBytes(share)}`;
  return `${node} holds ${rounded(before.held)} ${measured(plan)}, and its share is ${rounded(share)}`;
}

function rounded(value: number): number {
  return Number(value.toFixed(1));
}

function measured(plan: Plan): string {
  const words = measureWords(plan);
  return words === "load" ? "writes per second" : words === "leaders" ? "shards as leader" : words;
}

/** What goes from node to node. */
function unitOf(plan: Plan): string {
  return measureWords({ ...plan, by: "shards" });
}

function changeOf(plan: Plan, node: NodeId): PlannedChange | undefined {
  return plan.nodes.find((change) => change.node === node);
}

function zoneOf(plan: Plan, node: NodeId): string {
  return plan.state.nodes.find(({ id }) => id === node)?.zone ?? "";
}
