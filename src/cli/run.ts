// The whole program, every command of it, over streams that are passed in.

import type { ExitCode } from "./exit.ts";
import type { CliIo } from "./io.ts";
import { runLine } from "./run-line.ts";

/** Never ends the process and never throws. */
export function runCli(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  return runLine(argv, io, async (...line) => (await import("./program.ts")).runProgram(...line));
}
