// Raft 5.3, 5.4.2: what leaders and followers owe each other's logs.

import { describe, expect, test } from "vitest";
import type { Effects, Entry } from "../../../src/consensus/seam.ts";
import { bytes, Driver, entry, logOf } from "./driver.ts";

function appendOf(term: number, prevIndex: number, prevTerm: number, commit: number, entries: Entry[]) {
  return { kind: "append", term, prevIndex, prevTerm, commit, entries } as const;
}

function accepted(effects: Effects) {
  return effects.sendAfterPersist.filter(({ kind }) => kind === "append-accepted");
}

/** A follower at term 3 with entries of the given terms, of which `commit` are committed. */
function followerWith(terms: readonly number[], commit = 0): Driver {
  return new Driver({
    durable: { hardState: { term: 3, vote: "", commit }, entries: logOf(...terms), applied: commit },
  });
}

describe("followers", () => {
  test("flush before they acknowledge: the entries and the promise are in one effect (15)", () => {
    const follower = followerWith([]);
    const effects = follower.receive("b", appendOf(3, 0, 0, 0, logOf(3, 3)));
    expect(effects.persist?.entries).toEqual(logOf(3, 3));
    expect(effects.send).toEqual([]);
    expect(accepted(effects)).toMatchObject([{ index: 2, to: "b" }]);
    expect(follower.status.durable).toBe(0);
    follower.flush();
    expect(follower.status.durable).toBe(2);
  });

  test("a duplicate of what still flushes is acknowledged behind that flush", () => {
    const follower = followerWith([]);
    follower.receive("b", appendOf(3, 0, 0, 0, logOf(3)));
    const again = follower.receive("b", appendOf(3, 0, 0, 0, logOf(3)));
    expect(again.persist).toEqual({ sequence: 2 });
    expect(accepted(again)).toHaveLength(1);
  });

  test("refuse an append whose predecessor they lack, with the term to go back by (19)", () => {
    const follower = followerWith([1, 1, 2, 2, 2]);
    expect(follower.receive("b", appendOf(3, 9, 3, 0, [])).send).toMatchObject([
      { kind: "append-rejected", index: 9, hintIndex: 5, hintTerm: 2 },
    ]);
    expect(follower.receive("b", appendOf(3, 4, 1, 0, [])).send).toMatchObject([
      { kind: "append-rejected", index: 4, hintIndex: 2, hintTerm: 1 },
    ]);
  });

  test("truncate on conflict only, never for a stale or shorter append (17)", () => {
    const follower = followerWith([1, 2, 2, 2]);
    const stale = follower.receive("b", appendOf(3, 1, 1, 0, [entry(2, 2)]));
    expect(stale.persist).toBeUndefined();
    expect(accepted(stale)).toMatchObject([{ index: 2 }]);
    expect(follower.status.last).toBe(4);

    const conflict = follower.receive("b", appendOf(3, 1, 1, 0, [entry(2, 2), entry(3, 3)]));
    expect(conflict.persist).toMatchObject({ truncateFrom: 3, entries: [entry(3, 3)] });
    expect(follower.status.last).toBe(3);
  });

  test("commit no more than they verified against this leader, whatever it has committed (18)", () => {
    const follower = followerWith([1, 2, 2, 2]);
    follower.receive("b", appendOf(3, 1, 1, 9, [entry(2, 2)]));
    expect(follower.status.commit).toBe(2);
    follower.receive("b", appendOf(3, 1, 1, 1, []));
    expect(follower.status.commit).toBe(2);
  });

  test("never give up what is committed, even to a leader that contradicts it", () => {
    const follower = followerWith([1, 2, 2], 3);
    const effects = follower.receive("b", appendOf(3, 1, 1, 3, [entry(2, 3), entry(3, 3)]));
    expect(effects.persist?.truncateFrom).toBeUndefined();
    expect(accepted(effects)).toEqual([]);
    expect(follower.status.last).toBe(3);
  });

  test("a flush that completes after a truncation counts only what is left of its entries (21)", () => {
    const follower = followerWith([]);
    follower.receive("b", appendOf(3, 0, 0, 0, logOf(3, 3, 3)));
    follower.receive("c", appendOf(4, 1, 3, 0, [entry(2, 4)]));
    follower.step({ kind: "persisted", sequence: 1 });
    expect(follower.status.durable).toBe(1);
    follower.flush();
    expect(follower.status.durable).toBe(2);
  });
});

