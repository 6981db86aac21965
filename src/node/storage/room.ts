// Whether a disk has room, asked before it is needed and after a write failed.

import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { isNoRoom } from "../../model/no-room.ts";

const PROBE_BYTES = 1 << 20;

/** The room that a file has to grow. */
export class Room {
  private readonly folder: string;
  private readonly file: string;
  private probe: number | undefined;

  constructor(folder: string, file: string) {
    this.folder = folder;
    this.file = file;
  }

  /**
   * Throws, as `isNoRoom` knows it, where the file cannot become longer by `bytes`: a file-size limit, or a file
   * system that has no more as much. Writes nothing, and so does not see a quota.
   */
  check(bytes: number): void {
    const { bavail, bsize } = statfsSync(this.folder);
    if (bavail * bsize < bytes) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    this.probed(statSync(this.file).size + bytes, () => undefined);
  }

  /** The same of a few bytes, by writing as many; for after a write that failed and did not say why. */
  isGone(): boolean {
    try {
      this.check(PROBE_BYTES);
      const { size } = statSync(this.file);
      this.probed(size, (probe) => {
        for (let done = 0; done < PROBE_BYTES;) {
          done += writeSync(probe, Buffer.alloc(PROBE_BYTES - done, 1), 0, PROBE_BYTES - done, size + done);
        }
        fsyncSync(probe);
      });
      return false;
    } catch (error) {
      return isNoRoom(error);
    }
  }

  close(): void {
    if (this.probe !== undefined) closeSync(this.probe);
    this.probe = undefined;
  }

  /** `work` on a file of so many bytes, none of which takes room. A file-size limit shows only there. */
  private probed(bytes: number, work: (probe: number) => void): void {
    const probe = (this.probe ??= this.openProbe());
    try {
      ftruncateSync(probe, bytes);
      work(probe);
    } finally {
      ftruncateSync(probe, 0);
    }
  }

  /** Without a name: it is gone with this process. */
  private openProbe(): number {
    const path = join(this.folder, "probe.tmp");
    const probe = openSync(path, "w", 0o600);
    rmSync(path, { force: true });
    return probe;
  }
}
