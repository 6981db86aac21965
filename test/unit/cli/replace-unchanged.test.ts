// Several processes that edit one file at the same time: none takes back what another wrote.

import { execFile } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeEach, expect, it } from "vitest";
import { replaceUnchanged } from "../../../src/cli/atomic-file.ts";
import { temporaryDirectory } from "./support/program.ts";

const PROCESSES = 4;
const EDITS = 25;

let folder = "";
let path = "";
beforeEach(() => {
  folder = temporaryDirectory();
  path = join(folder, "cluster.yaml");
  writeFileSync(path, "", { mode: 0o640 });
});

it("edits of several processes at once are all there at the end", async () => {
  const bundle = join(temporaryDirectory(), "atomic-file.mjs");
  const entry = fileURLToPath(new URL("../../../src/cli/atomic-file.ts", import.meta.url));
  await build({ entryPoints: [entry], outfile: bundle, bundle: true, format: "esm", platform: "node" });
  const program = `
    import { readFileSync } from "node:fs";
    import { replaceUnchanged } from ${JSON.stringify(pathToFileURL(bundle).href)};
    const [path, name] = process.argv.slice(1);
    for (let edit = 0; edit < ${EDITS}; edit += 1) {
      for (;;) {
        const before = readFileSync(path, "utf8");
        if (await replaceUnchanged(path, { before, after: before + name + " " + edit + "\\n" })) break;
      }
    }`;
  const names = Array.from({ length: PROCESSES }, (_, at) => `process-${at}`);
  const run = promisify(execFile);
  await Promise.all(
    names.map((name) => run(process.execPath, ["--input-type=module", "--eval", program, path, name])),
  );
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const wanted = names.flatMap((name) => Array.from({ length: EDITS }, (_, edit) => `${name} ${edit}`));
  expect(lines.toSorted()).toEqual(wanted.toSorted());
  expect(readdirSync(folder)).toEqual(["cluster.yaml"]);
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

it("a text that is another one by now stays, and the answer says so", async () => {
  writeFileSync(path, "another\n");
  expect(await replaceUnchanged(path, { before: "", after: "mine\n" })).toBe(false);
  expect(readFileSync(path, "utf8")).toBe("another\n");
  expect(readdirSync(folder)).toEqual(["cluster.yaml"]);
});

it("what a killed process left behind is not waited for without end", async () => {
  writeFileSync(join(folder, ".cluster.yaml.lock"), "");
  expect(await replaceUnchanged(path, { before: "", after: "mine\n" }, 100)).toBe(true);
  expect(readFileSync(path, "utf8")).toBe("mine\n");
  expect(readdirSync(folder)).toEqual(["cluster.yaml"]);
});
