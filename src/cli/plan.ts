// What the commands share that make plans or run them: the plan with its pictures, and the operation that it becomes.

import type { ClusterPlan, ManifestPlan } from "../model/plan.ts";
import type { OpenCluster } from "../operations/cluster.ts";
import type { Manner } from "../operations/operation.ts";
import type { PlannedCluster } from "../operations/rebalance.ts";
import { inDirectory } from "./context.ts";
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

export async function printManifestPlan(context: Context, planned: ManifestPlan): Promise<void> {
  await context.print(planned, async (_planned, theme) => {
    const { renderManifestPlan } = await import("../render/manifest-plan.ts");
    return renderManifestPlan(planned, theme);
  });
}

/** Writes a plan to a file, which `apply` takes, and says so. */
export async function savePlan(
  context: Context,
  plan: ClusterPlan | ManifestPlan,
  out: string,
): Promise<void> {
  const [{ writeFileAtomically }, { renderJson }, { safeText }] = await Promise.all([
    import("./atomic-file.ts"),
    import("../render/json.ts"),
    import("../render/safe.ts"),
  ]);
  const path = inDirectory(context.io.cwd, out);
  writeFileAtomically({ path, overwrite: true, mode: 0o644 }, renderJson(plan));
  const file = safeText(out);
  await context.say(`saved to ${file}; carry it out with: mem0ctl apply ${file}`);
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
  const [{ runOperation }, { refuseHard }] = await Promise.all([
    import("../operations/operation.ts"),
    import("../operations/rebalance.ts"),
  ]);
  refuseHard(plan);
  const { waves } = plan;
  const operation = await watched(context, (call) =>
    runOperation(engine, { name, waves, epoch }, manner, call),
  );
  await printOperation(context, operation);
  return EXIT.done;
}
