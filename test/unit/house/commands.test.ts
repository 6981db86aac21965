// Whoever is told to run a command finds it there: every `mem0ctl …` in hints, messages, help texts and
// documents is held against the command tree, flags included.
import type { Command, Option } from "commander";
import { expect, it, describe } from "vitest";
import { commandTree } from "../../../src/cli/program.ts";
import { repositoryFiles, textOf } from "./tracked-files.ts";

const program = await commandTree();

/** Stands for any command: `mem0ctl COMMAND --help`, `mem0ctl memories …`. */
const PLACEHOLDER = /^(?:[A-Z]+|…)$/;
/** Not in the tree, because no person types it: the completions do. */
const HIDDEN = /^__complete\b/;

/** What is wrong with a line, as words after `mem0ctl`; undefined when it could be run. */
function problemOf(line: string): string | undefined {
  let command = program;
  // What another program does with the output, and what is said about it, is not the line's.
  const words = line.split(/\s+(?:[|;&>#].*|2>.*)?/).filter((word) => word !== "");
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    if (word.startsWith("-")) {
      const option = optionOf(command, word);
      if (option === undefined) return `${command.name()} has no ${word}`;
      if (option.required && !word.includes("=")) index += 1;
    } else if (command.commands.length > 0) {
      if (PLACEHOLDER.test(word)) return undefined;
      // `nodes list|logs` names both.
      const { commands } = command;
      const meant = word.split("|").map((name) => commands.find((each) => each.name() === name));
      const [next] = meant;
      if (next === undefined || meant.includes(undefined)) return `${command.name()} has no command ${word}`;
      command = next;
    }
  }
  return undefined;
}

function optionOf(command: Command, word: string): Option | undefined {
  const name = word.replace(/=.*/, "");
  for (let each: Command | null = command; each !== null; each = each.parent) {
    const found = each.options.find(({ short, long }) => short === name || long === name);
    if (found !== undefined) return found;
  }
  return ["-h", "--help"].includes(name) ? command.createOption("-h, --help") : undefined;
}

/** In sources: within back quotes, plain or of a template, and the examples of help. */
function linesOfSource(text: string): readonly string[] {
  return [...text.matchAll(/\\?`mem0ctl ([^`\\]+)\\?`|\["mem0ctl ([^"]+)", "/g)].map(
    ([, quoted, whole]) => quoted ?? whole ?? "",
  );
}

/** In documents: code spans, and lines of fenced blocks that begin with it, after a prompt or not. */
function linesOfDocument(text: string): readonly string[] {
  return [...text.matchAll(/`mem0ctl ([^`\n]+)`|^(?:\$ |npx )?mem0ctl ([^\n]+)$/gm)].map(
    ([, span, line]) => span ?? line ?? "",
  );
}

const named = repositoryFiles().flatMap((path) => {
  const text = textOf(path) ?? "";
  const lines = /^src\/.*\.ts$/.test(path)
    ? linesOfSource(text)
    : path.endsWith(".md")
      ? linesOfDocument(text)
      : [];
  return lines.filter((line) => !HIDDEN.test(line)).map((line) => ({ path, line }));
});

describe("a command that a person is told to run", () => {
  it("is there", () => {
    const missing = named.flatMap(({ path, line }) => {
      const problem = problemOf(line);
      return problem === undefined ? [] : [`${path}: \`mem0ctl ${line}\`: ${problem}`];
    });
    expect(missing).toEqual([]);
  });

  it("is looked for where people are told: in hints, examples of help, and the README", () => {
    const paths = new Set(named.map(({ path }) => path));
    expect([...paths]).toEqual(
      expect.arrayContaining(["src/operations/health.ts", "src/cli/commands/status.ts", "README.md"]),
    );
    expect(named.length).toBeGreaterThan(100);
  });

  it.each([
    "doctor",
    "nodes destroy",
    "status --fast",
    "up --timeout 3s --fast",
    "memories add x --no-such=1",
  ])("would be missed if it were not: %s", (line) => {
    expect(problemOf(line)).toBeDefined();
  });
});
