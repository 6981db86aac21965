// A folder of the log in memory, which takes only so many bytes.
import type { LogFile, LogFolder } from "../../../src/node/storage/log-folder.ts";

/** Files in memory; a write that would make them larger than `capacity` together fails, half of it done. */
export class SmallDisk implements LogFolder {
  readonly files = new Map<string, { bytes: Buffer }>();
  capacity = Infinity;
  /** Not even the name of a new file finds room. */
  namesFit = true;
  /** Awaited in the middle of a write. */
  during: (name: string) => Promise<void> | void = () => undefined;
  /** Before a file takes another one's name. */
  beforeRename: () => void = () => undefined;

  read(name: string): Buffer | undefined {
    const file = this.files.get(name);
    return file === undefined ? undefined : Buffer.from(file.bytes);
  }

  open(name: string): LogFile {
    if (!this.namesFit && !this.files.has(name)) throw noSpace();
    const file = this.files.get(name) ?? { bytes: Buffer.alloc(0) };
    this.files.set(name, file);
    const writeInPlace = (bytes: Buffer, position: number): void => {
      const end = position + bytes.length;
      const room = this.capacity - this.used() + file.bytes.length;
      const fits = end <= file.bytes.length || end <= room;
      const written = fits ? bytes : bytes.subarray(0, Math.max(0, Math.floor((room - position) / 2)));
      const length = Math.max(file.bytes.length, position + written.length);
      const grown = Buffer.alloc(length);
      file.bytes.copy(grown);
      written.copy(grown, position);
      file.bytes = grown;
      if (!fits) throw noSpace();
    };
    return {
      writeInPlace,
      write: async (bytes, position) => {
        const half = bytes.length >> 1;
        writeInPlace(bytes.subarray(0, half), position);
        await this.during(this.nameOf(file));
        writeInPlace(bytes.subarray(half), position + half);
      },
      truncate: (bytes) => {
        const shorter = Buffer.alloc(bytes);
        file.bytes.copy(shorter);
        file.bytes = shorter;
      },
      sync: () => undefined,
      close: () => undefined,
    };
  }

  rename(from: string, to: string): void {
    this.beforeRename();
    const file = this.files.get(from);
    if (file !== undefined) this.files.set(to, file);
    this.files.delete(from);
  }

  link(from: string, to: string): void {
    const file = this.files.get(from);
    if (file !== undefined) this.files.set(to, file);
  }

  remove(name: string): void {
    this.files.delete(name);
  }

  sync(): void {
    // Memory has nothing to flush.
  }

  /** What a node that crashes now finds. */
  afterCrash(): SmallDisk {
    const found = new SmallDisk();
    for (const name of this.files.keys()) {
      found.files.set(name, { bytes: this.read(name) ?? Buffer.alloc(0) });
    }
    return found;
  }

  private nameOf(file: { bytes: Buffer }): string {
    for (const [name, other] of this.files) if (other === file) return name;
    return "";
  }

  used(): number {
    let bytes = 0;
    for (const file of this.files.values()) bytes += file.bytes.length;
    return bytes;
  }
}

export function noSpace(): Error {
  return Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
}
