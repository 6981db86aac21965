// `mem0ctl memories …`: the group; its commands are in three files, by what they do.

import type { Command } from "commander";
import { newGroup } from "../command.ts";
import type { Action } from "../command.ts";
import { bulkCommands } from "./memories-bulk.ts";
import { readingCommands } from "./memories-read.ts";
import { writingCommands } from "./memories-write.ts";

export function memoriesCommand(action: Action): Command {
  return newGroup("memories", "Add, find, change, import and export memories", [
    ...writingCommands(action),
    ...readingCommands(action),
    ...bulkCommands(action),
  ]);
}
