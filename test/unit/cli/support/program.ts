// Runs the program in this process: real commands, real files, streams that remember what was written.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { afterAll } from "vitest";
import { runCli } from "../../../../src/cli/run.ts";

export interface Outcome {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Buffer;
  /** stdout and stderr are terminals; stdin is not, so nothing is asked. */
  readonly terminal?: boolean;
  readonly signal?: AbortSignal;
  /** Called with all of stdout so far, whenever something is written to it. */
  readonly onStdout?: (text: string) => void;
}

class Collector extends Writable {
  text = "";
  readonly isTTY: boolean;
  readonly columns = 80;
  readonly #onText: ((text: string) => void) | undefined;

  constructor(isTTY: boolean, onText?: (text: string) => void) {
    super();
    this.isTTY = isTTY;
    this.#onText = onText;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString("utf8");
    this.#onText?.(this.text);
    done();
  }
}

export async function mem0ctl(argv: readonly string[], surroundings: Surroundings = {}): Promise<Outcome> {
  const { cwd = tmpdir(), env = {}, stdin = "", terminal = false, signal } = surroundings;
  const stdout = new Collector(terminal, surroundings.onStdout);
  const stderr = new Collector(terminal);
  const exit = await runCli(argv, {
    stdin: Readable.from(stdin.length === 0 ? [] : [Buffer.from(stdin)]),
    stdout,
    stderr,
    env: { LANG: "C.UTF-8", ...env },
    cwd,
    signal: signal ?? new AbortController().signal,
    handOver: () => undefined,
    held: new Set(),
    importModule: async (url) => import(url),
  });
  return { exit, stdout: stdout.text, stderr: stderr.text };
}

const cleanups: (() => unknown)[] = [];

/** Runs when the tests of the importing file are over; may be called from tests and from hooks. */
export function cleanUpAfterwards(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

afterAll(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A directory of its own for each call. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "mem0ctl-cli-"));
  cleanUpAfterwards(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** A field of parsed JSON, by its path. */
export function at(json: string, ...path: readonly (string | number)[]): unknown {
  let value: unknown = JSON.parse(json);
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value;
}
