// Fills the disk for this process: its files, and those of what it starts, may not grow beyond a limit. A test ends it.

import { execFileSync } from "node:child_process";

export function limitFiles(bytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(process.pid), `--fsize=${bytes}:unlimited`]);
}
