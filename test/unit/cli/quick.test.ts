// The quick commands: a program of their own that must not differ from the whole one but in its size, and
// the loader that runs it with code compiled at build time, which must never be trusted blindly.

import { execFile } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import { runCli as runQuick } from "../../../src/cli/quick.ts";
import { runCli as runWhole } from "../../../src/cli/run.ts";
import { temporaryDirectory } from "./support/program.ts";

const root = join(import.meta.dirname, "../../..");

describe("a quick command", () => {
  let cwd = "";
  beforeAll(async () => {
    cwd = temporaryDirectory();
    // Nothing serves on the lowest ports.
    const init = ["init", "cluster", "--yes", "--port", "1"];
    const { exit, stderr } = await outcomeOf(runWhole, init, cwd);
    if (exit !== 0) throw new Error(stderr);
    writeFileSync(join(cwd, "broken.yaml"), "kind: Cluster\nspec: [\n");
  });

  it.each([
    ["validate"],
    ["validate -o json"],
    ["validate -f broken.yaml"],
    ["status"],
    ["status -o json"],
    ["status -o yaml --fail-on unavailable"],
    ["status -f missing.yaml -o json"],
    ["status --no-such-flag"],
    ["status --help"],
    ["wait --for down -o json"],
    ["wait surplus"],
  ])("answers as the whole program does: %s", async (line) => {
    const argv = line.split(" ");
    const whole = await outcomeOf(runWhole, argv, cwd);
    expect(await outcomeOf(runQuick, argv, cwd)).toEqual(whole);
    expect(`${whole.stdout}${whole.stderr}`).not.toBe("");
  });

  it("brings nothing that asks questions", async () => {
    const { metafile } = await build({
      absWorkingDir: root,
      entryPoints: ["src/cli/quick.ts"],
      bundle: true,
      write: false,
      metafile: true,
      format: "cjs",
      platform: "node",
      logLevel: "error",
      define: { "import.meta.url": "scriptUrl" },
    });
    const files = Object.keys(metafile.inputs);
    expect(files).toContain("src/cli/commands/status.ts");
    expect(files.filter((file) => /inquirer|prompt\.ts$/.test(file))).toEqual([]);
  });
});

describe("the code compiled at build time", () => {
  const scriptSaying = (word: string): string =>
    `(function (require, module) { module.exports = { runCli: () => ${JSON.stringify(word)} }; })`;

  /** A directory with the loader, a script that says `first`, and the code kept for it. */
  async function built(): Promise<{ directory: string; code: string }> {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "package.json"), '{"type":"module"}');
    copyFileSync(join(root, ".config/quick-loader.mjs"), join(directory, "quick.js"));
    writeFileSync(join(directory, "quick.cjs"), scriptSaying("first"));
    await load(directory, "(runCli(), keepCode())");
    const [code] = readdirSync(directory).filter((name) => name.endsWith(".cache"));
    if (code === undefined) throw new Error("no code was kept");
    return { directory, code: join(directory, code) };
  }

  /** What an expression over the loader gives, in a process of its own. */
  async function load(directory: string, expression: string): Promise<string> {
    const program = `import { keepCode, runCli } from "./quick.js"; process.stdout.write(String(${expression}));`;
    const parameters = ["--input-type=module", "-e", program];
    return (await promisify(execFile)(process.execPath, parameters, { cwd: directory })).stdout;
  }

  it("is used for the script that it was made of", async () => {
    const { directory, code } = await built();
    expect(readFileSync(code).length).toBeGreaterThan(32);
    expect(await load(directory, "runCli()")).toBe("first");
  });

  it("is not used for another script, were it as long", async () => {
    const { directory } = await built();
    writeFileSync(join(directory, "quick.cjs"), scriptSaying("later"));
    expect(await load(directory, "runCli()")).toBe("later");
  });

  it.each<[string, (code: Buffer) => Buffer]>([
    [
      "damaged",
      (code) =>
        Buffer.from(code.map((byte, index) => (index > 100 && index % 50 === 0 ? byte ^ 0xff : byte))),
    ],
    ["cut off", (code) => code.subarray(0, code.length / 2)],
    ["empty", () => Buffer.alloc(0)],
  ])("is not used when it is %s", async (_how, spoil) => {
    const { directory, code } = await built();
    writeFileSync(code, spoil(readFileSync(code)));
    expect(await load(directory, "runCli()")).toBe("first");
  });
});

interface Outcome {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function outcomeOf(run: typeof runWhole, argv: readonly string[], cwd: string): Promise<Outcome> {
  const written = { stdout: "", stderr: "" };
  const collector = (name: keyof typeof written): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        written[name] += chunk.toString("utf8");
        done();
      },
    });
  const exit = await run(argv, {
    stdin: Readable.from([]),
    stdout: collector("stdout"),
    stderr: collector("stderr"),
    env: { LANG: "C.UTF-8" },
    cwd,
    signal: new AbortController().signal,
    handOver: () => undefined,
    held: new Set(),
    importModule: async (url) => import(url),
  });
  return { exit, ...written };
}
