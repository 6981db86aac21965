// `mem0ctl down`: stops the nodes that `up` spawned. Their data stays.

import type { Command } from "commander";
import { withCluster } from "../cluster.ts";
import { examples, newCommand } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";

const DOWN_TIMEOUT_MS = 30_000;

export function downCommand(action: Action): Command {
  return newCommand("down", "Stop the nodes that `up` started; their data stays")
    .argument("[node...]", "only these nodes (default: all)")
    .addHelpText(
      "after",
      examples(["mem0ctl down", "stop every node of ./cluster.yaml"], ["mem0ctl down node-3", "stop one"]),
    )
    .action(action(down));
}

async function down(context: Context, _options: object, nodes: readonly string[]): Promise<undefined> {
  await withCluster(context, async ({ engine, manifest }) => {
    const { downCluster } = await import("../../operations/up.ts");
    const actions = await context.withProgress((onProgress) =>
      downCluster(engine, manifest, nodes, {
        timeoutMs: context.timeoutMs(DOWN_TIMEOUT_MS),
        signal: context.io.signal,
        onProgress,
      }),
    );
    const document = { apiVersion: "mem0ctl/v1", kind: "NodeActions", actions };
    await context.print(document, async (_document, theme) => {
      const { renderActions } = await import("../../render/nodes.ts");
      return renderActions(actions, theme);
    });
  });
  return undefined;
}
