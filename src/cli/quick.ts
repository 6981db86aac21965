// The commands that scripts ask in loops, once more as a program of their own, which is built into one
// file: finding and opening the many files that the whole program is split into takes such a command more
// time than its work. The code is the same, only the table is smaller. What a quick command may need must
// stay small: nothing here may ask a question.

import { runCommand } from "./command-line.ts";
import type { Commands } from "./command-line.ts";
import type { ExitCode } from "./exit.ts";
import type { CliIo } from "./io.ts";
import { runLine } from "./run-line.ts";

const COMMANDS = {
  validate: async (action) => (await import("./commands/validate.ts")).validateCommand(action),
  status: async (action) => (await import("./commands/status.ts")).statusCommand(action),
  wait: async (action) => (await import("./commands/wait.ts")).waitCommand(action),
} as const satisfies Commands;

export type QuickCommand = keyof typeof COMMANDS;

/** Runs a line whose first word is a quick command, just as `run.ts` would. */
export function runCli(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  return runLine(argv, io, (...line) => runCommand(...line, COMMANDS));
}
