// The log of a spawned node: its last lines, and what is added to it while someone watches. It reads the
// file that `up` directed the node's output to, so it works when the node is down; it asks no node.

import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

import type { Engine } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";

export interface LogOptions {
  /** How many of the last lines to begin with. */
  readonly lines: number;
  /** Go on with lines as they are written, until the signal fires. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
}

const CHUNK_BYTES = 64 * 1024;
const FOLLOW_INTERVAL_MS = 200;
/** A line longer than this is given in pieces, so that a log without line ends cannot fill the memory. */
const LINE_CHARACTERS_MAX = 1 << 20;

/**
 * Yields lines without their line ends, as they are in the file: untrusted text.
 * @throws Mem0ctlError `no-log` (kind not-found) when the node has none on this machine.
 */
export async function* readLog(engine: Engine, node: NodeId, options: LogOptions): AsyncGenerator<string> {
  const path = engine.logFile(node);
  let file = await openLog(path, node);
  try {
    let position = await startOfLastLines(file, options.lines);
    let rest = "";
    let decoder = new TextDecoder();
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, position);
      if (bytesRead > 0) {
        position += bytesRead;
        const parts = (rest + decoder.decode(buffer.subarray(0, bytesRead), { stream: true })).split("\n");
        rest = parts.pop() ?? "";
        yield* parts;
        if (rest.length > LINE_CHARACTERS_MAX) {
          yield rest;
          rest = "";
        }
        continue;
      }
      if (options.follow !== true || options.signal?.aborted === true) break;
      // Interrupted, it reads what was written until then and ends.
      await pause(
        FOLLOW_INTERVAL_MS,
        undefined,
        options.signal === undefined ? {} : { signal: options.signal },
      ).catch(() => undefined);
      // A node that was started anew may have begun a new file under the same name.
      const replacement = await reopened(file, path, position);
      if (replacement !== undefined) {
        await file.close();
        file = replacement;
        position = 0;
        decoder = new TextDecoder();
        if (rest !== "") yield rest;
        rest = "";
      }
    }
    if (rest !== "") yield rest;
  } finally {
    await file.close();
  }
}

async function openLog(path: string, node: NodeId): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    throw new Mem0ctlError("not-found", "no-log", `${node} has no log on this machine`, {
      why: `${path} cannot be read`,
      hint: "only nodes that `mem0ctl up` spawned here have one; for others look where they run",
      cause,
    });
  }
}

/** The byte at which the last `lines` lines begin, found by reading backwards. */
async function startOfLastLines(file: FileHandle, lines: number): Promise<number> {
  let position = (await file.stat()).size;
  if (lines <= 0) return position;
  // The line end that closes the last line does not count.
  let missing = lines + 1;
  let last = true;
  while (position > 0) {
    const length = Math.min(CHUNK_BYTES, position);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, position - length);
    if (last && buffer[length - 1] !== 0x0a) missing -= 1;
    last = false;
    for (let index = length - 1; index >= 0; index -= 1) {
      if (buffer[index] !== 0x0a) continue;
      missing -= 1;
      if (missing === 0) return position - length + index + 1;
    }
    position -= length;
  }
  return 0;
}

async function reopened(file: FileHandle, path: string, position: number): Promise<FileHandle | undefined> {
  const current = await file.stat();
  const next = await open(path, "r").catch(() => undefined);
  if (next === undefined) return undefined;
  const named = await next.stat();
  if (named.ino !== current.ino || named.dev !== current.dev || named.size < position) return next;
  await next.close();
  return undefined;
}
