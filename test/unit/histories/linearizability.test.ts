import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Operation } from "../../histories/history.ts";
import { checkLinearizability } from "../../histories/linearizability.ts";
import { failed, ok, staleRead, unknown } from "./make.ts";

function codes(history: readonly Operation[], options = {}): readonly string[] {
  return checkLinearizability(history, options).map(({ code }) => code);
}

const REFUSED = ["not-linearizable"];

describe("what one order explains passes", () => {
  test("nothing at all, and a read of nothing", () => {
    expect(codes([])).toEqual([]);
    expect(codes([ok(0, 1, "read")])).toEqual([]);
  });

  test("operations one after the other", () => {
    const history = [
      ok(0, 1, "add", "1"),
      ok(2, 3, "read", "1"),
      ok(4, 5, "update", "2"),
      ok(6, 7, "read", "2"),
      ok(8, 9, "delete"),
      ok(10, 11, "read"),
      ok(12, 13, "add", "3"),
      ok(14, 15, "read", "3"),
    ];
    expect(codes(history)).toEqual([]);
  });

  test("a clearing finds something or nothing, and happens or not where its end is unknown", () => {
    expect(codes([ok(0, 1, "clear"), ok(2, 3, "add", "1"), ok(4, 5, "clear"), ok(6, 7, "read")])).toEqual([]);
    const begin = [ok(0, 1, "add", "1"), unknown(2, "clear")];
    expect(codes([...begin, ok(4, 5, "read", "1"), ok(6, 7, "read")])).toEqual([]);
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "clear"), ok(4, 5, "read", "1")])).toEqual(REFUSED);
  });

  test("a conditional update is done where its value was, and only there", () => {
    const toTwo = { ...ok(2, 3, "update", "2"), expected: "1" };
    expect(codes([ok(0, 1, "add", "1"), toTwo, ok(4, 5, "read", "2")])).toEqual([]);
    expect(codes([ok(0, 1, "add", "3"), toTwo])).toEqual(REFUSED);
    const maybe = { ...unknown(2, "update", "2"), expected: "1" };
    expect(codes([ok(0, 1, "add", "1"), maybe, ok(4, 5, "read", "2")])).toEqual([]);
    expect(codes([ok(0, 1, "add", "3"), maybe, ok(4, 5, "read", "3")])).toEqual([]);
    expect(codes([ok(0, 1, "add", "3"), maybe, ok(4, 5, "read", "2")])).toEqual(REFUSED);
  });

  test("a read beside a write sees either", () => {
    const write = [ok(0, 1, "add", "1"), ok(2, 6, "update", "2")];
    expect(codes([...write, ok(3, 4, "read", "1")])).toEqual([]);
    expect(codes([...write, ok(3, 4, "read", "2")])).toEqual([]);
  });

  test("two writes side by side come in the order that the later reads saw", () => {
    const writes = [ok(0, 1, "add", "0"), ok(2, 9, "update", "1"), ok(2, 9, "update", "2")];
    expect(codes([...writes, ok(10, 11, "read", "1")])).toEqual([]);
    expect(codes([...writes, ok(10, 11, "read", "2")])).toEqual([]);
  });

  test("a write of unknown outcome happens, much later, or never", () => {
    const begin = [ok(0, 1, "add", "1"), unknown(2, "update", "2")];
    expect(codes([...begin, ok(10, 11, "read", "1")])).toEqual([]);
    expect(codes([...begin, ok(10, 11, "read", "2")])).toEqual([]);
    expect(codes([...begin, ok(10, 11, "read", "1"), ok(20, 21, "read", "2")])).toEqual([]);
    expect(codes([unknown(0, "delete"), unknown(0, "update", "1"), ok(5, 6, "read")])).toEqual([]);
  });

  test("an add where something is takes its place", () => {
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "add", "2"), ok(4, 5, "read", "2")])).toEqual([]);
  });

  test("keys are judged apart", () => {
    const other = { ...ok(0, 1, "add", "x"), key: "other" };
    expect(codes([other, ok(2, 3, "read")])).toEqual([]);
  });

  test("operations at the same instant count as concurrent", () => {
    expect(codes([ok(0, 1, "add", "1"), ok(1, 2, "read")])).toEqual([]);
  });
});

