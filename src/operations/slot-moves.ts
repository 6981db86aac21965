// `shards move --slots`: slots that go to another leader by hand, of engines that shard by slots alone.

import type { CallOptions, Engine, EngineView, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { OperationReport } from "../model/operation.ts";
import type { Step } from "../model/plan.ts";
import { slotCount } from "../model/shard-map.ts";
import type { SlotRange } from "../model/shard-map.ts";
import type { SlotChoice } from "../model/slot-choice.ts";
import type { ShardView } from "../model/view.ts";
import { lastSlots, slotsOutside } from "../topology/slot-ranges.ts";
import { unknownShard } from "./leader.ts";
import type { Manner } from "./operation.ts";
import { unknownNode } from "./up.ts";

export interface SlotsRequest {
  readonly shard: ShardId;
  readonly slots: SlotChoice;
  /** The leader that gets them. */
  readonly to: NodeId;
}

/**
 * Moves slots of one shard to the leader of another. Null when that one has them already.
 * @throws Mem0ctlError `not-of-this-engine` (invalid), `unknown-shard`, `unknown-node` (not-found), `not-a-leader`,
 *   `too-few-slots`, `not-its-slots` (conflict), and as `runFromHere`.
 */
export async function moveShardSlots(
  engine: Engine,
  request: SlotsRequest,
  manner: Manner,
  options: CallOptions,
): Promise<OperationReport<Step> | null> {
  if (engine.slotTable === undefined) {
    throw new Mem0ctlError("invalid", "not-of-this-engine", "slots do not move one by one here", {
      why: `${engine.capabilities.engine} moves whole replicas of a shard`,
      hint: "leave --slots out: `mem0ctl shards move SHARD --from NODE --to NODE`",
    });
  }
  const { runFromHere } = await import("./carry-out.ts");
  const makeWaves = async (table: SlotTable): Promise<readonly (readonly Step[])[]> =>
    slotWaves(await engine.view(options), table, request);
  return runFromHere(engine, `move slots of shard ${request.shard}`, makeWaves, manner, options);
}

function slotWaves(
  view: EngineView,
  { owners }: SlotTable,
  { shard: id, slots, to }: SlotsRequest,
): readonly (readonly Step[])[] {
  const shard = view.shards.find((candidate) => candidate.id === id);
  if (shard === undefined) throw unknownShard(id, view.totalShards);
  const { leader } = shard;
  if (leader === null) {
    throw new Mem0ctlError("unavailable", "no-leader", `shard ${id} has no leader to move slots from`, {
      hint: "see why with `mem0ctl status`",
    });
  }
  requireLeader(view, to);
  const slotsOf = (node: NodeId): readonly SlotRange[] =>
    owners.find((owner) => owner.id === node)?.slots ?? [];
  const chosen = chosenSlots(shard, leader, slotsOf(leader), slotsOf(to), slots);
  if (leader === to || chosen.length === 0) return [];
  const bytes = Math.round(
    ((shard.bytes ?? 0) * slotCount(chosen)) / Math.max(1, slotCount(slotsOf(leader))),
  );
  return [[{ kind: "move-slots", slots: chosen, from: leader, to, bytes }]];
}

function chosenSlots(
  { id }: ShardView,
  leader: NodeId,
  owned: readonly SlotRange[],
  theirs: readonly SlotRange[],
  choice: SlotChoice,
): readonly SlotRange[] {
  if ("count" in choice) {
    if (choice.count <= slotCount(owned)) return lastSlots(owned, choice.count);
    throw new Mem0ctlError("conflict", "too-few-slots", `shard ${id} has no ${choice.count} slots to give`, {
      why: `${leader} owns ${slotCount(owned)}`,
      hint: "see them with `mem0ctl shards list`",
    });
  }
  // What was moved by a run that ended early is there already.
  const wanted = slotsOutside(choice.ranges, theirs);
  const [other] = slotsOutside(wanted, owned);
  if (other === undefined) return wanted;
  throw new Mem0ctlError("conflict", "not-its-slots", `slot ${other.from} is not one of shard ${id}`, {
    why: `${leader} does not own it`,
    hint: "see whose it is with `mem0ctl shards list`; name that shard",
  });
}

/** @throws Mem0ctlError `unknown-node` (not-found), `not-a-leader` (conflict). */
function requireLeader(view: EngineView, node: NodeId): void {
  const ids = view.nodes.map(({ id }) => id);
  if (!ids.includes(node)) throw unknownNode(node, ids);
  if (view.shards.some(({ leader }) => leader === node)) return;
  const held = view.shards.find(({ replicas }) => replicas.some((replica) => replica.node === node));
  throw new Mem0ctlError("conflict", "not-a-leader", `${node} cannot own slots: it leads no shard`, {
    why:
      held === undefined
        ? "it is no member of the cluster, or does not answer"
        : `it holds a replica of shard ${held.id}, which ${held.leader ?? "nobody"} leads`,
    hint:
      held === undefined || held.leader === null
        ? "let it join first: `mem0ctl nodes add` or `mem0ctl apply`"
        : `name ${held.leader}, or make ${node} the leader: \`mem0ctl leader transfer ${held.id} --to ${node}\``,
  });
}
