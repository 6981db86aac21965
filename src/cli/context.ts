// What a command is given: where to print and how, and how long it may take. A command prints data
// through `print` and everything else through `say`, and never touches a stream.

import type { Command } from "commander";
import { resolve } from "node:path";
import type { Theme } from "../render/theme.ts";
import { write } from "./io.ts";
import type { CliIo } from "./io.ts";
import { withProgress } from "./progress.ts";
import type { ProgressReport } from "./progress.ts";

export type OutputFormat = "table" | "wide" | "json" | "yaml" | "github";

/** The global flags, wherever on the line they stood; undefined where not given. */
export interface Globals {
  readonly file?: string;
  readonly output?: OutputFormat;
  readonly timeout?: number;
  readonly yes?: boolean;
  readonly input?: boolean;
  readonly color?: boolean;
  readonly verbose?: boolean;
}

/** How a command's result looks; JSON and YAML come from the value itself. */
export type Rendering<Value> = (value: Value, theme: Theme, wide: boolean) => string | Promise<string>;

export interface Context {
  readonly io: CliIo;
  readonly command: Command;
  readonly globals: Globals;
  readonly format: OutputFormat;
  /** Path of the manifest, as it should be shown and read. */
  readonly file: string;
  /** A result as text, in the format that was asked for; ends with a line end. */
  rendered<Value>(value: Value, rendering: Rendering<Value>): Promise<string>;
  /** Data: to stdout in the format that was asked for. */
  print<Value>(value: Value, rendering: Rendering<Value>): Promise<void>;
  /** Data that is text already: to stdout as it is. */
  /** False when nobody reads it any more. */
  printText(text: string): Promise<boolean>;
  /** A message for people: to stderr, one line. */
  say(line: string): Promise<void>;
  theme(stream?: "stdout" | "stderr"): Promise<Theme>;
  /** Runs a long call, showing on stderr what it reports. */
  withProgress<Result>(
    work: (report: (progress: ProgressReport) => void) => Promise<Result>,
  ): Promise<Result>;
  /** The deadline of the command, from `--timeout` or what the command takes when none is given. */
  timeoutMs(otherwiseMs: number): number;
}

/** Flags given closer to the command win: `mem0ctl -o table status -o json` prints JSON. */
function globalsOf(command: Command): Globals {
  const globals: Record<string, unknown> = {};
  const line: Command[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) line.unshift(at);
  for (const part of line) {
    for (const name of ["file", "output", "timeout", "yes", "input", "color", "verbose"]) {
      // `--no-color` makes commander set a default: only what was typed counts.
      if (part.getOptionValueSource(name) === "cli") globals[name] = part.getOptionValue(name);
    }
  }
  // The options' own parsers have checked the values (command.ts, globalOptions).
  return globals;
}

export function createContext(io: CliIo, command: Command): Context {
  const globals = globalsOf(command);
  const format = globals.output ?? "table";
  const fileGiven = globals.file ?? (io.env["MEM0CTL_MANIFEST"] || "cluster.yaml");

  const theme = async (stream: "stdout" | "stderr" = "stdout"): Promise<Theme> => {
    const { makeTheme } = await import("../render/theme.ts");
    const { isTTY, columns } = io[stream];
    return makeTheme({
      isTty: isTTY === true,
      env: io.env,
      columns: columns ?? 80,
      noColor: globals.color === false,
    });
  };
  const say = async (line: string): Promise<void> => {
    await write(io.stderr, `${line}\n`);
  };
  const printText = (text: string): Promise<boolean> => write(io.stdout, text);

  const rendered: Context["rendered"] = async (value, rendering) => {
    if (format === "json") {
      const { renderJson } = await import("../render/json.ts");
      return renderJson(value);
    }
    if (format === "yaml") {
      const { renderYaml } = await import("../render/yaml.ts");
      return renderYaml(value);
    }
    const text = await rendering(value, await theme(), format === "wide");
    return text === "" || text.endsWith("\n") ? text : `${text}\n`;
  };

  return {
    io,
    command,
    globals,
    format,
    file: inDirectory(io.cwd, fileGiven),
    theme,
    say,
    printText,
    rendered,
    print: async (value, rendering) => {
      await printText(await rendered(value, rendering));
    },
    withProgress: async (work) => withProgress(io.stderr, await theme("stderr"), work),
    timeoutMs: (otherwiseMs) => globals.timeout ?? otherwiseMs,
  };
}

/** A path as given when it can stay so, because messages show it; tests run in other directories. */
export function inDirectory(cwd: string, path: string): string {
  return cwd === process.cwd() ? path : resolve(cwd, path);
}
