// The table of all commands. How a line is parsed over it is in `command-line.ts`.

import type { Command } from "commander";
import { runCommand, treeOf } from "./command-line.ts";
import type { Commands } from "./command-line.ts";
import type { ExitCode } from "./exit.ts";
import type { CliIo } from "./io.ts";

/** In the order of help: first what a newcomer types, then what an operator does. */
const COMMANDS: Commands = {
  init: async (action) => (await import("./commands/init.ts")).initCommand(action),
  validate: async (action) => (await import("./commands/validate.ts")).validateCommand(action),
  up: async (action) => (await import("./commands/up.ts")).upCommand(action),
  down: async (action) => (await import("./commands/down.ts")).downCommand(action),
  restart: async (action) => (await import("./commands/restart.ts")).restartCommand(action),
  status: async (action) => (await import("./commands/status.ts")).statusCommand(action),
  wait: async (action) => (await import("./commands/wait.ts")).waitCommand(action),
  plan: async (action) => (await import("./commands/plan.ts")).planCommand(action),
  apply: async (action) => (await import("./commands/apply.ts")).applyCommand(action),
  nodes: async (action) => (await import("./commands/nodes.ts")).nodesCommand(action),
  shards: async (action) => (await import("./commands/shards.ts")).shardsCommand(action),
  replicas: async (action) => (await import("./commands/replicas.ts")).replicasCommand(action),
  leader: async (action) => (await import("./commands/leader.ts")).leaderCommand(action),
  memories: async (action) => (await import("./commands/memories.ts")).memoriesCommand(action),
  migrate: async (action) => (await import("./commands/migrate.ts")).migrateCommand(action),
  serve: async (action) => (await import("./commands/serve.ts")).serveCommand(action),
  schema: async (action) => (await import("./commands/schema.ts")).schemaCommand(action),
  completion: async (action) => (await import("./commands/completion.ts")).completionCommand(action),
  demo: async (action) => (await import("./commands/demo.ts")).demoCommand(action),
  node: async (action) => (await import("./commands/node.ts")).nodeCommand(action),
};

/** Parses the line and runs its command. Throws what the command throws, and UsageError. */
export function runProgram(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  return runCommand(argv, io, COMMANDS);
}

/**
 * The whole tree, to be walked and not to be run.
 *
 * For .config/generate.mjs, and for the test that the README tells of every command.
 */
export function commandTree(): Promise<Command> {
  return treeOf(COMMANDS);
}
