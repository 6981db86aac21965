import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { contentId, newMemoryId, shardHint } from "../../../src/memory/id.ts";
import { checkId } from "../../../src/memory/record.ts";

const RANDOM = fc.uint8Array({ minLength: 10, maxLength: 10 });
const TIME = fc.nat(2 ** 31).map((seconds) => seconds * 1000 + 7);
const SHARD = fc.nat(16_383);

describe("a new memory id", () => {
  it("has the layout of RFC 9562, section 5.7", () => {
    // The time of the RFC's example in appendix A.6.
    const id = newMemoryId(0x017f22e279b0, 0, new Uint8Array(10).fill(0xff));
    expect(id).toBe("017f22e2-79b0-7fff-8000-ffffffffffff");
  });

  it("is a version 7 UUID that gives its shard and its time back", () => {
    fc.assert(
      fc.property(TIME, SHARD, RANDOM, (nowMs, shard, random) => {
        const id = newMemoryId(nowMs, shard, random);
        expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(shardHint(id)).toBe(shard);
        expect(shardHint(id.toUpperCase())).toBe(shard);
        expect(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toBe(nowMs);
        expect(checkId(id)).toBe(id);
      }),
    );
  });

  it("sorts after every id of an earlier millisecond", () => {
    fc.assert(
      fc.property(TIME, SHARD, RANDOM, SHARD, RANDOM, (nowMs, shard, random, otherShard, otherRandom) => {
        expect(newMemoryId(nowMs, shard, random) < newMemoryId(nowMs + 1, otherShard, otherRandom)).toBe(
          true,
        );
      }),
    );
  });

  it("differs when the random bytes differ", () => {
    const ids = new Set<string>();
    for (let byte = 0; byte < 8; byte += 1) {
      const random = new Uint8Array(10);
      // The high half of the first byte gives way to the version.
      random[byte] = 1;
      ids.add(newMemoryId(1, 1, random));
    }
    expect(ids.size).toBe(8);
  });

  it.each([
    [1, 16_384, 10],
    [1, -1, 10],
    [1, 1.5, 10],
    [-1, 1, 10],
    [2 ** 48, 1, 10],
    [1, 1, 9],
  ])("refuses time %d, shard %d, %d random bytes", (nowMs, shard, length) => {
    expect(() => newMemoryId(nowMs, shard, new Uint8Array(length))).toThrow(RangeError);
  });
});

describe("a shard hint", () => {
  it.each([
    "",
    "m-1",
    "017f22e2-79b0-4fff-8000-ffffffffffff",
    "017f22e2-79b0-7fff-c000-ffffffffffff",
    "017f22e2-79b0-7fff-8000-fffffffffff",
    "017f22e279b07fff8000ffffffffffff",
  ])("is not read from %j", (id) => {
    expect(shardHint(id)).toBeUndefined();
  });
});

describe("an id that is made of a text", () => {
  it("is a version 8 UUID of its SHA-256, as in RFC 9562, section 5.8, and hints at no shard", () => {
    // FIPS 180-2, appendix B.1: SHA-256 of "abc" begins with ba7816bf 8f01cfea 414140de 5dae2223.
    expect(contentId("abc")).toBe("ba7816bf-8f01-8fea-8141-40de5dae2223");
    expect(shardHint(contentId("abc"))).toBeUndefined();
    expect(checkId(contentId("abc"))).toBe(contentId("abc"));
  });
});
