// Frames of the log file: magic, length, sequence number, checksums, the whitened payload, an end mark. Says
// whether what it finds is a frame, the end of the log, a write that a crash cut off, or damage. No I/O.

import { crc32 } from "node:zlib";

const MAGIC = 0x4d306c67;
const HEAD_BYTES = 24;
/** The last byte of every frame: a write that was cut off has a zero there. */
const END_MARK = 0x5a;
/** Every four bytes of a payload are combined with it, so that no sector of a whole frame is all zeros. */
const WHITENING = 0xa5a5a5a5;
const SECTOR_BYTES = 512;
/** A payload begins so many bytes after its frame. */
export const FRAME_HEAD_BYTES = HEAD_BYTES;
/** What a frame takes besides its payload, in bytes. */
export const FRAME_OVERHEAD_BYTES = HEAD_BYTES + 1;

/**
 * Makes a frame of the `payloadBytes` that lie behind FRAME_HEAD_BYTES in `room`, which has at least one byte
 * more and memory of its own. Returns the part of `room` that is the frame; the payload is changed.
 */
export function sealFrame(room: Buffer, payloadBytes: number, sequence: number): Buffer {
  const end = HEAD_BYTES + payloadBytes;
  const payload = room.subarray(HEAD_BYTES, end);
  room.writeUInt32BE(MAGIC, 0);
  room.writeUInt32BE(payloadBytes, 4);
  room.writeBigUInt64BE(BigInt(sequence), 8);
  room.writeUInt32BE(crc32(payload), 16);
  room.writeUInt32BE(crc32(room.subarray(0, 20)), 20);
  whiten(payload);
  room[end] = END_MARK;
  return room.subarray(0, end + 1);
}

/** Both ways. */
function whiten(bytes: Buffer): void {
  const { buffer, byteOffset, length } = bytes;
  let at = 0;
  // Four words at a time where memory allows it: an eighth of the time.
  if (byteOffset % 4 === 0) {
    const words = new Int32Array(buffer, byteOffset, (length >>> 4) * 4);
    for (let word = 0; word < words.length; word += 4) {
      words[word] = (words[word] ?? 0) ^ WHITENING;
      words[word + 1] = (words[word + 1] ?? 0) ^ WHITENING;
      words[word + 2] = (words[word + 2] ?? 0) ^ WHITENING;
      words[word + 3] = (words[word + 3] ?? 0) ^ WHITENING;
    }
    at = words.length * 4;
  }
  for (; at < length; at += 1) bytes[at] = (bytes[at] ?? 0) ^ (WHITENING & 0xff);
}

/** Bytes of payload that the head at `offset` promises; undefined when there is no whole head there. */
function payloadBytes(bytes: Buffer, offset: number): number | undefined {
  if (offset + HEAD_BYTES > bytes.length || bytes.readUInt32BE(offset) !== MAGIC) return undefined;
  if (crc32(bytes.subarray(offset, offset + 20)) !== bytes.readUInt32BE(offset + 20)) return undefined;
  return bytes.readUInt32BE(offset + 4);
}

/** The number that a whole head at `offset` gives its frame. */
function sequenceOf(bytes: Buffer, offset: number): number {
  return Number(bytes.readBigUInt64BE(offset + 8));
}

/** The payload of the frame at `offset`; undefined when it is not whole or not as it was written. */
export function readFrame(bytes: Buffer, offset: number, sequence: number): Buffer | undefined {
  const frame = readAnyFrame(bytes, offset);
  return frame?.sequence === sequence ? frame.payload : undefined;
}

/** The frame at `offset`, whichever it is; undefined when it is not whole or not as it was written. */
export function readAnyFrame(
  bytes: Buffer,
  offset: number,
): { readonly payload: Buffer; readonly sequence: number; readonly end: number } | undefined {
  const length = payloadBytes(bytes, offset);
  const start = offset + HEAD_BYTES;
  if (length === undefined || start + length >= bytes.length || bytes[start + length] !== END_MARK)
    return undefined;
  const payload = Buffer.from(bytes.subarray(start, start + length));
  whiten(payload);
  if (crc32(payload) !== bytes.readUInt32BE(offset + 16)) return undefined;
  const sequence = sequenceOf(bytes, offset);
  return { payload, sequence, end: start + length + 1 };
}

/**
 * True when what begins at `offset` is the end of the log, or a write that a crash cut off: nothing but
 * zeros, or the last frame of the file, shorter than it says or with a sector that never reached the disk.
 * A frame that is whole but wrong was damaged later and may have been acknowledged; so may one that another
 * frame follows, which is only written after a flush, and what lies where a part of another frame than the one with
 * number `sequence` is, which a disk put in its place.
 */
export function isTorn(bytes: Buffer, offset: number, sequence: number): boolean {
  if (isZero(bytes.subarray(offset))) return true;
  const magic = Buffer.alloc(4);
  magic.writeUInt32BE(MAGIC);
  for (let at = bytes.indexOf(magic, offset + 1); at !== -1; at = bytes.indexOf(magic, at + 1)) {
    if (payloadBytes(bytes, at) !== undefined) return false;
  }
  const length = payloadBytes(bytes, offset);
  if (length === undefined) return isTornHead(bytes, offset);
  if (sequenceOf(bytes, offset) !== sequence) return false;
  const end = offset + HEAD_BYTES + length;
  if (end >= bytes.length || bytes[end] === 0) return true;
  for (let sector = offset - (offset % SECTOR_BYTES); sector < end; sector += SECTOR_BYTES) {
    const part = bytes.subarray(Math.max(sector, offset + HEAD_BYTES), Math.min(sector + SECTOR_BYTES, end));
    if (part.length > 0 && isZero(part)) return true;
  }
  return false;
}

/** The head itself was cut off, or the sector that it or a part of it lies in never reached the disk. */
function isTornHead(bytes: Buffer, offset: number): boolean {
  const head = bytes.subarray(offset, offset + HEAD_BYTES);
  // Sectors are written in any order: what is in those behind says nothing.
  const boundary = Math.min(head.length, SECTOR_BYTES - (offset % SECTOR_BYTES));
  const first = head.subarray(0, boundary);
  const second = head.subarray(boundary);
  if (isZero(first)) return true;
  if (second.length > 0 && isZero(second) && isCutHead(head, boundary)) return true;
  // Cut off by the end of the file: only zeros, or nothing, behind what there is of it.
  const present = head.findLastIndex((byte) => byte !== 0) + 1;
  return present < HEAD_BYTES && isCutHead(head, present) && isZero(bytes.subarray(offset + HEAD_BYTES));
}

/** The first bytes of a head, cut off, still begin with the magic. */
function isCutHead(head: Buffer, present: number): boolean {
  const magic = Buffer.alloc(4);
  magic.writeUInt32BE(MAGIC);
  const shown = Math.min(present, 4);
  return head.subarray(0, shown).equals(magic.subarray(0, shown));
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(Buffer.alloc(bytes.length));
}
