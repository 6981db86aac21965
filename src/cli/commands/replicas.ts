// `mem0ctl replicas lag|add|remove|verify|repair`: how far every replica is behind its leader, how many there are,
// whether they hold the same.

import { Option } from "commander";
import type { Command } from "commander";
import { Mem0ctlError } from "../../model/errors.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, newGroup, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf, printOperation, watched } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";
import type { CopyStep } from "../../operations/moves.ts";
import type { Verification } from "../../operations/replicas.ts";
import { exitCodeOfAnswers } from "./answers.ts";

/** How long shards are compared again whose state nobody knows to be new: longer than any election takes. */
const PATIENCE_MS = 60_000;

interface AddOptions extends MannerOptions {
  readonly to: string;
}

interface RepairOptions {
  readonly node: string;
}

interface RemoveOptions extends MannerOptions {
  readonly from: string;
}

export function replicasCommand(action: Action): Command {
  const lag = newCommand("lag", "Show how far every replica is behind its leader")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl replicas lag", "in entries and time"],
        ["mem0ctl replicas lag -o json", "every replica of every shard"],
      ) +
        notes(
          "Lag in time is the age of the oldest entry that the replica has not acknowledged; 0 when there is none.",
        ),
    )
    .action(action(showLag));
  const add = newCommand("add", "Give a shard one more replica, on a node that has none")
    .argument("<shard>", "which shard")
    .addOption(new Option("--to <node>", "the node that gets it").makeOptionMandatory());
  for (const flag of mannerFlags()) add.addOption(flag);
  add
    .addHelpText("after", examples(["mem0ctl replicas add 3 --to node-4", "one copy more of shard 3"]))
    .action(action<AddOptions>(addReplica));
  const remove = newCommand("remove", "Take one replica of a shard away; the others stay")
    .argument("<shard>", "which shard")
    .addOption(new Option("--from <node>", "the node that holds it").makeOptionMandatory());
  for (const flag of mannerFlags()) remove.addOption(flag);
  remove
    .addHelpText(
      "after",
      examples(["mem0ctl replicas remove 3 --from node-4", "one copy less; asks first"]) +
        notes("The last replica of a shard is never taken away."),
    )
    .action(action<RemoveOptions>(removeReplica));
  const verify = newCommand("verify", "Compare what the replicas hold: texts, vectors, metadata")
    .argument("[shard]", "which shard (default: all)")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl replicas verify", "every shard; reads all memories"],
        ["mem0ctl replicas verify 3 -o json", "digests, and what differs where"],
      ) +
        notes(
          "Clients may write meanwhile. A shard whose replicas do not learn in time how old their state is, as under heavy load, is compared again, for a minute or as long as --timeout says. Exit code 3 when something differs or could not be read.",
        ),
    )
    .action(action(verifyReplicas));
  const repair = newCommand("repair", "Make a replica anew from another one")
    .argument("<shard>", "which shard")
    .addOption(new Option("--node <node>", "whose replica").makeOptionMandatory())
    .addHelpText(
      "after",
      examples(["mem0ctl replicas repair 3 --node node-2", "after `replicas verify` has named it"]) +
        notes("A replica with records that cannot be read is repaired without being asked."),
    )
    .action(action<RepairOptions>(repairReplica));
  const members = [lag, add, remove, verify, repair];
  return newGroup("replicas", "Show, add, remove, compare and repair replicas", members);
}

async function verifyReplicas(context: Context, _: object, words: readonly string[]): Promise<ExitCode> {
  return withCluster(context, async ({ engine }) => {
    const operations = await import("../../operations/replicas.ts");
    return printVerification(
      context,
      await watched(context, (call) =>
        operations.verifyReplicas(engine, words.slice(0, 1).filter(Boolean), {
          ...call,
          patienceMs: context.timeoutMs(PATIENCE_MS),
        }),
      ),
    );
  });
}

async function repairReplica(
  context: Context,
  { node }: RepairOptions,
  words: readonly string[],
): Promise<ExitCode> {
  const [shard = ""] = words;
  return withCluster(context, async ({ engine }) => {
    const operations = await import("../../operations/replicas.ts");
    return printVerification(
      context,
      await watched(context, (call) => operations.repairReplica(engine, { shard, node }, call)),
    );
  });
}

async function printVerification(context: Context, { shards, same }: Verification): Promise<ExitCode> {
  const document = { apiVersion: "mem0ctl/v1", kind: "Verification", same, shards };
  await context.print(document, async (_document, theme) => {
    const { renderVerification } = await import("../../render/verification.ts");
    return renderVerification(shards, theme);
  });
  return same ? EXIT.done : EXIT.degraded;
}

async function addReplica(
  context: Context,
  options: AddOptions,
  words: readonly string[],
): Promise<ExitCode> {
  const [shard = ""] = words;
  return runStep(context, { kind: "add-replica", shard, to: options.to }, options);
}

async function removeReplica(
  context: Context,
  options: RemoveOptions,
  words: readonly string[],
): Promise<ExitCode> {
  const [shard = ""] = words;
  const { from } = options;
  const { confirm } = await import("../confirm.ts");
  const what = `this deletes the copy of shard ${shard} on ${from}; the shard has one copy less afterwards`;
  if (!(await confirm(context, what, "Take it away?"))) {
    throw new Mem0ctlError("failed", "declined", "nothing was changed", {
      why: "the answer was no",
      hint: "give --yes to remove it without being asked",
    });
  }
  return runStep(context, { kind: "remove-replica", shard, from }, options);
}

async function runStep(context: Context, step: CopyStep, options: MannerOptions): Promise<ExitCode> {
  return withCluster(context, async ({ engine }) => {
    const { runCopyStep } = await import("../../operations/moves.ts");
    const result = await watched(context, (call) => runCopyStep(engine, step, mannerOf(options), call));
    await printOperation(context, result.operation, result.nothingToDo);
    return EXIT.done;
  });
}

async function showLag(context: Context): Promise<ExitCode> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { clusterStatus } = await import("../../operations/status.ts");
    const view = await clusterStatus(engine, manifest.limits, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
    const { apiVersion, cluster, replication } = view;
    const replicas = view.shards.flatMap((shard) =>
      shard.replicas.map((replica) => ({ shard: shard.id, ...replica })),
    );
    const document = { apiVersion, kind: "ReplicaLag", cluster, replication, replicas };
    await context.print(document, async (_document, theme, wide) => {
      const { renderReplicaLag } = await import("../../render/replica-lag.ts");
      return renderReplicaLag(view, theme, { wide });
    });
    return exitCodeOfAnswers(view);
  });
}
