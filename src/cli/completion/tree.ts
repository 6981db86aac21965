// The command tree as the completion generators need it: commander's objects, walked once into data.
// What a value is completed with follows from its placeholder (`<node>`, `<shard>`, `<file>`) or choices.

import type { Argument, Command, Option } from "commander";

/** What completes a value: fixed words, files, ids that the program is asked for, or nothing. */
export type Values =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "files" | "nodes" | "shards" | "groups" | "none" };

export interface Flag {
  /** `-f`; undefined where there is only a long one. */
  readonly short: string | undefined;
  readonly long: string;
  readonly summary: string;
  /** undefined: the flag takes no value. */
  readonly values: Values | undefined;
}

export interface Branch {
  /** `nodes logs`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly Flag[];
  /** By position; the last one repeats when `variadic`. */
  readonly arguments: readonly Values[];
  readonly variadic: boolean;
}

export interface Tree {
  /** Flags that every command has and that mean the same everywhere. */
  readonly common: readonly Flag[];
  /** Every command that is shown in help, the program itself first; `flags` without the common ones. */
  readonly branches: readonly Branch[];
}

export function treeOf(program: Command): Tree {
  const branches = walk(program, "");
  const inAll = (flag: Flag): boolean =>
    branches.every(({ flags }) => flags.some((other) => same(flag, other)));
  const common = branches[0]?.flags.filter(inAll) ?? [];
  const own = (flag: Flag): boolean => !common.some((other) => same(flag, other));
  return { common, branches: branches.map((branch) => ({ ...branch, flags: branch.flags.filter(own) })) };
}

function same(one: Flag, other: Flag): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** `--lines` and `-n`: what people may type for it. */
export function namesOf({ short, long }: Flag): readonly string[] {
  return short === undefined ? [long] : [long, short];
}

/** One word, or `words` and the words: how the scripts write down what completes a value. */
export function kindOf(values: Values): string {
  return values.kind === "words" ? `words ${values.words.join(" ")}` : values.kind;
}

function walk(command: Command, path: string): Branch[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command);
  const branch: Branch = {
    path,
    commands: children.map((child) => ({ name: child.name(), summary: child.summary() })),
    flags: help.visibleOptions(command).flatMap(flagOf),
    arguments: command.registeredArguments.map(valuesOfArgument),
    variadic: command.registeredArguments.at(-1)?.variadic === true,
  };
  return [branch, ...children.flatMap((child) => walk(child, `${path} ${child.name()}`.trimStart()))];
}

function flagOf(option: Option): Flag[] {
  if (option.long === undefined) return [];
  const values = option.required || option.optional ? valuesOfOption(option) : undefined;
  return [{ short: option.short, long: option.long, summary: option.description, values }];
}

function valuesOfOption(option: Option): Values {
  return valuesOf(/[<[]([^>\].]+)/.exec(option.flags)?.[1] ?? "", option.argChoices);
}

function valuesOfArgument(argument: Argument): Values {
  return valuesOf(argument.name(), argument.argChoices);
}

/** A number of copies may stand in their place. */
const WRITE_LEVELS = ["one", "quorum", "all"];
const READ_LEVELS = ["linearizable", "stale", ...WRITE_LEVELS];

function valuesOf(placeholder: string, choices: readonly string[] | undefined): Values {
  if (choices !== undefined) return { kind: "words", words: choices };
  switch (placeholder) {
    case "file":
      return { kind: "files" };
    case "directory":
      return { kind: "files" };
    case "level":
      return { kind: "words", words: READ_LEVELS };
    case "copies":
      return { kind: "words", words: WRITE_LEVELS };
    case "node":
      return { kind: "nodes" };
    case "shard":
    case "into":
      return { kind: "shards" };
    case "group":
      return { kind: "groups" };
    default:
      return { kind: "none" };
  }
}
