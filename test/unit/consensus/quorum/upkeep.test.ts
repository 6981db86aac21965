import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DigestTree, digestOf, leafOf } from "../../../../src/consensus/quorum/digest-tree.ts";
import { Exchange, type Listed } from "../../../../src/consensus/quorum/exchange.ts";
import { HintBook } from "../../../../src/consensus/quorum/hints.ts";
import { isCollectable, mustBeRebuilt, type Witness } from "../../../../src/consensus/quorum/tombstones.ts";
import { NOTHING, type VersionVector } from "../../../../src/consensus/quorum/vectors.ts";
import { absent, written } from "../../../../src/consensus/quorum/versions.ts";

const item = (counter: number) =>
  written(absent<string>(), absent<string>(), {
    dot: ["a", counter],
    atMs: 1,
    write: `w${counter}`,
    value: "tea",
  });

describe("hints", () => {
  const limits = { hintsMax: 3, bytesMax: 10_000, ageMsMax: 1000 };

  it("are bounded in number and bytes (Quorum 7)", () => {
    const book = new HintBook(limits);
    for (const key of ["a", "b", "c"]) expect(book.note({ target: "n2", key, sinceMs: 1 })).toBe(true);
    expect(book.note({ target: "n3", key: "d", sinceMs: 2 })).toBe(false);
    expect(book.count).toBe(3);
    const small = new HintBook({ ...limits, bytesMax: 50 });
    expect(small.note({ target: "n2", key: "a", sinceMs: 1 })).toBe(true);
    expect(small.note({ target: "n2", key: "b", sinceMs: 1 })).toBe(false);
  });

  it("keep their age when the same key misses again, and make room when dropped", () => {
    const book = new HintBook(limits);
    book.note({ target: "n2", key: "a", sinceMs: 1 });
    book.note({ target: "n2", key: "a", sinceMs: 900 });
    expect(book.count).toBe(1);
    expect(book.oldestFor("n2")).toBe(1);
    expect(book.drop("n2", "a")).toBe(true);
    expect(book.drop("n2", "a")).toBe(false);
    expect(book.bytes).toBe(0);
  });

  it("expire, also when the clock was set back, and when their target holds no copy (Quorum 8)", () => {
    const book = new HintBook(limits);
    book.note({ target: "n2", key: "a", sinceMs: 1 });
    book.note({ target: "n2", key: "b", sinceMs: 900 });
    book.note({ target: "n3", key: "c", sinceMs: 900 });
    const keys = (nowMs: number, copies: string[]) =>
      book.expired(nowMs, (node) => copies.includes(node)).map(({ key }) => key);
    expect(keys(1002, ["n2", "n3"])).toEqual(["a"]);
    expect(keys(950, ["n2"])).toEqual(["c"]);
    expect(keys(-500, ["n2", "n3"])).toEqual(["b", "c"]);
  });
});

