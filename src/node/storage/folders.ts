// Folders that are there for good: a name in a folder, of a file or of another folder, survives a loss of
// power only after the folder was flushed.

import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";

/** Flushes the names in `folder`. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Makes `folder`, with mode 0700, and every folder above it that is not there, each durable in its parent. */
export function makeFolder(folder: string): void {
  const parent = dirname(folder);
  if (parent !== folder && statSync(parent, { throwIfNoEntry: false }) === undefined) makeFolder(parent);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // One that is there already may have been made by a process that did not live to flush this.
  syncFolder(parent);
}
