// What the settings of a manifest come to, for people.

import type { Manifest, Meaning } from "../model/manifest.ts";
import { formatDuration } from "../model/units.ts";
import { renderFields } from "./table.ts";
import { counted } from "./text.ts";
import type { Theme } from "./theme.ts";

export function renderMeaning(manifest: Manifest, meaning: Meaning, theme: Theme): string {
  const { nodes, sharding } = manifest;
  const roles = (["primary", "secondary", "arbiter"] as const)
    .map((role) => ({ role, count: nodes.filter((node) => node.role === role).length }))
    .filter(({ count }) => count > 0)
    .map(({ role, count }) => `${count} ${role}`);
  const zones = new Set(nodes.map((node) => node.zone)).size;
  return `${renderFields(theme, [
    ["cluster", `${manifest.name}, engine ${manifest.engine}`],
    ["nodes", `${nodes.length} in ${counted(zones, "zone")}: ${roles.join(", ")}`],
    ["shards", `${sharding.shards} by ${sharding.strategy} of ${sharding.key}`],
    ["consensus", consensusText(manifest, meaning)],
    ["meaning", meaning.sentence],
  ])}\n`;
}

/** What the protocol is told: levels where it has them; times of elections where it has those. */
function consensusText({ consensus }: Manifest, { levels, copies, replicatesBy }: Meaning): string {
  const { protocol, heartbeatIntervalMs, electionTimeoutMs, consistency } = consensus;
  if (replicatesBy !== undefined) {
    return `${replicatesBy}; election timeout ${formatDuration(electionTimeoutMs)}`;
  }
  if (levels !== undefined) {
    const level = (asked: string | number, number: number): string =>
      typeof asked === "number" ? `${number} of ${copies}` : `${asked} (${number} of ${copies})`;
    return `quorum, leaderless: read ${level(consistency.read, levels.read)}, write ${level(consistency.write, levels.write)}`;
  }
  const { maxStalenessMs } = consistency;
  const bound = maxStalenessMs === undefined ? "" : ` up to ${formatDuration(maxStalenessMs)}`;
  const reads = consistency.read === "stale" ? `, reads stale${bound}` : "";
  return `${protocol}, heartbeat ${formatDuration(heartbeatIntervalMs)}, election timeout ${formatDuration(electionTimeoutMs)}${reads}`;
}
