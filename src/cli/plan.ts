// What the commands share that make plans or run them: the plan with its pictures, and the operation that it becomes.

import type { ClusterPlan } from "../model/plan.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { OpenCluster } from "../operations/cluster.ts";
import type { Manner } from "../operations/operation.ts";
import type { PlannedCluster } from "../operations/rebalance.ts";
import type { Context } from "./context.ts";
import { EXIT } from "./exit.ts";
import type { ExitCode } from "./exit.ts";
import { printOperation, watched } from "./operation.ts";

export async function printPlan(context: Context, { plan, view }: PlannedCluster): Promise<void> {
  await context.print(plan, async (_plan, theme, wide) => {
    const [{ renderPlan }, { viewAfter }] = await Promise.all([
      import("../render/plan.ts"),
      import("../operations/rebalance.ts"),
    ]);
    // Slots that move change neither copies nor leaders, which are what the picture shows.
    const movesSlots = plan.waves.flat().some(({ kind }) => kind === "move-slots");
    const maps = movesSlots ? undefined : { before: view, after: viewAfter(view, plan) };
    return renderPlan({ plan, maps }, theme, wide);
  });
}

/** @throws Mem0ctlError `no-plan` (conflict) when a hard rule cannot be kept. */
export function refuseHard({ problems }: ClusterPlan): void {
  const hard = problems.find(({ severity }) => severity === "hard");
  if (hard === undefined) return;
  throw new Mem0ctlError("conflict", "no-plan", "there is no plan that keeps the rules", {
    why: hard.message,
    hint: hard.hint,
    data: { problems },
  });
}

/** Has the cluster carry a plan out, and follows it. */
export async function runPlan(
  context: Context,
  { engine }: OpenCluster,
  plan: ClusterPlan,
  {
    name,
    manner,
    epoch = plan.state.epoch,
  }: { readonly name: string; readonly manner: Manner; readonly epoch?: number },
): Promise<ExitCode> {
  refuseHard(plan);
  const { runOperation } = await import("../operations/operation.ts");
  const { waves } = plan;
  const operation = await watched(context, (call) =>
    runOperation(engine, { name, waves, epoch }, manner, call),
  );
  await printOperation(context, operation);
  return EXIT.done;
}
