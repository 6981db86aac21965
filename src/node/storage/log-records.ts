// The records of the log: what a frame's payload holds, and how each is written and read. A record is its
// length (4 bytes, big-endian) and a body: msgpack, or, for an entry, its fields and data as they are.

import type { Entry, EntryKind, HardState } from "../../consensus/seam.ts";
import type { GroupId } from "../../model/ids.ts";
import { pack, unpack } from "../transport/frames.ts";
import { FRAME_HEAD_BYTES, sealFrame } from "./log-frames.ts";
import type { GroupRecord, LogWrite } from "./log-store.ts";

const KINDS: readonly EntryKind[] = ["noop", "command", "config", "hole"];
/** Begins the body of an entry; no msgpack begins with it. */
const ENTRY = 0xc1;
/** ENTRY, kind, length of the group's name, index, term. */
const ENTRY_HEAD_BYTES = 19;
/** Set in the kind's byte where the ballot follows the head. */
const WITH_BALLOT = 0x80;
const BALLOT_BYTES = 8;
const LENGTH_BYTES = 4;
const ROOM_BYTES_MIN = 1 << 16;
/** A larger one was an exception, and its room is given back. */
const ROOM_BYTES_KEPT = 4 << 20;

/**
 * A frame in the making. Records are written where the frame will be written from, and the next frame uses
 * the same memory: a write of 3 KiB was copied five times on its way into the log, and each copy was left to
 * the garbage collector.
 */
export class LogFrame {
  private room = Buffer.allocUnsafeSlow(ROOM_BYTES_MIN);
  private end = FRAME_HEAD_BYTES;

  get payloadBytes(): number {
    return this.end - FRAME_HEAD_BYTES;
  }

  add(one: LogWrite): void {
    switch (one.kind) {
      case "group":
        this.addPacked(["g", one.group, one.record]);
        return;
      case "truncate":
        this.addPacked(["t", one.group, one.from]);
        return;
      case "remove":
        this.addPacked(["r", one.group]);
        return;
      case "promise":
        this.addPacked(["h", one.group, one.hardState]);
        return;
      case "fact":
        this.addPacked(["f", one.name, one.value]);
        return;
      case "entries":
        for (const entry of one.entries) this.addEntry(one.group, entry);
    }
  }

  /** The whole frame; valid until `clear`. */
  seal(sequence: number): Buffer {
    return sealFrame(this.reserve(1), this.payloadBytes, sequence);
  }

  clear(): void {
    this.end = FRAME_HEAD_BYTES;
    if (this.room.length > ROOM_BYTES_KEPT) this.room = Buffer.allocUnsafeSlow(ROOM_BYTES_MIN);
  }

  private addPacked(value: readonly unknown[]): void {
    const body = pack(value);
    const room = this.reserve(LENGTH_BYTES + body.length);
    room.writeUInt32BE(body.length, this.end);
    room.set(body, this.end + LENGTH_BYTES);
    this.end += LENGTH_BYTES + body.length;
  }

  private addEntry(group: GroupId, { index, term, kind, data, ballot }: Entry): void {
    const groupBytes = Buffer.byteLength(group);
    if (groupBytes > 255) throw new RangeError(`the name of group ${group} is too long for the log`);
    const headBytes = ballot === undefined ? ENTRY_HEAD_BYTES : ENTRY_HEAD_BYTES + BALLOT_BYTES;
    const length = headBytes + groupBytes + data.length;
    const room = this.reserve(LENGTH_BYTES + length);
    const start = room.writeUInt32BE(length, this.end);
    room[start] = ENTRY;
    room[start + 1] = ballot === undefined ? KINDS.indexOf(kind) : KINDS.indexOf(kind) | WITH_BALLOT;
    room[start + 2] = groupBytes;
    room.writeDoubleBE(index, start + 3);
    room.writeDoubleBE(term, start + 11);
    if (ballot !== undefined) room.writeDoubleBE(ballot, start + ENTRY_HEAD_BYTES);
    room.write(group, start + headBytes);
    room.set(data, start + headBytes + groupBytes);
    this.end = start + length;
  }

  /** The memory of the frame, with room for `bytes` more. */
  private reserve(bytes: number): Buffer {
    if (this.end + bytes > this.room.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.room.length, this.end + bytes));
      this.room.copy(larger, 0, 0, this.end);
      this.room = larger;
    }
    return this.room;
  }
}

/** The records of a payload, in the order in which they were written. */
export function* readRecords(payload: Buffer): Generator<LogWrite> {
  for (let at = 0; at < payload.length;) {
    const start = at + LENGTH_BYTES;
    const end = start + payload.readUInt32BE(at);
    const body = payload.subarray(start, end);
    at = end;
    if (body[0] === ENTRY) {
      yield readEntry(body);
      continue;
    }
    const [kind, name, value] = unpack(body) as [string, string, unknown];
    if (kind === "g") yield { kind: "group", group: name, record: value as GroupRecord };
    else if (kind === "t") yield { kind: "truncate", group: name, from: Number(value) };
    else if (kind === "h") yield { kind: "promise", group: name, hardState: value as HardState };
    else if (kind === "r") yield { kind: "remove", group: name };
    else yield { kind: "fact", name, value };
  }
}

function readEntry(body: Buffer): LogWrite {
  const kind = body.readUInt8(1);
  const hasBallot = (kind & WITH_BALLOT) !== 0;
  const headBytes = hasBallot ? ENTRY_HEAD_BYTES + BALLOT_BYTES : ENTRY_HEAD_BYTES;
  const dataFrom = headBytes + body.readUInt8(2);
  const entry: Entry = {
    index: body.readDoubleBE(3),
    term: body.readDoubleBE(11),
    kind: KINDS[kind & ~WITH_BALLOT] ?? "noop",
    // A copy, so that one entry does not keep the whole file in memory.
    data: Uint8Array.from(body.subarray(dataFrom)),
    ...(hasBallot ? { ballot: body.readDoubleBE(ENTRY_HEAD_BYTES) } : {}),
  };
  return { kind: "entries", group: body.toString("utf8", headBytes, dataFrom), entries: [entry] };
}

/** Terms only grow, and a vote given in a term stays: whatever was written first, this one holds. */
export function newerHardState(one: HardState | undefined, other: HardState): HardState {
  if (one === undefined) return other;
  const [older, newer] = one.term > other.term ? [other, one] : [one, other];
  const vote = newer.term === older.term && newer.vote === "" ? older.vote : newer.vote;
  return { ...newer, vote, commit: Math.max(one.commit, other.commit) };
}
