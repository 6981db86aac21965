// The pid file of a spawned node, as text: the node writes it when it starts, the CLI reads it before
// it signals anything. Pure: the callers read and write. A pid file alone proves nothing, because the
// pid may have been given to another program since; `startTime` and `bootId` are what makes it checkable.

import { NAME_PATTERN } from "./ids.ts";
import type { NodeId } from "./ids.ts";

/** In a node's data directory, mode 0600. */
export const PID_FILE = "node.pid";
/**
 * In a node's data directory, mode 0600, of the same form: written by whoever spawned the node, which is
 * there before the node has got as far as its own.
 */
export const SPAWN_FILE = "node.spawn";
/** In a node's data directory, mode 0600: stdout and stderr of a spawned node. */
export const LOG_FILE = "node.log";
/** A pid file larger than this is not one. */
export const PID_FILE_BYTES_MAX = 4096;

export interface PidRecord {
  readonly pid: number;
  /**
   * When the process started, opaque, compared as a whole. Linux: field 22 of `/proc/<pid>/stat`
   * (clock ticks since boot; see `startTimeOfStat`). Elsewhere: what `ps -o lstart= -p <pid>` prints, trimmed.
   */
  readonly startTime: string;
  /** Linux: `/proc/sys/kernel/random/boot_id`, trimmed: start times of two boots do not compare. Elsewhere "". */
  readonly bootId: string;
  readonly node: NodeId;
  readonly cluster: string;
  readonly port: number;
}

export function encodePidFile(record: PidRecord): string {
  const { pid, startTime, bootId, node, cluster, port } = record;
  return `${JSON.stringify({ format: 1, pid, startTime, bootId, node, cluster, port })}\n`;
}

/** undefined for anything that `encodePidFile` did not write. */
export function parsePidFile(text: string): PidRecord | undefined {
  if (text.length > PID_FILE_BYTES_MAX) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const pid = fields.get("pid");
  const startTime = fields.get("startTime");
  const bootId = fields.get("bootId");
  const node = fields.get("node");
  const cluster = fields.get("cluster");
  const port = fields.get("port");
  if (fields.get("format") !== 1) return undefined;
  // Pids 0 and below address process groups, 1 is init: a signal to them would hit strangers.
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid < 2) return undefined;
  if (typeof startTime !== "string" || startTime === "" || typeof bootId !== "string") return undefined;
  if (typeof node !== "string" || !NAME_PATTERN.test(node)) return undefined;
  if (typeof cluster !== "string" || !NAME_PATTERN.test(cluster)) return undefined;
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return { pid, startTime, bootId, node, cluster, port };
}

/**
 * Field 22 of a Linux `/proc/<pid>/stat` line; undefined when the text is not one. The second field, the
 * command's name, may itself hold spaces and parentheses, so counting starts after the last `)`.
 */
export function startTimeOfStat(stat: string): string | undefined {
  const end = stat.lastIndexOf(")");
  if (end < 0) return undefined;
  const ticks = stat.slice(end + 2).split(" ")[19];
  return ticks !== undefined && /^\d+$/.test(ticks) ? ticks : undefined;
}

/** The state letter (field 3) of `/proc/<pid>/stat`: `Z` and `X` are processes that have already ended. */
export function stateOfStat(stat: string): string | undefined {
  const end = stat.lastIndexOf(")");
  return end < 0 ? undefined : stat.charAt(end + 2) || undefined;
}
