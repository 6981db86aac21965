// Membership changes (Raft section 6, dissertation chapter 4), leadership transfer (3.10), and arbiters.

import { describe, expect, test } from "vitest";
import { decodeMembership, membershipOf } from "../../../src/consensus/membership.ts";
import type { Membership } from "../../../src/consensus/seam.ts";
import { Driver, ELECTION_TICKS, entry, kinds, logOf } from "./driver.ts";

function reconfigure(leader: Driver, target: Partial<Membership>) {
  return leader.step({ kind: "reconfigure", target: membershipOf(target) });
}

/** The memberships in the log, in order. */
function changesOf(replica: Driver): Membership[] {
  const { first, last } = replica.status;
  return Array.from({ length: last - first + 1 }, (_, position) => replica.replica.entry(first + position))
    .filter((one) => one?.kind === "config")
    .map((one) => decodeMembership(one?.data ?? new Uint8Array()));
}

/** Flushes, and lets `nodes` acknowledge whatever the log holds, until nothing changes any more. */
function settle(leader: Driver, ...nodes: readonly string[]): void {
  for (let last = -1; last !== leader.status.last;) {
    last = leader.status.last;
    leader.flush();
    for (const node of nodes) leader.accept(node, last);
  }
}

describe("membership changes", () => {
  test("begin only after an entry of the leader's term is committed (32)", () => {
    const leader = new Driver().elect("b");
    reconfigure(leader, { voters: ["a", "b"] });
    expect(changesOf(leader)).toEqual([]);
    settle(leader, "b");
    reconfigure(leader, { voters: ["a", "b"] });
    expect(changesOf(leader)).toHaveLength(1);
  });

  test("go by learners that catch up, then both majorities, then the new one alone (34)", () => {
    const leader = new Driver().lead("b", "c");
    reconfigure(leader, { voters: ["a", "b", "d"] });
    settle(leader, "b", "c");
    expect(changesOf(leader)).toEqual([membershipOf({ voters: ["a", "b", "c"], learners: ["d"] })]);
    settle(leader, "b", "c", "d");
    expect(changesOf(leader).slice(1)).toEqual([
      membershipOf({ voters: ["a", "b", "d"], outgoing: ["a", "b", "c"] }),
      membershipOf({ voters: ["a", "b", "d"] }),
    ]);
    expect(leader.status.progress.map(({ node }) => node)).toEqual(["b", "d"]);
  });

  test("a joint configuration commits with both majorities only (34)", () => {
    const leader = new Driver({ membership: { voters: ["a", "b", "c"], learners: ["d", "e"] } });
    leader.lead("b", "c");
    for (const node of ["d", "e"]) leader.accept(node, 1);
    reconfigure(leader, { voters: ["a", "d", "e"] });
    leader.flush();
    leader.accept("b", 2);
    leader.accept("c", 2);
    expect(leader.status.commit).toBe(1);
    leader.accept("d", 2);
    expect(leader.status.commit).toBe(2);
  });

  test("a new voter holds what there was before it became a learner", () => {
    const leader = new Driver({ membership: { voters: ["a", "b"] } }).lead("b");
    const before = leader.status.last;
    leader.propose("on its way");
    reconfigure(leader, { voters: ["a", "b", "c"] });
    settle(leader, "b");
    leader.propose("meanwhile");
    settle(leader, "b");
    for (let index = before; index < leader.status.last - 1; index += 1) {
      leader.accept("c", index);
      expect(changesOf(leader).at(-1)?.learners).toEqual(["c"]);
    }
    leader.accept("c", leader.status.last);
    expect(changesOf(leader).at(-1)?.voters).toEqual(["a", "b", "c"]);
  });

  test("a new voter that catches up too slowly is given another round", () => {
    const leader = new Driver({ membership: { voters: ["a", "b"], learners: ["c"] } }).lead("b");
    reconfigure(leader, { voters: ["a", "b", "c"] });
    for (let count = 0; count < ELECTION_TICKS; count += 1) {
      leader.tick(1);
      leader.receive("b", { kind: "heartbeat-response", term: 1, round: 0 });
    }
    leader.propose("meanwhile");
    leader.accept("c", 1);
    expect(changesOf(leader)).toEqual([]);
    leader.accept("c", 2);
    expect(changesOf(leader)).toHaveLength(1);
  });

  test("wait until those who are to decide have the log: who was never fed gives no vote", () => {
    const leader = new Driver().lead("b");
    reconfigure(leader, { voters: ["a", "c"] });
    settle(leader, "b");
    expect(changesOf(leader)).toEqual([]);
    settle(leader, "b", "c");
    expect(leader.status.membership).toEqual(membershipOf({ voters: ["a", "c"] }));
  });

  test("happen one at a time (33)", () => {
    const leader = new Driver().lead("b", "c");
    reconfigure(leader, { voters: ["a", "b"] });
    reconfigure(leader, { voters: ["a", "c"] });
    settle(leader, "b", "c");
    expect(leader.status.membership).toEqual(membershipOf({ voters: ["a", "b"] }));
  });

  test("one that waits for a dead node can be given up for another", () => {
    const leader = new Driver().lead("b", "c");
    reconfigure(leader, { voters: ["a", "b", "c", "dead"] });
    settle(leader, "b", "c");
    reconfigure(leader, { voters: ["a", "b", "c"] });
    settle(leader, "b", "c");
    expect(leader.status.membership).toEqual(membershipOf({ voters: ["a", "b", "c"] }));
  });

  test("changes of learners alone need no joint configuration", () => {
    const leader = new Driver().lead("b", "c");
    reconfigure(leader, { voters: ["a", "b", "c"], learners: ["d"] });
    settle(leader, "b", "c");
    expect(changesOf(leader)).toHaveLength(1);
  });

  test("are refused when they leave no data voter, or turn an arbiter into one (39)", () => {
    const leader = new Driver({ membership: { voters: ["a", "b", "z"], arbiters: ["z"] } }).lead("b");
    const impossible: Partial<Membership>[] = [
      {},
      { voters: ["z"], arbiters: ["z"] },
      { voters: ["a", "b", "z"] },
      { voters: ["a", "b", "z"], arbiters: ["b", "z"] },
      { voters: ["a"], arbiters: ["z"] },
      { voters: ["a"], learners: ["a"] },
      { voters: ["a"], outgoing: ["b"] },
    ];
    for (const target of impossible) reconfigure(leader, target);
    expect(changesOf(leader)).toEqual([]);
  });

  test("a leader removes itself, counts itself no more, and names a successor (37)", () => {
    const leader = new Driver().lead("b", "c");
    reconfigure(leader, { voters: ["b", "c"] });
    leader.flush();
    leader.accept("b", 2);
    leader.accept("c", 2);
    expect(leader.status.membership).toEqual(membershipOf({ voters: ["b", "c"] }));
    leader.flush();
    leader.accept("b", 3);
    expect(leader.status).toMatchObject({ role: "leader", commit: 2 });
    const gone = leader.accept("c", 3);
    expect(gone.committed).toMatchObject([{ index: 3 }]);
    expect(kinds(gone)).toContain("timeout-now");
    expect(leader.status.role).toBe("learner");
    expect(leader.tick(100).flatMap(kinds)).toEqual([]);
  });

  test("a leader on its way out takes nothing new, so that its successor has everything when it goes (37)", () => {
    const leader = new Driver().lead("b", "c");
    reconfigure(leader, { voters: ["b", "c"] });
    expect(leader.propose("while both halves decide").accepted).toHaveLength(1);
    leader.flush();
    leader.accept("b", 3);
    leader.accept("c", 3);
    expect(leader.status.membership).toEqual(membershipOf({ voters: ["b", "c"] }));
    expect(leader.propose("too late").refused).toMatchObject([{ reason: "transferring" }]);
    leader.flush();
    leader.accept("b", 4);
    expect(kinds(leader.accept("c", 4))).toContain("timeout-now");
  });

  test("the next leader finishes a joint configuration that it finds (35)", () => {
    const joint = { voters: ["a", "b"], outgoing: ["a", "b", "c"] };
    const leader = new Driver({ membership: joint }).lead("b");
    settle(leader, "b");
    expect(leader.status.membership).toEqual(membershipOf({ voters: ["a", "b"] }));
  });

  test("a removed voter still campaigns while its removal is not committed, for its log may be needed", () => {
    const replica = new Driver({
      membership: { voters: ["b", "c"], outgoing: ["a", "b", "c"] },
      durable: { hardState: { term: 1, vote: "", commit: 1 }, entries: logOf(1), applied: 1 },
    });
    const leave = {
      kind: "config",
      data: new TextEncoder().encode(JSON.stringify(membershipOf({ voters: ["b", "c"] }))),
    };
    const append = { kind: "append", term: 1, prevIndex: 1, prevTerm: 1, commit: 1 } as const;
    replica.receive("b", { ...append, entries: [{ ...entry(2, 1), ...leave, kind: "config" }] });
    expect(replica.tick(20).flatMap(kinds)).toContain("pre-vote");
    replica.receive("b", { ...append, prevIndex: 2, commit: 2, entries: [] });
    expect(replica.tick(40).flatMap(kinds)).toEqual([]);
  });
});

