// Copies that divide what they know, and join it: it must not matter whether copies exchange what they know before or
// after.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { partOf, renamed, together, type PartRule } from "../../../../src/consensus/quorum/parts.ts";
import { join, NOTHING } from "../../../../src/consensus/quorum/vectors.ts";
import { absent, merge, written, type Version } from "../../../../src/consensus/quorum/versions.ts";
import { history, play, type Text } from "./support.ts";

const three = history.map((actions) => play(actions).copies as [Text, Text, Text]);
/** Which of two shards a value belongs to; a deletion without a key concerns both. */
const isOf = ({ value, key = value ?? undefined }: Version<string>, last: number): boolean =>
  key === undefined || Number(key.at(-1)) % 2 === last;
const rules: readonly PartRule<string>[] = [
  { keeps: (version) => isOf(version, 0), suffix: "", divides: true },
  { keeps: (version) => isOf(version, 1), suffix: "/7", divides: true },
];

describe("dividing what copies know of a key", () => {
  it("keeps merging: the part of what two know together is what the two parts know together", () => {
    fc.assert(
      fc.property(three, ([a, b]) => {
        for (const rule of rules) {
          const apart = merge(partOf(a, NOTHING, rule), partOf(b, NOTHING, rule));
          expect(partOf(merge(a, b), NOTHING, rule)).toEqual(apart);
        }
      }),
    );
  });

  it("gives every version to one side, in the order of names", () => {
    fc.assert(
      fc.property(three, ([a]) => {
        const live = (item: Text): number => item.versions.filter(({ value }) => value !== null).length;
        const parts = rules.map((rule) => partOf(a, NOTHING, rule));
        expect(parts.reduce((sum, part) => sum + live(part), 0)).toBe(live(a));
        for (const { context } of parts) {
          expect(context.map(([actor]) => actor)).toEqual(context.map(([actor]) => actor).toSorted());
        }
      }),
    );
  });

  it("is nothing where the floor remembers all that is left of it", () => {
    const item = written(absent<string>(), absent(), { dot: ["a", 3], atMs: 1, write: "w", value: "v1" });
    const [stays, goes] = rules;
    if (stays === undefined || goes === undefined) throw new Error("there are two");
    expect(partOf(item, [["a", 3]], stays)).toEqual(absent());
    expect(partOf(item, [["a", 2]], stays)).toEqual({ context: [["a", 3]], versions: [] });
    expect(partOf(item, [["a", 3]], goes)).toMatchObject({
      context: [["a/7", 3]],
      versions: [{ dot: ["a/7", 3], value: "v1" }],
    });
  });

  it("nobody may drop what nobody heard of, where what it superseded is in another shard", () => {
    const version = { dot: ["a", 1], atMs: 1, write: "w", value: "v1", shared: true } as const;
    const item = written(absent<string>(), absent(), version);
    const shared = (rule: PartRule<string>): unknown =>
      partOf(item, NOTHING, rule).versions.map((one) => one.shared);
    expect(rules.flatMap(shared)).toEqual([undefined]);
    expect(shared({ keeps: () => true, suffix: "", divides: false })).toEqual([true]);
  });

  it("a deletion goes with the key that was deleted, and what it had seen stays gone on both sides", () => {
    const item = written(absent<string>(), absent(), { dot: ["a", 1], atMs: 1, write: "w", value: "v1" });
    const gone = written(item, item, { dot: ["a", 2], atMs: 2, write: "x", value: null, key: "v1" });
    const [stays, goes] = rules;
    if (stays === undefined || goes === undefined) throw new Error("there are two");
    expect(partOf(gone, NOTHING, stays).versions).toEqual([]);
    expect(partOf(gone, NOTHING, goes).versions).toMatchObject([{ value: null, key: "v1" }]);
    for (const rule of rules) {
      const late = merge(partOf(gone, NOTHING, rule), partOf(item, NOTHING, rule));
      expect(late).toEqual(partOf(gone, NOTHING, rule));
    }
  });
});

describe("joining what copies of two shards know of a key", () => {
  it("keeps merging, and a slice that comes back meets no dot of those that stayed", () => {
    fc.assert(
      fc.property(three, ([a, b]) => {
        const joined = (item: Text): Text => together(rules.map((rule) => partOf(item, NOTHING, rule)));
        expect(joined(merge(a, b))).toEqual(merge(joined(a), joined(b)));
      }),
    );
  });

  it("joins floors that say nothing of each other's keys", () => {
    const floor = [
      ["a", 5],
      ["b", 2],
    ] as const;
    expect(join(floor, renamed(floor, "/7"))).toEqual([
      ["a", 5],
      ["a/7", 5],
      ["b", 2],
      ["b/7", 2],
    ]);
    expect(
      renamed(
        [
          ["a", 1],
          ["a/3", 2],
        ],
        "/7",
      ),
    ).toEqual([
      ["a/3/7", 2],
      ["a/7", 1],
    ]);
  });
});
