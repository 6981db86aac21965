import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  FRAME_HEAD_BYTES,
  FRAME_OVERHEAD_BYTES,
  readFrame,
  sealFrame,
} from "../../../src/node/storage/log-frames.ts";

function framed(payload: Uint8Array, sequence: number): Buffer {
  const room = Buffer.alloc(payload.length + FRAME_OVERHEAD_BYTES);
  room.set(payload, FRAME_HEAD_BYTES);
  return sealFrame(room, payload.length, sequence);
}

describe("a frame of the log", () => {
  it("gives back its payload, whatever its length and wherever it lies", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.nat(9),
        fc.nat(2 ** 40),
        (payload, before, sequence) => {
          const bytes = Buffer.concat([Buffer.alloc(before), framed(payload, sequence)]);
          expect(readFrame(Buffer.from(bytes), before, sequence)).toEqual(Buffer.from(payload));
        },
      ),
    );
  });

  it("has every byte of its payload whitened, wherever it lies", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(3), (payload, before) => {
        const room = Buffer.alloc(before + payload.length + FRAME_OVERHEAD_BYTES).subarray(before);
        room.set(payload, FRAME_HEAD_BYTES);
        const frame = sealFrame(room, payload.length, 1);
        const whitened = frame.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + payload.length);
        expect([...whitened]).toEqual([...payload].map((byte) => byte ^ 0xa5));
      }),
    );
  });

  it("has no row of zeros as long as a sector, also where its payload has nothing else", () => {
    for (const length of [512, 513, 527, 4096]) {
      expect(framed(Buffer.alloc(length), 1).includes(Buffer.alloc(16))).toBe(false);
    }
  });
});
