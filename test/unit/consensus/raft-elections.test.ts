// Raft 5.1, 5.2, 5.4.1 and dissertation 3.10, 4.2.3, 6.2, 9.6, each as the promise it makes.

import { describe, expect, test } from "vitest";
import { Driver, ELECTION_TICKS, entry, kinds, logOf } from "./driver.ts";

const heartbeat = { kind: "heartbeat", commit: 0, round: 0, heldByAll: 0 } as const;
const askPreVote = { kind: "pre-vote", lastIndex: 9, lastTerm: 9, priority: 0 } as const;
const kindsOf = (messages: readonly { readonly kind: string }[]): readonly string[] =>
  messages.map(({ kind }) => kind);
const askVote = { kind: "vote", lastIndex: 9, lastTerm: 9, transfer: false } as const;

describe("elections", () => {
  test("term and vote are on disk before a vote leaves, and leave with it (1)", () => {
    const voter = new Driver();
    const effects = voter.receive("b", { ...askVote, term: 4 });
    expect(effects.persist?.hardState).toEqual({ term: 4, vote: "b", commit: 0 });
    expect(effects.send).toEqual([]);
    expect(effects.sendAfterPersist).toMatchObject([{ kind: "vote-response", to: "b", granted: true }]);
  });

  test("a repeated request is answered again, but never before the first answer's flush", () => {
    const voter = new Driver();
    voter.receive("b", { ...askVote, term: 4 });
    const again = voter.receive("b", { ...askVote, term: 4 });
    expect(again.persist).toEqual({ sequence: 2 });
    expect(again.sendAfterPersist).toHaveLength(1);
    voter.flush();
    const third = voter.receive("b", { ...askVote, term: 4 });
    expect(third.persist).toBeUndefined();
    expect(third.sendAfterPersist).toHaveLength(1);
  });

  test("where no entry can be flushed, term and vote alone decide: for a vote, and for its own", () => {
    const voter = new Driver();
    const append = { kind: "append", term: 1, prevIndex: 0, prevTerm: 0, commit: 0 } as const;
    const stuck = voter.receive("b", { ...append, entries: logOf(1) });
    const asked = voter.receive("c", { ...askVote, term: 4, transfer: true });
    // The vote may leave with the hard state; what is promised about the entry may not.
    expect(stuck.sendAfterHardState).toEqual([]);
    expect(asked.sendAfterHardState).toEqual(asked.sendAfterPersist);
    expect(asked.sendAfterHardState).toMatchObject([{ kind: "vote-response", granted: true }]);

    const candidate = new Driver();
    candidate.receive("b", { ...append, entries: logOf(1) });
    const called = candidate.receive("b", { kind: "timeout-now", term: 1 });
    expect(kindsOf(called.sendAfterHardState)).toEqual(["vote", "vote"]);
    candidate.receive("b", { kind: "vote-response", term: 2, granted: true });
    expect(candidate.status.role).toBe("candidate");
    candidate.step({ kind: "hard-state-persisted", sequence: called.persist?.sequence ?? 0 });
    expect(candidate.status).toMatchObject({ role: "leader", durable: 0, commit: 0 });
    // It leads, and counts itself for nothing that it has not flushed (14).
    candidate.accept("b", 2);
    expect(candidate.status.commit).toBe(0);
    candidate.accept("c", 2);
    expect(candidate.status.commit).toBe(2);
  });

  test("one vote per term, also after a restart (2)", () => {
    const voter = new Driver({ durable: { hardState: { term: 4, vote: "b", commit: 0 } } });
    expect(voter.receive("c", { ...askVote, term: 4 }).send).toMatchObject([{ granted: false }]);
    expect(voter.receive("b", { ...askVote, term: 4 }).sendAfterPersist).toMatchObject([{ granted: true }]);
  });

  test.each([
    { lastIndex: 3, lastTerm: 2, granted: true },
    { lastIndex: 4, lastTerm: 2, granted: true },
    { lastIndex: 2, lastTerm: 2, granted: false },
    { lastIndex: 1, lastTerm: 3, granted: true },
    { lastIndex: 9, lastTerm: 1, granted: false },
  ])("up to date compares the last term, then the last index: $lastTerm/$lastIndex (3)", (asked) => {
    const { lastIndex, lastTerm, granted } = asked;
    const durable = { hardState: { term: 2, vote: "", commit: 0 }, entries: logOf(1, 2, 2) };
    for (const [kind, answer] of [
      [{ ...askVote, lastIndex, lastTerm }, "vote-response"],
      [{ ...askPreVote, lastIndex, lastTerm }, "pre-vote-response"],
    ] as const) {
      const { send, sendAfterPersist } = new Driver({ durable }).receive("b", { ...kind, term: 5 });
      expect([...send, ...sendAfterPersist]).toMatchObject([{ kind: answer, granted }]);
    }
  });

  test("pre-vote changes no term, no vote and no leader (5)", () => {
    const voter = new Driver();
    voter.receive("b", { ...heartbeat, term: 3 });
    const before = voter.status;
    voter.receive("c", { ...askPreVote, term: 7 });
    voter.tick(ELECTION_TICKS - 1);
    voter.receive("c", { ...askPreVote, term: 7 });
    expect(voter.status).toEqual(before);
  });

  test("who heard a leader within an election timeout refuses to help replace it, unless it asks for that", () => {
    const voter = new Driver();
    voter.receive("b", { ...heartbeat, term: 3 });
    voter.tick(ELECTION_TICKS - 1);
    expect(voter.receive("c", { ...askPreVote, term: 3 }).send).toMatchObject([{ granted: false }]);
    expect(voter.receive("c", { ...askVote, term: 9 }).sendAfterPersist).toEqual([]);
    expect(voter.status.term).toBe(3);
    expect(voter.receive("c", { ...askVote, term: 9, transfer: true }).sendAfterPersist).toMatchObject([
      { granted: true },
    ]);

    const later = new Driver();
    later.receive("b", { ...heartbeat, term: 3 });
    later.tick(ELECTION_TICKS);
    expect(later.receive("c", { ...askPreVote, term: 3 }).send).toMatchObject([{ granted: true }]);
  });

  test("a campaign asks for votes only after its own vote is flushed, and counts it only then", () => {
    const candidate = new Driver();
    candidate.step({ kind: "campaign" });
    const asked = candidate.receive("b", {
      kind: "pre-vote-response",
      term: 0,
      campaignTerm: 1,
      granted: true,
    });
    expect(asked.send).toEqual([]);
    expect(asked.persist?.hardState).toEqual({ term: 1, vote: "a", commit: 0 });
    expect(asked.sendAfterPersist.map(({ kind }) => kind)).toEqual(["vote", "vote"]);
    candidate.receive("b", { kind: "vote-response", term: 1, granted: true });
    expect(candidate.status.role).toBe("candidate");
    candidate.flush();
    expect(candidate.status.role).toBe("leader");
  });

  test("a higher term makes a leader step down; answers of older terms are ignored (4)", () => {
    const leader = new Driver().lead("b");
    leader.receive("c", { kind: "append-accepted", term: 0, index: 1 });
    expect(leader.status.progress.find(({ node }) => node === "c")?.match).toBe(0);
    leader.receive("c", { kind: "heartbeat-response", term: 5, round: 0 });
    expect(leader.status).toMatchObject({ role: "follower", term: 5, leader: "" });
  });

  test("a leader that hears from no majority for one election timeout steps down and refuses its reads (6)", () => {
    const leader = new Driver().lead("b");
    leader.step({ kind: "read", context: 7 });
    leader.tick(ELECTION_TICKS - 1);
    expect(leader.status.role).toBe("leader");
    const [last] = leader.tick(1);
    expect(leader.status).toMatchObject({ role: "follower", leader: "" });
    expect(last?.refusedReads).toEqual([{ context: 7, reason: "no-quorum", leader: "" }]);
  });

  test("one follower of two is enough to go on", () => {
    const leader = new Driver().lead("b");
    for (let count = 0; count < 5; count += 1) {
      leader.tick(ELECTION_TICKS - 1);
      leader.receive("c", { kind: "heartbeat-response", term: 1, round: 0 });
    }
    expect(leader.status.role).toBe("leader");
  });

  test("a stranger's higher term disturbs no leader (7)", () => {
    const leader = new Driver().lead("b");
    leader.receive("gone", { kind: "heartbeat-response", term: 50, round: 0 });
    leader.receive("gone", { ...askVote, term: 50 });
    leader.receive("gone", { ...askPreVote, term: 50 });
    expect(leader.status).toMatchObject({ role: "leader", term: 1 });
  });

  test("a leader of the past is told the term of today (8)", () => {
    const ahead = new Driver({ durable: { hardState: { term: 6, vote: "a", commit: 0 } } });
    expect(ahead.receive("b", { ...heartbeat, term: 4 }).send).toMatchObject([
      { kind: "heartbeat-response", to: "b", term: 6 },
    ]);
  });

  test("a learner neither campaigns nor is asked, but votes when it is (9)", () => {
    const learner = new Driver({ membership: { voters: ["b", "c"], learners: ["a"] } });
    expect(learner.tick(100).flatMap(kinds)).toEqual([]);
    expect(learner.step({ kind: "campaign" }).send).toEqual([]);
    expect(learner.status.role).toBe("learner");
    expect(learner.receive("b", { ...askVote, term: 1 }).sendAfterPersist).toMatchObject([{ granted: true }]);

    const candidate = new Driver({ membership: { voters: ["a", "b"], learners: ["c"] } });
    expect(candidate.step({ kind: "campaign" }).send.map(({ to }) => to)).toEqual(["b"]);
    candidate.receive("c", { kind: "pre-vote-response", term: 0, campaignTerm: 1, granted: true });
    expect(candidate.status.term).toBe(0);
  });

  test("timeouts are random within [1.05, 1.3) T, and a rank adds 0.15 T each, 0.45 T at most (10, 11)", () => {
    const ticksUntilCampaign = (random: number, priority: number): number => {
      const follower = new Driver({ options: { electionTicks: 1000, random: () => random, priority } });
      let ticks = 0;
      while (follower.status.role === "follower") {
        follower.tick(1);
        ticks += 1;
      }
      return ticks;
    };
    expect(ticksUntilCampaign(0, 0)).toBe(1050);
    expect(ticksUntilCampaign(0.999, 0)).toBe(1300);
    expect(ticksUntilCampaign(0, 2)).toBe(1350);
    expect(ticksUntilCampaign(0, 3)).toBe(1500);
    expect(ticksUntilCampaign(0.999, 1000)).toBe(1750);
  });

  test("a lost campaign is tried again sooner than a leader is given up, and then ever later", () => {
    const candidate = new Driver({ options: { electionTicks: 100 } });
    const waits: number[] = [];
    candidate.tick(104);
    for (let campaigns = 0; campaigns < 4; campaigns += 1) {
      let ticks = 1;
      while (kinds(candidate.step({ kind: "tick" })).length === 0) ticks += 1;
      waits.push(ticks);
    }
    const [first, ...retries] = waits;
    expect(first).toBe(1);
    expect(retries[0]).toBeLessThanOrEqual(30);
    expect(retries).toEqual(retries.toSorted((a, b) => a - b));
    expect(retries.at(-1)).toBeGreaterThan(100);
  });

  test("when the leader's process is gone its followers campaign within a few ticks, by rank", () => {
    for (const [priority, ticks] of [
      [0, 1],
      [1, 3],
      [9, 7],
    ] as const) {
      const follower = new Driver({ options: { priority } });
      follower.receive("b", { ...heartbeat, term: 1 });
      follower.step({ kind: "unreachable", peer: "c" });
      expect(follower.status.leader).toBe("b");
      follower.step({ kind: "unreachable", peer: "b" });
      expect(follower.status.leader).toBe("");
      follower.tick(ticks - 1);
      expect(follower.status.role).toBe("follower");
      follower.tick(1);
      expect(follower.status.role).toBe("candidate");
    }
  });

  test("`campaign` starts an election only where no leader is known", () => {
    const follower = new Driver();
    follower.receive("b", { ...heartbeat, term: 1 });
    expect(follower.step({ kind: "campaign" }).send).toEqual([]);
    expect(kinds(new Driver().step({ kind: "campaign" }))).toEqual(["pre-vote", "pre-vote"]);
  });

  test("a follower that is idle allocates no effects", () => {
    const follower = new Driver();
    follower.receive("b", { ...heartbeat, term: 1 });
    const [first, second] = follower.tick(2);
    expect(first).toBe(second);
    expect(Object.isFrozen(first)).toBe(true);
  });
});

