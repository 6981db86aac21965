// The files of the repository as git sees them: tracked, or new and not ignored.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Paths with `/`, relative to the root. Throws where git is missing or the tree is no clone. */
export function repositoryFiles(): readonly string[] {
  const listing = execFileSync(
    "git",
    ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    { cwd: root, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  // A file that was deleted but not yet committed is still listed.
  return [...new Set(listing.split("\0"))].filter((path) => path !== "" && existsSync(join(root, path)));
}

/** The text of a file of the repository; undefined when it is binary. */
export function textOf(path: string): string | undefined {
  const text = readFileSync(join(root, path), "utf8");
  return text.includes("\0") ? undefined : text;
}
