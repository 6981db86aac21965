// One script for each shell. They are checked in under completions/ too, for packagers; the generator
// (.config/generate.mjs) and `mem0ctl completion` call this same function.

import type { Command } from "commander";
import { bashScript } from "./bash.ts";
import { fishScript } from "./fish.ts";
import { powershellScript } from "./powershell.ts";
import { treeOf } from "./tree.ts";
import { zshScript } from "./zsh.ts";

/**
 * File names under completions/, as the shells look for them.
 *
 * @internal .config/generate.mjs writes these files.
 */
export const COMPLETION_FILES: Readonly<Record<string, string>> = {
  bash: "mem0ctl.bash",
  zsh: "_mem0ctl",
  fish: "mem0ctl.fish",
  powershell: "mem0ctl.ps1",
};

export function completionScript(shell: string, program: Command): string {
  const tree = treeOf(program);
  switch (shell) {
    case "bash":
      return bashScript(tree);
    case "zsh":
      return zshScript(tree);
    case "fish":
      return fishScript(tree);
    case "powershell":
      return powershellScript(tree);
    default:
      throw new RangeError(`no completions for ${shell}`);
  }
}
