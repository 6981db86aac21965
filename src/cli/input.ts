// Text that comes in: from a file or, as `-`, from stdin, line by line, without holding all of it.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { addAbortSignal } from "node:stream";
import { TextDecoder } from "node:util";
import { Mem0ctlError } from "../model/errors.ts";
import type { UnreadableLine } from "../operations/memories.ts";
import { inDirectory } from "./context.ts";
import type { CliIo } from "./io.ts";

/** Far above any line of the interchange format (8 MiB); below what would fill the memory. */
const LINE_BYTES_MAX = 16 << 20;
const TOO_LONG: UnreadableLine = { why: "is longer than the limit of 8 MiB" };
const NOT_UTF8: UnreadableLine = { why: "is not UTF-8" };
const NEWLINE = 10;

/**
 * The lines of a file, or of stdin when the name is `-`, without their line ends; for one that cannot be taken as it
 * is, why, and the next.
 * @throws Mem0ctlError `cannot-read` (kind invalid); `interrupted` on Ctrl-C, at once, also where whoever should write
 *   to stdin is silent.
 */
export async function* linesOf(io: CliIo, name: string): AsyncGenerator<string | UnreadableLine> {
  try {
    yield* linesIn(await bytesOf(io, name));
  } catch (error) {
    if (io.signal.aborted) throw new Mem0ctlError("failed", "interrupted", "interrupted", { cause: error });
    if (error instanceof Error && "syscall" in error) throw cannotRead(name, error.message, error);
    throw error;
  }
}

async function* linesIn(chunks: AsyncIterable<unknown>): AsyncGenerator<string | UnreadableLine> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let isFirst = true;
  /** Of a line that is too long nothing is kept, and it has been told. */
  const isTooLong = (): boolean => bytes > LINE_BYTES_MAX;
  for await (const chunk of chunks) {
    const all = asBytes(chunk);
    for (let start = 0, end = 0; end !== -1; start = end + 1) {
      end = all.indexOf(NEWLINE, start);
      const part = all.subarray(start, end === -1 ? all.length : end);
      const wasTooLong = isTooLong();
      bytes += part.length;
      if (!isTooLong()) parts.push(part);
      else if (!wasTooLong) yield TOO_LONG;
      if (end === -1) break;
      if (!isTooLong()) yield textOf(Buffer.concat(parts), isFirst);
      parts = [];
      bytes = 0;
      isFirst = false;
    }
  }
  if (bytes > 0 && !isTooLong()) yield textOf(Buffer.concat(parts), isFirst);
}

/**
 * All of stdin as one text, without the last line end.
 * @throws Mem0ctlError `text-unreadable` (kind invalid).
 */
export async function textFromStdin(io: CliIo): Promise<string> {
  const lines: string[] = [];
  let characters = 0;
  for await (const line of linesOf(io, "-")) {
    const why = typeof line !== "string" ? line.why : characters > LINE_BYTES_MAX ? TOO_LONG.why : undefined;
    if (typeof line !== "string" || why !== undefined) {
      throw new Mem0ctlError("invalid", "text-unreadable", `what came on standard input ${why}`, {
        hint: "give it a text in UTF-8, of at most 1 MiB",
      });
    }
    lines.push(line);
    characters += line.length + 1;
  }
  return lines.join("\n");
}

async function bytesOf(io: CliIo, name: string): Promise<AsyncIterable<unknown>> {
  if (name === "-") return addAbortSignal(io.signal, io.stdin);
  const path = inDirectory(io.cwd, name);
  const found = await stat(path).catch((cause: unknown) => {
    throw cannotRead(name, "not found, or not readable", cause);
  });
  if (found.isDirectory()) throw cannotRead(name, "it is a directory");
  return addAbortSignal(io.signal, createReadStream(path));
}

function asBytes(chunk: unknown): Uint8Array {
  if (typeof chunk === "string") return Buffer.from(chunk);
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError("a stream gave neither text nor bytes");
}

/** A byte order mark counts as one only at the beginning of a file. */
function textOf(line: Uint8Array, isFirst: boolean): string | UnreadableLine {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: !isFirst }).decode(line);
    return text.endsWith("\r") ? text.slice(0, -1) : text;
  } catch {
    return NOT_UTF8;
  }
}

function cannotRead(name: string, why: string, cause?: unknown): Mem0ctlError {
  return new Mem0ctlError("invalid", "cannot-read", `cannot read ${name}`, {
    why,
    hint: "name a file, or - for standard input",
    ...(cause === undefined ? {} : { cause }),
  });
}