describe("leadership transfer (40)", () => {
  test("blocks proposals, and asks the successor once it has everything", () => {
    const leader = new Driver().lead("b", "c");
    leader.propose("x");
    leader.flush();
    expect(kinds(leader.step({ kind: "transfer", to: "b" }))).not.toContain("timeout-now");
    expect(leader.status.transferringTo).toBe("b");
    expect(leader.propose("y").refused).toMatchObject([{ reason: "transferring" }]);
    expect(kinds(leader.accept("b", 2))).toContain("timeout-now");
  });

  test("ends after an election timeout", () => {
    const leader = new Driver().lead("b", "c");
    leader.step({ kind: "transfer", to: "b" });
    leader.receive("c", { kind: "heartbeat-response", term: 1, round: 0 });
    leader.tick(ELECTION_TICKS - 1);
    leader.receive("c", { kind: "heartbeat-response", term: 1, round: 0 });
    expect(leader.status.transferringTo).toBe("b");
    leader.tick(1);
    expect(leader.status.transferringTo).toBe("");
    expect(leader.propose("y").accepted).toHaveLength(1);
  });

  test.each(["a", "l", "z", "silent", "nobody"])("is refused to %s", (to) => {
    const membership = { voters: ["a", "b", "silent", "z"], learners: ["l"], arbiters: ["z"] };
    const leader = new Driver({ membership }).lead("b", "z");
    for (let count = 0; count < ELECTION_TICKS; count += 1) {
      leader.tick(1);
      for (const node of ["b", "z", "l"])
        leader.receive(node, { kind: "heartbeat-response", term: 1, round: 0 });
    }
    leader.step({ kind: "transfer", to });
    expect(leader.status.transferringTo).toBe("");
  });

  test("a successor campaigns at once, with leave to disturb; a learner or arbiter does not", () => {
    const heartbeat = { kind: "heartbeat", term: 1, commit: 0, round: 0, heldByAll: 0 } as const;
    const successor = new Driver();
    successor.receive("b", heartbeat);
    const { sendAfterPersist } = successor.receive("b", { kind: "timeout-now", term: 1 });
    expect(sendAfterPersist).toMatchObject([
      { kind: "vote", term: 2, transfer: true },
      { kind: "vote", term: 2, transfer: true },
    ]);
    const unfit = [
      new Driver({ membership: { voters: ["b", "c"], learners: ["a"] } }),
      new Driver({ options: { arbiter: true } }),
    ];
    for (const replica of unfit) {
      replica.receive("b", heartbeat);
      replica.receive("b", { kind: "timeout-now", term: 1 });
      expect(replica.status.term).toBe(1);
    }
  });
});

