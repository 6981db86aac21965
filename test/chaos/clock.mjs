// Loaded into a node before its own code: its wall clock is as wrong as a file beside the manifest says, in
// milliseconds, and follows when the file changes. Time that only grows (performance.now) stays right, as it
// does on a machine whose clock is set.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const POLL_MS = 100;

const valueOf = (flag) => process.argv[process.argv.indexOf(flag) + 1];

if (process.argv.includes("--node") && process.argv.includes("--manifest")) {
  const file = join(dirname(valueOf("--manifest")), `clock-${valueOf("--node")}`);
  const RightDate = Date;
  let offsetMs = 0;
  const look = () => {
    try {
      offsetMs = Number(readFileSync(file, "utf8")) || 0;
    } catch {
      offsetMs = 0;
    }
  };
  look();
  setInterval(look, POLL_MS).unref();
  globalThis.Date = class extends RightDate {
    constructor(...parts) {
      if (parts.length === 0) super(RightDate.now() + offsetMs);
      else super(...parts);
    }
    static now() {
      return RightDate.now() + offsetMs;
    }
  };
}
