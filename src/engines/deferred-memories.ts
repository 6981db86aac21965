// Memory operations whose code is loaded by the first call: most commands only look at a cluster, and are
// measured by how soon they are done.

import type { MemoryOperations } from "./engine.ts";

export function deferredMemories(open: () => Promise<MemoryOperations>): MemoryOperations {
  return {
    add: async (...call) => (await open()).add(...call),
    search: async (...call) => (await open()).search(...call),
    list: async (...call) => (await open()).list(...call),
    get: async (...call) => (await open()).get(...call),
    history: async (...call) => (await open()).history(...call),
    update: async (...call) => (await open()).update(...call),
    delete: async (...call) => (await open()).delete(...call),
    deleteAll: async (...call) => (await open()).deleteAll(...call),
    import: async (...call) => (await open()).import(...call),
    export: async (...call) => (await open()).export(...call),
    stats: async (...call) => (await open()).stats(...call),
  };
}
