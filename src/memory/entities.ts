// Whom memories belong to, counted: users, agents, runs and apps, over all parts of a cluster.

import type { MemoryStats } from "../model/node-api.ts";
import type { ScopeField } from "./record.ts";
import type { EntityCount } from "./service.ts";

export const ENTITY_TYPES: Readonly<Record<ScopeField, EntityCount["type"]>> = {
  user_id: "user",
  agent_id: "agent",
  run_id: "run",
  app_id: "app",
};

/** One count for each entity, by type and name; a part of the cluster may have one of its own. */
export function mergeEntities(parts: readonly EntityCount[]): readonly EntityCount[] {
  const merged = new Map<string, EntityCount>();
  for (const entity of parts) {
    const name = `${entity.type}\n${entity.name}`;
    const known = merged.get(name);
    merged.set(name, known === undefined ? entity : addCounts(known, entity));
  }
  return [...merged.values()].toSorted((a, b) =>
    a.type === b.type ? (a.name < b.name ? -1 : 1) : a.type < b.type ? -1 : 1,
  );
}

/** How many names there are of each type. */
export function countNames(parts: readonly EntityCount[]): MemoryStats["entities"] {
  const names = (type: EntityCount["type"]): number =>
    new Set(parts.filter((entity) => entity.type === type).map((entity) => entity.name)).size;
  return { users: names("user"), agents: names("agent"), runs: names("run"), apps: names("app") };
}

function addCounts(a: EntityCount, b: EntityCount): EntityCount {
  return {
    ...a,
    memories: a.memories + b.memories,
    created_at: a.created_at < b.created_at ? a.created_at : b.created_at,
    updated_at: a.updated_at > b.updated_at ? a.updated_at : b.updated_at,
  };
}
