// The shape of every command: a commander command with the global flags on it, whose errors become ours.
// A value's placeholder is its type: `<node>`, `<shard>`, `<group>` and `<file>` are what the completions
// complete, so a placeholder is never invented twice for one thing.

import { Command, Help, InvalidArgumentError, Option } from "commander";
import type { CommanderError } from "commander";
import { Mem0ctlError } from "../model/errors.ts";
import type { ErrorDetails } from "../model/errors.ts";
import { parseDuration } from "../model/units.ts";
import type { Context } from "./context.ts";
import type { ExitCode } from "./exit.ts";

export const FORMATS = ["table", "wide", "json", "yaml"] as const;

/**
 * Turns what a command does into what commander calls. `Options` is the shape that the command's own
 * flags give; commander has parsed and checked them by then. Without an exit code the command is done.
 */
export type Action = <Options extends object>(
  run: (context: Context, options: Options, words: readonly string[]) => Promise<ExitCode | undefined>,
) => (...parsed: unknown[]) => Promise<void>;

/** A mistake in the command line: unlike other errors it shows how the command is used. */
export class UsageError extends Mem0ctlError {
  readonly usage: string;

  constructor(code: string, message: string, usage: string, details: ErrorDetails) {
    super("invalid", code, message, details);
    this.usage = usage;
  }
}

/** `mem0ctl nodes logs`: the words that lead to a command. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** A usage error of this command, for what commander cannot check. */
export function usageError(
  command: Command,
  code: string,
  message: string,
  hint?: string,
  why?: string,
): UsageError {
  const path = pathOf(command);
  return new UsageError(code, message, `Usage: ${path} ${command.usage()}`, {
    hint: hint ?? `see \`${path} --help\``,
    ...(why === undefined ? {} : { why }),
  });
}

/** commander's wording is `error: … 'x'\n(Did you mean y?)`; ours is one line what and one line what to do. */
function fromCommander(command: Command, error: CommanderError): Error {
  if (error.exitCode === 0 || error.code === "commander.help") return error;
  const [line = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const [, what = line, why] = /^(.* is invalid)\. (.*)$/.exec(line) ?? [];
  const code = error.code
    .replace(/^commander\./, "")
    .replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const hint = suggestion?.replace(/^\((.*)\)$/, "$1").replace(/^Did/, "did");
  return usageError(command, code, what.replaceAll("'", "`"), hint, why);
}

const GLOBAL_HEADING = "Global options:";

/** What people look for first comes first: subcommands, then a command's own flags, then the global ones. */
const HELP: Partial<Help> = {
  subcommandTerm: (command) => {
    const names = command.commands.map((member) => member.name());
    const members = names.length > 3 ? [...names.slice(0, 3), "..."] : names;
    const words = command.registeredArguments.map((word) => {
      const name = `${word.name()}${word.variadic ? "..." : ""}`;
      return word.required ? `<${name}>` : `[${name}]`;
    });
    return [command.name(), members.join("|"), ...words].filter((part) => part !== "").join(" ");
  },
  optionDescription: ({ description, argChoices, defaultValue }) => {
    const choices = argChoices === undefined ? "" : `: ${argChoices.join(", ")}`;
    const byDefault =
      defaultValue === undefined || defaultValue === true ? "" : ` (default: ${String(defaultValue)})`;
    return `${description}${choices}${byDefault}`;
  },
  argumentDescription: ({ description, argChoices }) =>
    argChoices === undefined ? description : `${description}: ${argChoices.join(", ")}`,
  formatHelp(command, helper) {
    const sections = Help.prototype.formatHelp.call(this, command, helper).trimEnd().split("\n\n");
    const take = (heading: string): string[] => sections.filter((section) => section.startsWith(heading));
    const named = [...take("Commands:"), ...take(GLOBAL_HEADING)];
    const [usage = "", summary = "", ...rest] = sections.filter((section) => !named.includes(section));
    return `${[usage, summary, ...take("Commands:"), ...rest, ...take(GLOBAL_HEADING)].join("\n\n")}\n`;
  },
};

export interface CommandShape {
  /** Formats of `-o`, when they are not the usual four. */
  readonly formats?: readonly string[];
  /** False where `-f` has an older meaning: `logs -f` follows. */
  readonly shortFile?: boolean;
}

export function newCommand(name: string, summary: string, shape: CommandShape = {}): Command {
  const command = new Command(name);
  command.description(summary).summary(summary);
  command.enablePositionalOptions();
  command.helpCommand(false);
  command.helpOption("-h, --help", "show this help");
  command.configureHelp(HELP);
  command.exitOverride((error) => {
    throw fromCommander(command, error);
  });
  for (const option of globalOptions(shape)) command.addOption(option);
  return command;
}

/** A command that only holds others: it has to be given one of them. */
export function newGroup(name: string, summary: string, members: readonly Command[]): Command {
  const group = newCommand(name, summary);
  for (const member of members) group.addCommand(member);
  return group;
}

function globalOptions(shape: CommandShape): Option[] {
  const formats = shape.formats ?? FORMATS;
  const options = [
    new Option(
      shape.shortFile === false ? "--file <file>" : "-f, --file <file>",
      "the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)",
    ),
    new Option("-o, --output <format>", "how results are printed").choices(formats),
    new Option("--timeout <duration>", "give up after this long, as in 500ms, 30s, 2m").argParser(
      durationOption,
    ),
    new Option("--yes", "answer yes to every question"),
    new Option("--no-input", "never ask; fail where an answer is needed"),
    new Option("--no-color", "plain text (so does NO_COLOR)"),
    new Option("-v, --verbose", "more detail; stack traces of errors"),
  ];
  for (const option of options) option.helpGroup(GLOBAL_HEADING);
  return options;
}

/** Parses `30s` for an option or argument; ms. */
export function durationOption(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  if (/^-\d/.test(text)) throw new InvalidArgumentError("A duration is not negative: 500ms, 30s, 2m, 1h.");
  throw new InvalidArgumentError(
    /^\d+(?:\.\d+)?(?:ms|s|m|h)$/.test(text)
      ? "A duration is at most 24h."
      : "A duration is a number and its unit: 500ms, 30s, 2m, 1h.",
  );
}

/** A parser of whole numbers within `[min, max]`. */
export function integerOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`A whole number from ${min} to ${max} is needed.`);
    }
    return value;
  };
}

