// Key -> slot, as Redis Cluster does it, so that a key has the same slot on every engine.
// Source: Redis Cluster specification, "Key distribution model" and "Hash tags".

/** Slots of the key space, on every engine. */
export const SLOTS = 16384;

const CRC_TABLE = crcTable();
const ENCODER = new TextEncoder();
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

function crcTable(): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    table[byte] = crc;
  }
  return table;
}

/**
 * CRC-16/XMODEM: polynomial 0x1021, initial value 0, nothing reflected, nothing inverted.
 *
 * @internal The tests compare it with the published check value and with a plain one.
 */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = ((crc << 8) & 0xffff) ^ (CRC_TABLE[(crc >> 8) ^ byte] ?? 0);
  return crc;
}

/**
 * The slot, 0 … 16383, of a key: CRC-16 of its UTF-8 bytes modulo `SLOTS`. When the key holds `{tag}`
 * with a tag that is not empty, only the tag between the first `{` and the first `}` after it counts.
 */
export function slotOf(key: string): number {
  const bytes = ENCODER.encode(key);
  const open = bytes.indexOf(BRACE_OPEN);
  const close = open < 0 ? -1 : bytes.indexOf(BRACE_CLOSE, open + 1);
  return crc16(close > open + 1 ? bytes.subarray(open + 1, close) : bytes) % SLOTS;
}
