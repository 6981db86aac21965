import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cappedTime, resolve } from "../../../../src/consensus/quorum/resolve.ts";
import { absent, merge, written } from "../../../../src/consensus/quorum/versions.ts";
import { history, play } from "./support.ts";

describe("what readers see of concurrent versions", () => {
  it("is the same on every copy that knows the same (Quorum 4)", () => {
    fc.assert(
      fc.property(history, (actions) => {
        const [a, b, c] = play(actions).copies;
        if (a === undefined || b === undefined || c === undefined) throw new Error("three copies");
        const one = resolve(merge(merge(a, b), c));
        const other = resolve(merge(c, merge(b, a)));
        expect(one?.dot).toEqual(other?.dot);
      }),
    );
  });

  it("is something whenever there is a version", () => {
    fc.assert(
      fc.property(history, (actions) => {
        for (const item of play(actions).copies) {
          expect(resolve(item) === undefined).toBe(item.versions.length === 0);
        }
      }),
    );
  });

  it("is the newer one; a tombstone is a version like any other", () => {
    const empty = absent<string>();
    const kept = written(empty, empty, { dot: ["a", 1], atMs: 5, write: "w1", value: "tea" });
    const deleted = written(empty, empty, { dot: ["b", 1], atMs: 6, write: "w2", value: null });
    expect(resolve(merge(kept, deleted))?.value).toBeNull();
    const later = written(empty, empty, { dot: ["c", 1], atMs: 7, write: "w3", value: "water" });
    expect(resolve(merge(merge(kept, deleted), later))?.value).toBe("water");
  });

  it("is one value when two coordinators did the same write", () => {
    const empty = absent<string>();
    const once = written(empty, empty, { dot: ["a", 1], atMs: 1, write: "w1", value: "tea" });
    const again = written(empty, empty, { dot: ["b", 1], atMs: 9, write: "w1", value: "tea" });
    expect(resolve(merge(once, again))?.dot).toEqual(["a", 1]);
    // The repetition does not win against a write that had seen the original.
    const next = written(once, once, { dot: ["c", 1], atMs: 2, write: "w2", value: "coffee" });
    expect(resolve(merge(next, again))?.value).toBe("coffee");
  });
});

describe("a time that is claimed", () => {
  it("is not further in the future than a second of the coordinator's clock (Quorum 5)", () => {
    expect(cappedTime(Date.UTC(2199, 0), 1_000_000)).toBe(1_001_000);
    expect(cappedTime(999_000, 1_000_000)).toBe(999_000);
  });

  it("does not win against every concurrent write until it has come (Quorum 5)", () => {
    const empty = absent<string>();
    const nowMs = 1_000_000;
    const claimed = cappedTime(nowMs + 86_400_000, nowMs);
    const boaster = written(empty, empty, { dot: ["a", 1], atMs: claimed, write: "w1", value: "old" });
    const honest = written(empty, empty, { dot: ["b", 1], atMs: nowMs + 2000, write: "w2", value: "new" });
    expect(resolve(merge(boaster, honest))?.value).toBe("new");
  });
});
