// Phase 1 of Paxos Made Simple 2.2, and what keeps proposers apart, each as the promise it makes.

import { describe, expect, test } from "vitest";
import { ELECTION_TICKS, entry, kinds } from "./driver.ts";
import { PaxosDriver } from "./paxos-driver.ts";

const prepare = { kind: "prepare", first: 1, mandate: "none" } as const;
const heartbeat = { kind: "heartbeat", commit: 0, round: 0, sent: 0, settledByAll: 0 } as const;
const canvass = { kind: "canvass", number: 1, commit: 0, priority: 0 } as const;

describe("ballots", () => {
  test("are above every round heard of, and on disk before anybody is asked (1)", () => {
    const proposer = new PaxosDriver();
    proposer.step({ kind: "campaign" });
    const effects = proposer.receive("b", { kind: "canvass-answer", number: 1, term: 6, willing: true });
    expect(effects.persist?.hardState).toEqual({ term: 7, vote: "a", commit: 0 });
    expect(effects.send).toEqual([]);
    expect(effects.sendAfterPersist).toMatchObject([
      { kind: "prepare", to: "b", term: 7, first: 1 },
      { kind: "prepare", to: "c", term: 7, first: 1 },
    ]);
  });

  test("are never used twice, also after a restart (1)", () => {
    const proposer = new PaxosDriver({ durable: { hardState: { term: 7, vote: "a", commit: 0 } } });
    expect(proposer.status.role).toBe("follower");
    expect(proposer.canvass("b").persist?.hardState).toMatchObject({ term: 8, vote: "a" });
  });

  test("a proposer's own promise counts once it is flushed (1, 2)", () => {
    const proposer = new PaxosDriver();
    proposer.canvass("b");
    proposer.promise("b");
    expect(proposer.status.role).toBe("candidate");
    proposer.flush();
    expect(proposer.status.role).toBe("leader");
  });

  test("a promise is on disk before it leaves, and leaves with it (2)", () => {
    const acceptor = new PaxosDriver();
    const effects = acceptor.receive("b", { ...prepare, term: 4 });
    expect(effects.persist?.hardState).toEqual({ term: 4, vote: "b", commit: 0 });
    expect(effects.send).toEqual([]);
    expect(effects.sendAfterPersist).toMatchObject([{ kind: "promise", to: "b", term: 4, last: 0 }]);
  });

  test("a repeated prepare is answered again, but never before the first answer's flush (2)", () => {
    const acceptor = new PaxosDriver();
    acceptor.receive("b", { ...prepare, term: 4 });
    const again = acceptor.receive("b", { ...prepare, term: 4 });
    expect(again.persist).toEqual({ sequence: 2 });
    expect(again.sendAfterPersist).toHaveLength(1);
    acceptor.flush();
    expect(acceptor.receive("b", { ...prepare, term: 4 }).persist).toBeUndefined();
  });

  test("a round is promised to one proposer, also after a restart, whoever's name sorts higher (2)", () => {
    const acceptor = new PaxosDriver({ durable: { hardState: { term: 4, vote: "b", commit: 0 } } });
    for (const other of ["a0", "c"]) {
      expect(acceptor.receive(other, { ...prepare, term: 4 }).send).toEqual([
        { kind: "refused", from: "a", to: other, term: 4, round: 4, proposer: "b" },
      ]);
    }
    expect(kinds(acceptor.receive("b", { ...prepare, term: 4 }))).toEqual([]);
    expect(acceptor.status.ballot).toEqual({ round: 4, proposer: "b" });
  });

  test.each([
    { ...prepare, term: 3 },
    { kind: "accept", term: 3, entries: [entry(1, 3, "x")], commit: 0 },
    { kind: "learn", term: 3, entries: [entry(1, 3, "x")] },
    { ...heartbeat, term: 3 },
  ] as const)(
    "below the promise a $kind is refused, with the ballot that was promised (3, 11)",
    (message) => {
      const acceptor = new PaxosDriver({ durable: { hardState: { term: 4, vote: "c", commit: 0 } } });
      const effects = acceptor.receive("b", message);
      expect(effects.send).toEqual([
        { kind: "refused", from: "a", to: "b", term: 3, round: 4, proposer: "c" },
      ]);
      expect(effects.sendAfterPersist).toEqual([]);
      expect(acceptor.status).toMatchObject({ last: 0, leader: "" });
    },
  );

  test("who lost a round follows who won it: an accept shows that a quorum promised it (3)", () => {
    const acceptor = new PaxosDriver({ durable: { hardState: { term: 4, vote: "c", commit: 0 } } });
    const effects = acceptor.receive("b", {
      kind: "accept",
      term: 4,
      entries: [entry(1, 4, "x")],
      commit: 0,
    });
    expect(effects.sendAfterPersist).toMatchObject([{ kind: "accepted", first: 1, last: 1 }]);
    expect(acceptor.status).toMatchObject({ leader: "b", ballot: { round: 4, proposer: "c" } });
  });

  test("a refusal with a higher ballot ends a reign; the next ballot goes above it (11)", () => {
    const leader = new PaxosDriver().lead("b");
    const effects = leader.receive("c", { kind: "refused", term: 1, round: 9, proposer: "c" });
    expect(effects.send).toEqual([]);
    expect(leader.status).toMatchObject({ role: "follower", term: 1, leader: "" });
    leader.tick(2 * ELECTION_TICKS);
    for (let number = 2; leader.status.term === 1 && number < 20; number += 1) {
      leader.receive("b", { kind: "canvass-answer", number, term: 1, willing: true });
    }
    expect(leader.status.term).toBe(10);
  });

  test("who lost waits a random time, longer each time, before it goes above (11)", () => {
    const waits = [0, 0.999].map((random) => {
      const proposer = new PaxosDriver({ options: { electionTicks: 100, random: () => random } });
      return [1, 2, 3].map((round) => {
        proposer.step({ kind: "campaign" });
        proposer.receive("b", { kind: "canvass-answer", number: 2 * round - 1, term: 0, willing: true });
        const { term } = proposer.status;
        proposer.receive("b", { kind: "refused", term, round: term + 5, proposer: "b" });
        expect(proposer.status.role).toBe("follower");
        let ticks = 1;
        while (kinds(proposer.step({ kind: "tick" })).length === 0) ticks += 1;
        proposer.receive("b", { kind: "canvass-answer", number: round * 2, term: 0, willing: false });
        proposer.receive("c", { kind: "canvass-answer", number: round * 2, term: 0, willing: false });
        return ticks;
      });
    });
    const [short = [], long = []] = waits;
    expect(short).toEqual(short.toSorted((a, b) => a - b));
    short.forEach((ticks, position) => expect(long[position]).toBeGreaterThan(ticks));
  });

  test("a refusal of somebody who does not belong here disturbs no leader (11)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.receive("gone", { kind: "refused", term: 1, round: 50, proposer: "gone" });
    expect(leader.status).toMatchObject({ role: "leader", term: 1 });
  });

  test("who hears a leader promises to nobody else, unless the leader or a quorum already did (7)", () => {
    const acceptor = (): PaxosDriver => {
      const driver = new PaxosDriver();
      driver.receive("b", { ...heartbeat, term: 3 });
      driver.tick(ELECTION_TICKS - 1);
      return driver;
    };
    expect(acceptor().receive("c", { ...canvass, term: 3 }).send).toMatchObject([{ willing: false }]);
    expect(acceptor().receive("c", { ...prepare, term: 9 }).send).toMatchObject([
      { kind: "refused", round: 3, proposer: "b" },
    ]);
    for (const mandate of ["transfer", "quorum"] as const) {
      const effects = acceptor().receive("c", { ...prepare, mandate, term: 9 });
      expect(effects.sendAfterPersist).toMatchObject([{ kind: "promise", term: 9 }]);
    }
    const later = acceptor();
    later.tick(1);
    expect(later.receive("c", { ...canvass, term: 3 }).send).toMatchObject([{ willing: true }]);
  });

  test("a canvass changes nothing at those who are asked", () => {
    const acceptor = new PaxosDriver();
    acceptor.receive("b", { ...heartbeat, term: 3 });
    const before = acceptor.status;
    acceptor.receive("c", { ...canvass, term: 7 });
    expect(acceptor.status).toEqual(before);
  });

  test("of two that canvass at once the preferred one goes on", () => {
    const asks = (priority: number, other: number, from: string): string => {
      const replica = new PaxosDriver({ options: { priority } });
      replica.step({ kind: "campaign" });
      replica.receive(from, { ...canvass, term: 0, priority: other });
      return replica.status.role;
    };
    expect(asks(0, 1, "b")).toBe("candidate");
    expect(asks(1, 0, "b")).toBe("follower");
    expect(asks(0, 0, "b")).toBe("candidate");
    expect(asks(0, 0, "A")).toBe("follower");
  });

  test("a replica that knows no configuration has forgotten what it promised, and promises to no candidate (15)", () => {
    const wiped = new PaxosDriver({ membership: {} });
    expect(wiped.receive("b", { ...canvass, term: 3 }).send).toMatchObject([{ willing: false }]);
    for (const mandate of ["none", "transfer"] as const) {
      const effects = wiped.receive("b", { ...prepare, mandate, term: 4 });
      expect(effects.send).toMatchObject([{ kind: "refused" }]);
      expect(effects.sendAfterPersist).toEqual([]);
    }
    // A leader that has its quorum without it brings it in.
    expect(wiped.receive("b", { ...prepare, mandate: "quorum", term: 4 }).sendAfterPersist).toHaveLength(1);
  });

  test("a leader that hears from no majority for one election timeout steps down and refuses what waits", () => {
    const leader = new PaxosDriver().lead("b");
    leader.step({ kind: "read", context: 7 });
    leader.tick(ELECTION_TICKS - 1);
    expect(leader.status.role).toBe("leader");
    const [last] = leader.tick(1);
    expect(leader.status).toMatchObject({ role: "follower", leader: "" });
    expect(last?.refusedReads).toEqual([{ context: 7, reason: "no-quorum", leader: "" }]);
  });

  test("learners and arbiters never propose, and arbiters promise", () => {
    const learner = new PaxosDriver({ membership: { voters: ["b", "c"], learners: ["a"] } });
    expect(learner.tick(100).flatMap(kinds)).toEqual([]);
    expect(learner.status.role).toBe("learner");
    const membership = { voters: ["a", "b", "c"], arbiters: ["a"] };
    const arbiter = new PaxosDriver({ membership, options: { arbiter: true } });
    expect(arbiter.tick(100).flatMap(kinds)).toEqual([]);
    expect(arbiter.step({ kind: "campaign" }).send).toEqual([]);
    expect(arbiter.receive("b", { ...prepare, term: 4 }).sendAfterPersist).toMatchObject([
      { kind: "promise" },
    ]);
  });

  test("when the leader's process is gone its followers canvass within a few ticks, by rank", () => {
    for (const [priority, ticks] of [
      [0, 1],
      [1, 3],
      [9, 7],
    ] as const) {
      const follower = new PaxosDriver({ options: { priority } });
      follower.receive("b", { ...heartbeat, term: 1 });
      follower.step({ kind: "unreachable", peer: "b" });
      follower.tick(ticks - 1);
      expect(follower.status.role).toBe("follower");
      follower.tick(1);
      expect(follower.status.role).toBe("candidate");
    }
  });

  test("a follower that is idle allocates no effects", () => {
    const follower = new PaxosDriver();
    follower.receive("b", { ...heartbeat, term: 1 });
    follower.flush();
    const [first, second] = follower.tick(2);
    expect(first).toBe(second);
    expect(Object.isFrozen(first)).toBe(true);
  });
});

