// A command loads what it needs and nothing else: start-up is most of what a script waits for. What is
// loaded is read from the bundler's own account of the imports, so no clock is involved.

import { join, relative } from "node:path";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../../..");

interface Imports {
  readonly [file: string]: { readonly imports: readonly { readonly path: string; readonly kind: string }[] };
}

let graph: Imports = {};
beforeAll(async () => {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["src/cli/main.ts", "src/cli/run.ts"],
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    outdir: "never-written",
    format: "esm",
    platform: "node",
    logLevel: "error",
  });
  graph = metafile.inputs;
});

/** Everything that is loaded with these files, without what is imported only when it is needed. */
function loadedWith(...files: readonly string[]): string[] {
  const seen = new Set<string>();
  const queue = [...files];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (seen.has(file)) continue;
    const node = graph[relative(root, join(root, file))];
    if (node === undefined) continue;
    seen.add(file);
    for (const { path, kind } of node.imports) if (kind !== "dynamic-import") queue.push(path);
  }
  return [...seen];
}

const packagesOf = (files: readonly string[]): string[] => [
  ...new Set(files.flatMap((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? [])),
];

describe("what is loaded", () => {
  it("for --version: two small files besides the edge itself", () => {
    expect(loadedWith("src/cli/main.ts").toSorted()).toEqual([
      "src/cli/exit.ts",
      "src/cli/main.ts",
      "src/model/version.ts",
    ]);
  });

  it("for ids of completions: neither commander nor an engine", () => {
    const loaded = loadedWith(
      "src/cli/run.ts",
      "src/cli/completion/ids.ts",
      "src/operations/manifest-file.ts",
    );
    expect(loaded.length).toBeGreaterThan(5);
    expect(packagesOf(loaded)).toEqual(["yaml"]);
    expect(loaded.filter((file) => file.startsWith("src/engines/"))).toEqual([]);
  });

  it("for status -o json: no colours, no tables, no questions, nothing of the node", () => {
    const loaded = loadedWith(
      "src/cli/run.ts",
      "src/cli/program.ts",
      "src/cli/context.ts",
      "src/cli/commands/status.ts",
      "src/operations/cluster.ts",
      "src/operations/status.ts",
      "src/engines/embedded/engine.ts",
      "src/render/json.ts",
    );
    expect(packagesOf(loaded)).toContain("commander");
    expect(packagesOf(loaded).filter((name) => !["commander", "undici", "yaml"].includes(name))).toEqual([]);
    expect(loaded.filter((file) => /^src\/(node|consensus)\//.test(file))).toEqual([]);
  });

  it("with the CLI at all: never storage, the HTTP server or consensus", () => {
    const all = Object.keys(graph);
    expect(packagesOf(all)).toContain("inquirer");
    expect(packagesOf(all).filter((name) => ["lmdb", "fastify", "msgpackr", "pino"].includes(name))).toEqual(
      [],
    );
    expect(all.filter((file) => /^src\/(node|consensus)\//.test(file))).toEqual([]);
  });
});
