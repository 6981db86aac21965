// Bundles the program into dist/: the CLI split by command so that a command loads only what it needs,
// the node process apart from it (the CLI never loads storage), and the library with its types.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
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

await Promise.all([
  build({
    ...shared,
    entryPoints: { "cli/main": "src/cli/main.ts" },
    outdir: "dist",
    splitting: true,
    chunkNames: "cli/chunks/[name]-[hash]",
  }),
  build({
    ...shared,
    entryPoints: { "node/main": "src/node/main.ts" },
    outdir: "dist",
    external: ["lmdb", "fastify", "msgpackr", "pino", "undici"],
  }),
  build({ ...shared, entryPoints: { index: "src/index.ts" }, outdir: "dist", external: ["yaml", "undici"] }),
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
writeFileSync(`${root}dist/.built`, "");
