// Files that appear whole or not at all: written under another name in the same directory, flushed, and
// only then given their own. An interrupted command leaves nothing behind.

import { randomBytes } from "node:crypto";
import {
  accessSync,
  constants,
  closeSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Mem0ctlError } from "../model/errors.ts";

export interface FilePlan {
  readonly path: string;
  /** Replace a regular file that is there; anything else is never replaced. */
  readonly overwrite: boolean;
  readonly mode: number;
}

/**
 * Refuses what must not be written over, before any work is done for it.
 * @throws Mem0ctlError `file-exists` or `not-a-regular-file` (kind invalid), `directory-missing`.
 */
export function checkTarget(plan: FilePlan): void {
  const found = lstatSync(plan.path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    const what = found.isSymbolicLink() ? "a symbolic link" : "not a regular file";
    throw new Mem0ctlError("invalid", "not-a-regular-file", `will not write to ${plan.path}`, {
      why: `it is ${what}`,
      hint: "name the file itself",
    });
  }
  if (found !== undefined && !plan.overwrite) throw fileExists(plan.path);
  if (lstatSync(dirname(plan.path), { throwIfNoEntry: false }) === undefined) {
    throw new Mem0ctlError("invalid", "directory-missing", `cannot write ${plan.path}`, {
      why: `there is no directory ${dirname(plan.path)}`,
      hint: "make it first",
    });
  }
}

/**
 * Refuses a file that could not be replaced, before any work is done for it.
 * @throws Mem0ctlError `not-a-regular-file` (kind invalid), `cannot-write`.
 */
export function checkReplaceable(path: string): void {
  checkTarget({ path, overwrite: true, mode: 0 });
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw asWriteError(error, path);
  }
}

/** Writes a small text. No signal can come between its steps, because none of them lets go of the process. */
export function writeFileAtomically(plan: FilePlan, text: string): void {
  checkTarget(plan);
  const temporary = temporaryName(plan.path);
  try {
    const file = openSync(temporary, "wx", plan.mode);
    try {
      // Until all of it is taken: of one write a disk that fills takes a part, and calls that no error.
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    publish(temporary, plan);
  } catch (error) {
    throw asWriteError(error, plan.path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * Replaces a text, keeping the file's mode, if it still is `before`; resolves to whether it was. Of processes that do
 * this to the same file at once each sees what the others wrote; of an editor that knows nothing of this the last look
 * is a moment before the new text is there.
 * @throws Mem0ctlError as `writeFileAtomically`.
 */
export async function replaceUnchanged(
  path: string,
  { before, after }: { readonly before: string; readonly after: string },
  leftBehindMs = LEFT_BEHIND_MS,
): Promise<boolean> {
  checkReplaceable(path);
  const lock = join(dirname(path), `.${basename(path)}.lock`);
  let seen: { readonly mark: string | undefined; readonly sinceMs: number } | undefined;
  while (!takeLock(lock, path)) {
    const found = lstatSync(lock, { throwIfNoEntry: false, bigint: true });
    // A new one may get the inode of the one before.
    const mark = found === undefined ? undefined : `${found.ino} ${found.ctimeNs}`;
    // One that was let go of between two looks is not left behind, however often that happens.
    if (mark === undefined || mark !== seen?.mark) seen = { mark, sinceMs: performance.now() };
    else if (performance.now() - seen.sinceMs > leftBehindMs) rmSync(lock, { force: true });
    await pause(LOCKED_PAUSE_MS);
  }
  // From here on nothing lets go of the process until the lock is gone again.
  try {
    if (readFileSync(path, "utf8") !== before) return false;
    writeFileAtomically({ path, overwrite: true, mode: lstatSync(path).mode & 0o777 }, after);
    return true;
  } finally {
    rmSync(lock, { force: true });
  }
}

/** It is held for one small write: one that stays this long is of a process that was killed in the middle. */
const LEFT_BEHIND_MS = 10_000;
const LOCKED_PAUSE_MS = 10;

/** False where another has it. */
function takeLock(lock: string, path: string): boolean {
  try {
    closeSync(openSync(lock, "wx", 0o600));
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw asWriteError(error, path);
  }
}

/** Writes lines as they come; when `lines` throws, the file does not appear and an old one stays as it was. */
export async function writeLinesAtomically(plan: FilePlan, lines: AsyncIterable<string>): Promise<void> {
  checkTarget(plan);
  const temporary = temporaryName(plan.path);
  let cut: unknown;
  try {
    const file = await open(temporary, "wx", plan.mode);
    try {
      // As above, `write` would resolve with what still fitted. On an open file this goes on where the last one ended.
      for await (const block of blocksOf(lines, (error) => (cut = error))) await file.writeFile(block);
      await file.sync();
    } finally {
      await file.close();
    }
    publish(temporary, plan);
  } catch (error) {
    throw cut === undefined ? asWriteError(error, plan.path) : error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

const BLOCK_CHARACTERS = 1 << 16;

/** Joins lines to blocks, because a write for each line costs more than the line. */
async function* blocksOf(
  lines: AsyncIterable<string>,
  onError: (error: unknown) => void,
): AsyncGenerator<string> {
  let block = "";
  try {
    for await (const line of lines) {
      block += `${line}\n`;
      if (block.length >= BLOCK_CHARACTERS) {
        yield block;
        block = "";
      }
    }
  } catch (error) {
    onError(error);
    throw error;
  }
  if (block !== "") yield block;
}

/** `link` fails when the name is taken meanwhile; `rename` would silently win. */
function publish(temporary: string, plan: FilePlan): void {
  if (plan.overwrite) renameSync(temporary, plan.path);
  else linkSync(temporary, plan.path);
}

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
}

function fileExists(path: string): Mem0ctlError {
  return new Mem0ctlError("invalid", "file-exists", `${path} exists already`, {
    why: "nothing is overwritten without being told to",
    hint: "give --force to replace it, or another name with --out",
  });
}

function asWriteError(error: unknown, path: string): unknown {
  if (error instanceof Mem0ctlError || !(error instanceof Error) || !("code" in error)) return error;
  if (error.code === "EEXIST") return fileExists(path);
  const full = error.code === "ENOSPC" || error.code === "EDQUOT";
  return new Mem0ctlError(
    full ? "full" : "failed",
    full ? "disk-full" : "cannot-write",
    `cannot write ${path}`,
    {
      why: error.message,
      hint: full ? "free some space" : "look at the directory's permissions",
      cause: error,
    },
  );
}
