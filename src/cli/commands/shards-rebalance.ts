// `mem0ctl shards rebalance`: the plan, shown or saved or explained; the operation that carries it out, and what
// is asked of one that runs. `apply` runs a plan that was saved.

import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import type { Measure, Plan } from "../../model/plan.ts";
import { parseBytes } from "../../model/units.ts";
import type { OpenCluster } from "../../operations/cluster.ts";
import type { PlannedCluster } from "../../operations/rebalance.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, integerOption, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf, printOperation, watched } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";
import { printPlan, runPlan, savePlan } from "../plan.ts";

/** What each of 16,384 slots holds takes as many questions; no node may take longer for one than it otherwise may. */
const SIZES_TIMEOUT_MS = 30_000;

interface RebalanceOptions extends MannerOptions {
  readonly by: Measure;
  readonly threshold?: number;
  readonly maxMoves?: number;
  readonly maxBytes?: number;
  readonly dryRun?: true;
  readonly out?: string;
  readonly explain?: string;
  readonly status?: true;
  readonly watch?: true;
  readonly cancel?: true;
}

export function rebalanceCommand(action: Action): Command {
  const rebalance = newCommand("rebalance", "Make what nodes hold even, with as few moves as that takes")
    .addOption(new Option("--dry-run", "only show the plan"))
    .addOption(new Option("--out <file>", "only save the plan, for `mem0ctl apply`"))
    .addOption(new Option("--explain <shard>", "only say why a shard moves or stays"))
    .addOption(
      new Option("--by <measure>", "what is made even")
        .choices(["shards", "bytes", "memories", "load"])
        .default("shards"),
    )
    .addOption(
      new Option(
        "--threshold <percent>",
        "how far a node may be from its share (default: 0% by shards, 10% by load, else 2%)",
      ).argParser(percentOption),
    )
    .addOption(
      new Option("--max-moves <count>", "take only so many moves").argParser(integerOption(1, 1_000_000)),
    )
    .addOption(new Option("--max-bytes <size>", "move only so much, as in 500MiB").argParser(bytesOption));
  for (const flag of mannerFlags()) rebalance.addOption(flag);
  return rebalance
    .addOption(new Option("--status", "show the operation that runs, or ran last"))
    .addOption(new Option("--watch", "follow the operation that runs to its end").conflicts("status"))
    .addOption(new Option("--cancel", "end it: what has not begun never does").conflicts(["status", "watch"]))
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards rebalance --dry-run", "what would move, and why no plan moves less"],
        ["mem0ctl shards rebalance", "carries it out while clients write"],
        ["mem0ctl shards rebalance --by bytes --threshold 5%", "even by size, roughly"],
        ["mem0ctl shards rebalance --explain 3", "why shard 3 moves or stays"],
        ["mem0ctl shards rebalance --out plan.json", "review it, then `mem0ctl apply plan.json`"],
        ["mem0ctl shards rebalance --watch", "follows one that runs, from any machine"],
      ) +
        notes(
          "The cluster carries the plan out by itself: Ctrl-C, or the end of any node, loses nothing, and the same command again follows what runs. A balanced cluster has an empty plan.",
        ),
    )
    .action(action<RebalanceOptions>(rebalance_));
}

/** `5%`, `5` or `0.5%`; a part of one. */
function percentOption(given: string): number {
  const match = /^(\d{1,3}(?:\.\d+)?)%?$/.exec(given);
  const percent = Number(match?.[1] ?? Number.NaN);
  if (percent >= 0 && percent <= 100) return percent / 100;
  throw new InvalidArgumentError("A percentage from 0% to 100% is needed, such as 5%.");
}

function bytesOption(given: string): number {
  const bytes = parseBytes(given);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new InvalidArgumentError("A number and its unit is needed: 500MiB, 2GiB.");
}

