// What the program may touch of the process it runs in, passed in, so that tests run the whole program
// without one. Only `main.ts` makes it from the real process.

import type { Readable } from "node:stream";

export interface InputStream extends Readable {
  readonly isTTY?: boolean;
}

export interface OutputStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface CliIo {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborted by Ctrl-C, SIGTERM or SIGHUP; `reason` is the exit code to end with. */
  readonly signal: AbortSignal;
  /**
   * Hands the process over to a node that runs in it: SIGINT, SIGTERM, SIGHUP and a closed stdout are the node's
   * business from now on, because to end under it would cut off its writes.
   */
  readonly handOver: () => void;
  /**
   * Work that is seen to its end after an interruption, too, because it takes away what it began: the process
   * waits for it longer than for any other. A second Ctrl-C ends it all the same.
   */
  readonly held: Set<Promise<unknown>>;
  /** Loads a module that is not bundled into the program, by its URL. */
  readonly importModule: (url: string) => Promise<unknown>;
}

/**
 * Resolves when the stream took the text, so that a slow reader slows the writer; with false when it takes nothing
 * any more, as a closed pipe does.
 */
export function write(stream: OutputStream, text: string): Promise<boolean> {
  return new Promise((resolve) => {
    stream.write(text, (error) => {
      resolve(error === undefined || error === null);
    });
  });
}

/** A person is at a terminal who can be asked: questions go to stderr, because stdout is for data. */
export function canAsk(io: CliIo): boolean {
  return io.stdin.isTTY === true && io.stderr.isTTY === true;
}
