// Makes every generated file that is checked in: completions, the manifest's JSON Schema, the node's
// OpenAPI document, and what .config/wasm.mjs compiles. `--check` writes nothing and exits 1, naming the
// stale ones.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { generateWasm } from "./wasm.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const check = process.argv.includes("--check");

/** The sources that the files are made from, loaded as they are now and not as they were last built. */
async function loadSources() {
  const directory = mkdtempSync(join(tmpdir(), "mem0ctl-generate-"));
  try {
    const outfile = join(directory, "sources.mjs");
    await build({
      absWorkingDir: root,
      stdin: {
        contents: `
          export { commandTree } from "./src/cli/program.ts";
          export { completionScript, COMPLETION_FILES } from "./src/cli/completion/scripts.ts";
          export { manifestJsonSchema } from "./src/manifest/json-schema.ts";
          export { nodeDocument } from "./src/node/http/routes.ts";
        `,
        resolveDir: root,
        loader: "ts",
      },
      outfile,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      logLevel: "error",
      banner: {
        js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
      },
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Path to text, for every file that is made here. */
async function render() {
  const sources = await loadSources();
  const program = await sources.commandTree();
  const files = new Map();
  for (const [shell, name] of Object.entries(sources.COMPLETION_FILES)) {
    files.set(`completions/${name}`, sources.completionScript(shell, program));
  }
  files.set("docs/manifest.schema.json", `${JSON.stringify(sources.manifestJsonSchema(), null, 2)}\n`);
  files.set("docs/openapi.json", `${JSON.stringify(sources.nodeDocument(), null, 2)}\n`);
  return files;
}

const stale = await generateWasm({ check });
for (const [path, text] of await render()) {
  const target = join(root, path);
  if (existsSync(target) && readFileSync(target, "utf8") === text) continue;
  stale.push(path);
  if (check) continue;
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}
for (const path of stale) {
  process.stderr.write(check ? `${path} is stale: run npm run generate\n` : `${path} written\n`);
}
if (check && stale.length > 0) process.exitCode = 1;