describe("leaders", () => {
  test("open their term with a no-op (13)", () => {
    const leader = new Driver();
    leader.elect("b");
    expect(leader.replica.entry(1)).toMatchObject({ term: 1, kind: "noop" });
  });

  test("count themselves only after their own flush (14)", () => {
    const leader = new Driver().elect("b");
    leader.accept("b", 1);
    expect(leader.status.commit).toBe(0);
    expect(leader.flush().committed).toMatchObject([{ index: 1 }]);
  });

  test("do not need their own disk when the others are a majority", () => {
    const leader = new Driver().elect("b", "c");
    leader.accept("b", 1);
    expect(leader.accept("c", 1).committed).toMatchObject([{ index: 1 }]);
    expect(leader.status.durable).toBe(0);
  });

  test("commit by counting only entries of their own term, and the older ones with them (12)", () => {
    const leader = new Driver({
      durable: { hardState: { term: 2, vote: "", commit: 1 }, entries: logOf(1, 2, 2), applied: 1 },
    }).elect("b");
    leader.flush();
    leader.accept("b", 3);
    expect(leader.status.commit).toBe(1);
    expect(leader.accept("b", 4).committed.map(({ index }) => index)).toEqual([2, 3, 4]);
  });

  test("a group of one commits only what is flushed (16)", () => {
    const alone = new Driver({ membership: { voters: ["a"] } });
    alone.tick(1);
    expect(alone.status.role).toBe("candidate");
    alone.flush();
    expect(alone.status).toMatchObject({ role: "leader", commit: 0 });
    expect(alone.flush().committed).toHaveLength(1);
  });

  test("what a follower acknowledged only grows under late and repeated answers (20)", () => {
    const leader = new Driver().lead("b", "c");
    leader.propose("x", "y");
    leader.flush();
    leader.accept("b", 3);
    leader.accept("b", 1);
    leader.receive("b", { kind: "append-rejected", term: 1, index: 2, hintIndex: 0, hintTerm: 0 });
    expect(leader.status.progress.find(({ node }) => node === "b")).toMatchObject({
      match: 3,
      state: "replicating",
    });
  });

  test("go back by whole terms: a follower with many entries of a lost term costs two probes (19)", () => {
    const leader = new Driver({
      durable: { hardState: { term: 6, vote: "", commit: 0 }, entries: logOf(1, 1, 4, 4, 5, 6, 6) },
    });
    leader.elect("b");
    // The follower's log: 1 1 2 2 2 3 3 3, so they agree up to 2.
    const effects = leader.receive("b", {
      kind: "append-rejected",
      term: 7,
      index: 7,
      hintIndex: 7,
      hintTerm: 3,
    });
    expect(effects.send).toMatchObject([{ kind: "append", prevIndex: 2, prevTerm: 1 }]);
  });

  test("limit what is proposed and not committed, but let a single large one through (22)", () => {
    const leader = new Driver({ options: { uncommittedBytesMax: 10 } }).lead("b");
    const large = leader.propose("x".repeat(50), "y");
    expect(large.accepted).toMatchObject([{ context: 0 }]);
    expect(large.refused).toEqual([{ context: 1, reason: "overloaded", leader: "a" }]);
    leader.flush();
    leader.accept("b", 2);
    expect(leader.propose("12345", "67890", "z").refused).toMatchObject([{ context: 2 }]);
  });

  test("limit messages and bytes in flight per follower, and go on when answers come (22)", () => {
    const options = { inflightMessagesMax: 2, inflightBytesMax: 1_000_000, appendBytesMax: 64 };
    const leader = new Driver({ options }).lead("b");
    const sentTo = (effects: Effects): number => effects.send.filter(({ to }) => to === "b").length;
    expect(sentTo(leader.propose("1"))).toBe(1);
    expect(sentTo(leader.propose("2"))).toBe(1);
    expect(sentTo(leader.propose("3"))).toBe(0);
    expect(sentTo(leader.accept("b", 2))).toBe(1);

    const narrow = new Driver({ options: { ...options, inflightMessagesMax: 99, inflightBytesMax: 100 } });
    narrow.lead("b");
    expect(sentTo(narrow.propose("x".repeat(200)))).toBe(1);
    expect(sentTo(narrow.propose("y"))).toBe(0);
  });

  test("find a lost append, or a lost answer, with a follower's next heartbeat", () => {
    const leader = new Driver().lead("b");
    leader.propose("lost");
    const probe = leader.receive("b", { kind: "heartbeat-response", term: 1, round: 0 });
    expect(probe.send).toMatchObject([{ kind: "append", prevIndex: 2, entries: [] }]);
    const resent = leader.receive("b", {
      kind: "append-rejected",
      term: 1,
      index: 2,
      hintIndex: 1,
      hintTerm: 1,
    });
    expect(resent.send).toMatchObject([{ kind: "append", prevIndex: 1, entries: [{ index: 2 }] }]);
  });

  test("tell a follower no commit index beyond what it acknowledged", () => {
    const leader = new Driver().lead("b");
    const [, beat] = leader.tick(2);
    expect(beat?.send).toMatchObject([
      { kind: "heartbeat", to: "b", commit: 1 },
      { kind: "heartbeat", to: "c", commit: 0 },
    ]);
  });

  test("an idle group costs one heartbeat per follower and interval", () => {
    const leader = new Driver().lead("b");
    const sent = leader.tick(8).flatMap(({ send }) => send);
    expect(sent).toHaveLength(8);
    expect(new Set(sent.map(({ kind }) => kind))).toEqual(new Set(["heartbeat"]));
  });
});

describe("restarts", () => {
  test("what was committed and not applied is handed out again, in order, once", () => {
    const replica = new Driver({
      durable: { hardState: { term: 1, vote: "", commit: 3 }, entries: logOf(1, 1, 1), applied: 1 },
    });
    expect(replica.tick(1)[0]?.committed.map(({ index }) => index)).toEqual([2, 3]);
    expect(replica.tick(1)[0]?.committed).toEqual([]);
  });

  test("a log that ends before its commit index, or a term below the log's, is refused", () => {
    const broken = [
      { hardState: { term: 1, vote: "", commit: 3 }, entries: logOf(1) },
      { hardState: { term: 1, vote: "", commit: 0 }, entries: logOf(1, 2) },
    ];
    for (const durable of broken) expect(() => new Driver({ durable })).toThrow(/invariant is broken/);
  });

  test("a proposal at a follower is refused with the leader's name", () => {
    const follower = new Driver();
    follower.receive("b", { kind: "heartbeat", term: 1, commit: 0, round: 0, heldByAll: 0 });
    const effects = follower.step({ kind: "propose", proposals: [{ data: bytes("x"), context: 5 }] });
    expect(effects.refused).toEqual([{ context: 5, reason: "not-leader", leader: "b" }]);
  });
});
