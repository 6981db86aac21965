// Keys of the store: tuples of strings and whole numbers, encoded so that bytes sort as the tuples do.
// A string ends with 00; a 00 inside it becomes 00 FF. A number is 8 bytes, big-endian.

export type KeyPart = string | number;
/** An encoded key; opaque outside this file but for its byte order. */
export type Key = Buffer;

/** A key's bytes as Latin-1, which sort as the key does. */
export function nameOf(key: Key): string {
  return key.toString("latin1");
}

export function keyOf(name: string): Key {
  return Buffer.from(name, "latin1");
}

const STRING = 0x01;
const NUMBER = 0x02;

function partLength(part: KeyPart): number {
  if (typeof part === "number") return 9;
  let zeros = 0;
  for (let at = part.indexOf("\0"); at !== -1; at = part.indexOf("\0", at + 1)) zeros += 1;
  return Buffer.byteLength(part) + 2 + zeros;
}

function writePart(target: Buffer, offset: number, part: KeyPart): number {
  if (typeof part === "number") {
    target[offset] = NUMBER;
    target.writeUInt32BE(Math.floor(part / 0x1_0000_0000), offset + 1);
    target.writeUInt32BE(part >>> 0, offset + 5);
    return offset + 9;
  }
  target[offset] = STRING;
  let end = offset + 1;
  if (part.includes("\0")) {
    for (const byte of Buffer.from(part)) {
      target[end++] = byte;
      if (byte === 0) target[end++] = 0xff;
    }
  } else {
    end += target.write(part, end);
  }
  target[end] = 0;
  return end + 1;
}

/** Appends `parts` to an already encoded `prefix`. Numbers are whole, 0 to 2^53 - 1. */
export function extendKey(prefix: Key | undefined, ...parts: readonly KeyPart[]): Key {
  let length = prefix?.length ?? 0;
  for (const part of parts) length += partLength(part);
  const key = Buffer.allocUnsafe(length);
  let offset = prefix === undefined ? 0 : prefix.copy(key);
  for (const part of parts) offset = writePart(key, offset, part);
  return key;
}

export function encodeKey(...parts: readonly KeyPart[]): Key {
  return extendKey(undefined, ...parts);
}

/** The parts of `key` from byte `offset` on (the length of a known prefix). Throws RangeError on garbage. */
export function decodeKey(key: Buffer, offset = 0): KeyPart[] {
  const parts: KeyPart[] = [];
  let at = offset;
  while (at < key.length) {
    const kind = key[at];
    if (kind === NUMBER && at + 9 <= key.length) {
      parts.push(key.readUInt32BE(at + 1) * 0x1_0000_0000 + key.readUInt32BE(at + 5));
      at += 9;
    } else if (kind === STRING) {
      const bytes: number[] = [];
      let from = at + 1;
      let end = key.indexOf(0, from);
      while (end !== -1 && key[end + 1] === 0xff) {
        bytes.push(...key.subarray(from, end + 1));
        from = end + 2;
        end = key.indexOf(0, from);
      }
      if (end === -1) throw new RangeError("a key ends inside a string");
      const tail = key.subarray(from, end);
      parts.push(bytes.length === 0 ? tail.toString() : Buffer.concat([Buffer.from(bytes), tail]).toString());
      at = end + 1;
    } else {
      throw new RangeError("a key has a part of no known kind");
    }
  }
  return parts;
}

/**
 * Greater than every key that goes on from `prefix` with further parts, and smaller than any other that is
 * greater: parts begin with 01 or 02, and only a string that goes on with a zero byte has FF there.
 */
export function prefixEnd(prefix: Key): Key {
  return Buffer.concat([prefix, Buffer.of(0xff)]);
}
