import { describe, expect, test } from "vitest";
import {
  checkConditional,
  consistencyTerms,
  copiesOfLevel,
  parseReadLevel,
  parseWriteLevel,
  resolveConsistency,
  type ConsistencyRequest,
  type ConsistencyTerms,
} from "../../../src/model/consistency.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { Protocol } from "../../../src/model/ids.ts";

function terms(protocol: Protocol, defaults?: ConsistencyTerms["defaults"]): ConsistencyTerms {
  const own = protocol === "quorum" ? ({ read: "quorum", write: "quorum" } as const) : undefined;
  return consistencyTerms({
    consensus: { protocol, consistency: defaults ?? own ?? { read: "linearizable", write: "quorum" } },
    replication: { replicas: 2 },
  });
}

/** The code, or what the request runs with. */
function outcome(protocol: Protocol, asked: ConsistencyRequest, defaults?: ConsistencyTerms["defaults"]) {
  return outcomeOf(asked, terms(protocol, defaults));
}

function outcomeOf(asked: ConsistencyRequest, judgedBy: ConsistencyTerms) {
  try {
    return resolveConsistency(asked, judgedBy);
  } catch (error) {
    if (!(error instanceof Mem0ctlError) || error.kind !== "invalid") throw error;
    if (!error.why || !error.hint) throw new Error("a refusal says why, and what to do");
    return error.code;
  }
}

test("an update on a condition needs an order of writes", () => {
  checkConditional("raft");
  checkConditional("paxos");
  expect(() => checkConditional("quorum")).toThrow("cannot update a memory on a condition");
});

describe("levels as text", () => {
  test("words and numbers of copies, nothing else", () => {
    expect(["linearizable", "stale", "one", "quorum", "all", "2"].map(parseReadLevel)).toEqual([
      "linearizable",
      "stale",
      "one",
      "quorum",
      "all",
      2,
    ]);
    for (const text of ["", "One", "-1", "1.5", "2e0", " 2", "eventual", "99999"]) {
      expect([text, parseReadLevel(text), parseWriteLevel(text)]).toEqual([text, undefined, undefined]);
    }
    expect(["linearizable", "stale"].map(parseWriteLevel)).toEqual([undefined, undefined]);
  });

  test("how many of N copies each waits for", () => {
    const of = (copies: number) =>
      (["one", "quorum", "all", 2, 0, 9, "stale"] as const).map((level) => copiesOfLevel(level, copies));
    expect(of(1)).toEqual([1, 1, 1, undefined, undefined, undefined, undefined]);
    expect(of(3)).toEqual([1, 2, 3, 2, undefined, undefined, undefined]);
    expect(of(4)).toEqual([1, 3, 4, 2, undefined, undefined, undefined]);
  });
});

describe("what a request runs with", () => {
  test("asks for nothing: the manifest's own levels", () => {
    expect(outcome("raft", {})).toEqual({ read: "linearizable", write: "quorum" });
    expect(outcome("quorum", {}, { read: 1, write: "all" })).toEqual({ read: 1, write: "all" });
    const bounded = { read: "stale", write: "quorum", maxStalenessMs: 2000 } as const;
    expect(outcome("paxos", {}, bounded)).toEqual(bounded);
  });

  test.each(["raft", "paxos"] as const)("%s: linearizable, or stale with a bound", (protocol) => {
    expect(outcome(protocol, { read: "stale" })).toEqual({ read: "stale", write: "quorum" });
    expect(outcome(protocol, { read: "stale", maxStalenessMs: 500 })).toEqual({
      read: "stale",
      write: "quorum",
      maxStalenessMs: 500,
    });
    for (const read of ["one", "quorum", "all", 2] as const) {
      expect(outcome(protocol, { read })).toBe("consistency-not-in-protocol");
    }
    for (const write of ["one", "all", 2] as const) {
      expect(outcome(protocol, { write })).toBe("consistency-not-in-protocol");
    }
    expect(outcome(protocol, { write: "quorum" })).toEqual({ read: "linearizable", write: "quorum" });
  });

  test("quorum: one, quorum, all or a number up to N; never linearizable, never stale", () => {
    for (const level of ["one", "quorum", "all", 1, 3] as const) {
      expect(outcome("quorum", { read: level, write: level })).toEqual({ read: level, write: level });
    }
    for (const level of [0, 4]) {
      expect(outcome("quorum", { read: level })).toBe("consistency-out-of-range");
      expect(outcome("quorum", { write: level })).toBe("consistency-out-of-range");
    }
    expect(outcome("quorum", { read: "linearizable" })).toBe("quorum-not-linearizable");
    expect(outcome("quorum", { read: "stale" })).toBe("consistency-not-in-protocol");
  });

  test("redis: the primary, or a replica with or without a bound; writes wait for copies", () => {
    const redis = consistencyTerms(
      {
        consensus: { protocol: "raft", consistency: { read: "one", write: "one" } },
        replication: { replicas: 2 },
      },
      "redis-cluster",
    );
    const asked = (request: ConsistencyRequest): unknown => outcomeOf(request, redis);
    expect(asked({ read: "stale", maxStalenessMs: 500 })).toEqual({
      read: "stale",
      write: "one",
      maxStalenessMs: 500,
    });
    expect(asked({ read: "stale", write: "all" })).toEqual({ read: "stale", write: "all" });
    for (const read of ["linearizable", "quorum", "all", 2] as const)
      expect(asked({ read })).toBe("consistency-not-in-protocol");
    expect(asked({ maxStalenessMs: 500 })).toBe("staleness-without-stale");
    expect(asked({ read: "stale", maxStalenessMs: 0 })).toBe("staleness-out-of-range");
  });

  test("a bound needs a stale read, of the request or of the manifest", () => {
    expect(outcome("raft", { maxStalenessMs: 500 })).toBe("staleness-without-stale");
    expect(outcome("quorum", { maxStalenessMs: 500 })).toBe("staleness-without-stale");
    expect(outcome("raft", { read: "stale", maxStalenessMs: 0 })).toBe("staleness-out-of-range");
    expect(outcome("raft", { read: "stale", maxStalenessMs: 1.5 })).toBe("staleness-out-of-range");
    const stale = { read: "stale", write: "quorum", maxStalenessMs: 2000 } as const;
    expect(outcome("raft", { maxStalenessMs: 500 }, stale)).toMatchObject({ maxStalenessMs: 500 });
    expect(outcome("raft", { read: "linearizable" }, stale)).toEqual({
      read: "linearizable",
      write: "quorum",
    });
  });
});
