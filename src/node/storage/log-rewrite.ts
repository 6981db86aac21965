// A rewrite of the log: what is still needed of it goes to a new file while the old one goes on, and the new
// one takes the old one's place by a rename, between two frames. A crash before it leaves the old file, and
// one after it the new file, each with everything that was acknowledged.

import type { GroupId } from "../../model/ids.ts";
import type { LogFile, LogFolder } from "./log-folder.ts";
import { LogFrame } from "./log-records.ts";
import type { GroupLog, LogWrite } from "./log-store.ts";

export const LOG_FILE = "log";
/** A rewrite makes it, and gives it the other one's name. */
export const NEW_LOG_FILE = "log.new";
const CHUNK_BYTES = 1 << 20;

export class LogRewrite {
  readonly file: LogFile;
  /** Where the next frame goes. */
  offset = 0;
  /** Of the last frame. */
  sequence = 0;
  /** Set when `write` has ended: all but its rest is on disk. */
  isWhole = false;
  private readonly folder: LogFolder;
  private readonly frame = new LogFrame();
  /** Made since it began, and not in the new file yet. */
  private readonly since: LogWrite[] = [];

  /** Begins a new file. Throws the system's error when there is no room for as much as its name. */
  constructor(folder: LogFolder) {
    this.folder = folder;
    this.file = folder.open(NEW_LOG_FILE);
  }

  /** Takes note of a write that was made after what is needed was gathered. */
  note(one: LogWrite): void {
    this.since.push(one);
  }

  /** Writes what is needed, and what was noted meanwhile. Rejects with the system's error. */
  async write(needed: readonly (readonly LogWrite[])[]): Promise<void> {
    for (const writes of needed) await this.writeFrames(writes);
    // What is left at the end holds up the log: as little as can be had. Where writes come as fast as they
    // are written here, it gets no less by going on.
    for (let before = Infinity; ;) {
      const { offset } = this;
      await this.writeFrames(this.since.splice(0));
      const bytes = this.offset - offset;
      if (bytes <= CHUNK_BYTES || bytes >= before) break;
      before = bytes;
    }
  }

  /**
   * Writes the rest, zeros for the reserve, and takes the log's name: for good only after the folder's `sync`. What
   * is made from the call on is not in it. Rejects with the system's error; the old file has its name then.
   */
  async finish(reserveBytes: number): Promise<void> {
    await this.writeFrames(this.since.splice(0));
    await this.file.write(Buffer.alloc(reserveBytes), this.offset);
    this.folder.rename(NEW_LOG_FILE, LOG_FILE);
  }

  /** Gives back the room that it took. */
  discard(): void {
    this.file.close();
    this.folder.remove(NEW_LOG_FILE);
  }

  private async writeFrames(writes: readonly LogWrite[]): Promise<void> {
    const { frame } = this;
    for (const [at, one] of writes.entries()) {
      frame.add(one);
      if (frame.payloadBytes < CHUNK_BYTES && at < writes.length - 1) continue;
      const bytes = frame.seal(this.sequence + 1);
      await this.file.write(bytes, this.offset);
      this.sequence += 1;
      this.offset += bytes.length;
      frame.clear();
    }
  }
}

/**
 * What a new file has to say, as it stands now: about the node, its groups, and the node again. Without its
 * identity a node whose log is damaged cannot be helped, so that stands in it first and last.
 */
export function neededWrites(
  facts: ReadonlyMap<string, unknown>,
  groups: ReadonlyMap<GroupId, GroupLog>,
): LogWrite[][] {
  const ofNode = [...facts].map(([name, value]): LogWrite => ({ kind: "fact", name, value }));
  const ofGroups: LogWrite[] = [];
  for (const [group, { record, entries }] of groups) {
    ofGroups.push({ kind: "group", group, record });
    for (const entry of entries) ofGroups.push({ kind: "entries", group, entries: [entry] });
  }
  return [ofNode, ofGroups, ofNode];
}
