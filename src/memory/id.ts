// Ids of memories: UUIDs of version 7 (RFC 9562, section 5.7), so that they sort by time of creation,
// with the shard's number in the first bits of rand_b. The number is a hint of where to look first: the
// shard may have been split or moved since, and an id may have come from anywhere.

import { createHash } from "node:crypto";

const SHARD_NUMBER_MAX = 0x3fff;
const UNIX_TIME_MS_MAX = 2 ** 48 - 1;
const VERSION_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-([89ab][0-9a-f]{3})-[0-9a-f]{12}$/i;

/**
 * A new id. `random` is 10 fresh random bytes; `shardNumber` 0..16383; `nowMs` milliseconds since the
 * Unix epoch. Bits: unix_ts_ms 48, version 4, random 12, variant 2, shard 14, random 48.
 * Throws RangeError when an argument is out of range.
 */
export function newMemoryId(nowMs: number, shardNumber: number, random: Uint8Array): string {
  if (!Number.isInteger(shardNumber) || shardNumber < 0 || shardNumber > SHARD_NUMBER_MAX) {
    throw new RangeError(`shard number ${shardNumber} is not in 0..${SHARD_NUMBER_MAX}`);
  }
  if (!Number.isInteger(nowMs) || nowMs < 0 || nowMs > UNIX_TIME_MS_MAX) {
    throw new RangeError(`${nowMs} is not a time in milliseconds of 48 bits`);
  }
  if (random.length !== 10) throw new RangeError(`10 random bytes are needed, got ${random.length}`);
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  bytes.set(random.subarray(0, 2), 6);
  bytes[6] = 0x70 | (bytes.readUInt8(6) & 0x0f);
  bytes.writeUInt16BE(0x8000 | shardNumber, 8);
  bytes.set(random.subarray(2, 8), 10);
  return uuidOf(bytes);
}

/**
 * An id made of what it stands for, the same for the same text everywhere: a UUID of version 8 (RFC 9562, section
 * 5.8) of the first bits of the text's SHA-256.
 */
export function contentId(text: string): string {
  const bytes = createHash("sha256").update(text).digest().subarray(0, 16);
  bytes[6] = 0x80 | (bytes.readUInt8(6) & 0x0f);
  bytes[8] = 0x80 | (bytes.readUInt8(8) & 0x3f);
  return uuidOf(bytes);
}

/** Of 16 bytes. */
function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * The shard number that `newMemoryId` would have put into this id; undefined when it is not a UUID of
 * version 7. Any version 7 UUID gives a number, also one that was made elsewhere: never trust it.
 */
export function shardHint(id: string): number | undefined {
  const group = VERSION_7.exec(id)?.[1];
  return group === undefined ? undefined : Number.parseInt(group, 16) & SHARD_NUMBER_MAX;
}
