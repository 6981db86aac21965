// `mem0ctl shards split|merge|pin`: slices of keys that go from one shard to another.

import { Option } from "commander";
import type { Command } from "commander";
import type { HandoverRequest } from "../../operations/handovers.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { stepWords } from "../../model/operation.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf, printOperation, watched } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";

interface HandoverOptions extends MannerOptions {
  readonly dryRun?: true;
  readonly explain?: true;
}

interface SplitOptions extends HandoverOptions {
  readonly at?: string;
}

interface PinOptions extends HandoverOptions {
  readonly unpin?: true;
}

const NOTE =
  "The cluster carries it out by itself: Ctrl-C, or the end of any node, loses nothing, and the same command again follows what runs. Watch it with `mem0ctl shards rebalance --watch`, end it with `--cancel`.";

export function splitCommand(action: Action): Command {
  const split = newCommand("split", "Cut a shard in two, while clients write")
    .argument("<shard>", "which shard")
    .addOption(
      new Option(
        "--at <key>",
        "first key of the new shard, or its first slot (default: the median of its keys; half of its slots)",
      ),
    );
  return withFlags(split)
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards split 3 --dry-run", "where it would be cut, and what that copies"],
        ["mem0ctl shards split 3 --explain", "why there, and what clients see of it"],
        ["mem0ctl shards split 3", "at the median of its keys, or half of its slots"],
        ["mem0ctl shards split 3 --at m", "keys from m on go to a new shard"],
      ) + notes(`The new shard gets the next free number and begins on the same nodes. ${NOTE}`),
    )
    .action(
      action<SplitOptions>((context, options, [shard = ""]) =>
        handOver(context, options, {
          kind: "split",
          shard,
          ...(options.at === undefined ? {} : { at: options.at }),
        }),
      ),
    );
}

export function mergeCommand(action: Action): Command {
  const merge = newCommand("merge", "Make one shard part of another, while clients write")
    .argument("<shard>", "which shard; it is no more afterwards")
    .argument("<into>", "the shard that it becomes part of: with range sharding its neighbour");
  return withFlags(merge)
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards merge 4 3 --dry-run", "what it copies"],
        ["mem0ctl shards merge 4 3", "shard 3 has the keys of both"],
      ) + notes(`Its number is not given to another shard. ${NOTE}`),
    )
    .action(
      action<HandoverOptions>((context, options, [shard = "", into = ""]) =>
        handOver(context, options, { kind: "merge", shard, into }),
      ),
    );
}

export function pinCommand(action: Action): Command {
  const pin = newCommand("pin", "Bring a key and its memories to a shard, while clients write")
    .argument("<key>", "a shard key: a user id, unless the manifest names another field")
    .argument("[shard]", "the shard that it belongs to from now on")
    .addOption(new Option("--unpin", "let it go by its hash again"));
  return withFlags(pin)
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards pin acme 3", "the memories of acme go to shard 3"],
        ["mem0ctl shards pin acme --unpin", "and back to the shard of its hash"],
      ) + notes(`With directory sharding only. ${NOTE}`),
    )
    .action(
      action<PinOptions>((context, options, [key = "", shard]) =>
        handOver(context, options, pinRequest(key, shard, options.unpin === true)),
      ),
    );
}

function withFlags(command: Command): Command {
  command.addOption(new Option("--dry-run", "only show what it would do"));
  command.addOption(new Option("--explain", "only say why there, and what clients see of it"));
  for (const flag of mannerFlags()) command.addOption(flag);
  return command;
}

function pinRequest(key: string, shard: string | undefined, isUnpin: boolean): HandoverRequest {
  if (isUnpin === (shard === undefined)) {
    return shard === undefined ? { kind: "unpin", key } : { kind: "pin", key, shard };
  }
  throw new Mem0ctlError("invalid", "usage", "either a shard or --unpin is needed", {
    hint: "`mem0ctl shards pin KEY SHARD`, or `mem0ctl shards pin KEY --unpin`",
  });
}

async function handOver(
  context: Context,
  options: HandoverOptions,
  request: HandoverRequest,
): Promise<ExitCode> {
  return withCluster(context, async ({ engine }) => {
    const { checkHandover, explainHandover, planHandover, resumeHandover, runHandover } =
      await import("../../operations/handovers.ts");
    const look = { timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS), signal: context.io.signal };
    if (options.explain === true) {
      const plan = await planHandover(engine, request, look);
      const explanation = explainHandover(plan, request);
      const document = {
        apiVersion: "mem0ctl/v1",
        kind: "HandoverExplanation",
        step: plan.step,
        ...explanation,
      };
      await context.print(document, async (_document, theme) => {
        const { renderExplanation } = await import("../../render/plan.ts");
        return renderExplanation({ ...explanation, subject: stepWords(plan.step) }, theme);
      });
      return EXIT.done;
    }
    if (options.dryRun === true) {
      const plan = await planHandover(engine, request, look);
      await checkHandover(engine, plan, look);
      await context.print(plan, async (_document, theme) => {
        const { renderHandoverPlan } = await import("../../render/handover.ts");
        return renderHandoverPlan(plan, theme);
      });
      return EXIT.done;
    }
    const operation = await watched(context, async (call) => {
      const resumed = await resumeHandover(engine, request, call);
      if (resumed !== undefined) return resumed;
      return runHandover(engine, await planHandover(engine, request, look), mannerOf(options), call);
    });
    await printOperation(context, operation);
    return EXIT.done;
  });
}
