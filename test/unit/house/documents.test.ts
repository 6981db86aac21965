// The documents keep up with the code: rooms, dependencies, scripts, links and paths that they name exist,
// and none is left out. (Commands: commands.test.ts.)
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { repositoryFiles, root, textOf } from "./tracked-files.ts";

const architecture = () => textOf("ARCHITECTURE.md") ?? "";

interface PackageFile {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

function isPackageFile(value: unknown): value is PackageFile {
  return (
    typeof value === "object" &&
    value !== null &&
    ["scripts", "dependencies", "devDependencies"].every((field) => field in value)
  );
}

function packageFile(): PackageFile {
  const parsed: unknown = JSON.parse(textOf("package.json") ?? "");
  if (!isPackageFile(parsed)) throw new Error("package.json lacks scripts or dependencies");
  return parsed;
}

describe("ARCHITECTURE.md", () => {
  const rooms = readdirSync(join(root, "src"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  it.each(rooms)("names the room %s", (room) => {
    expect(architecture()).toMatch(new RegExp(`(^|[\\s\`/|(*])${room}/`, "m"));
  });

  const { dependencies, devDependencies } = packageFile();
  it.each(Object.keys({ ...dependencies, ...devDependencies }))("says why %s is depended on", (name) => {
    const line = architecture()
      .split("\n")
      .find((text) => text.includes(`\`${name}\``));
    expect(line, `no line names \`${name}\``).toBeDefined();
    const reason = (line ?? "").replaceAll(/`[^`]*`/g, "").match(/\p{L}{2,}/gu) ?? [];
    expect(reason.length, `the line of \`${name}\` gives no reason: ${line}`).toBeGreaterThanOrEqual(3);
  });

  it("names only files and folders that exist", () => {
    const named = [
      ...architecture().matchAll(/`((?:src|test|bin|completions|docs|\.config|\.ci)\/[\w./-]*)`/g),
    ].map(([, path]) => path ?? "");
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

const documents = repositoryFiles().filter((path) => path.endsWith(".md"));

function deadLinks(path: string): readonly string[] {
  return [...(textOf(path) ?? "").matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)/g)]
    .map(([, target]) => target ?? "")
    .filter((target) => !existsSync(join(root, dirname(path), target)));
}

describe("every document", () => {
  it.each(documents)("%s links only to files that exist", (path) => {
    expect(deadLinks(path)).toEqual([]);
  });

  it.each(documents)("%s names only npm scripts that exist", (path) => {
    const { scripts } = packageFile();
    const named = [...(textOf(path) ?? "").matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map(
      ([, name]) => name ?? "",
    );
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});
