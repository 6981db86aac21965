import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SLOTS, crc16, slotOf } from "../../../src/topology/slots.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("CRC-16/XMODEM", () => {
  test("gives the check value of the catalogue, and 0 for nothing", () => {
    expect(crc16(bytes("123456789"))).toBe(0x31c3);
    expect(crc16(new Uint8Array())).toBe(0);
  });

  test("equals the textbook bit-by-bit division", () => {
    const bitByBit = (message: Uint8Array): number => {
      let crc = 0;
      for (const byte of message) {
        for (let bit = 7; bit >= 0; bit -= 1) {
          const carry = ((crc >> 15) & 1) ^ ((byte >> bit) & 1);
          crc = ((crc << 1) & 0xffff) ^ (carry === 1 ? 0x1021 : 0);
        }
      }
      return crc;
    };
    fc.assert(
      fc.property(fc.uint8Array(), (message) => {
        expect(crc16(message)).toBe(bitByBit(message));
      }),
    );
  });
});

describe("the slot of a key is the one that CLUSTER KEYSLOT answers", () => {
  test.each([
    ["foo", 12182],
    ["bar", 5061],
    ["hello", 866],
    ["somekey", 11058],
    ["", 0],
    ["123456789", 0x31c3],
  ])("%j -> %i", (key, slot) => {
    expect(slotOf(key)).toBe(slot);
  });

  test("only the hash tag counts, so that related keys share a shard", () => {
    expect(slotOf("foo{hash_tag}")).toBe(2515);
    expect(slotOf("{user1000}.following")).toBe(slotOf("{user1000}.followers"));
    expect(slotOf("{user1000}.following")).toBe(slotOf("user1000"));
    expect(slotOf("foo{bar}{zap}")).toBe(slotOf("bar"));
    expect(slotOf("foo{{bar}}zap")).toBe(slotOf("{bar"));
  });

  test("an empty or unclosed tag is no tag", () => {
    expect(slotOf("foo{}{bar}")).toBe(crc16(bytes("foo{}{bar}")) % SLOTS);
    expect(slotOf("foo{bar")).toBe(crc16(bytes("foo{bar")) % SLOTS);
    expect(slotOf("}foo{")).toBe(crc16(bytes("}foo{")) % SLOTS);
  });

  test("keys count as UTF-8", () => {
    expect(slotOf("日本")).toBe(crc16(Uint8Array.of(0xe6, 0x97, 0xa5, 0xe6, 0x9c, 0xac)) % SLOTS);
  });

  test("every key has the slot of its bytes, whatever is in it", () => {
    const byBytes = (key: string): number => {
      const all = bytes(key);
      const open = all.indexOf(0x7b);
      const close = open < 0 ? -1 : all.indexOf(0x7d, open + 1);
      return crc16(close > open + 1 ? all.subarray(open + 1, close) : all) % SLOTS;
    };
    const part = fc.oneof(
      fc.constantFrom("{", "}", "a", "é", "日", "\ud800"),
      fc.string({ unit: "binary", maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        expect(slotOf(parts.join(""))).toBe(byBytes(parts.join("")));
      }),
      { numRuns: 300 },
    );
  });
});
