// Rules of the house that lint has no word for, read off the real sources.
import { describe, expect, it } from "vitest";
import { repositoryFiles, textOf } from "./tracked-files.ts";

const sources = repositoryFiles()
  .filter((path) => path.startsWith("src/") && path.endsWith(".ts"))
  .map((path) => ({ path, room: path.split("/")[1] ?? "", code: withoutComments(textOf(path) ?? "") }));

/** Good enough for what is asked here: line comments after code and strings that hold them do not matter. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

const packagesOf = (code: string): readonly string[] =>
  [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^".][^"]*)"/g)].map(([, specifier]) => {
    const [first = "", second = ""] = (specifier ?? "").split("/");
    return first.startsWith("@") ? `${first}/${second}` : first;
  });

describe("a package that costs start-up time stays in the room that needs it", () => {
  const HOMES: Readonly<Record<string, readonly string[]>> = {
    lmdb: ["node"],
    fastify: ["http"],
    pino: ["http", "node", "gateway"],
    msgpackr: ["node"],
    commander: ["cli"],
    inquirer: ["cli"],
    chalk: ["render"],
    "cli-table3": ["render"],
  };
  it.each(Object.entries(HOMES))("%s in %j", (name, homes) => {
    const strangers = sources.filter(
      ({ room, code }) => !homes.includes(room) && packagesOf(code).includes(name),
    );
    expect(strangers.map(({ path }) => path)).toEqual([]);
  });
});

describe("the terminal and the process belong to the edges", () => {
  const EDGES = ["cli", "node"];
  it.each(["process.stdout", "process.stderr", "process.exit"])("%s only in the CLI and the node", (name) => {
    const strangers = sources.filter(({ room, code }) => !EDGES.includes(room) && code.includes(name));
    expect(strangers.map(({ path }) => path)).toEqual([]);
  });
});

describe("every source file", () => {
  it("begins with what it is for", () => {
    const silent = sources
      // A generated file says instead what made it; both begin with a comment.
      .filter(({ path }) => !/^(\/\/|\/\*|#!)/.test(textOf(path) ?? ""))
      .map(({ path }) => path);
    expect(silent).toEqual([]);
  });

  it("declares something of its own: only the library's entry gathers what others export", () => {
    const barrels = sources.filter(
      ({ path, code }) =>
        path !== "src/index.ts" &&
        code
          .replace(/^(import|export)\s+(type\s+)?(\{[^}]*\}|\*|[\w*\s,]+)\s*from\s*"[^"]*";/gm, "")
          .replace(/^import\s*"[^"]*";/gm, "")
          .trim() === "",
    );
    expect(barrels.map(({ path }) => path)).toEqual([]);
  });

  it("has no enum, and no work left for later", () => {
    const unfinished = sources.filter(
      ({ path, code }) =>
        /^\s*(export\s+)?(const\s+)?enum\s/m.test(code) || /\b(TODO|FIXME|XXX)\b/.test(textOf(path) ?? ""),
    );
    expect(unfinished.map(({ path }) => path)).toEqual([]);
  });
});