async function rebalance_(context: Context, options: RebalanceOptions): Promise<ExitCode> {
  return withCluster(context, async (cluster) => {
    const asked = await askedOfRunning(context, options, cluster);
    if (asked !== undefined) return asked;
    if (!onlyLooks(options)) await endWhatWasLeft(context, cluster);
    const planned = await planned_(context, options, cluster);
    const { plan } = planned;
    if (options.explain !== undefined) return explain(context, plan, options.explain);
    if (options.out !== undefined) {
      const { refuseHard } = await import("../../operations/rebalance.ts");
      refuseHard(plan);
      await savePlan(context, plan, options.out);
      await printPlan(context, planned);
      return EXIT.done;
    }
    if (options.dryRun === true || plan.waves.length === 0) {
      await printPlan(context, planned);
      return plan.problems.some(({ severity }) => severity === "hard") ? EXIT.failed : EXIT.done;
    }
    return runPlan(context, cluster, plan, { name: REBALANCE, manner: mannerOf(options) });
  });
}

const REBALANCE = "rebalance";

function onlyLooks({ dryRun, out, explain: asked }: RebalanceOptions): boolean {
  return dryRun === true || out !== undefined || asked !== undefined;
}

/** Half-finished moves first, each by rule; which, and why, is said. */
async function endWhatWasLeft(context: Context, { engine }: OpenCluster): Promise<void> {
  const { settleFirst } = await import("../../operations/slot-rebalance.ts");
  const settled = await watched(context, (call) => settleFirst(engine, call));
  for (const { what, outcome, why } of settled) await context.say(`${what} ${outcome}: ${why}`);
}

/** What `--status`, `--watch` and `--cancel` ask; and a rebalance that runs already is followed, not begun. */
async function askedOfRunning(
  context: Context,
  options: RebalanceOptions,
  { engine }: OpenCluster,
): Promise<ExitCode | undefined> {
  const operations = await import("../../operations/operation.ts");
  const call = { timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS), signal: context.io.signal };
  const follow = async (): Promise<ExitCode> => {
    await printOperation(
      context,
      await watched(context, (watching) => operations.followOperation(engine, watching)),
    );
    return EXIT.done;
  };
  if (options.watch === true) return follow();
  if (options.cancel === true) {
    await printOperation(context, await operations.cancelOperation(engine, call));
    return EXIT.done;
  }
  if (options.status === true) {
    await printOperation(context, await operations.currentOperation(engine, call));
    return EXIT.done;
  }
  if (onlyLooks(options) || engine.operations === undefined) return undefined;
  if (!(await operations.isRunning(engine, REBALANCE, call))) return undefined;
  await context.say("a rebalance is running already: following it");
  return follow();
}

async function planned_(
  context: Context,
  options: RebalanceOptions,
  { engine }: OpenCluster,
): Promise<PlannedCluster> {
  const { planClusterRebalance } = await import("../../operations/rebalance.ts");
  const { by, threshold, maxMoves, maxBytes, throttle } = options;
  return planClusterRebalance(
    engine,
    {
      by,
      ...(threshold === undefined ? {} : { threshold }),
      ...(maxMoves === undefined ? {} : { movesMax: maxMoves }),
      ...(maxBytes === undefined ? {} : { bytesMax: maxBytes }),
      ...(throttle === undefined ? {} : { bytesPerSecond: throttle }),
    },
    {
      timeoutMs: context.timeoutMs(by === "shards" ? LOOK_TIMEOUT_MS : SIZES_TIMEOUT_MS),
      signal: context.io.signal,
    },
  );
}

async function explain(context: Context, plan: Plan, shard: string): Promise<ExitCode> {
  const { explainShard } = await import("../../operations/rebalance.ts");
  const explanation = explainShard(plan, shard);
  const document = { apiVersion: "mem0ctl/v1", kind: "ShardExplanation", ...explanation };
  await context.print(document, async (_document, theme) => {
    const { renderExplanation } = await import("../../render/plan.ts");
    return renderExplanation({ ...explanation, subject: `shard ${shard}` }, theme);
  });
  return EXIT.done;
}