test("a replica that was never fed votes for nobody: it may have been here before, and voted (2)", () => {
  const replica = new Driver({ membership: { voters: [] } });
  expect(replica.receive("b", { ...askPreVote, term: 3 }).send).toMatchObject([{ granted: false }]);
  const asked = replica.receive("b", { ...askVote, term: 4 });
  expect([...asked.send, ...asked.sendAfterPersist]).toMatchObject([{ granted: false }]);
  expect(replica.status).toMatchObject({ term: 4, vote: "" });
});

describe("a replica whose log was damaged", () => {
  const recovery = { term: 8, trusted: [] } as const;
  const durable = { hardState: { term: 8, vote: "", commit: 0 } };
  const recovering = (options: Partial<{ trusted: readonly string[] }> = {}): Driver =>
    new Driver({ durable, options: { recovery: { ...recovery, ...options } } });
  const append = { kind: "append", prevIndex: 0, prevTerm: 0 } as const;

  test("neither campaigns nor votes, whatever it is asked", () => {
    const replica = recovering();
    expect(replica.tick(10 * ELECTION_TICKS).flatMap(kinds)).toEqual([]);
    expect(kinds(replica.step({ kind: "campaign" }))).toEqual([]);
    expect(replica.receive("b", { ...askPreVote, term: 9 }).send).toMatchObject([{ granted: false }]);
    const asked = replica.receive("b", { ...askVote, term: 9, transfer: true });
    expect([...asked.send, ...asked.sendAfterPersist]).toMatchObject([{ granted: false }]);
    replica.receive("b", { ...heartbeat, term: 9 });
    expect(replica.receive("b", { kind: "timeout-now", term: 9 }).sendAfterPersist).toEqual([]);
    expect(replica.status).toMatchObject({ role: "learner", recovering: true });
  });

  test("tells a leader of before that its term is over: what was acknowledged then counts no more", () => {
    const replica = recovering();
    const answered = replica.receive("b", { ...append, term: 7, commit: 0, entries: logOf(7) });
    expect(answered.send).toMatchObject([{ kind: "heartbeat-response", term: 8 }]);
    expect(answered.sendAfterPersist).toEqual([]);
    expect(replica.status.last).toBe(0);
  });

  test("takes part again once an entry of a later term is committed in its log, and on its disk", () => {
    const replica = recovering();
    // Committed, but of before: whoever led then counted on what is gone.
    replica.receive("b", { ...append, term: 9, commit: 2, entries: logOf(3, 3) });
    replica.flush();
    expect(replica.status).toMatchObject({ commit: 2, recovering: true });
    replica.receive("b", {
      ...append,
      prevIndex: 2,
      prevTerm: 3,
      term: 9,
      commit: 3,
      entries: [entry(3, 9)],
    });
    expect(replica.status).toMatchObject({ commit: 3, recovering: true });
    replica.flush();
    expect(replica.status).toMatchObject({ role: "follower", recovering: false });
    const asked = replica.receive("c", { ...askVote, term: 10, transfer: true });
    expect(asked.sendAfterPersist).toMatchObject([{ granted: true }]);
  });

  test("votes for the only other voter of a group of two, which has everything", () => {
    const replica = recovering({ trusted: ["b"] });
    expect(replica.receive("b", { ...askVote, term: 9 }).sendAfterPersist).toMatchObject([{ granted: true }]);
    expect(replica.status.recovering).toBe(true);
  });
});
