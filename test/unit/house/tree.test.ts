// What may lie in the repository, and what may not be written in it.
import { posix } from "node:path";
import { describe, expect, it } from "vitest";
import { repositoryFiles, textOf } from "./tracked-files.ts";

const files = repositoryFiles();

const TOP_LEVEL = [
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "bin",
  "src",
  "test",
  "completions",
  "README.md",
  "LICENSE",
  "ARCHITECTURE.md",
  "docs",
];

describe("the repository", () => {
  it("holds at its top only what has a place there", () => {
    const top = [...new Set(files.map((path) => path.split("/")[0] ?? path))];
    expect(top.filter((name) => !name.startsWith(".") && !TOP_LEVEL.includes(name))).toEqual([]);
  });

  it("holds nothing that was built, installed or logged", () => {
    const leftovers =
      /(^|\/)(node_modules|dist|coverage|\.mem0ctl)\/|\.(log|tgz|orig|rej)$|(^|\/)\.DS_Store$/;
    expect(files.filter((path) => leftovers.test(path))).toEqual([]);
  });

  it("installs every package from the public registry, at a locked checksum", () => {
    const lock = textOf("package-lock.json") ?? "";
    const resolved = [...lock.matchAll(/"resolved": "([^"]+)"/g)].map(([, url]) => url ?? "");
    expect(resolved.filter((url) => !url.startsWith("https://registry.npmjs.org/"))).toEqual([]);
    expect([...lock.matchAll(/"integrity": "sha512-/g)].length).toBeGreaterThanOrEqual(resolved.length);
  });

  it("locks the dependencies that the package file asks for, and no others", () => {
    const { packages }: { packages: Record<string, unknown> } = JSON.parse(textOf("package-lock.json") ?? "");
    const asked: Record<string, unknown> = JSON.parse(textOf("package.json") ?? "");
    expect(packages[""]).toMatchObject({
      dependencies: asked["dependencies"],
      devDependencies: asked["devDependencies"],
    });
  });
});

// Spelled in pieces, so that this file does not hold what it looks for.
const WORKPLACE: readonly (readonly [what: string, pattern: RegExp])[] = [
  ["a folder of the workplace", new RegExp(["(?<![\\w.-])/wo", "rk/"].join(""))],
  ["the folder beside the repository", new RegExp(["\\.\\./sha", "red\\b"].join(""))],
  ["a working file of somebody", new RegExp(["/tm", "p/(brief|bash_jobs)"].join(""))],
  ["somebody's home", new RegExp(["/(ho", "me|Use", "rs)/[a-z]+/"].join(""))],
  ["an issue by its number", new RegExp(["\\bis", "sue #?\\d+\\b"].join(""), "i")],
  [
    "an address in a private network",
    new RegExp(["https?://(10", "\\.\\d|192\\.168\\.|172\\.(1[6-9]|2\\d|3[01])\\.)"].join("")),
  ],
];

describe("no file names", () => {
  const texts = files
    // The demo's memories are people's sentences, not ours.
    .filter((path) => !path.endsWith(".jsonl"))
    .map((path) => ({ path, text: textOf(path) ?? "" }));

  it.each(WORKPLACE)("%s", (_what, pattern) => {
    expect(texts.filter(({ text }) => pattern.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it("a document that the repository does not hold", () => {
    const held = new Set(files.map((path) => posix.basename(path)));
    const missing = texts.flatMap(({ path, text }) =>
      [...text.matchAll(/\b[A-Z][A-Z_]+\.md\b/g)]
        .filter(([name]) => !held.has(name))
        .map(([name]) => `${path} names ${name}`),
    );
    expect([...new Set(missing)]).toEqual([]);
  });
});
