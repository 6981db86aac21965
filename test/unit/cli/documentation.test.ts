// README.md names every command and every flag that help shows, and every route: what is not there, users do not find.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { commandTree } from "../../../src/cli/program.ts";
import { treeOf } from "../../../src/cli/completion/tree.ts";

/** Of docs/openapi.json, what is looked at here. */
interface Api {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly "x-role": string }>>>>;
}

const fileOf = (path: string): string => readFileSync(join(import.meta.dirname, "../../..", path), "utf8");
const readme = (): string => fileOf("README.md");

it("every command is in README.md", async () => {
  const text = readme();
  const { branches } = treeOf(await commandTree());
  const commands = branches.filter(({ commands: members }) => members.length === 0).map(({ path }) => path);
  // `nodes list|logs` names both.
  const named = (path: string): boolean => {
    const words = path.split(" ");
    const last = words.pop() ?? "";
    const before = words.length === 0 ? "mem0ctl" : words.join(" ");
    return new RegExp(`${before} (?:[a-z]+ ?\\| ?)*${last}(?![a-z])`).test(text);
  };
  expect(commands.filter((path) => !named(path))).toEqual([]);
});

it("every global flag is in README.md", async () => {
  const text = readme();
  const program = await commandTree();
  const flags = program.options.flatMap(({ long }) => (long === undefined ? [] : [long]));
  expect(flags).toContain("--output");
  expect(flags.filter((flag) => !text.includes(flag))).toEqual([]);
});

it("every exit code is in README.md", () => {
  const text = readme();
  const table = [...text.matchAll(/^\| *(\d+) *\|/gm)].map(([, code]) => Number(code));
  expect([0, 1, 2, 3, 4, 5, 6, 7].filter((code) => !table.includes(code))).toEqual([]);
});

it("every route is in README.md, with the role that it asks for", () => {
  const { paths } = JSON.parse(fileOf("docs/openapi.json")) as Api;
  const rows = [...readme().matchAll(/^\| (`.*) \| (read|write|admin|none on loopback) \|$/gm)];
  const isTold = (path: string, role: string): boolean =>
    rows.some(([, routes, told]) => told === role && routes?.match(/[^ `]*\/[^ `]*/g)?.includes(path));
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.values(methods).map((route) => ({ path, role: route["x-role"] })),
  );
  const untold = routes.filter(
    ({ path, role }) => !isTold(path, role === "ping" ? "none on loopback" : role),
  );
  expect(untold).toEqual([]);
});
