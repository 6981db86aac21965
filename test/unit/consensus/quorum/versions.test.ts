import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  covers,
  includes,
  join,
  NOTHING,
  sameDot,
  type VersionVector,
} from "../../../../src/consensus/quorum/vectors.ts";
import {
  absent,
  doneBy,
  isForgettable,
  merge,
  mergeHeld,
  sameItem,
  unheardOf,
  written,
  type Held,
  type Item,
} from "../../../../src/consensus/quorum/versions.ts";
import { history, play, type Text } from "./support.ts";

const three = history.map((actions) => play(actions).copies as [Text, Text, Text]);

describe("merging what copies know of a key", () => {
  it("is commutative, associative and idempotent (Quorum 4)", () => {
    fc.assert(
      fc.property(three, ([a, b, c]) => {
        expect(merge(a, b)).toEqual(merge(b, a));
        expect(merge(merge(a, b), c)).toEqual(merge(a, merge(b, c)));
        expect(merge(a, a)).toEqual(a);
        expect(merge(merge(a, b), b)).toEqual(merge(a, b));
      }),
    );
  });

  it("drops no write that no later writer had seen (Quorum 4)", () => {
    fc.assert(
      fc.property(history, (actions) => {
        const { copies, writes } = play(actions);
        const all = copies.reduce((merged, copy) => merge(merged, copy), absent<string>());
        for (const { dot } of writes) {
          const superseded = writes.some(({ seen }) => seen.some((one) => sameDot(one, dot)));
          const isThere = all.versions.some((version) => sameDot(version.dot, dot));
          expect(isThere).toBe(!superseded);
        }
      }),
    );
  });

  it("keeps concurrent writes apart and lets the one who saw both supersede both (Quorum 4)", () => {
    const empty = absent<string>();
    const atA = written(empty, empty, { dot: ["a", 1], atMs: 1, write: "w1", value: "tea" });
    const atB = written(empty, empty, { dot: ["b", 1], atMs: 2, write: "w2", value: "coffee" });
    const both = merge(atA, atB);
    expect(both.versions.map(({ value }) => value)).toEqual(["tea", "coffee"]);
    const next = written(both, both, { dot: ["a", 2], atMs: 3, write: "w3", value: "water" });
    expect(merge(merge(next, atA), atB).versions.map(({ value }) => value)).toEqual(["water"]);
  });

  it("keeps apart two writes of one coordinator when the second had not seen the first", () => {
    const empty = absent<string>();
    const first = written(empty, empty, { dot: ["a", 1], atMs: 1, write: "w1", value: "tea" });
    const second = written(first, empty, { dot: ["a", 2], atMs: 2, write: "w2", value: "coffee" });
    expect(second.versions.map(({ value }) => value)).toEqual(["tea", "coffee"]);
  });

  it("buries with a deletion what another coordinator did of the write that it deleted (Quorum 10)", () => {
    const empty = absent<string>();
    const orphan = written(empty, empty, { dot: ["a", 1], atMs: 1, write: "w1", value: "tea" });
    const again = written(empty, empty, { dot: ["b", 1], atMs: 1, write: "w1", value: "tea" });
    const deleted = written(again, again, { dot: ["c", 1], atMs: 2, write: "w2", value: null });
    const both = merge(orphan, deleted);
    expect(both.versions).toEqual(deleted.versions);
    // A copy that has forgotten the deletion, and never heard of the other version.
    const floor = deleted.context;
    expect(merge(absent<string>(), both, { a: floor, b: NOTHING }).versions).toEqual([]);
    expect(merge(both, orphan).versions).toEqual(deleted.versions);
    const other = written(empty, empty, { dot: ["a", 2], atMs: 1, write: "w3", value: "coffee" });
    expect(merge(other, deleted).versions).toHaveLength(2);
  });

  it("tells what another copy has not heard of and nobody acknowledged alone (Quorum 10)", () => {
    const empty = absent<string>();
    const version = { atMs: 1, write: "w1", value: "tea", shared: true } as const;
    const old = written(empty, empty, { ...version, dot: ["a", 1] });
    const held = written(old, old, { ...version, dot: ["a", 2], write: "w2" });
    const there = (item: Text, floor: VersionVector = NOTHING): Held<string> => ({ item, floor });
    expect(unheardOf(held, there(empty))).toEqual([["a", 2]]);
    expect(unheardOf(held, there(empty, [["a", 1]]))).toEqual([["a", 2]]);
    expect(unheardOf(held, there(empty, [["a", 2]]))).toEqual([]);
    expect(unheardOf(held, there({ context: [["a", 2]], versions: [] }))).toEqual([]);
    // There it would count as superseded.
    expect(unheardOf(held, there(old))).toEqual([]);
    const { shared: _, ...alone } = version;
    expect(unheardOf(written(empty, empty, { ...alone, dot: ["a", 1] }), there(empty))).toEqual([]);
    const deleted = written(old, old, { ...version, dot: ["a", 2], value: null });
    expect(unheardOf(deleted, there(empty))).toEqual([]);
  });

  it("never brings back under a floor what was superseded there (Quorum 10)", () => {
    fc.assert(
      fc.property(three, ([a, b]) => {
        // A copy that has seen all of `b` and forgotten the key.
        const forgotten: Item<string> = absent();
        const floor = b.context;
        const merged = merge(forgotten, b, { a: floor, b: NOTHING });
        expect(merged.versions).toEqual([]);
        const late = merge(forgotten, a, { a: floor, b: NOTHING });
        for (const { dot } of late.versions) expect(covers(floor, dot)).toBe(false);
      }),
    );
  });

  it("forgets only what the floor remembers", () => {
    fc.assert(
      fc.property(three, ([a, b]) => {
        const empty: Item<string> = { context: a.context, versions: [] };
        expect(isForgettable(empty, b.context)).toBe(includes(b.context, a.context));
        expect(isForgettable(a, join(a.context, b.context))).toBe(a.versions.length === 0);
      }),
    );
  });

  it("gives one answer for all copies in whatever order they come", () => {
    fc.assert(
      fc.property(three, ([a, b, c]) => {
        const held = [a, b, c].map((item) => ({ item, floor: NOTHING }));
        const forwards = mergeHeld(held);
        const backwards = mergeHeld(held.toReversed());
        expect(sameItem(forwards.item, backwards.item)).toBe(true);
      }),
    );
  });
});

describe("a write that is sent again", () => {
  it("is known by its name, also when a later write has superseded it", () => {
    const empty = absent<string>();
    const first = written(empty, empty, { dot: ["a", 1], atMs: 1, write: "w1", value: "tea" });
    const second = written(first, first, { dot: ["b", 1], atMs: 2, write: "w2", value: "coffee" });
    expect(doneBy(second, "w1")?.value).toBe("coffee");
    expect(doneBy(second, "w9")).toBeUndefined();
  });

  it("knows a write that was held up on its way while many others were made of the key", () => {
    let item = absent<string>();
    for (let n = 1; n <= 40; n += 1) {
      item = written(item, item, { dot: ["a", n], atMs: n, write: `w${n}`, value: "tea" });
    }
    expect(doneBy(item, "w1")?.value).toBe("tea");
  });

  it("names a bounded number of earlier writes", () => {
    let item = absent<string>();
    for (let n = 1; n <= 100; n += 1) {
      item = written(item, item, { dot: ["a", n], atMs: n, write: `w${n}`, value: "tea" });
    }
    expect(item.versions[0]?.writes).toHaveLength(64);
    expect(item.versions).toHaveLength(1);
    expect(item.context).toEqual([["a", 100]]);
  });
});
