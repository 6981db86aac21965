// What a node says of itself, for choosing whom to hit: never for judging.

import type { NodeReport } from "../../src/model/node-api.ts";

const WAIT_MS = 1000;

/** undefined when it does not answer within a second. */
export async function callReport(host: string): Promise<NodeReport | undefined> {
  try {
    const response = await fetch(`${host}/v1/cluster/node`, { signal: AbortSignal.timeout(WAIT_MS) });
    return response.ok ? ((await response.json()) as NodeReport) : undefined;
  } catch {
    return undefined;
  }
}