describe("what no order explains is refused", () => {
  test("a stale read: what an acknowledged update had replaced", () => {
    const history = [ok(0, 1, "add", "1"), ok(2, 3, "update", "2"), ok(4, 5, "read", "1")];
    expect(codes(history)).toEqual(REFUSED);
  });

  test("a lost write: nothing is there after an acknowledged add", () => {
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "read")])).toEqual(REFUSED);
  });

  test("a value from nowhere, and one whose write had certainly failed", () => {
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "read", "9")])).toEqual(REFUSED);
    const history = [ok(0, 1, "add", "1"), failed(2, 3, "update", "2"), ok(4, 5, "read", "2")];
    expect(codes(history)).toEqual(REFUSED);
  });

  test("a value that is read before its write began", () => {
    const history = [ok(0, 1, "add", "1"), ok(2, 3, "read", "2"), ok(4, 5, "update", "2")];
    expect(codes(history)).toEqual(REFUSED);
  });

  test("a delete that is undone", () => {
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "delete"), ok(4, 5, "read", "1")])).toEqual(REFUSED);
  });

  test("an update that was told that a deleted key is there", () => {
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "delete"), ok(4, 5, "update", "2")])).toEqual(REFUSED);
  });

  test("two reads that see two writes in both orders", () => {
    const history = [
      ok(0, 1, "add", "0"),
      ok(2, 20, "update", "1"),
      ok(2, 20, "update", "2"),
      ok(3, 4, "read", "1"),
      ok(5, 6, "read", "2"),
      ok(7, 8, "read", "1"),
    ];
    expect(codes(history)).toEqual(REFUSED);
  });

  test("a write of unknown outcome that happens twice", () => {
    const history = [
      ok(0, 1, "add", "1"),
      unknown(2, "update", "2"),
      ok(3, 4, "read", "2"),
      ok(5, 6, "update", "3"),
      ok(7, 8, "read", "2"),
    ];
    expect(codes(history)).toEqual(REFUSED);
  });

  test("the message names the longest order and what could not follow", () => {
    const [violation] = checkLinearizability([ok(0, 1, "add", "1"), ok(2, 3, "read", "9")]);
    expect(violation?.key).toBe("k");
    expect(violation?.message).toContain('add "1": ok');
    expect(violation?.message).toContain('read "9": ok');
  });
});

describe("stale reads", () => {
  const writes = [ok(0, 1, "add", "1"), ok(10, 11, "update", "2")];

  test("see any value that ever was when nothing bounds them", () => {
    expect(codes([...writes, staleRead(100, 101, "1")])).toEqual([]);
    expect(codes([ok(0, 1, "add", "1"), staleRead(100, 101, null)])).toEqual([]);
  });

  test("see what was there within the bound, and nothing older", () => {
    expect(codes([...writes, staleRead(100, 101, "1", 90)])).toEqual([]);
    expect(codes([...writes, staleRead(100, 101, "1", 88)])).toEqual(REFUSED);
  });

  test("never see what nobody wrote, or what was written later", () => {
    expect(codes([ok(0, 1, "add", "1"), staleRead(2, 3, "9")])).toEqual(REFUSED);
    expect(codes([ok(0, 1, "add", "1"), staleRead(2, 3, "2"), ok(4, 5, "update", "2")])).toEqual(REFUSED);
  });
});

test("a search that runs out of steps is no pass", () => {
  const writes = Array.from({ length: 12 }, (_, index) => ok(1, 100, "update", `${index}`));
  const history = [ok(0, 0.5, "add", "x"), ...writes, ok(200, 201, "read", "nowhere")];
  expect(codes(history, { stepsMax: 1000 })).toEqual(["undecided"]);
  expect(codes(history)).toEqual(REFUSED);
});

test("unknown operations that nobody saw do not make the search long", () => {
  const unseen = Array.from({ length: 30 }, (_, index) => unknown(2, "add", `u${index}`));
  const removed = Array.from({ length: 10 }, () => unknown(3, "delete"));
  const history = [ok(0, 1, "add", "1"), ...unseen, ...removed];
  const matched: Operation = { ...ok(10, 11, "update", "2"), expected: "1" };
  expect(codes([...history, matched, ok(12, 13, "read", "2")], { stepsMax: 1000 })).toEqual([]);
  expect(codes([...history, matched, ok(12, 13, "read", "1")], { stepsMax: 10_000 })).toEqual(REFUSED);
});

