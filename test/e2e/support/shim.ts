// Small C libraries that a test preloads into a node, to be its disk. Compiled by the test itself, so a
// machine without a compiler skips such a test, with one visible line; where everything must be run
// (`CI=true`) that is a failure.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Shim {
  /** To be put into `LD_PRELOAD`. */
  readonly library: string;
  /** Removes what was compiled. */
  readonly remove: () => void;
}

/** Compiles `shims/<name>.c`. undefined where there is no compiler. */
export function compileShim(name: string, test: string): Shim | undefined {
  if (spawnSync("cc", ["--version"]).error !== undefined) {
    if (process.env["CI"] === "true") throw new Error("no C compiler (cc) is installed");
    process.stderr.write(`skipped: ${test}: no C compiler (cc) is installed\n`);
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), "mem0ctl-shim-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const source = fileURLToPath(new URL(`shims/${name}.c`, import.meta.url));
  const library = join(folder, `${name}.so`);
  const { status, stderr } = spawnSync(
    "cc",
    ["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-pthread", "-o", library, source, "-ldl"],
    { encoding: "utf8" },
  );
  if (status === 0) return { library, remove };
  remove();
  throw new Error(`${source} does not compile:\n${stderr}`);
}
