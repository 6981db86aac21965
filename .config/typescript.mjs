// Lets node run the TypeScript of this repository: `node --import ./.config/typescript.mjs test/chaos/main.ts`.
// Types are stripped file by file as they are loaded; nothing is checked (`npm run typecheck` does that) and
// nothing is written. Node itself can do this from version 22 on.
import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

// Node runs the hook below on a thread of its own, which loads this file once more.
if (isMainThread) register(import.meta.url);

export async function load(url, context, nextLoad) {
  if (!url.endsWith(".ts")) return nextLoad(url, context);
  const { transform } = await import("esbuild");
  const file = fileURLToPath(url);
  const { code } = await transform(await readFile(file, "utf8"), {
    loader: "ts",
    format: "esm",
    target: "node20",
    sourcefile: file,
    sourcemap: "inline",
  });
  return { format: "module", shortCircuit: true, source: code };
}
