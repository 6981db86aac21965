// `mem0ctl apply`: makes the cluster as the manifest says, or carries out a plan that was saved, exactly as it was
// shown, or not at all.

import { readFileSync, statSync } from "node:fs";
import type { Command } from "commander";
import { Mem0ctlError } from "../../model/errors.ts";
import type { ManifestPlan } from "../../model/plan.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import { inDirectory } from "../context.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf, printOperation, watched } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";
import { printManifestPlan, runPlan } from "../plan.ts";

/** 100,000 shards take some 20 MB. */
const PLAN_BYTES_MAX = 256 << 20;

export function applyCommand(action: Action): Command {
  const apply = newCommand(
    "apply",
    "Make the cluster as the manifest says, or carry out a saved plan",
  ).argument("[file]", "a plan of `plan --out` or `shards rebalance --out` (default: the manifest's plan)");
  for (const flag of mannerFlags()) apply.addOption(flag);
  return apply
    .addHelpText(
      "after",
      examples(
        ["mem0ctl plan", "what the manifest would change"],
        ["mem0ctl apply", "shows it, asks, and does it"],
        ["mem0ctl plan --out plan.json", "a plan to be looked at; so does `shards rebalance`"],
        ["mem0ctl apply plan.json", "then exactly that"],
      ) +
        notes(
          "A saved plan is refused with exit code 6 when the cluster has other nodes or holds shards elsewhere than it was made for, or the manifest asks for something else; it says what changed. A manifest that asks for what cannot be changed live is refused before anything is done.",
        ),
    )
    .action(action<MannerOptions>(apply_));
}

async function apply_(context: Context, options: MannerOptions, words: readonly string[]): Promise<ExitCode> {
  const [file] = words;
  return file === undefined ? applyManifestPlan(context, options) : applyFile(context, options, file);
}

async function applyFile(context: Context, options: MannerOptions, file: string): Promise<ExitCode> {
  const { checkPlanFits, readPlan } = await import("../../operations/plan-file.ts");
  const plan = readPlan(textOf(inDirectory(context.io.cwd, file), file), file);
  if (plan.kind === "ManifestPlan") return applyManifestPlan(context, options, plan);
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

/** As it is planned now, or, with one that was saved, only if that is the same. */
async function applyManifestPlan(
  context: Context,
  options: MannerOptions,
  saved?: ManifestPlan,
): Promise<ExitCode> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { applyManifest, planManifest, requireApplicable, requireSamePlan } =
      await import("../../operations/manifest-plan.ts");
    const call = { timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS), signal: context.io.signal };
    const planned = await planManifest(engine, manifest, call);
    if (saved !== undefined) requireSamePlan(saved, planned);
    if (planned.changes.length === 0) {
      await printManifestPlan(context, planned);
      return EXIT.done;
    }
    requireApplicable(planned);
    const { renderManifestPlan } = await import("../../render/manifest-plan.ts");
    const shown = renderManifestPlan(planned, await context.theme("stderr")).trimEnd();
    const { confirm } = await import("../confirm.ts");
    if (context.globals.yes === true) await context.say(shown);
    if (!(await confirm(context, shown, "Apply it?"))) {
      throw new Mem0ctlError("failed", "declined", "nothing was changed", {
        why: "the answer was no",
        hint: "give --yes to apply it without being asked",
      });
    }
    const operation = await watched(context, (watching) =>
      applyManifest(engine, manifest, planned, mannerOf(options), watching),
    );
    if (operation !== null) await printOperation(context, operation);
    else await context.say("the cluster is as the manifest says");
    return EXIT.done;
  });
}

function notAFile(name: string, isDirectory: boolean): Mem0ctlError {
  return new Mem0ctlError("invalid", "not-a-regular-file", `${name} is not a regular file`, {
    why: `it is ${isDirectory ? "a directory" : "a pipe, a socket or a device"}`,
    hint: "name the file that `mem0ctl plan --out` or `mem0ctl shards rebalance --out` wrote",
  });
}

function textOf(path: string, name: string): string {
  try {
    const found = statSync(path);
    // A pipe may never end, and while it is read no signal is heard.
    if (!found.isFile()) throw notAFile(name, found.isDirectory());
    if (found.size <= PLAN_BYTES_MAX) return readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Mem0ctlError) throw cause;
    throw new Mem0ctlError("invalid", "cannot-read", `cannot read ${name}`, {
      why: cause instanceof Error ? cause.message : "not found, or not readable",
      hint: "name the file that `mem0ctl plan --out` or `mem0ctl shards rebalance --out` wrote",
      cause,
    });
  }
  throw new Mem0ctlError("too-large", "plan-too-large", `${name} is too large for a plan`, {
    hint: "name the file that `mem0ctl plan --out` or `mem0ctl shards rebalance --out` wrote",
  });
}
