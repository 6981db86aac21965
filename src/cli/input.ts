// Text that comes in: from a file or, as `-`, from stdin, line by line, without holding all of it.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { TextDecoder } from "node:util";
import { Mem0ctlError } from "../model/errors.ts";
import { inDirectory } from "./context.ts";
import type { CliIo } from "./io.ts";

/** Far above any line of the interchange format (8 MiB of bytes); below what would fill the memory. */
const LINE_CHARACTERS_MAX = 16 << 20;

/**
 * The lines of a file, or of stdin when the name is `-`, without their line ends.
 * @throws Mem0ctlError `cannot-read` (kind invalid), `line-too-long` (kind too-large).
 */
export async function* linesOf(io: CliIo, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8");
  let rest = "";
  let number = 1;
  for await (const chunk of await bytesOf(io, name)) {
    const parts = (rest + textOf(chunk, decoder)).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) {
      yield line.endsWith("\r") ? line.slice(0, -1) : line;
      number += 1;
    }
    if (rest.length > LINE_CHARACTERS_MAX) {
      throw new Mem0ctlError("too-large", "line-too-long", `line ${number} of ${name} is too long`, {
        why: "a line may have 8 MiB",
        hint: "the file should be JSON Lines: one memory on each line",
      });
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

async function bytesOf(io: CliIo, name: string): Promise<AsyncIterable<unknown>> {
  if (name === "-") return io.stdin;
  const path = inDirectory(io.cwd, name);
  const found = await stat(path).catch((cause: unknown) => {
    throw cannotRead(name, "not found, or not readable", cause);
  });
  if (found.isDirectory()) throw cannotRead(name, "it is a directory");
  return createReadStream(path);
}

function textOf(chunk: unknown, decoder: TextDecoder): string {
  if (typeof chunk === "string") return chunk;
  if (chunk instanceof Uint8Array) return decoder.decode(chunk, { stream: true });
  throw new TypeError("a stream gave neither text nor bytes");
}

function cannotRead(name: string, why: string, cause?: unknown): Mem0ctlError {
  return new Mem0ctlError("invalid", "cannot-read", `cannot read ${name}`, {
    why,
    hint: "name a file, or - for standard input",
    ...(cause === undefined ? {} : { cause }),
  });
}
