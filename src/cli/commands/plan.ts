// `mem0ctl plan`: the manifest against the live cluster, change by change.

import { Option } from "commander";
import type { Command } from "commander";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { printManifestPlan, savePlan } from "../plan.ts";

interface PlanOptions {
  readonly out?: string;
  readonly detailedExitcode?: true;
}

export function planCommand(action: Action): Command {
  return newCommand("plan", "Compare the manifest with the live cluster: what would change, at what cost")
    .addOption(new Option("--out <file>", "save the plan, too, for `mem0ctl apply`"))
    .addOption(new Option("--detailed-exitcode", "end with 10 when something is different"))
    .addHelpText(
      "after",
      examples(
        ["mem0ctl plan", "nodes, roles, zones, weights, copies, and what is fixed"],
        ["mem0ctl plan --detailed-exitcode", "for CI: 0 as the manifest says, 10 not"],
        ["mem0ctl plan --out plan.json", "review it, then `mem0ctl apply plan.json`"],
        ["mem0ctl apply", "makes it so"],
      ) +
        notes(
          "What cannot be changed while the cluster runs (protocol, sharding, addresses) is listed with the way to get there. Limits and security settings are read by a node when it starts: `mem0ctl restart`.",
        ),
    )
    .action(action<PlanOptions>(plan));
}

async function plan(context: Context, options: PlanOptions): Promise<ExitCode> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { planManifest, requireApplicable } = await import("../../operations/manifest-plan.ts");
    const planned = await planManifest(engine, manifest, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
    await printManifestPlan(context, planned);
    if (options.out !== undefined) {
      requireApplicable(planned);
      await savePlan(context, planned, options.out);
    }
    if (planned.plan.problems.some(({ severity }) => severity === "hard")) return EXIT.failed;
    return options.detailedExitcode === true && planned.changes.length > 0 ? EXIT.changes : EXIT.done;
  });
}
