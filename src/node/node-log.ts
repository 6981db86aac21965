// Where a node's own log goes: lines to a file or a terminal, each before the next thing is done. A line that
// finds no room is lost, and nothing else: a full disk ends no node.

import { writeSync } from "node:fs";

/** For a logger, and for a line that stands alone. Never throws. */
export interface NodeLog {
  write(line: string): void;
}

export function nodeLog(descriptor: number): NodeLog {
  return {
    write(line) {
      try {
        writeSync(descriptor, line);
      } catch {
        // Nobody to tell: this was where one tells.
      }
    },
  };
}
