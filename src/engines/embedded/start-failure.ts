// Why a spawned node ended before it answered: taken from what it wrote to its log, from its exit code,
// and from who has its port. The log is untrusted text and is made safe before it goes into a message.

import { open } from "node:fs/promises";

import { errorFromBody, Mem0ctlError } from "../../model/errors.ts";
import type { NodeSpec } from "../../model/manifest.ts";
import { errorAnswer } from "./answers.ts";
import { portHolder } from "./port-holder.ts";
import type { NodeExit, SpawnedNode } from "./processes.ts";

const TAIL_BYTES_MAX = 64 * 1024;
const LINES_SHOWN_MAX = 5;
const LINE_CHARACTERS_MAX = 300;

/**
 * A node that cannot start writes, as a line of its log, the error as the HTTP API would (`ErrorBody`);
 * such an error is given on as it is, with its code (`port-taken`, `data-of-other-cluster`,
 * `data-newer-format`, `data-locked`, `disk-full`…). A node that could not even do that is `node-died`.
 */
export async function startFailure(
  node: NodeSpec,
  spawned: SpawnedNode,
  exit: NodeExit,
): Promise<Mem0ctlError> {
  const lines = await logLines(spawned);
  const shown = lines.slice(-LINES_SHOWN_MAX).map(safeLine);
  const data = {
    node: node.id,
    exitCode: exit.code,
    signal: exit.signal,
    logFile: spawned.logFile,
    log: shown,
  };
  const said = lastError(lines);
  if (said?.code === "port-taken" || (said === undefined && /\bEADDRINUSE\b/.test(lines.join("\n")))) {
    return portTaken(node, data);
  }
  if (said !== undefined) {
    return new Mem0ctlError(said.kind, said.code, `${node.id} did not start: ${said.message}`, {
      ...(said.why === undefined ? {} : { why: said.why }),
      hint: said.hint ?? `its log: \`mem0ctl nodes logs ${node.id}\``,
      data: { ...said.data, ...data },
    });
  }
  if (/\bENOSPC\b/.test(lines.join("\n"))) {
    return new Mem0ctlError("full", "disk-full", `${node.id} did not start: its disk is full`, {
      why: `nothing more fits into ${node.dataDir}`,
      hint: "free space there and run `mem0ctl up` again",
      data,
    });
  }
  const how = exit.signal === null ? `exit code ${exit.code ?? "unknown"}` : `signal ${exit.signal}`;
  return new Mem0ctlError("failed", "node-died", `${node.id} ended while it started (${how})`, {
    why: shown.at(-1) ?? "its log says nothing",
    hint: `its log: \`mem0ctl nodes logs ${node.id}\``,
    data,
  });
}

/** @param data goes into the error. Used too when the port answers, but not as the node. */
export async function portTaken(
  node: NodeSpec,
  data: Readonly<Record<string, unknown>> = {},
): Promise<Mem0ctlError> {
  const { address, port } = node.listen ?? node;
  const holder = await portHolder(port);
  const who = holder === undefined ? "another program" : `${safeLine(holder.name)} (pid ${holder.pid})`;
  return new Mem0ctlError("failed", "port-taken", `port ${port} of ${node.id} is taken by ${who}`, {
    why: `${node.id} listens on ${address}`,
    hint: "stop that program, or give the node another port in the manifest",
    data: { ...data, node: node.id, port, ...(holder === undefined ? {} : { holder }) },
  });
}

async function logLines({ logFile, logOffset }: SpawnedNode): Promise<string[]> {
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

function lastError(lines: readonly string[]): Mem0ctlError | undefined {
  for (const line of lines.toReversed()) {
    if (!line.startsWith("{")) continue;
    try {
      return errorFromBody(errorAnswer(JSON.parse(line), ""));
    } catch {
      // Any other line of the log.
    }
  }
  return undefined;
}

/** One printable line: no control or format characters (terminal escapes, bidi), bounded. */
function safeLine(line: string): string {
  const plain = line.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, " ").trim();
  return plain.length > LINE_CHARACTERS_MAX ? `${plain.slice(0, LINE_CHARACTERS_MAX)}…` : plain;
}
