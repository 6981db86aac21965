// `mem0ctl leader show|transfer|balance`: who orders the writes, and handing that over.

import { Option } from "commander";
import type { Command } from "commander";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, newGroup } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlagsWithoutCopies, mannerOf } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";

const TRANSFER_TIMEOUT_MS = 15_000;

interface BalanceOptions extends MannerOptions {
  readonly dryRun?: true;
}

interface TransferOptions {
  readonly to?: string;
}

export function leaderCommand(action: Action): Command {
  const show = newCommand("show", "Show the cluster leader and every shard's leader")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl leader show", "leaders, terms, and how many each node leads"],
        ["mem0ctl leader show -o json", "for a script"],
      ),
    )
    .action(action(showLeaders));
  const transfer = newCommand("transfer", "Hand leadership of a shard, or of the cluster, to another node")
    .argument("[group]", "a shard's id, or meta for the cluster leader", "meta")
    .addOption(new Option("--to <node>", "the new leader (default: the best caught-up replica)"))
    .addHelpText(
      "after",
      examples(
        ["mem0ctl leader transfer", "another node becomes the cluster leader"],
        ["mem0ctl leader transfer 3 --to node-2", "node-2 leads shard 3"],
      ),
    )
    .action(action<TransferOptions>(transferTo));
  const balance = newCommand("balance", "Share leadership out by weight; no copy moves").addOption(
    new Option("--dry-run", "only show what would change"),
  );
  for (const flag of mannerFlagsWithoutCopies()) balance.addOption(flag);
  balance
    .addHelpText(
      "after",
      examples(
        ["mem0ctl leader balance --dry-run", "which shards would be led by another node"],
        ["mem0ctl leader balance", "does it; as few change as that takes"],
      ),
    )
    .action(action<BalanceOptions>(balanceLeaders));
  return newGroup("leader", "Show, transfer and balance leadership", [show, transfer, balance]);
}

async function balanceLeaders(context: Context, options: BalanceOptions): Promise<ExitCode> {
  return withCluster(context, async (cluster) => {
    const { planLeaderBalance } = await import("../../operations/rebalance.ts");
    const { printPlan, runPlan } = await import("../plan.ts");
    const planned = await planLeaderBalance(cluster.engine, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
    if (options.dryRun === true || planned.plan.waves.length === 0) {
      await printPlan(context, planned);
      return EXIT.done;
    }
    return runPlan(context, cluster, planned.plan, { name: "balance leaders", manner: mannerOf(options) });
  });
}

async function showLeaders(context: Context): Promise<ExitCode> {
  return withCluster(context, async ({ engine }) => {
    const { clusterLeaders } = await import("../../operations/leader.ts");
    const leaders = await clusterLeaders(engine, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
    const document = { apiVersion: "mem0ctl/v1", kind: "Leaders", ...leaders };
    await context.print(document, async (_document, theme) => {
      const { renderLeaders } = await import("../../render/leaders.ts");
      return renderLeaders(leaders, theme);
    });
    // A cluster in which nobody leads anything takes no writes.
    return leaders.groups.some(({ leader }) => leader !== null) ? EXIT.done : EXIT.unavailable;
  });
}

async function transferTo(
  context: Context,
  options: TransferOptions,
  words: readonly string[],
): Promise<undefined> {
  const [group = "meta"] = words;
  await withCluster(context, async ({ engine }) => {
    const { transferLeader } = await import("../../operations/leader.ts");
    const request = { group, ...(options.to === undefined ? {} : { to: options.to }) };
    const outcome = await transferLeader(engine, request, {
      timeoutMs: context.timeoutMs(TRANSFER_TIMEOUT_MS),
      signal: context.io.signal,
    });
    const document = { apiVersion: "mem0ctl/v1", kind: "LeaderTransfer", ...outcome };
    await context.print(document, async () => {
      const { safeText } = await import("../../render/safe.ts");
      const to = safeText(outcome.to);
      const what = outcome.group === "meta" ? "the cluster" : `shard ${outcome.group}`;
      if (!outcome.changed) return `${to} already leads ${what} (term ${outcome.term})`;
      const before = outcome.from === null ? "nobody" : safeText(outcome.from);
      return `${to} now leads ${what} (term ${outcome.term}); before: ${before}`;
    });
  });
  return undefined;
}
