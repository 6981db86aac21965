// Bundles the simulator's worker, on demand with one deliberate bug in it. The patch exists in the bundle
// alone: sources are patched between reading and compiling, nothing on disk changes.

import { readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { build, type Plugin } from "esbuild";
import { applyPatch, patchesOf, type Bug } from "../bugs/bug.ts";

export interface Place {
  /** Of the repository. */
  readonly root: string;
  /** Where bundles go. */
  readonly folder: string;
}

/** Native packages and those that look for files beside themselves. */
const EXTERNAL = ["lmdb", "msgpackr", "fastify", "pino", "undici", "esbuild"];

/** Returns the path of the bundle. @throws Error when the bug's patch does not fit the source of today */
export async function bundleWorker(place: Place, bug?: Bug): Promise<string> {
  const applied = new Set<string>();
  const outfile = join(place.folder, `worker-${bug?.name ?? "clean"}.mjs`);
  await build({
    absWorkingDir: place.root,
    entryPoints: ["test/sim/runner/worker.ts"],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
    sourcemap: "inline",
    external: EXTERNAL,
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
    plugins: bug === undefined ? [] : [patching(place.root, bug, applied)],
  });
  for (const { file } of bug === undefined ? [] : patchesOf(bug)) {
    if (!applied.has(file)) throw new Error(`bug ${bug?.name}: the simulator does not run ${file}`);
  }
  return outfile;
}

function patching(root: string, bug: Bug, applied: Set<string>): Plugin {
  const patches = patchesOf(bug);
  return {
    name: "deliberate-bug",
    setup(building) {
      building.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const file = relative(root, path).split(sep).join("/");
        const mine = patches.filter((patch) => patch.file === file);
        if (mine.length === 0) return undefined;
        applied.add(file);
        const contents = mine.reduce(applyPatch, readFileSync(path, "utf8"));
        return { contents, loader: "ts" };
      });
    },
  };
}
