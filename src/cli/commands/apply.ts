// `mem0ctl apply plan.json`: carries out a plan that was saved, exactly as it was shown, or not at all.

import { readFileSync, statSync } from "node:fs";
import type { Command } from "commander";
import { Mem0ctlError } from "../../model/errors.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import { inDirectory } from "../context.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";
import { runPlan } from "../plan.ts";

/** 100,000 shards take some 20 MB. */
const PLAN_BYTES_MAX = 256 << 20;

export function applyCommand(action: Action): Command {
  const apply = newCommand("apply", "Carry out a plan that was saved").argument("<file>", "the plan");
  for (const flag of mannerFlags()) apply.addOption(flag);
  return apply
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards rebalance --out plan.json", "first the plan, to be looked at"],
        ["mem0ctl apply plan.json", "then exactly that plan"],
      ) +
        notes(
          "Refused with exit code 6 when the cluster has other nodes or holds shards elsewhere than the plan was made for; it says what changed.",
        ),
    )
    .action(action<MannerOptions>(apply_));
}

async function apply_(context: Context, options: MannerOptions, words: readonly string[]): Promise<ExitCode> {
  const [file = ""] = words;
  const { checkPlanFits, readPlan } = await import("../../operations/plan-file.ts");
  const plan = readPlan(textOf(inDirectory(context.io.cwd, file), file), file);
  return withCluster(context, async (cluster) => {
    const { epoch } = await checkPlanFits(cluster.engine, plan, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
    if (plan.waves.length === 0) {
      await context.say("the plan has no steps: nothing to do");
      return EXIT.done;
    }
    return runPlan(context, cluster, plan, { name: `apply ${file}`, manner: mannerOf(options), epoch });
  });
}

function textOf(path: string, name: string): string {
  try {
    if (statSync(path).size <= PLAN_BYTES_MAX) return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Mem0ctlError("invalid", "cannot-read", `cannot read ${name}`, {
      why: cause instanceof Error ? cause.message : "not found, or not readable",
      hint: "name the file that `mem0ctl shards rebalance --out` wrote",
      cause,
    });
  }
  throw new Mem0ctlError("too-large", "plan-too-large", `${name} is too large for a plan`, {
    hint: "name the file that `mem0ctl shards rebalance --out` wrote",
  });
}
