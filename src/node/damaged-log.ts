// What a start does about a log that is damaged: it goes on where other nodes have what this one lost, and can be
// asked what it promised (host/log-recovery.ts). Else the node must not start.

import type { Manifest } from "../model/manifest.ts";
import { isLogShort, type Stores } from "./host/durable-group.ts";
import { readIdentity } from "./identity.ts";
import type { Salvage } from "./storage/log-salvage.ts";

/** Other nodes have what this one may have lost, and can be asked what it promised. */
export function canRecover({ replication, nodes }: Manifest): boolean {
  return replication.replicas > 0 && nodes.length > 1;
}

/**
 * Whether what can be read of a damaged log is enough to go on: without its identity nobody knows this node again. One
 * from before it began is none: it may name another cluster than the one that let the node in later.
 */
export function isEnough(manifest: Manifest, { facts }: Salvage): boolean {
  return canRecover(manifest) && readIdentity({ facts })?.founded === true;
}

/** Whether the end of the log is gone without a trace, which the state betrays. Every group recovers then, where that can be. */
export async function markShort(manifest: Manifest, stores: Stores): Promise<boolean> {
  if (!isLogShort(stores)) return false;
  if (canRecover(manifest)) await stores.log.markLost();
  return true;
}