test("an update of unknown outcome counts when another was to be done only after it", () => {
  const next: Operation = { ...ok(10, 11, "update", "3"), expected: "2" };
  expect(codes([ok(0, 1, "add", "1"), unknown(2, "update", "2"), next])).toEqual([]);
});

test("the same history gets the same verdict and message", () => {
  const history = [
    ok(0, 1, "add", "1"),
    ok(2, 9, "update", "2"),
    ok(3, 9, "update", "3"),
    ok(20, 21, "read"),
  ];
  expect(checkLinearizability(history)).toEqual(checkLinearizability(history));
});

test("a long history of several clients is decided in little work", () => {
  const history: Operation[] = [ok(0, 1, "add", "0")];
  for (let round = 1; round <= 2000; round += 1) {
    const from = round * 10;
    history.push(ok(from, from + 8, "update", `a${round}`), ok(from + 1, from + 9, "update", `b${round}`));
    history.push(
      ok(from + 2, from + 9, "read", `a${round}`),
      ok(from + 9.5, from + 9.6, "read", `b${round}`),
    );
    if (round % 100 === 0) history.push(unknown(from, "update", `u${round}`));
    if (round % 500 === 0) history.push(ok(from + 9.7, from + 9.8, "read", `u${round}`));
  }
  expect(codes(history)).toEqual([]);
});

/** Every order of every choice of the unknown operations, one after the other: slow and plain. */
function dumb(history: readonly Operation[]): boolean {
  const extend = (open: readonly Operation[], state: string | null): boolean => {
    if (open.every(({ outcome }) => outcome === "unknown")) return true;
    return open.some((next) => {
      const others = open.filter((other) => other !== next);
      if (others.some(({ outcome, returned }) => outcome === "ok" && returned < next.invoked)) return false;
      if (next.outcome === "unknown" && extend(others, state)) return true;
      if (next.kind === "read") return next.value === state && extend(others, state);
      if (next.kind === "add") return extend(others, next.value);
      if (next.kind === "clear") return extend(others, null);
      if (next.expected !== undefined && next.expected !== state) return false;
      return state !== null && extend(others, next.value);
    });
  };
  return extend(
    history.filter(
      ({ outcome, kind }) => outcome !== "failed" && !(outcome === "unknown" && kind === "read"),
    ),
    null,
  );
}

const SOME_OPERATION = fc
  .record({
    kind: fc.constantFrom(
      "add" as const,
      "update" as const,
      "update" as const,
      "delete" as const,
      "clear" as const,
    ),
    expected: fc.constantFrom("1", "2", "3", undefined, undefined, undefined),
    read: fc.boolean(),
    written: fc.constantFrom("1", "2", "3"),
    seen: fc.constantFrom("1", "2", "3", null),
    invoked: fc.nat(12),
    length: fc.nat(6),
    outcome: fc.constantFrom(
      "ok" as const,
      "ok" as const,
      "ok" as const,
      "unknown" as const,
      "unknown" as const,
      "failed" as const,
    ),
  })
  .map(({ kind, expected, read, written, seen, invoked, length, outcome }): Operation => {
    const removes = kind === "delete" || kind === "clear";
    const value = read ? seen : removes ? null : written;
    const returned = outcome === "unknown" ? Infinity : invoked + length;
    const only = kind === "update" && !read && expected !== undefined ? { expected } : {};
    return { client: "c", key: "k", kind: read ? "read" : kind, value, invoked, returned, outcome, ...only };
  });

test("the verdict is that of trying every order", () => {
  let passed = 0;
  let refused = 0;
  fc.assert(
    fc.property(fc.array(SOME_OPERATION, { maxLength: 7 }), (history) => {
      const expected = dumb(history);
      if (expected) passed += 1;
      else refused += 1;
      expect(checkLinearizability(history).length === 0).toBe(expected);
    }),
    { numRuns: 4000, seed: 20_260 },
  );
  // Both verdicts were met often, or the comparison would say little.
  expect(passed).toBeGreaterThan(500);
  expect(refused).toBeGreaterThan(500);
});
