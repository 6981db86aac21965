// What the settings of a manifest come to, for people.

import type { Manifest, Meaning } from "../model/manifest.ts";
import { formatDuration } from "../model/units.ts";
import { renderFields } from "./table.ts";
import { counted } from "./text.ts";
import type { Theme } from "./theme.ts";

export function renderMeaning(manifest: Manifest, meaning: Meaning, theme: Theme): string {
  const { nodes, sharding, consensus } = manifest;
  const roles = (["primary", "secondary", "arbiter"] as const)
    .map((role) => ({ role, count: nodes.filter((node) => node.role === role).length }))
    .filter(({ count }) => count > 0)
    .map(({ role, count }) => `${count} ${role}`);
  const zones = new Set(nodes.map((node) => node.zone)).size;
  return `${renderFields(theme, [
    ["cluster", `${manifest.name}, engine ${manifest.engine}`],
    ["nodes", `${nodes.length} in ${counted(zones, "zone")}: ${roles.join(", ")}`],
    ["shards", `${sharding.shards} by ${sharding.strategy} of ${sharding.key}`],
    [
      "consensus",
      `${consensus.protocol}, heartbeat ${formatDuration(consensus.heartbeatIntervalMs)}, election timeout ${formatDuration(consensus.electionTimeoutMs)}`,
    ],
    ["meaning", meaning.sentence],
  ])}\n`;
}
