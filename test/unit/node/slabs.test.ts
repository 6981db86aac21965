import { expect, it } from "vitest";
import { Slabs } from "../../../src/node/storage/slabs.ts";

const MIB = 1 << 20;

it("gives every taker memory of its own, and the same memory again once it is reused", () => {
  const slabs = new Slabs();
  // Fills two slabs and a part of a third; the large one has memory of its own.
  const sizes = [MIB - 10, 10, 1, 0, MIB, MIB + 1, 7];
  const fill = (): Buffer[] => sizes.map((bytes, at) => slabs.take(bytes).fill(at + 1));
  const first = fill();
  expect(first.map(({ length }) => length)).toEqual(sizes);
  for (const [at, taken] of first.entries()) expect(taken.every((byte) => byte === at + 1)).toBe(true);
  slabs.reuse();
  const second = fill();
  const isSame = second.map(({ buffer, byteOffset }, at) => {
    const before = first[at];
    return buffer === before?.buffer && byteOffset === before.byteOffset;
  });
  expect(isSame).toEqual(sizes.map((bytes) => bytes <= MIB));
});

it("keeps no more than was taken the last time", () => {
  const slabs = new Slabs();
  const taken = [MIB, MIB, MIB].map((bytes) => slabs.take(bytes).buffer);
  slabs.reuse();
  expect(slabs.take(10).buffer).toBe(taken[0]);
  slabs.reuse();
  const again = [MIB, MIB].map((bytes) => slabs.take(bytes).buffer);
  expect(again[0]).toBe(taken[0]);
  expect(again[1]).not.toBe(taken[1]);
});
