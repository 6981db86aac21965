// Memories over this engine go through a gateway that keeps a scope's memories in one slot. This version has
// none: each call is refused by name, before any server is asked.

import { Mem0ctlError } from "../../model/errors.ts";
import type { MemoryOperations } from "../engine.ts";

export function refusedMemories(): MemoryOperations {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new Mem0ctlError(
        "invalid",
        "no-memories-on-engine",
        "this version keeps no memories in a redis cluster",
        {
          why: "it stands up, shows and rebalances the cluster; the gateway for memories is not in it",
          hint: "keep memories in the embedded engine: `spec.engine: embedded`",
        },
      ),
    );
  return {
    add: refuse,
    search: refuse,
    list: refuse,
    get: refuse,
    history: refuse,
    update: refuse,
    delete: refuse,
    deleteAll: refuse,
    import: refuse,
    export: refuse,
    stats: refuse,
  };
}
