// What `up` and `restart` print: what was done to each node, and how the cluster is afterwards.

import type { UpResult } from "../../operations/up.ts";
import type { Context } from "../context.ts";
import { exitCodeOfHealth } from "../exit.ts";
import type { ExitCode } from "../exit.ts";

export async function printStarted(context: Context, result: UpResult): Promise<ExitCode> {
  const { actions, view } = result;
  const document = { apiVersion: "mem0ctl/v1", kind: "NodeActions", actions, status: view };
  await context.print(document, async (_document, theme, wide) => {
    const { renderActions } = await import("../../render/nodes.ts");
    const { renderStatus } = await import("../../render/status.ts");
    return `${renderActions(actions, theme)}\n${renderStatus(view, theme, { wide })}`;
  });
  return exitCodeOfHealth(view.health, "degraded");
}
