// `mem0ctl completion SHELL`: prints the completion script of a shell, made from the command tree.

import { Argument } from "commander";
import type { Command } from "commander";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";

export function completionCommand(action: Action): Command {
  return newCommand("completion", "Print the completion script of a shell")
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh", "fish", "powershell"]))
    .addHelpText(
      "after",
      examples(
        ["source <(mem0ctl completion bash)", "in ~/.bashrc"],
        ["source <(mem0ctl completion zsh)", "in ~/.zshrc, after compinit"],
        ["mem0ctl completion fish | source", "in ~/.config/fish/config.fish"],
        ["mem0ctl completion powershell | Out-String | Invoke-Expression", "in $PROFILE"],
      ) + notes("Node and shard ids are completed from the manifest."),
    )
    .action(action(printCompletion));
}

async function printCompletion(
  context: Context,
  _options: object,
  words: readonly string[],
): Promise<undefined> {
  const [shell = ""] = words;
  const { completionScript } = await import("../completion/scripts.ts");
  await context.printText(completionScript(shell, rootOf(context.command)));
  return undefined;
}

/** The whole tree is there: program.ts loads all of it for this command. */
function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}
