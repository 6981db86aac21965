// What a person gets who installs the package: everything that runs and everything that its README links to,
// and nothing else.
import { execFileSync } from "node:child_process";
import { posix } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { root, textOf } from "./tracked-files.ts";

let files: readonly string[] = [];
beforeAll(() => {
  const output = execFileSync(
    "npm",
    ["pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=error"],
    {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  const [packed]: { files: { path: string }[] }[] = JSON.parse(output);
  files = (packed?.files ?? []).map(({ path }) => path);
});

it("holds what its entries name", () => {
  expect(files).toEqual(
    expect.arrayContaining([
      "package.json",
      "LICENSE",
      "bin/mem0ctl.js",
      "dist/cli/main.js",
      "dist/node/main.js",
      "dist/index.js",
      "dist/types/index.d.ts",
      "completions/_mem0ctl",
    ]),
  );
});

it("holds every file that its documents link to", () => {
  const missing = files
    .filter((path) => path.endsWith(".md"))
    .flatMap((path) =>
      [...(textOf(path) ?? "").matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)/g)]
        .map(([, target]) => posix.join(posix.dirname(path), target ?? ""))
        .filter((target) => !files.some((file) => file === target || file.startsWith(`${target}/`)))
        .map((target) => `${path} links to ${target}`),
    );
  expect(missing).toEqual([]);
});

it("holds neither sources nor tests nor what a machine made for itself", () => {
  expect(files.filter((path) => /^(src|test|\.config|\.ci|node_modules|\.mem0ctl)\//.test(path))).toEqual([]);
});
