// Files of the CLI appear whole or not at all, on a disk that fills in the middle of one write, too: the system takes
// what still fits of it and calls that no error.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { writeFileAtomically, writeLinesAtomically } from "../../../src/cli/atomic-file.ts";
import { limitFiles } from "../file-limit.ts";
import { temporaryDirectory } from "./support/program.ts";

const ROOM = 4096;
const LINE = "x".repeat(1000);

let folder = "";
beforeEach(() => {
  folder = temporaryDirectory();
});
afterEach(() => {
  limitFiles("unlimited");
});

async function* lines(): AsyncGenerator<string> {
  for (let count = 0; count < 5; count += 1) yield LINE;
}

it("a text of which only a part fits is an error, and what was there stays", () => {
  const path = join(folder, "cluster.yaml");
  writeFileSync(path, "as it was\n");
  limitFiles(ROOM);
  expect(() => {
    writeFileAtomically({ path, overwrite: true, mode: 0o644 }, LINE.repeat(5));
  }).toThrow(`cannot write ${path}`);
  limitFiles("unlimited");
  expect(readFileSync(path, "utf8")).toBe("as it was\n");
  expect(readdirSync(folder)).toEqual(["cluster.yaml"]);
});

it("an export of which only a part fits is an error, and does not appear", async () => {
  const path = join(folder, "memories.jsonl");
  limitFiles(ROOM);
  await expect(writeLinesAtomically({ path, overwrite: false, mode: 0o600 }, lines())).rejects.toThrow(
    `cannot write ${path}`,
  );
  limitFiles("unlimited");
  expect(existsSync(path)).toBe(false);
  expect(readdirSync(folder)).toEqual([]);
});
