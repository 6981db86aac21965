import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Durability } from "../../../src/consensus/raft/durability.ts";
import { RaftLog } from "../../../src/consensus/raft/log.ts";
import { entry, logOf } from "./driver.ts";

const terms = fc
  .array(fc.nat(4), { maxLength: 20 })
  .map((all) => all.map((term) => term + 1).toSorted((a, b) => a - b));

describe("the log in memory", () => {
  test("backtracking finds the last index of a term that is not after the one asked for", () => {
    fc.assert(
      fc.property(terms, fc.nat(22), fc.nat(6), (all, index, term) => {
        const log = new RaftLog(0, 0, logOf(...all));
        let expected = Math.min(index, log.lastIndex);
        while (expected > 0 && (log.term(expected) ?? 0) > term) expected -= 1;
        expect(log.lastNotAfter(index, term)).toBe(expected);
      }),
    );
  });

  test("compaction keeps what stays, its base's term, and the byte count", () => {
    fc.assert(
      fc.property(terms, fc.nat(20), fc.nat(20), (all, first, second) => {
        const entries = all.map((term, position) => entry(position + 1, term, "x".repeat(position)));
        const log = new RaftLog(0, 0, entries);
        for (const index of [first, second]) {
          if (index > log.baseIndex && index <= log.lastIndex) log.compact(index);
        }
        const kept = entries.slice(log.baseIndex);
        expect(log.slice(log.baseIndex + 1, log.lastIndex)).toEqual(kept);
        expect(log.baseTerm).toBe(entries[log.baseIndex - 1]?.term ?? 0);
        expect(log.dataBytes).toBe(kept.reduce((sum, one) => sum + one.data.byteLength, 0));
        expect(log.entry(log.baseIndex)).toBeUndefined();
      }),
    );
  });

  test("a batch is bounded by bytes, but never empty while there is an entry", () => {
    const log = new RaftLog(0, 0, [entry(1, 1, "x".repeat(500)), entry(2, 1), entry(3, 1), entry(4, 1)]);
    expect(log.batch(1, 100).map(({ index }) => index)).toEqual([1]);
    expect(log.batch(2, 64).map(({ index }) => index)).toEqual([2, 3]);
    expect(log.batch(2, 1_000_000).map(({ index }) => index)).toEqual([2, 3, 4]);
    expect(log.batch(5, 100)).toEqual([]);
  });

  test("a gap or a falling term is a bug, not an entry", () => {
    const log = new RaftLog(3, 2, []);
    expect(() => log.append([entry(5, 2)])).toThrow(/no gaps/);
    expect(() => log.append([entry(4, 1)])).toThrow(/never fall/);
  });
});

describe("what is on disk", () => {
  test("flushes count in order, up to the one reported", () => {
    const durability = new Durability(0);
    durability.wrote(1, 3);
    durability.wrote(2, 5);
    expect(durability.persisted(1)).toBe(true);
    expect(durability.index).toBe(3);
    expect(durability.persisted(1)).toBe(false);
    durability.persisted(2);
    expect(durability.index).toBe(5);
  });

  test("a flush that completes after its entries were replaced says nothing about the new ones", () => {
    const durability = new Durability(2);
    durability.wrote(1, 6);
    durability.truncated(4);
    durability.wrote(2, 5);
    durability.persisted(1);
    expect(durability.index).toBe(3);
    durability.persisted(2);
    expect(durability.index).toBe(5);
    durability.truncated(2);
    expect(durability.index).toBe(1);
  });
});
