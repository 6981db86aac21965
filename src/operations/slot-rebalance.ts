// A rebalance of slots: of engines whose shards are nothing but slots, which move one by one.

import type { CallOptions, Engine, Settled, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Plan, PlannedState } from "../model/plan.ts";
import { planSlots, slotState } from "../topology/slot-plan.ts";
import type { SlotState } from "../topology/slot-plan.ts";
import type { RebalanceOptions } from "../topology/rebalance.ts";

/** Pairs of nodes that move slots side by side: one node may send and take as many at a time. */
const PER_NODE = 4;

/**
 * Who gets which slots. By `shards` means by the number of slots; by `memories`, by keys.
 * @param draining nodes that shall end without slots.
 */
export function slotPlan(
  table: SlotTable,
  options: RebalanceOptions,
  draining: readonly NodeId[] = [],
): Plan {
  return planSlots(stateOf(table, draining), { perNode: PER_NODE, ...options });
}

/** What a plan of slots is made from, or compared with. */
export function slotPlanState(table: SlotTable): PlannedState {
  return slotState(stateOf(table, []));
}

function stateOf({ epoch, owners, contents }: SlotTable, draining: readonly NodeId[]): SlotState {
  return {
    epoch,
    owners: owners.map((owner) => ({ ...owner, draining: draining.includes(owner.id) })),
    ...(contents === undefined
      ? {}
      : {
          sizeOf: (slot: number) => {
            const { keys = 0, bytes = 0 } = contents.get(slot) ?? {};
            return { bytes, memories: keys, load: 0 };
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
