// Bundles the program into dist/: the CLI split by command so that a command loads only what it needs,
// its quick commands once more in one script with V8's code for it, the node process and the gateway apart
// from it (the CLI never loads storage or a server), and the library with its types.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });

const shared = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
  legalComments: "none",
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  banner: {
    js: 'import { createRequire as __mem0ctlCreateRequire } from "node:module"; const require = __mem0ctlCreateRequire(import.meta.url);',
  },
};

// yaml gives Node CommonJS, of which nothing can be left out and every module is wrapped; its modules for
// other platforms are the same code.
const yamlModules = fileURLToPath(new URL("browser/index.js", import.meta.resolve("yaml/package.json")));

/**
 * Of ioredis the connection to one server is used, and every command by its name. What it brings beside that
 * costs each start: a method for each of 500 commands, clusters and sentinels. And what it would print for
 * DEBUG=* holds passwords.
 */
const oneServerOnly = {
  name: "one-server-only",
  setup({ onLoad }) {
    const leaveOut = (filter, contents, loader = "js") => onLoad({ filter }, () => ({ contents, loader }));
    leaveOut(/[\\/]@ioredis[\\/]commands[\\/].*\.json$/, "{}", "json");
    leaveOut(
      /[\\/]ioredis[\\/]built[\\/](cluster|connectors[\\/]SentinelConnector)[\\/]index\.js$/,
      "exports.default = class {};",
    );
    leaveOut(/[\\/]ioredis[\\/]built[\\/]constants[\\/]TLSProfiles\.js$/, "exports.default = {};");
    leaveOut(/[\\/]node_modules[\\/]debug[\\/].*\.js$/, "module.exports.default = () => () => {};");
    // What TLS brings with it takes longer to load than the rest of the library: only for who has it.
    onLoad({ filter: /[\\/]ioredis[\\/]built[\\/]connectors[\\/]StandaloneConnector\.js$/ }, ({ path }) => {
      const early = 'const tls_1 = require("tls");';
      const source = readFileSync(path, "utf8");
      if (!source.includes(early)) throw new Error(`${path} loads TLS in another way`);
      return {
        contents: source.replace(
          early,
          'const tls_1 = { get connect() { return require("tls").connect; } };',
        ),
      };
    });
  },
};

const cli = {
  ...shared,
  outdir: "dist",
  minifyIdentifiers: true,
  alias: { yaml: yamlModules },
  external: ["undici"],
};

/** The quick commands are a file beside `main`: as a part of the split program they would be split as well. */
const quickApart = {
  name: "quick-apart",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/quick\.ts$/ }, () => ({ path: "./quick.js", external: true }));
  },
};

/** No quick command asks for memories, and what they need would be read and checked at every start. */
const memoriesApart = {
  name: "memories-apart",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/memories\.ts$/ }, ({ importer, path }) =>
      importer.endsWith("engines/redis/engine.ts") ? { path, external: true } : undefined,
    );
  },
};

await Promise.all([
  build({
    ...cli,
    entryPoints: { "cli/main": "src/cli/main.ts" },
    splitting: true,
    chunkNames: "cli/chunks/[name]-[hash]",
    plugins: [quickApart, oneServerOnly],
  }),
  build({
    ...cli,
    entryPoints: { "cli/quick": "src/cli/quick.ts" },
    outExtension: { ".js": ".cjs" },
    // An expression that quick-loader.mjs calls. What is imported when it is needed must be required in it.
    format: "cjs",
    banner: { js: "(function (require, module, scriptUrl) {" },
    footer: { js: "})" },
    define: { "import.meta.url": "scriptUrl" },
    supported: { "dynamic-import": false },
    plugins: [memoriesApart, oneServerOnly],
  }),
  build({ ...shared, entryPoints: { "cli/quick": ".config/quick-loader.mjs" }, outdir: "dist", banner: {} }),
  build({
    ...shared,
    entryPoints: { "node/main": "src/node/main.ts" },
    outdir: "dist",
    // Identifiers stay as they are here, so names do too; keeping them would name every closure when it is made.
    keepNames: false,
    external: ["lmdb", "fastify", "msgpackr", "pino", "undici"],
  }),
  build({
    ...shared,
    entryPoints: { "gateway/main": "src/gateway/main.ts" },
    outdir: "dist",
    external: ["fastify", "pino", "undici"],
    plugins: [oneServerOnly],
  }),
  build({
    ...shared,
    entryPoints: { index: "src/index.ts" },
    outdir: "dist",
    external: ["yaml", "undici"],
    plugins: [oneServerOnly],
  }),
]);

const tsc = spawnSync(
  process.execPath,
  [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}.config/tsconfig.types.json`],
  { stdio: ["ignore", 2, 2] },
);
if (tsc.status !== 0) process.exit(tsc.status ?? 1);

const demoData = `${root}src/cli/demo/memories.jsonl`;
if (existsSync(demoData)) {
  mkdirSync(`${root}dist/cli/demo`, { recursive: true });
  copyFileSync(demoData, `${root}dist/cli/demo/memories.jsonl`);
}
await keepQuickCode();
writeFileSync(`${root}dist/.built`, "");

/** Runs the quick commands, so that V8 compiles what they use, and keeps that code beside their script. */
async function keepQuickCode() {
  const folder = mkdtempSync(join(tmpdir(), "mem0ctl-build-"));
  try {
    // Nothing serves on the lowest ports: to ask nodes in vain runs nearly all that an answer does.
    const manifests = ["embedded", "redis"].map((engine) => {
      const file = join(folder, `${engine}.yaml`);
      const init = [
        "init",
        "cluster",
        "--yes",
        "--engine",
        engine,
        "--nodes",
        "3",
        "--port",
        "1",
        "-f",
        file,
      ];
      const made = spawnSync(process.execPath, [`${root}bin/mem0ctl.js`, ...init], { encoding: "utf8" });
      if (made.status !== 0) throw new Error(`init cluster failed: ${made.stderr}`);
      return file;
    });
    const { keepCode, runCli } = await import(new URL("../dist/cli/quick.js", import.meta.url).href);
    const ignored = () => new Writable({ write: (_chunk, _encoding, done) => done() });
    const { signal } = new AbortController();
    const io = { stdout: ignored(), stderr: ignored(), env: {}, cwd: folder, signal };
    for (const file of manifests) {
      for (const [command, expected] of Object.entries({ validate: 0, status: 4 })) {
        const exitCode = await runCli([command, "-o", "json", "-f", file], io);
        if (exitCode !== expected) throw new Error(`${command} exited with ${exitCode}, not ${expected}`);
      }
    }
    keepCode();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
