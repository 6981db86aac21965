// `mem0ctl replicas lag`: how far every replica is behind its leader, the worst first.

import type { Command } from "commander";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, newGroup, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import type { ExitCode } from "../exit.ts";
import { exitCodeOfAnswers } from "./answers.ts";

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
  return newGroup("replicas", "Show the replicas' state and lag", [lag]);
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