describe("an acceptor whose log was damaged", () => {
  const options = { recovery: { term: 8, trusted: [] } } as const;
  const durable = { hardState: { term: 8, vote: "", commit: 0 } };
  const snapshot = (index: number) => ({
    kind: "install" as const,
    snapshot: {
      index,
      term: 3,
      membership: { voters: ["a", "b", "c"], outgoing: [], learners: [], arbiters: [] },
    },
    from: "b",
    term: 9,
  });

  test("never proposes", () => {
    const replica = new PaxosDriver({ durable, options });
    expect(replica.tick(10 * ELECTION_TICKS).flatMap(kinds)).toEqual([]);
    expect(kinds(replica.step({ kind: "campaign" }))).toEqual([]);
    replica.receive("b", { ...heartbeat, term: 9 });
    expect(kinds(replica.receive("b", { kind: "hand-over", term: 9, commit: 0 }))).toEqual([]);
    expect(replica.status).toMatchObject({ role: "learner", recovering: true });
  });

  test("tells a leader of before that its ballot is over: what was accepted for it counts no more", () => {
    const replica = new PaxosDriver({ durable, options });
    const effects = replica.receive("b", { kind: "accept", term: 7, entries: [entry(1, 7, "x")], commit: 0 });
    expect(effects.send).toMatchObject([{ kind: "refused", round: 8 }]);
    expect(effects.sendAfterPersist).toEqual([]);
  });

  test("promises, and says that it may have accepted more than it tells", () => {
    const replica = new PaxosDriver({ durable, options });
    const effects = replica.receive("b", { ...prepare, term: 9 });
    expect(effects.persist?.hardState).toMatchObject({ term: 9, vote: "b" });
    expect(effects.sendAfterPersist).toMatchObject([{ kind: "promise", term: 9, partial: true }]);
  });

  test("accepts nothing before a state has come", () => {
    const replica = new PaxosDriver({ durable, options });
    const accept = { kind: "accept", term: 9, entries: [entry(6, 9, "x")], commit: 5 } as const;
    const early = replica.receive("b", accept);
    expect([...early.send, ...early.sendAfterPersist]).toEqual([]);
    expect(replica.status.last).toBe(0);
    replica.step(snapshot(5));
    expect(replica.receive("b", accept).sendAfterPersist).toMatchObject([{ kind: "accepted", first: 6 }]);
  });

  test("is one as every other once it knows to be chosen, on its disk, what a leader says may have been", () => {
    const replica = new PaxosDriver({ durable, options });
    replica.step(snapshot(5));
    replica.receive("b", { ...heartbeat, term: 9, commit: 5 });
    replica.receive("b", { kind: "accept", term: 9, entries: [entry(6, 9, "x")], commit: 5 });
    replica.flush();
    // Not by what is chosen: the leader may still be about to propose again what this one has forgotten.
    replica.receive("b", { ...heartbeat, term: 9, commit: 6 });
    expect(replica.status).toMatchObject({ commit: 6, recovering: true });
    replica.receive("b", { ...heartbeat, term: 9, commit: 6, complete: 7 });
    // What a later leader says is later, too; the first one's word is enough.
    replica.receive("b", { ...heartbeat, term: 9, commit: 6, complete: 70 });
    expect(replica.status.recovering).toBe(true);
    replica.receive("b", { kind: "accept", term: 9, entries: [entry(7, 4, "y")], commit: 7 });
    expect(replica.status).toMatchObject({ commit: 7, recovering: true });
    replica.flush();
    expect(replica.status).toMatchObject({ commit: 7, recovering: false, role: "follower" });
    const again = replica.receive("c", { ...prepare, term: 10, first: 8, mandate: "transfer" });
    expect(again.sendAfterPersist.at(-1)).not.toHaveProperty("partial");
  });
});

