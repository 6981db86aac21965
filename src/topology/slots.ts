// Key -> slot, as Redis Cluster does it, so that a key has the same slot on every engine.
// Source: Redis Cluster specification, "Key distribution model" and "Hash tags".

/** Slots of the key space, on every engine. */
export const SLOTS = 16384;

const CRC_TABLE = crcTable();
const ENCODER = new TextEncoder();

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
  for (const byte of bytes) crc = next(crc, byte);
  return crc;
}

/**
 * The slot, 0 … 16383, of a key: CRC-16 of its UTF-8 bytes modulo `SLOTS`. When the key holds `{tag}`
 * with a tag that is not empty, only the tag between the first `{` and the first `}` after it counts.
 */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = open < 0 ? -1 : key.indexOf("}", open + 1);
  return (close > open + 1 ? crcOf(key, open + 1, close) : crcOf(key, 0, key.length)) % SLOTS;
}

/** Of the UTF-8 bytes of a part of `text`: of ASCII, which keys nearly always are, no bytes are made for it. */
function crcOf(text: string, start: number, end: number): number {
  let crc = 0;
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) return crc16(ENCODER.encode(text.slice(start, end)));
    crc = next(crc, code);
  }
  return crc;
}

function next(crc: number, byte: number): number {
  return ((crc << 8) & 0xffff) ^ (CRC_TABLE[(crc >> 8) ^ byte] ?? 0);
}
