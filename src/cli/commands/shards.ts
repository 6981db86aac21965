// `mem0ctl shards map|list|locate|move|split|merge|pin|rebalance`: how the key space is cut, and where the pieces are.

import type { Command } from "commander";
import type { ClusterView } from "../../model/view.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, newGroup, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import type { ExitCode } from "../exit.ts";
import { EXIT } from "../exit.ts";
import { exitCodeOfAnswers } from "./answers.ts";
import { mergeCommand, pinCommand, splitCommand } from "./shards-handovers.ts";
import { moveCommand } from "./shards-moves.ts";
import { rebalanceCommand } from "./shards-rebalance.ts";

export function shardsCommand(action: Action): Command {
  const map = newCommand("map", "Draw nodes by shards: who leads, who follows")
    .addHelpText("after", examples(["mem0ctl shards map", "the picture of the whole cluster"]))
    .action(action(drawMap));
  const list = newCommand("list", "List every shard with its range, leader and replicas")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl shards list", "one line for each"],
        ["mem0ctl shards list -o json", "with every replica and its lag"],
      ),
    )
    .action(action(listShards));
  const locate = newCommand("locate", "Say which shard a key belongs to, and who holds it")
    .argument("<key>", "a shard key: a user id, unless the manifest names another field")
    .addHelpText(
      "after",
      examples(["mem0ctl shards locate alice", "slot, shard, leader and replicas"]) +
        notes("Works when the cluster is down too: then from the manifest, without a leader."),
    )
    .action(action(locate_));
  const moves = [
    rebalanceCommand(action),
    moveCommand(action),
    splitCommand(action),
    mergeCommand(action),
    pinCommand(action),
  ];
  return newGroup("shards", "Show the shard map; find a key; move, split and merge shards", [
    map,
    list,
    locate,
    ...moves,
  ]);
}

async function drawMap(context: Context): Promise<ExitCode> {
  const view = await look(context);
  await context.print(documentOf(view, "ShardMap"), async (_document, theme) => {
    const { renderShardMap } = await import("../../render/shard-map.ts");
    return renderShardMap(view, theme);
  });
  return exitCodeOfAnswers(view);
}

async function listShards(context: Context): Promise<ExitCode> {
  const view = await look(context);
  await context.print(documentOf(view, "ShardList"), async (_document, theme, wide) => {
    const { renderShardsList } = await import("../../render/shards-list.ts");
    return renderShardsList(view, theme, { wide });
  });
  return exitCodeOfAnswers(view);
}

async function locate_(context: Context, _options: object, words: readonly string[]): Promise<ExitCode> {
  const [key = ""] = words;
  return withCluster(context, async ({ engine }) => {
    const { locateKey } = await import("../../operations/locate.ts");
    const location = await locateKey(engine, key, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
    const document = { apiVersion: "mem0ctl/v1", kind: "KeyLocation", ...location };
    await context.print(document, async (_document, theme) => {
      const { renderLocation } = await import("../../render/locate.ts");
      return renderLocation(location, theme);
    });
    return EXIT.done;
  });
}

function look(context: Context): Promise<ClusterView> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { clusterStatus } = await import("../../operations/status.ts");
    return clusterStatus(engine, manifest.limits, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
  });
}

function documentOf(view: ClusterView, kind: "ShardMap" | "ShardList"): object {
  const { apiVersion, cluster, protocol, sharding, epoch, totalShards, copies, levels, shards } = view;
  return { apiVersion, kind, cluster, protocol, sharding, epoch, totalShards, copies, levels, shards };
}
