// The program as a user runs it, bundled from the sources of this moment: for tests that need a process
// of its own on a terminal or under a shell, and must not depend on when dist/ was last built.

import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { temporaryDirectory } from "./program.ts";

/** Path of an executable script; its directory holds nothing else that is called mem0ctl. */
export function bundledProgram(): Promise<string> {
  return (bundled ??= bundle());
}

let bundled: Promise<string> | undefined;

async function bundle(): Promise<string> {
  const directory = temporaryDirectory();
  await build({
    entryPoints: { main: join(import.meta.dirname, "../../../../src/cli/main.ts") },
    outdir: directory,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
  });
  writeFileSync(join(directory, "package.json"), '{"type":"module"}');
  const program = join(directory, "mem0ctl");
  writeFileSync(program, `#!/usr/bin/env node\nimport "./main.js";\n`);
  chmodSync(program, 0o755);
  return program;
}
