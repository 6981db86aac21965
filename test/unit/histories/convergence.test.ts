import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkConvergence, type ReplicaState } from "../../histories/convergence.ts";
import type { Operation } from "../../histories/history.ts";
import { failed, ok, staleRead, unknown } from "./make.ts";

const NODES = ["node-1", "node-2", "node-3"];

/** Three replicas that hold `value` under `k`, or nothing. */
function replicas(value: string | null): ReadonlyMap<string, ReplicaState> {
  const state: ReplicaState = new Map(value === null ? [] : [["k", value]]);
  return new Map(NODES.map((node) => [node, state]));
}

function codes(history: readonly Operation[], value: string | null, options = {}): readonly string[] {
  return checkConvergence(history, replicas(value), { overlap: true, ...options }).map(({ code }) => code);
}

describe("what may be there in the end", () => {
  test("the last acknowledged write", () => {
    expect(codes([ok(0, 1, "add", "1")], "1")).toEqual([]);
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "update", "2")], "2")).toEqual([]);
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "delete")], null)).toEqual([]);
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "delete"), ok(4, 5, "add", "2")], "2")).toEqual([]);
  });

  test("either of two writes side by side, and a write beside a delete or the delete", () => {
    const writes = [ok(0, 1, "add", "0"), ok(2, 5, "update", "1"), ok(3, 6, "update", "2")];
    expect(codes(writes, "1")).toEqual([]);
    expect(codes(writes, "2")).toEqual([]);
    const deleted = [ok(0, 1, "add", "0"), ok(2, 5, "update", "1"), ok(3, 6, "delete")];
    expect(codes(deleted, "1")).toEqual([]);
    expect(codes(deleted, null)).toEqual([]);
  });

  test("a write of unknown outcome, or not", () => {
    const history = [ok(0, 1, "add", "1"), unknown(2, "update", "2"), ok(50, 51, "update", "3")];
    expect(codes(history, "2")).toEqual([]);
    expect(codes(history, "3")).toEqual([]);
    expect(codes([unknown(0, "add", "1")], null)).toEqual([]);
  });
});

describe("what may not", () => {
  test("a lost write: nothing, or what it had replaced", () => {
    expect(codes([ok(0, 1, "add", "1")], null)).toEqual(["lost"]);
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "update", "2")], "1")).toEqual(["lost"]);
    const again = [ok(0, 1, "add", "1"), ok(2, 3, "delete"), ok(4, 5, "add", "2")];
    expect(codes(again, null)).toEqual(["lost"]);
  });

  test("a resurrected delete", () => {
    expect(codes([ok(0, 1, "add", "1"), ok(2, 3, "delete")], "1")).toEqual(["resurrected"]);
  });

  test("a value from nowhere, or from a write that had certainly failed", () => {
    expect(codes([ok(0, 1, "add", "1")], "9")).toEqual(["phantom"]);
    expect(codes([ok(0, 1, "add", "1"), failed(2, 3, "update", "2")], "2")).toEqual(["phantom"]);
    expect(codes([], "1")).toEqual(["phantom"]);
  });

  test("replicas that differ, each judged for itself", () => {
    const differing = new Map<string, ReplicaState>([...replicas("2"), ["node-3", new Map([["k", "1"]])]]);
    const history = [ok(0, 1, "add", "1"), ok(2, 3, "update", "2")];
    const violations = checkConvergence(history, differing, { overlap: true });
    expect(violations.map(({ code }) => code)).toEqual(["diverged", "lost"]);
    expect(violations[0]?.message).toBe('node-1, node-2: "2"; node-3: "1"');
  });
});

describe("what may be read meanwhile", () => {
  const history = [ok(0, 1, "add", "1"), ok(2, 3, "update", "2")];

  test("with overlapping quorums nothing that was overwritten before the read", () => {
    expect(codes([...history, ok(4, 5, "read", "2")], "2")).toEqual([]);
    expect(codes([...history, ok(4, 5, "read", "1")], "2")).toEqual(["stale"]);
    expect(codes([...history, ok(4, 5, "read")], "2")).toEqual(["stale"]);
    expect(codes([...history, ok(2.5, 5, "read", "1")], "2")).toEqual([]);
  });

  test("without overlap, or when it may be stale, any value that ever was", () => {
    expect(codes([...history, ok(4, 5, "read", "1")], "2", { overlap: false })).toEqual([]);
    expect(codes([...history, staleRead(4, 5, "1")], "2")).toEqual([]);
  });

  test("never what nobody had written by then", () => {
    expect(codes([...history, staleRead(4, 5, "9")], "2")).toEqual(["phantom"]);
    expect(codes([...history, ok(1.5, 1.8, "read", "2")], "2", { overlap: false })).toEqual(["phantom"]);
  });
});

test("writes closer than the clocks differ count as concurrent", () => {
  const history = [ok(0, 1, "add", "1"), ok(2, 3, "update", "2"), ok(4, 5, "update", "3")];
  expect(codes(history, "2")).toEqual(["lost"]);
  expect(codes(history, "2", { skewMax: 2 })).toEqual([]);
  expect(codes(history, "1", { skewMax: 2 })).toEqual(["lost"]);
});

test("whatever one order of the writes leaves behind is accepted, and only what some order leaves", () => {
  const someWrite = fc.record({ begin: fc.nat(20), length: fc.nat(5), deletes: fc.boolean() });
  fc.assert(
    fc.property(fc.array(someWrite, { minLength: 1, maxLength: 5 }), (drawn) => {
      const writes = drawn.map(({ begin, length, deletes }, index) =>
        ok(2 + begin, 2 + begin + length, deletes ? "delete" : "update", deletes ? null : `${index}`),
      );
      // A last write is one that no other has wholly behind it.
      const last = writes.filter((write) => !writes.some(({ invoked }) => invoked > write.returned));
      const allowed = new Set(last.map(({ value }) => value));
      const history = [ok(0, 1, "add", "first"), ...writes];
      for (const value of [null, "first", ...writes.map((write) => write.value)]) {
        expect(codes(history, value).length === 0).toBe(allowed.has(value));
      }
    }),
    { numRuns: 1000, seed: 7 },
  );
});

describe("reads that are written back", () => {
  const history = [
    ok(0, 1, "add", "1"),
    unknown(2, "update", "2"),
    ok(3, 4, "read", "2"),
    ok(5, 6, "read", "1"),
  ];

  test("do not turn back to a write that was over before one already seen began", () => {
    expect(codes(history, "2", { atomic: true })).toContain("stale");
  });

  test("may see either of two writes side by side, in either order", () => {
    const beside = [
      ok(0, 10, "add", "1"),
      ok(0, 10, "add", "2"),
      ok(3, 4, "read", "2"),
      ok(5, 6, "read", "1"),
    ];
    expect(codes(beside, "1", { atomic: true })).toEqual([]);
  });

  test("are asked for only where reads meet each other", () => {
    expect(codes(history, "2")).toEqual([]);
  });
});
