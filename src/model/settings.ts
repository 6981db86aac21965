// What a node was started with, of what is in its manifest and in no shard map: so that a manifest that was edited since
// can be compared with what the nodes go by.

import { parseReadLevel, parseWriteLevel, type Consistency } from "./consistency.ts";
import type { Manifest } from "./manifest.ts";

/** By the name of the field; of secrets whose they are, and never what they are. */
export type Settings = Readonly<Record<string, string>>;

export function settingsOf(
  manifest: Pick<Manifest, "consensus" | "embedding" | "limits" | "security">,
): Settings {
  const { consensus, embedding, limits, security } = manifest;
  const { read, write, maxStalenessMs } = consensus.consistency;
  const bound = maxStalenessMs === undefined ? "" : `, at most ${exact(MS, maxStalenessMs)} old`;
  return {
    "limits.maxLag": exact(MS, limits.maxLagMs),
    "limits.body": exact(BYTES, limits.bodyBytesMax),
    "limits.batch": String(limits.batchMax),
    "limits.connections": String(limits.connectionsMax),
    "consensus.heartbeatInterval": exact(MS, consensus.heartbeatIntervalMs),
    "consensus.electionTimeout": exact(MS, consensus.electionTimeoutMs),
    "consensus.consistency": `read ${read}${bound}, write ${write}`,
    embedding: [embedding.provider, embedding.model ?? "", `${embedding.dimensions} dimensions`]
      .filter((word) => word !== "")
      .join(", "),
    "embedding.url": embedding.url ?? "none",
    "security.tls": security.tls === undefined ? "off" : "on",
    "security.tokens":
      security.tokens
        .map(({ name, role }) => `${name} (${role})`)
        .toSorted()
        .join(", ") || "none",
  };
}

/** The levels that whoever was started with `settings` goes by; undefined where they do not say. */
export function levelsIn(settings: Settings): Pick<Consistency, "read" | "write"> | undefined {
  const said = /^read (\w+)(?:,.*)?, write (\w+)$/.exec(settings["consensus.consistency"] ?? "");
  const read = parseReadLevel(said?.[1] ?? "");
  const write = parseWriteLevel(said?.[2] ?? "");
  return read === undefined || write === undefined ? undefined : { read, write };
}

type Units = readonly (readonly [size: number, name: string])[];

const MS: Units = [
  [60_000, "m"],
  [1000, "s"],
  [1, "ms"],
];
const BYTES: Units = [
  [1 << 20, "MiB"],
  [1 << 10, "KiB"],
  [1, "B"],
];

/** As a manifest writes it, in the largest unit that needs no rounding: what is rounded would hide a difference. */
function exact(units: Units, value: number): string {
  const [size, name] = units.find(([unit]) => value % unit === 0) ?? [1, ""];
  return `${value / size}${name}`;
}
