// From the words of a line to the command that runs, over a table of commands. A command's file is loaded
// when its name is on the line; all of them only for help, for an unknown word (to say what was meant) and
// for generating completions.

import { Command } from "commander";
import { VERSION } from "../model/version.ts";
import { examples, newCommand, notes } from "./command.ts";
import type { Action } from "./command.ts";
import { createContext } from "./context.ts";
import { EXIT } from "./exit.ts";
import type { ExitCode } from "./exit.ts";
import type { CliIo } from "./io.ts";

/** Command names and what loads each, in the order of help. */
export type Commands = Readonly<Record<string, (action: Action) => Promise<Command>>>;

/** Parses the line and runs its command. Throws what the command throws, and UsageError. */
export async function runCommand(argv: readonly string[], io: CliIo, commands: Commands): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const action: Action =
    (run) =>
    async (...parsed) => {
      // commander calls an action with the arguments, the options, and last the command itself.
      const command = parsed.at(-1);
      if (!(command instanceof Command)) throw new TypeError("commander gave no command");
      exitCode = (await run(createContext(io, command), command.opts(), command.args)) ?? EXIT.done;
    };
  const program = rootCommand();
  const word = firstWord(argv, program);
  // `completion` describes the others, so it needs them.
  const alone = word !== undefined && word !== "completion" && Object.hasOwn(commands, word);
  const loader = alone ? commands[word] : undefined;
  const loaded = loader === undefined ? await loadAll(commands, action) : [await loader(action)];
  for (const command of loaded) program.addCommand(command);
  printTo(program, io);
  await program.parseAsync(argv, { from: "user" });
  return exitCode;
}

/** The first word that is neither a global flag nor the value of one. */
function firstWord(argv: readonly string[], program: Command): string | undefined {
  const valued = program.options.filter(({ required }) => required);
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index];
    if (word === undefined || !word.startsWith("-")) return word;
    if (valued.some(({ short, long }) => word === short || word === long)) index += 1;
  }
  return undefined;
}

/** The whole tree, to be walked and not to be run. */
export async function treeOf(commands: Commands): Promise<Command> {
  const program = rootCommand();
  const inert: Action = () => async () => undefined;
  for (const command of await loadAll(commands, inert)) program.addCommand(command);
  return program;
}

function loadAll(commands: Commands, action: Action): Promise<Command[]> {
  return Promise.all(Object.values(commands).map((load) => load(action)));
}

function rootCommand(): Command {
  const program = newCommand("mem0ctl", "Stands up and operates clusters of AI-agent memory.");
  program.version(VERSION, "-V, --version", "show the version");
  program.usage("[options] <command>");
  program.addHelpText(
    "after",
    examples(
      ["mem0ctl init cluster --yes", "a manifest for three nodes on this machine"],
      ["mem0ctl up", "start them; wait until healthy"],
      ["mem0ctl status", "nodes, leader, replication, and why if not healthy"],
      ["mem0ctl demo", "the whole story in under a minute"],
    ) +
      notes(
        "Exit codes: 0 done or healthy, 1 failed, 2 usage or invalid manifest, 3 degraded, 4 unavailable, 5 timed out (the outcome of a write is unknown), 6 conflict, 7 not allowed, 130 interrupted.",
      ),
  );
  return program;
}

/** Help goes to the streams of this run; our own errors are printed by run.ts, so commander prints none. */
function printTo(command: Command, io: CliIo): void {
  command.configureOutput({
    writeOut: (text) => io.stdout.write(text),
    writeErr: (text) => io.stderr.write(text),
    outputError: () => undefined,
    getOutHelpWidth: () => Math.min(io.stdout.columns ?? 80, 100),
    getErrHelpWidth: () => Math.min(io.stderr.columns ?? 80, 100),
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  for (const child of command.commands) printTo(child, io);
}
