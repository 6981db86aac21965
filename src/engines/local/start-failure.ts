// Why a node that was started here did not come up, as far as every engine's nodes can have it in common:
// who has its port, what its log says, whether its disk is full. A log is untrusted text and is made safe
// before it goes into a message.

import { open, statfs } from "node:fs/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeSpec } from "../../model/manifest.ts";
import type { PidRecord } from "../../model/pid-file.ts";
import { portHolder } from "./port-holder.ts";
import type { NodeExit, SpawnedNode } from "./processes.ts";

const TAIL_BYTES_MAX = 64 * 1024;
const LINES_SHOWN_MAX = 5;
const LINE_CHARACTERS_MAX = 300;
/** On a disk with less room a node may end without a word: its first pages and the log's do not fit. */
const ROOM_BYTES_MIN = 64 * 1024;

/** What every such error carries as data. */
export function startData(
  node: NodeSpec,
  { logFile }: SpawnedNode,
  exit: NodeExit,
  lines: readonly string[],
): { readonly log: readonly string[] } & Readonly<Record<string, unknown>> {
  return {
    node: node.id,
    exitCode: exit.code,
    signal: exit.signal,
    logFile,
    log: lines.slice(-LINES_SHOWN_MAX).map(safeLine),
  };
}

export function diskFull(node: NodeSpec, data: Readonly<Record<string, unknown>>): Mem0ctlError {
  return new Mem0ctlError("full", "disk-full", `${node.id} did not start: its disk is full`, {
    why: `nothing more fits into ${node.dataDir}`,
    hint: "free space there and run `mem0ctl up` again",
    data,
  });
}

export async function nodeDied(
  node: NodeSpec,
  exit: NodeExit,
  data: { readonly log: readonly string[] } & Readonly<Record<string, unknown>>,
): Promise<Mem0ctlError> {
  if (data.log.length === 0 && (await hasNoRoom(node.dataDir))) return diskFull(node, data);
  const how = exit.signal === null ? `exit code ${exit.code ?? "unknown"}` : `signal ${exit.signal}`;
  return new Mem0ctlError("failed", "node-died", `${node.id} ended while it started (${how})`, {
    why: data.log.at(-1) ?? "its log says nothing",
    hint: `its log: \`mem0ctl nodes logs ${node.id}\``,
    data,
  });
}

async function hasNoRoom(directory: string): Promise<boolean> {
  const found = await statfs(directory).catch(() => undefined);
  return found !== undefined && found.bavail * found.bsize < ROOM_BYTES_MIN;
}

/** @param other the port, where it is not the one that the node is reached at. @param data goes into the error. Used too when the port answers, but not as the node. */
export async function portTaken(
  node: NodeSpec,
  data: Readonly<Record<string, unknown>> = {},
  other?: number,
): Promise<Mem0ctlError> {
  const { address, port: own } = node.listen ?? node;
  const port = other ?? own;
  const holder = await portHolder(port);
  const who = holder === undefined ? "another program" : `${safeLine(holder.name)} (pid ${holder.pid})`;
  return new Mem0ctlError("failed", "port-taken", `port ${port} of ${node.id} is taken by ${who}`, {
    why: `${node.id} listens on ${address}${port === own ? "" : `, and needs port ${port} as well`}`,
    hint: "stop that program; a node that has never run can have another port in the manifest instead",
    data: { ...data, node: node.id, port, ...(holder === undefined ? {} : { holder }) },
  });
}

/**
 * A node that is to be started where another manifest, or this one before it was edited, has started one already.
 * @throws Mem0ctlError `node-runs-elsewhere`.
 */
export function refuseElsewhere(node: NodeSpec, { pid, port }: PidRecord): void {
  const { port: own } = node.listen ?? node;
  if (port === own) return;
  throw new Mem0ctlError(
    "conflict",
    "node-runs-elsewhere",
    `${node.id} runs already, on port ${port}, and the manifest gives it port ${own}`,
    {
      why: `pid ${pid} has its data directory ${node.dataDir}`,
      hint: "stop it by the manifest that started it; two clusters of one folder need a `dataDir` each",
      data: { node: node.id, pid, port },
    },
  );
}

/** The lines that this start wrote. */
export async function logLines({ logFile, logOffset }: SpawnedNode): Promise<string[]> {
  const file = await open(logFile, "r").catch(() => undefined);
  if (file === undefined) return [];
  try {
    const { size } = await file.stat();
    const start = Math.max(logOffset, size - TAIL_BYTES_MAX);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    const text = buffer.subarray(0, bytesRead).toString("utf8");
    return text.split("\n").filter((line) => line.trim() !== "");
  } finally {
    await file.close();
  }
}

/** One printable line: no control or format characters (terminal escapes, bidi), bounded. */
function safeLine(line: string): string {
  const plain = line.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, " ").trim();
  return plain.length > LINE_CHARACTERS_MAX ? `${plain.slice(0, LINE_CHARACTERS_MAX)}…` : plain;
}
