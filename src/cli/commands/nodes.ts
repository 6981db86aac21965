// `mem0ctl nodes list|logs`: the processes of the cluster, and what they wrote; nodes-change.ts lets them come and go.

import type { Command } from "commander";
import { Mem0ctlError } from "../../model/errors.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, integerOption, newCommand, newGroup, usageError, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { write } from "../io.ts";
import { exitCodeOfAnswers } from "./answers.ts";
import { nodeChangeCommands } from "./nodes-change.ts";

interface LogsOptions {
  readonly follow?: true;
  readonly lines: number;
}

export function nodesCommand(action: Action): Command {
  const list = newCommand("list", "List every node, answering or not")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl nodes list", "state, role, zone, shards led and held"],
        ["mem0ctl nodes list -o wide", "with pid, version and uptime"],
      ),
    )
    .action(action(listNodes));
  const logs = newCommand("logs", "Show the log of a node that this machine spawned", { shortFile: false })
    .argument("<node>", "which node")
    .option("-f, --follow", "go on as lines are written, until Ctrl-C")
    .option("-n, --lines <count>", "how many of the last lines", integerOption(0, 1_000_000), 50)
    .addHelpText(
      "after",
      examples(
        ["mem0ctl nodes logs node-1", "the last 50 lines"],
        ["mem0ctl nodes logs node-1 -f -n 0", "only what comes"],
      ) + notes(`Here -f follows; the manifest is given with --file, or with -f before \`nodes\`.`),
    )
    .action(action<LogsOptions>(showLogs));
  return newGroup("nodes", "List nodes, read their logs; let them join and leave", [
    list,
    ...nodeChangeCommands(action),
    logs,
  ]);
}

async function listNodes(context: Context): Promise<ExitCode> {
  return withCluster(context, async ({ engine, manifest }) => {
    const { clusterStatus } = await import("../../operations/status.ts");
    const view = await clusterStatus(engine, manifest.limits, {
      timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
      signal: context.io.signal,
    });
    const { apiVersion, cluster, nodes } = view;
    await context.print({ apiVersion, kind: "NodeList", cluster, nodes }, async (_list, theme, wide) => {
      const { renderNodes } = await import("../../render/nodes.ts");
      return renderNodes(view, theme, { wide });
    });
    return exitCodeOfAnswers(view);
  });
}

async function showLogs(context: Context, options: LogsOptions, words: readonly string[]): Promise<ExitCode> {
  const [node = ""] = words;
  return withCluster(context, async ({ engine, manifest }) => {
    if (!manifest.nodes.some(({ id }) => id === node)) {
      const what = `there is no node ${JSON.stringify(node)}`;
      if (/[./]/.test(node)) {
        const hint = "here -f follows the log; give the manifest with --file";
        throw usageError(context.command, "file-not-node", what, hint);
      }
      throw new Mem0ctlError("not-found", "unknown-node", what, {
        hint: `the nodes are ${manifest.nodes.map(({ id }) => id).join(", ")}`,
      });
    }
    const { readLog } = await import("../../operations/logs.ts");
    const { safeText } = await import("../../render/safe.ts");
    const { signal, stdout } = context.io;
    const log = readLog(engine, node, { lines: options.lines, follow: options.follow === true, signal });
    for await (const line of log) {
      if (!(await write(stdout, `${safeText(line)}\n`))) break;
    }
    return EXIT.done;
  });
}