describe("digests", () => {
  it("are equal exactly when the same is known of the same keys, however it came about (Quorum 11)", () => {
    const keys = fc.uniqueArray(fc.tuple(fc.string(), fc.integer({ min: 1, max: 9 })), {
      selector: ([key]) => key,
      maxLength: 30,
    });
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        const one = new DigestTree();
        for (const [key, counter] of a) one.change(key, "", digestOf(key, item(counter)));
        const other = new DigestTree();
        // By way of something else.
        for (const [key, counter] of b) other.change(key, "", digestOf(key, item(counter)));
        for (const [key, counter] of b) other.change(key, digestOf(key, item(counter)), "");
        for (const [key, counter] of a.toReversed()) other.change(key, "", digestOf(key, item(counter)));
        expect(other.root).toBe(one.root);
        expect(other.rangeDigests()).toEqual(one.rangeDigests());
        const extra = `${a.map(([key]) => key).join("")}!`;
        other.change(extra, "", digestOf(extra, item(1)));
        expect(other.root).not.toBe(one.root);
      }),
    );
  });

  it("find exactly the keys that differ, by ranges and leaves (Quorum 11)", () => {
    const shared = Array.from({ length: 500 }, (_, n) => `key-${n}`);
    const mine = new Map(shared.map((key) => [key, digestOf(key, item(1))]));
    const theirs = new Map(mine);
    mine.set("only-mine", digestOf("only-mine", item(1)));
    theirs.set("only-theirs", digestOf("only-theirs", item(1)));
    theirs.set("key-7", digestOf("key-7", item(2)));
    const trees = [mine, theirs].map((keys) => {
      const tree = new DigestTree();
      for (const [key, digest] of keys) tree.change(key, "", digest);
      return tree;
    });
    const [own, other] = trees as [DigestTree, DigestTree];
    const inLeaf = (keys: Map<string, string>, leaf: number): Listed[] =>
      [...keys].filter(([key]) => leafOf(key) === leaf);
    const exchange = new Exchange(own.rangeDigests(), other.rangeDigests(), {
      ranges: 2,
      leaves: 2,
      keys: 2,
    });
    const found: string[] = [];
    let questions = 0;
    let largest = 0;
    for (let ask = exchange.next(); ask !== undefined; ask = exchange.next()) {
      questions += 1;
      if (ask.kind === "leaves") {
        largest = Math.max(largest, ask.ranges.length);
        for (const range of ask.ranges) {
          exchange.leavesCompared(range, own.leafDigests(range), other.leafDigests(range));
        }
      } else if (ask.kind === "keys") {
        for (const leaf of ask.leaves) exchange.keysCompared(inLeaf(mine, leaf), inLeaf(theirs, leaf));
      } else found.push(...ask.keys);
    }
    expect(found.toSorted()).toEqual(["key-7", "only-mine", "only-theirs"]);
    expect(exchange.found).toBe(3);
    expect(questions).toBeLessThan(10);
    expect(largest).toBeLessThanOrEqual(2);
  });
});

describe("tombstones", () => {
  const deleted = written(item(1), item(1), { dot: ["a", 2], atMs: 1000, write: "w2", value: null });
  const all: VersionVector = [["a", 2]];
  const age = { nowMs: 10_000, graceMs: 1000, awayMsMax: 1000 };
  const told: Witness = { node: "n2", floor: all, awayMs: 0 };

  it("go when every copy has told that it knows of them (Quorum 9)", () => {
    expect(isCollectable(deleted, all, [told, { ...told, node: "n3" }], age)).toBe(true);
    expect(isCollectable(deleted, all, [told, { ...told, node: "n3", floor: [["a", 1]] }], age)).toBe(false);
    expect(isCollectable(deleted, all, [told, { ...told, node: "n3", floor: undefined }], age)).toBe(false);
  });

  it("stay for the grace period, in which hints from before them expire (Quorum 8)", () => {
    expect(isCollectable(deleted, all, [told], { ...age, nowMs: 1500 })).toBe(false);
  });

  it("stay while this copy's own floor does not remember them (Quorum 10)", () => {
    expect(isCollectable(deleted, NOTHING, [told], age)).toBe(false);
  });

  it("do not wait for a copy that was away longer than the grace period; it is rebuilt (Quorum 9)", () => {
    const away: Witness = { node: "n3", floor: [["a", 1]], awayMs: 2000 };
    expect(isCollectable(deleted, all, [told, away], age)).toBe(true);
    expect(isCollectable(deleted, all, [told, { ...away, awayMs: 900 }], age)).toBe(false);
    // What was forgotten without it is beyond its floor.
    expect(mustBeRebuilt([["a", 1]], deleted.context)).toBe(true);
    expect(mustBeRebuilt(all, deleted.context)).toBe(false);
  });

  it("never takes a value with them", () => {
    expect(isCollectable(item(1), [["a", 1]], [told], age)).toBe(false);
    expect(isCollectable(absent(), all, [told], age)).toBe(false);
  });
});