/** A parser of numbers above 0, at most `max`. */
export function positiveOption(max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : Number.NaN;
    if (!(value > 0 && value <= max)) {
      throw new InvalidArgumentError(`A number above 0 is needed, at most ${max}.`);
    }
    return value;
  };
}

/** A parser of JSON objects. */
export function jsonObjectOption(example: string): (text: string) => Readonly<Record<string, unknown>> {
  return (text) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new InvalidArgumentError(`A JSON object is needed, such as ${example}.`);
    }
    return Object.fromEntries(Object.entries(value));
  };
}

const HELP_COLUMNS = 80;

/** Examples under a command's help: what is typed, and what it is for. */
export function examples(...lines: readonly (readonly [typed: string, purpose: string])[]): string {
  const longest = Math.max(...lines.map(([, purpose]) => purpose.length));
  const room = HELP_COLUMNS - longest - 4;
  const beside = lines.filter(([typed, purpose]) => purpose !== "" && typed.length <= room);
  const width = Math.max(0, ...beside.map(([typed]) => typed.length));
  const rows = lines.map(([typed, purpose]) => {
    // What is too long to have its purpose beside it has it below.
    if (purpose !== "" && typed.length > width) return `  ${typed}\n      ${purpose}`;
    return `  ${typed.padEnd(width)}  ${purpose}`.trimEnd();
  });
  return `\nExamples:\n${rows.join("\n")}`;
}

/** Paragraphs under the examples, wrapped; line ends in the text begin new ones. */
export function notes(text: string): string {
  return text
    .split("\n")
    .map((paragraph) => `\n\n${wrapped(paragraph)}`)
    .join("");
}

function wrapped(paragraph: string): string {
  const lines: string[] = [];
  for (const word of paragraph.split(" ")) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > HELP_COLUMNS) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join("\n");
}