describe("a proposer that is promised something by an acceptor whose log was damaged", () => {
  const partial = (proposer: PaxosDriver, from: string): void => {
    const { term, commit } = proposer.status;
    proposer.receive(from, {
      kind: "promise",
      term,
      first: commit + 1,
      entries: [],
      last: commit,
      commit,
      partial: true,
    });
  };

  test("does not lead by its word: whatever was chosen must be told by somebody else", () => {
    const proposer = new PaxosDriver().prepare("b");
    partial(proposer, "b");
    expect(proposer.status.role).toBe("candidate");
    proposer.promise("c", [entry(1, 0 + 1, "chosen with the help of b")]);
    expect(proposer.status.role).toBe("leader");
  });

  test("leads in a group of two, where it has accepted itself whatever was chosen", () => {
    const proposer = new PaxosDriver({ membership: { voters: ["a", "b"] } }).prepare("b");
    expect(proposer.status.role).toBe("candidate");
    partial(proposer, "b");
    expect(proposer.status.role).toBe("leader");
  });

  test("counts its promise among four beside those of the two others who meet every quorum", () => {
    const proposer = new PaxosDriver({ membership: { voters: ["a", "b", "c", "d"] } }).prepare("b", "c");
    partial(proposer, "b");
    expect(proposer.status.role).toBe("candidate");
    proposer.promise("c");
    expect(proposer.status.role).toBe("leader");
  });

  test("tells it up to where anything may have been chosen before", () => {
    const proposer = new PaxosDriver().prepare("c");
    proposer.promise("c", [entry(1, 1, "x"), entry(2, 1, "y")]);
    partial(proposer, "b");
    const beats = proposer.tick(10).flatMap(({ send }) => send.filter(({ kind }) => kind === "heartbeat"));
    expect(beats.find(({ to }) => to === "b")).toMatchObject({ complete: 2 });
    expect(beats.find(({ to }) => to === "c")).not.toHaveProperty("complete");
  });
});
