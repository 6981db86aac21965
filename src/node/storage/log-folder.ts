// What the log store needs of a disk: a folder of a few files, written at a position and durable when the
// write returns. Files stand behind it in a running node; a simulated disk, with its crashes, can.

import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  write,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeFolder, syncFolder } from "./folders.ts";

const writeAsync = promisify(write);
/** Node reads less than 2 GiB at once. */
const READ_BYTES_MAX = 1 << 30;

export interface LogFile {
  /** All of `bytes` at `position`; resolves once they are on disk. */
  write(bytes: Buffer, position: number): Promise<void>;
  /** The same before it returns. */
  writeInPlace(bytes: Buffer, position: number): void;
  /** Durable with the next `sync`. */
  truncate(bytes: number): void;
  sync(): void;
  close(): void;
}

/** Errors are those of the system; `code` is ENOSPC, EFBIG or EDQUOT where there is no room. */
export interface LogFolder {
  /** undefined when there is no such file. */
  read(name: string): Buffer | undefined;
  /** For writing; made when it is not there, and there for good only after the folder's `sync`. */
  open(name: string): LogFile;
  /** Replaces `to`, for good only after `sync`. */
  rename(from: string, to: string): void;
  /** A second name for a file, which takes no room; for good only after `sync`. There must be no `to`. */
  link(from: string, to: string): void;
  /** Nothing happens when there is no such file. */
  remove(name: string): void;
  sync(): void;
}

/** A folder of the file system, made with mode 0700 when it is not there. A file is read in pieces of `readBytesMax`. */
export function openLogFolder(folder: string, readBytesMax = READ_BYTES_MAX): LogFolder {
  makeFolder(folder);
  return {
    read(name) {
      try {
        return readWhole(join(folder, name), readBytesMax);
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
        throw error;
      }
    },
    open: (name) => new DurableFile(join(folder, name)),
    rename: (from, to) => renameSync(join(folder, from), join(folder, to)),
    link: (from, to) => linkSync(join(folder, from), join(folder, to)),
    remove: (name) => rmSync(join(folder, name), { force: true }),
    sync: () => syncFolder(folder),
  };
}

function readWhole(path: string, readBytesMax: number): Buffer {
  const descriptor = openSync(path, constants.O_RDONLY);
  try {
    const bytes = Buffer.allocUnsafeSlow(fstatSync(descriptor).size);
    let done = 0;
    while (done < bytes.length) {
      const read = readSync(descriptor, bytes, done, Math.min(readBytesMax, bytes.length - done), done);
      if (read === 0) break;
      done += read;
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(descriptor);
  }
}

class DurableFile implements LogFile {
  private readonly descriptor: number;

  constructor(path: string) {
    // A write returns when it is on disk (O_DSYNC): one trip for what else takes two.
    this.descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC, 0o600);
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const left = bytes.length - done;
      const { bytesWritten } = await writeAsync(this.descriptor, bytes, done, left, position + done);
      if (bytesWritten === 0) throw nothingWritten();
      done += bytesWritten;
    }
  }

  writeInPlace(bytes: Buffer, position: number): void {
    for (let done = 0; done < bytes.length;) {
      const written = writeSync(this.descriptor, bytes, done, bytes.length - done, position + done);
      if (written === 0) throw nothingWritten();
      done += written;
    }
  }

  truncate(bytes: number): void {
    ftruncateSync(this.descriptor, bytes);
  }

  sync(): void {
    fsyncSync(this.descriptor);
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

function nothingWritten(): Error {
  return Object.assign(new Error("nothing was written"), { code: "ENOSPC" });
}
