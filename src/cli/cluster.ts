// What most commands begin and end with: the manifest read, its engine opened, and closed whatever
// happens, because an open connection keeps the process alive.

import type { OpenCluster } from "../operations/cluster.ts";
import type { Context } from "./context.ts";

/** Long enough for a slow node, short enough for a script: the deadline of commands that only look. */
export const LOOK_TIMEOUT_MS = 5000;

export async function withCluster<Result>(
  context: Context,
  use: (cluster: OpenCluster) => Promise<Result>,
): Promise<Result> {
  const { openCluster } = await import("../operations/cluster.ts");
  const token = context.io.env["MEM0CTL_TOKEN"];
  const cluster = await openCluster(context.file, token === undefined || token === "" ? {} : { token });
  try {
    return await use(cluster);
  } finally {
    await cluster.engine.close();
  }
}
