// Frames between nodes: 4 bytes of length, big-endian, then that many bytes of msgpack. The length is
// checked before anything is allocated for it.

import { Packr, RESERVE_START_SPACE } from "msgpackr";

/** Largest frame, in bytes; also the bound on what one peer can make another allocate at a time. */
export const FRAME_BYTES_MAX = 32 << 20;

const packr = new Packr({ useRecords: false, moreTypes: false });

/** Any plain value as msgpack; Uint8Array stays binary. */
export function pack(value: unknown): Buffer {
  return packr.pack(value);
}

/** The reverse of `pack`. Binary comes out as views into `bytes`. Throws on garbage. */
export function unpack(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}

const LENGTH_BYTES = 4;

export function encodeFrame(value: unknown): Buffer {
  // Room for the length is left in front: the payload is not copied behind it.
  const frame: Buffer = packr.pack(value, RESERVE_START_SPACE | LENGTH_BYTES);
  frame.writeUInt32BE(frame.length - LENGTH_BYTES, 0);
  return frame;
}

class FrameError extends Error {
  override readonly name = "FrameError";
}

/** Cuts a byte stream into frames. Throws FrameError for a frame that is too large or is not msgpack. */
export class FrameReader {
  private chunks: Buffer[] = [];
  private buffered = 0;

  push(chunk: Buffer, onFrame: (value: unknown) => void): void {
    this.chunks.push(chunk);
    this.buffered += chunk.length;
    while (this.buffered >= 4) {
      const head = this.peek(4);
      const length = head.readUInt32BE(0);
      if (length > FRAME_BYTES_MAX)
        throw new FrameError(`a frame of ${length} bytes; ${FRAME_BYTES_MAX} is the limit`);
      if (this.buffered < 4 + length) return;
      const frame = this.take(4 + length);
      let value: unknown;
      try {
        value = unpack(frame.subarray(4));
      } catch (error) {
        throw new FrameError("a frame is not msgpack", { cause: error });
      }
      onFrame(value);
    }
  }

  private peek(length: number): Buffer {
    const first = this.chunks[0];
    if (first !== undefined && first.length >= length) return first;
    // Memory of its own: what is unpacked from it are pieces of it, and those that come into the log stay.
    const joined = Buffer.allocUnsafeSlow(this.buffered);
    let end = 0;
    for (const chunk of this.chunks) end += chunk.copy(joined, end);
    this.chunks = [joined];
    return joined;
  }

  private take(length: number): Buffer {
    // A frame in several chunks is joined once, when all of it is here: not quadratic in its chunks.
    const whole = this.peek(length);
    const rest = whole.subarray(length);
    if (rest.length === 0) this.chunks.shift();
    else this.chunks[0] = rest;
    this.buffered -= length;
    return whole.subarray(0, length);
  }
}