describe("arbiters", () => {
  const membership = { voters: ["a", "b", "c"], arbiters: ["a"] };

  test("elected, serve nothing, bring a data replica up to date and hand over (49, 50)", () => {
    const arbiter = new Driver({ membership, options: { arbiter: true } }).elect("b");
    arbiter.flush();
    expect(arbiter.step({ kind: "read", context: 1 }).refusedReads).toMatchObject([
      { reason: "transferring" },
    ]);
    expect(arbiter.propose("x").refused).toMatchObject([{ reason: "transferring" }]);
    expect(kinds(arbiter.accept("b", 1))).toContain("timeout-now");
    expect(arbiter.status.transferringTo).toBe("b");
  });

  test("hand over even where their no-op cannot commit without a replica that needs a snapshot", () => {
    const arbiter = new Driver({
      membership: { voters: ["a", "c"], outgoing: ["a", "b", "c"], arbiters: ["a"] },
      options: { arbiter: true },
    }).elect("b", "c");
    arbiter.flush();
    expect(kinds(arbiter.accept("b", 1))).toContain("timeout-now");
    expect(arbiter.status.commit).toBe(0);
  });

  test("try another data replica when the first does not take over", () => {
    const arbiter = new Driver({ membership, options: { arbiter: true } }).lead("b", "c");
    const tried: string[] = [];
    for (let count = 0; count < 3 * ELECTION_TICKS; count += 1) {
      for (const node of ["b", "c"]) {
        arbiter.receive(node, { kind: "heartbeat-response", term: 1, round: 0 });
      }
      arbiter.tick(1);
      const to = arbiter.status.transferringTo;
      if (to !== "" && to !== tried.at(-1)) tried.push(to);
    }
    expect(new Set(tried)).toEqual(new Set(["b", "c"]));
  });

  test("keep what a data voter lacks, as the leader tells them", () => {
    const arbiter = new Driver({
      membership,
      options: { arbiter: true },
      durable: { hardState: { term: 1, vote: "", commit: 4 }, entries: logOf(1, 1, 1, 1), applied: 4 },
    });
    expect(arbiter.step({ kind: "compact", index: 4 }).persist?.compactTo).toBeUndefined();
    arbiter.receive("b", { kind: "heartbeat", term: 1, commit: 4, round: 0, heldByAll: 3 });
    expect(arbiter.step({ kind: "compact", index: 4 }).persist?.compactTo?.index).toBe(3);
  });

  test("let only that go, whatever others lack, by which they are over their bound", () => {
    const data = new Uint8Array(5 << 20);
    const entries = Array.from({ length: 14 }, (_, at) => ({ ...entry(at + 1, 1), data }));
    const arbiter = new Driver({
      membership,
      options: { arbiter: true },
      durable: { hardState: { term: 1, vote: "b", commit: 14 }, entries, applied: 14 },
    });
    const compacted = (): number | undefined =>
      arbiter.step({ kind: "compact", index: 14, keepBytesMax: 64 << 20 }).persist?.compactTo?.index;
    expect(compacted()).toBe(2);
    arbiter.flush();
    expect(compacted()).toBeUndefined();
  });

  test("are told to keep what a learner lacks, which may soon vote", () => {
    const leader = new Driver({
      membership: { voters: ["a", "b", "z"], arbiters: ["z"], learners: ["l"] },
    }).lead("b", "z");
    const told = (): unknown =>
      leader
        .tick(2)
        .flatMap(({ send }) => send)
        .flatMap((message) => ("heldByAll" in message && message.to === "z" ? [message.heldByAll] : []))
        .at(-1);
    expect(told()).toBe(0);
    leader.accept("l", 1);
    expect(told()).toBe(1);
  });

  test("stream no state: they have none", () => {
    const arbiter = new Driver({
      membership,
      options: { arbiter: true },
      durable: {
        hardState: { term: 1, vote: "", commit: 5 },
        snapshot: { index: 5, term: 1, membership: membershipOf(membership) },
        applied: 5,
      },
    }).elect("b");
    const rejected = arbiter.receive("b", {
      kind: "append-rejected",
      term: 2,
      index: 5,
      hintIndex: 2,
      hintTerm: 1,
    });
    expect(rejected.snapshotWanted).toEqual([]);
    expect(arbiter.receive("b", { kind: "heartbeat-response", term: 2, round: 0 }).snapshotWanted).toEqual(
      [],
    );
  });
});
