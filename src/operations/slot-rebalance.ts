// A rebalance of slots: of engines whose shards are nothing but slots, which move one by one.

import type { CallOptions, Engine, EngineView, Settled, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Plan, PlannedState, PlanProblem } from "../model/plan.ts";
import { planSlots, slotState } from "../topology/slot-plan.ts";
import type { SlotState } from "../topology/slot-plan.ts";
import type { RebalanceOptions } from "../topology/rebalance.ts";

/** Pairs of nodes that move slots side by side: one node may send and take as many at a time. */
const PER_NODE = 4;

/**
 * Who gets which slots. By `shards` means by the number of slots; by `memories`, by keys.
 * @param draining nodes that shall end without slots.
 * @param loadOf how much a slot is asked, for a plan by load.
 */
export function slotPlan(
  table: SlotTable,
  options: RebalanceOptions,
  draining: readonly NodeId[] = [],
  loadOf: (slot: number) => number = () => 0,
): Plan {
  return planSlots(stateOf(table, draining, loadOf), { perNode: PER_NODE, ...options });
}

/**
 * Leaders that own nothing yet and have fewer copies than they should get no slots: what moved there would be less
 * safe than where it was.
 */
export function withoutUncopied(
  table: SlotTable,
  { shards, copies }: EngineView,
): { readonly table: SlotTable; readonly problems: readonly PlanProblem[] } {
  const short = new Map(
    shards.flatMap(({ leader, slots, replicas, id }) =>
      slots === 0 && leader !== null && replicas.length < copies
        ? [[leader, { id, has: replicas.length }]]
        : [],
    ),
  );
  const owners = table.owners.filter(({ id, slots }) => slots.length > 0 || !short.has(id));
  const problems = table.owners.flatMap(({ id, draining }): PlanProblem[] => {
    const shard = short.get(id);
    if (shard === undefined || draining) return [];
    return [
      {
        code: "too-few-copies",
        severity: "soft",
        message: `${id} gets no slots: its shard ${shard.id} has ${shard.has} of ${copies} copies`,
        hint: `give it another first: \`mem0ctl replicas add ${shard.id} --to NODE\`, or \`mem0ctl apply\``,
      },
    ];
  });
  return { table: { ...table, owners }, problems };
}

/** What a plan of slots is made from, or compared with. */
export function slotPlanState(table: SlotTable): PlannedState {
  return slotState(stateOf(table, []));
}

function stateOf(
  { epoch, owners, contents }: SlotTable,
  draining: readonly NodeId[],
  loadOf: (slot: number) => number = () => 0,
): SlotState {
  return {
    epoch,
    owners: owners.map((owner) => ({ ...owner, draining: owner.draining || draining.includes(owner.id) })),
    ...(contents === undefined
      ? {}
      : {
          sizeOf: (slot: number) => {
            const { keys = 0, bytes = 0 } = contents.get(slot) ?? {};
            return { bytes, memories: keys, load: loadOf(slot) };
          },
        }),
  };
}

/**
 * Ends what a run left half done, before anything is planned.
 * @throws Mem0ctlError `unclear` (conflict) where no rule says how: nothing is moved then.
 */
export async function settleFirst(engine: Engine, options: CallOptions): Promise<readonly Settled[]> {
  const settled = await engine.settle(options);
  const left = settled.filter(({ outcome }) => outcome === "left");
  const [first] = left;
  if (first === undefined) return settled;
  throw new Mem0ctlError(
    "conflict",
    "unclear",
    `${first.what} was left half moved, and no rule says how to end it`,
    {
      why: `${first.why}${left.length > 1 ? `; and ${left.length - 1} more` : ""}`,
      hint: "bring the nodes back that do not answer, then try again",
      data: { settled },
    },
  );
}
