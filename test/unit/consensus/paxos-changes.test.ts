// Membership, snapshots, transfers and reads of multi-paxos, each as the promise it makes.

import { describe, expect, test } from "vitest";
import { decodeMembership, encodeMembership, membershipOf } from "../../../src/consensus/membership.ts";
import type { Effects, Entry } from "../../../src/consensus/seam.ts";
import { ELECTION_TICKS, entry, kinds } from "./driver.ts";
import { HOLE, PaxosDriver, values, WINDOW } from "./paxos-driver.ts";

const ABC = membershipOf({ voters: ["a", "b", "c"] });
const JOINT = membershipOf({ voters: ["a", "b", "d"], outgoing: ["a", "b", "c"] });

function config(index: number, term: number, parts: Parameters<typeof membershipOf>[0]): Entry {
  return { index, term, kind: "config", data: encodeMembership(membershipOf(parts)) };
}

/** The memberships that were written. */
function written(effects: Effects): readonly unknown[] {
  const entries = effects.persist?.entries ?? [];
  return entries.filter(({ kind }) => kind === "config").map(({ data }) => decodeMembership(data));
}

/** Everything that the leader has is flushed and accepted by `from`. */
function settle(leader: PaxosDriver, ...from: readonly string[]): void {
  for (let turn = 0; turn < 4; turn += 1) {
    leader.flush();
    for (const node of from) leader.accept(node, 1, leader.status.last);
  }
}

describe("reconfiguration", () => {
  test("a configuration decides from a window after its slot on, and no-ops bring it into force (12)", () => {
    const leader = new PaxosDriver().lead("b");
    const slot = leader.status.last + 1;
    leader.step({ kind: "reconfigure", target: membershipOf({ ...ABC, learners: ["d"] }) });
    expect(leader.status.membership.learners).toEqual([]);
    leader.flush();
    const chosen = leader.accept("b", slot);
    expect(values(chosen.persist?.entries ?? []).every((one) => one.endsWith("noop"))).toBe(true);
    settle(leader, "b");
    expect(leader.status.last).toBe(slot + WINDOW - 1);
    expect(leader.status.membership.learners).toEqual(["d"]);
  });

  test("waits until those who are to decide have the log: who was never fed promises nothing", () => {
    const leader = new PaxosDriver().lead("b");
    const target = membershipOf({ voters: ["a", "c"] });
    const steps = [...written(leader.step({ kind: "reconfigure", target }))];
    settle(leader, "b");
    expect(steps).toEqual([]);
    steps.push(...written(leader.promise("c")));
    expect(steps).toEqual([membershipOf({ ...target, outgoing: ABC.voters })]);
  });

  test("new voters learn first, then both memberships decide, then the new one (12)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.promise("c");
    const steps: unknown[] = [];
    const note = (effects: Effects): void => void steps.push(...written(effects));
    note(leader.step({ kind: "reconfigure", target: membershipOf({ voters: ["a", "b", "d"] }) }));
    for (let turn = 0; turn < 20; turn += 1) {
      note(leader.flush());
      for (const from of ["b", "c"]) note(leader.accept(from, 1, leader.status.last));
      note(leader.promise("d", [], leader.status.commit));
      note(leader.receive("d", { kind: "learned", term: 1, index: leader.status.commit }));
      if (leader.status.membership.learners.includes("d")) note(leader.accept("d", 1, leader.status.last));
      if (leader.status.membership.outgoing.length > 0) note(leader.accept("d", 1, leader.status.last));
    }
    expect(steps).toEqual([
      membershipOf({ ...ABC, learners: ["d"] }),
      JOINT,
      membershipOf({ voters: ["a", "b", "d"] }),
    ]);
    expect(leader.status.membership.voters).toEqual(["a", "b", "d"]);
  });

  test("slots beyond the switch wait for promises of a quorum of the new configuration (12)", () => {
    const entries = [config(1, 1, { voters: ["a", "d", "e"], outgoing: ["a", "b", "c"] })];
    const parts = { durable: { hardState: { term: 1, vote: "b", commit: 1 }, entries } };
    const leader = new PaxosDriver(parts).prepare("b");
    leader.promise("b");
    expect(leader.status.role).toBe("leader");
    settle(leader, "b");
    // Slots up to the window are the old configuration's; the next needs d or e as well.
    expect(leader.status.last).toBe(WINDOW);
    expect(leader.propose("x").accepted).toEqual([]);
    expect(leader.promise("d").accepted).toEqual([{ context: 0, index: WINDOW + 1, term: 2 }]);
  });

  test("a leader that learns from reports that it was let go resigns, though a later change is on its way (37)", () => {
    const without = ["b", "c", "d"];
    const report = [
      config(1, 1, { voters: without }),
      ...Array.from({ length: WINDOW }, (_, position) => entry(position + 2, 1, "", "noop")),
      config(WINDOW + 2, 1, { voters: without, learners: ["e"] }),
    ];
    const leader = new PaxosDriver().prepare("b", "c");
    leader.promise("b", report, 1);
    leader.promise("c", report, 1);
    leader.flush();
    expect(leader.status.role).toBe("leader");
    for (const from of ["b", "c"]) leader.accept(from, 2, WINDOW);
    expect(leader.status).toMatchObject({ commit: WINDOW, role: "learner", membership: { voters: without } });
  });

  test("one change at a time: another waits until the first is in force (12)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.step({ kind: "reconfigure", target: membershipOf({ ...ABC, learners: ["d"] }) });
    const second = leader.step({ kind: "reconfigure", target: membershipOf({ ...ABC, learners: ["e"] }) });
    expect(written(second)).toEqual([]);
    settle(leader, "b");
    const third = leader.step({ kind: "reconfigure", target: membershipOf({ ...ABC, learners: ["e"] }) });
    expect(written(third)).toHaveLength(1);
  });

  test("one whose new voters are to learn first is given up for another before they may (12)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.promise("c");
    const steps: unknown[] = [];
    const note = (effects: Effects): void => void steps.push(...written(effects));
    note(leader.step({ kind: "reconfigure", target: membershipOf({ voters: ["a", "b", "d"] }) }));
    note(leader.step({ kind: "reconfigure", target: ABC }));
    for (let turn = 0; turn < 20; turn += 1) {
      note(leader.flush());
      note(leader.promise("d", [], leader.status.commit));
      for (const from of ["b", "c", "d"]) note(leader.accept(from, 1, leader.status.last));
    }
    expect(steps).toEqual([membershipOf({ ...ABC, learners: ["d"] }), ABC]);
    expect(leader.status.membership).toEqual(ABC);
  });

  test("a change that is not chosen is rolled back by the no-op in its slot (12)", () => {
    const follower = new PaxosDriver();
    const accept = { kind: "accept", commit: 0 } as const;
    follower.receive("b", { ...accept, term: 1, entries: [config(1, 1, { voters: ["b"] })] });
    follower.receive("c", { ...accept, term: 2, entries: [{ ...entry(1, 2), kind: "noop" }] });
    for (let index = 2; index <= WINDOW + 1; index += 1) {
      follower.receive("c", { kind: "accept", term: 2, entries: [entry(index, 2, "x")], commit: index });
    }
    expect(follower.status).toMatchObject({ commit: WINDOW + 1, membership: ABC });
  });

  test("the next leader finishes a joint configuration, once a quorum of the new voters has what came before", () => {
    const entries = [config(1, 1, { voters: ["d", "e"], outgoing: ["a", "b", "c"] })];
    for (let index = 2; index <= WINDOW; index += 1) entries.push({ ...entry(index, 1), kind: "noop" });
    const parts = { durable: { hardState: { term: 1, vote: "b", commit: WINDOW }, entries } };
    const leader = new PaxosDriver(parts).prepare("b", "d", "e");
    const steps: unknown[] = [];
    for (const from of ["b", "d", "e"]) leader.promise(from, [], from === "b" ? WINDOW : 0);
    expect(leader.status.role).toBe("leader");
    leader.flush();
    for (const from of ["b", "d", "e"]) {
      steps.push(...written(leader.accept(from, WINDOW + 1)));
    }
    // d and e accepted the new slot, but what came before they lack.
    expect(leader.status.commit).toBe(WINDOW + 1);
    expect(steps).toEqual([]);
    leader.receive("d", { kind: "learned", term: 2, index: WINDOW });
    steps.push(...written(leader.receive("e", { kind: "learned", term: 2, index: WINDOW })));
    expect(steps).toEqual([membershipOf({ voters: ["d", "e"] })]);
  });

  test("a leader that is no voter any more names a successor and goes", () => {
    const entries = [config(1, 1, { voters: ["b", "c"], outgoing: ["a", "b"] })];
    for (let index = 2; index <= WINDOW; index += 1) entries.push({ ...entry(index, 1), kind: "noop" });
    const parts = {
      membership: { voters: ["a", "b"] },
      durable: { hardState: { term: 1, vote: "b", commit: WINDOW }, entries },
    };
    const leader = new PaxosDriver(parts).prepare("b", "c");
    leader.promise("b", [], WINDOW);
    leader.promise("c", [], WINDOW);
    const sent: string[] = [];
    for (let turn = 0; turn < 4 && leader.status.role === "leader"; turn += 1) {
      leader.flush();
      for (const from of ["b", "c"]) {
        if (leader.status.role !== "leader") break;
        sent.push(...kinds(leader.accept(from, 1, leader.status.last)));
      }
    }
    expect(leader.status).toMatchObject({ role: "learner", leader: "" });
    expect(leader.status.membership.voters).toEqual(["b", "c"]);
    expect(sent).toContain("hand-over");
  });

  test("a voter to come proposes, too: whoever decides now may know of its own end, and never will (12)", () => {
    const entries = [config(1, 1, { voters: ["a"] })];
    for (let index = 2; index <= WINDOW; index += 1) entries.push({ ...entry(index, 1), kind: "noop" });
    const parts = {
      membership: { voters: ["b"], learners: ["a"] },
      durable: { hardState: { term: 1, vote: "b", commit: 1 }, entries },
    };
    // b chose all slots that it decides, and its last word to a was lost.
    const asked = new PaxosDriver(parts).tick(4 * ELECTION_TICKS).flatMap(({ send }) => send);
    expect(asked).toContainEqual(expect.objectContaining({ kind: "canvass", to: "b" }));
    const heir = new PaxosDriver(parts).prepare("b");
    heir.promise("b", entries.slice(1), WINDOW);
    expect(heir.status).toMatchObject({ role: "leader", commit: WINDOW, membership: { voters: ["a"] } });
  });

  test("a voter to come that wins a ballot while others still decide names one of those, and goes (37)", () => {
    const entries = [config(1, 1, { voters: ["a", "b"], outgoing: ["b", "c"] })];
    const parts = {
      membership: { voters: ["b", "c"], learners: ["a"] },
      durable: { hardState: { term: 1, vote: "b", commit: 1 }, entries },
    };
    const heir = new PaxosDriver(parts).prepare("b", "c");
    const sent = ["b", "c"].flatMap((from) => heir.promise(from, [], 1).send);
    expect(sent).toContainEqual(expect.objectContaining({ kind: "hand-over" }));
    expect(heir.status).toMatchObject({ role: "follower", leader: "" });
  });

  test("somebody who votes and holds data remains", () => {
    const leader = new PaxosDriver().lead("b");
    for (const target of [{ voters: [] }, { voters: ["z"], arbiters: ["z"] }]) {
      expect(written(leader.step({ kind: "reconfigure", target: membershipOf(target) }))).toEqual([]);
    }
  });

  test("a snapshot inside the window carries what is chosen and not yet in force (12, 13)", () => {
    const later = membershipOf({ ...ABC, learners: ["d"] });
    const entries = [entry(1, 1), config(2, 1, later), entry(3, 1)];
    const parts = { durable: { hardState: { term: 1, vote: "b", commit: 3 }, entries } };
    const replica = new PaxosDriver(parts);
    replica.step({ kind: "tick" });
    replica.step({ kind: "applied", index: 3 });
    const snapshot = replica.replica.snapshotAt(3);
    expect(snapshot).toEqual({
      index: 3,
      term: 1,
      membership: ABC,
      pending: [{ index: 2, membership: later }],
    });
    expect(replica.step({ kind: "compact", index: 3 }).persist?.compactTo).toEqual(snapshot);
    const blank = new PaxosDriver({ membership: {} });
    if (snapshot !== undefined) blank.step({ kind: "install", snapshot, from: "b", term: 1 });
    for (let index = 4; index <= WINDOW + 1; index += 1) {
      blank.receive("b", { kind: "accept", term: 1, entries: [entry(index, 1)], commit: index });
    }
    expect(blank.status.membership).toEqual(later);
  });
});

describe("a trimmed acceptor", () => {
  const trimmed = (options = {}): PaxosDriver =>
    new PaxosDriver({
      options,
      durable: {
        hardState: { term: 2, vote: "c", commit: 9 },
        snapshot: { index: 9, term: 2, membership: ABC },
        applied: 9,
      },
    });

  test("promises nothing about slots that it no longer has, says so, and streams its state (13)", () => {
    const acceptor = trimmed();
    const prepare = { kind: "prepare", term: 5, first: 4, mandate: "none" } as const;
    const effects = acceptor.receive("b", prepare);
    expect(effects.send).toEqual([{ kind: "trimmed", from: "a", to: "b", term: 5, index: 9 }]);
    expect(effects.sendAfterPersist).toEqual([]);
    expect(effects.snapshotWanted).toEqual([{ to: "b", term: 2 }]);
    expect(acceptor.status.term).toBe(2);
    // Once per election timeout, and not to strangers.
    expect(acceptor.receive("b", prepare).snapshotWanted).toEqual([]);
    expect(acceptor.receive("x", prepare).snapshotWanted).toEqual([]);
  });

  test("is asked by a canvass already, and an arbiter has no state to stream (13)", () => {
    const canvass = { kind: "canvass", term: 1, number: 1, commit: 3, priority: 0 } as const;
    const effects = trimmed().receive("b", canvass);
    expect(effects.send).toMatchObject([{ willing: false }]);
    expect(effects.snapshotWanted).toHaveLength(1);
    expect(trimmed({ arbiter: true }).receive("b", canvass).snapshotWanted).toEqual([]);
  });

  test("ends the ballot of a proposer that cannot have a quorum without it; others may still do (13)", () => {
    const proposer = new PaxosDriver().prepare("b");
    const { term } = proposer.status;
    proposer.receive("b", { kind: "trimmed", term, index: 9 });
    expect(proposer.status.role).toBe("candidate");
    proposer.receive("c", { kind: "trimmed", term, index: 9 });
    expect(proposer.status.role).toBe("follower");
  });

  test("a snapshot that arrives during phase 1 moves the first slot to ask about (13)", () => {
    const proposer = new PaxosDriver().prepare("b");
    proposer.step({ kind: "install", snapshot: { index: 9, term: 1, membership: ABC }, from: "c", term: 1 });
    const effects = proposer.promise("b", [entry(10, 1, "x")], 9);
    expect(proposer.status).toMatchObject({ role: "leader", commit: 9, last: 10 });
    expect(effects.send.filter(({ kind }) => kind === "accept")).toHaveLength(1);
  });

  test("an arbiter keeps what a data voter would ask about after a crash", () => {
    const membership = { voters: ["a", "b", "c"], arbiters: ["a"] };
    const entries = [1, 2, 3].map((index) => entry(index, 1));
    const durable = { hardState: { term: 1, vote: "b", commit: 3 }, entries, applied: 3 };
    const arbiter = new PaxosDriver({ membership, durable, options: { arbiter: true } });
    expect(arbiter.step({ kind: "compact", index: 3 }).persist).toBeUndefined();
    const heartbeat = { kind: "heartbeat", term: 1, commit: 3, round: 0, sent: 3 } as const;
    arbiter.receive("b", { ...heartbeat, settledByAll: 2 });
    expect(arbiter.step({ kind: "compact", index: 3 }).persist?.compactTo?.index).toBe(2);
  });

  test.each([
    ["an arbiter", ["a"], 14, 2],
    ["a data voter beside one", ["c"], 4, 1],
  ])("whatever others lack, of more than its bound %s lets only that go", (_, arbiters, last, index) => {
    const membership = { voters: ["a", "b", "c"], arbiters };
    const data = new Uint8Array(5 << 20);
    const entries = Array.from({ length: last }, (_unused, at) => ({ ...entry(at + 1, 1), data }));
    const durable = { hardState: { term: 1, vote: "b", commit: last }, entries, applied: last };
    const replica = new PaxosDriver({ membership, durable, options: { arbiter: arbiters.includes("a") } });
    const compacted = (): number | undefined =>
      replica.step({ kind: "compact", index: last, keepBytesMax: 64 << 20 }).persist?.compactTo?.index;
    expect(compacted()).toBe(index);
    replica.flush();
    expect(compacted()).toBeUndefined();
  });

  test("a data voter whose state is damaged does not tell of what it has lost", () => {
    const membership = { voters: ["a", "b", "z"], arbiters: ["z"] };
    const entries = [1, 2, 3].map((index) => entry(index, 1));
    const durable = { hardState: { term: 1, vote: "b", commit: 3 }, entries, applied: 3 };
    const voter = new PaxosDriver({ membership, durable });
    const heartbeat = { kind: "heartbeat", term: 1, commit: 3, round: 0, sent: 3, settledByAll: 0 } as const;
    const base = (): unknown =>
      voter.receive("b", heartbeat).send.map((message) => "base" in message && message.base);
    voter.step({ kind: "compact", index: 2 });
    expect(base()).toEqual([2]);
    voter.step({ kind: "damaged", is: true });
    expect(base()).toEqual([0]);
  });

  test("beside an arbiter a leader keeps what another data voter may have forgotten to be chosen", () => {
    const membership = { voters: ["a", "b", "z"], arbiters: ["z"] };
    const leader = new PaxosDriver({ membership }).lead("b", "z");
    leader.propose("x", "y");
    leader.flush();
    leader.accept("b", 2, leader.status.last);
    const { term, commit, last } = leader.status;
    expect(commit).toBe(last);
    leader.step({ kind: "applied", index: last });
    const compacted = (): number | undefined =>
      leader.step({ kind: "compact", index: last }).persist?.compactTo?.index;
    expect(compacted()).toBeUndefined();
    const answer = {
      kind: "heartbeat-response",
      term,
      round: 0,
      sent: last,
      held: last,
      lacks: last + 1,
    } as const;
    // An arbiter that comes back gets a log that begins where this one does.
    leader.receive("b", { ...answer, base: last - 1 });
    leader.tick(2);
    expect(compacted()).toBe(last - 1);
  });

  test("a data voter beside an arbiter tells what it could forget, and keeps it until all could", () => {
    const membership = { voters: ["a", "b", "z"], arbiters: ["z"] };
    const entries = [1, 2, 3].map((index) => entry(index, 1));
    const durable = { hardState: { term: 1, vote: "b", commit: 3 }, entries, applied: 3 };
    const voter = new PaxosDriver({ membership, durable });
    const heartbeat = { kind: "heartbeat", term: 1, commit: 3, round: 0, sent: 3 } as const;
    const base = (settledByAll: number): unknown =>
      voter
        .receive("b", { ...heartbeat, settledByAll })
        .send.map((message) => "base" in message && message.base);
    expect(base(0)).toEqual([0]);
    expect(voter.step({ kind: "compact", index: 2 }).persist).toBeUndefined();
    expect(base(1)).toEqual([2]);
    expect(voter.step({ kind: "compact", index: 2 }).persist?.compactTo?.index).toBe(1);
  });

  test("an arbiter is told to keep what a learner would ask about, which may soon vote", () => {
    const membership = { voters: ["a", "b", "z"], arbiters: ["z"], learners: ["l"] };
    const snapshot = { index: 5, term: 1, membership: membershipOf(membership) };
    const hardState = { term: 1, vote: "b", commit: 5 };
    const leader = new PaxosDriver({ membership, durable: { hardState, snapshot, applied: 5 } }).lead(
      "b",
      "z",
    );
    const told = (): unknown =>
      leader
        .tick(2)
        .flatMap(({ send }) => send)
        .flatMap((message) => ("settledByAll" in message && message.to === "z" ? [message.settledByAll] : []))
        .at(-1);
    const answer = {
      kind: "heartbeat-response",
      term: leader.status.term,
      round: 0,
      sent: 6,
      held: 6,
      lacks: 7,
    } as const;
    leader.receive("b", { ...answer, base: 5 });
    expect(told()).toBe(0);
    leader.promise("l", [], 5);
    leader.receive("l", { ...answer, base: 5 });
    expect(told()).toBe(5);
  });

  test("a leader streams its state to who needs slots that are gone, and goes on after it (13)", () => {
    const leader = trimmed().prepare("b");
    leader.promise("b", [], 9);
    const effects = leader.promise("c", [], 3);
    expect(effects.snapshotWanted).toEqual([{ to: "c", term: 3 }]);
    const done = leader.step({ kind: "snapshot-sent", to: "c", ok: true, index: 9 });
    expect(done.send.filter(({ to }) => to === "c")).toMatchObject([{ kind: "accept" }]);
    expect(leader.status.progress.find(({ node }) => node === "c")).toMatchObject({ state: "replicating" });
  });
});

describe("a leader whose state is damaged", () => {
  const damaged = (membership = ABC): PaxosDriver => {
    const leader = new PaxosDriver({
      durable: {
        hardState: { term: 2, vote: "c", commit: 9 },
        snapshot: { index: 9, term: 2, membership },
        applied: 9,
      },
    });
    leader.step({ kind: "damaged", is: true });
    return leader.prepare("b");
  };

  test("lets those go first to whom it could only stream that state, and stands back for a while (13)", () => {
    const leader = damaged();
    leader.promise("b", [], 3);
    expect(leader.status.role).toBe("leader");
    leader.promise("c", [], 4);
    expect(leader.status.role).toBe("follower");
    leader.tick(20);
    expect(leader.status.role).toBe("follower");
    expect(leader.tick(200).flatMap(({ send }) => kinds({ send } as Effects))).toContain("canvass");
  });

  test("goes on where the others can choose nothing without it: they have what was chosen", () => {
    const leader = damaged(membershipOf({ voters: ["a", "b"] }));
    leader.promise("b", [], 3);
    leader.tick(2);
    expect(leader.status.role).toBe("leader");
  });

  test("goes on while one of the others follows its log", () => {
    const leader = damaged();
    leader.promise("b", [], 9);
    leader.promise("c", [], 3);
    expect(leader.status.role).toBe("leader");
  });

  test("that has been repaired streams it", () => {
    const leader = damaged();
    leader.step({ kind: "damaged", is: false });
    const { snapshotWanted } = leader.promise("b", [], 3);
    expect(snapshotWanted).toHaveLength(1);
    expect(leader.status.role).toBe("leader");
  });
});

describe("reads", () => {
  const answer = (leader: PaxosDriver, from: string, round: number): Effects =>
    leader.receive(from, {
      kind: "heartbeat-response",
      term: leader.status.term,
      round,
      sent: 0,
      held: 0,
      lacks: 1,
      base: 0,
    });

  test("wait until a slot of the leader's own ballot is chosen, then for a quorum (14)", () => {
    const leader = new PaxosDriver().prepare("b");
    leader.promise("b");
    expect(leader.step({ kind: "read", context: 1 }).send).toEqual([]);
    leader.flush();
    expect(kinds(leader.accept("b", 1))).toContain("heartbeat");
    expect(answer(leader, "b", 1).reads).toEqual([{ context: 1, index: 1 }]);
  });

  test("are confirmed by a round that began after they arrived (14)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.promise("c", [], 1);
    leader.step({ kind: "read", context: 1 });
    leader.step({ kind: "read", context: 2 });
    expect(answer(leader, "b", 1).reads).toEqual([{ context: 1, index: 1 }]);
    expect(answer(leader, "c", 1).reads).toEqual([]);
    expect(answer(leader, "c", 2).reads).toEqual([{ context: 2, index: 1 }]);
    // Nor by an answer to a round that was never asked, or of another ballot.
    leader.step({ kind: "read", context: 3 });
    expect(answer(leader, "b", 99).reads).toEqual([]);
    expect(
      leader.receive("b", {
        kind: "heartbeat-response",
        term: 0,
        round: 3,
        sent: 0,
        held: 0,
        lacks: 1,
        base: 0,
      }).reads,
    ).toEqual([]);
  });

  test("a learner's answer confirms nothing; a follower refuses (14)", () => {
    const leader = new PaxosDriver({ membership: { voters: ["a", "b"], learners: ["c"] } }).lead("b");
    leader.promise("c", [], 1);
    leader.step({ kind: "read", context: 1 });
    expect(answer(leader, "c", 1).reads).toEqual([]);
    expect(new PaxosDriver().step({ kind: "read", context: 1 }).refusedReads).toMatchObject([
      { reason: "not-leader" },
    ]);
  });

  test("need both halves of a joint configuration (14)", () => {
    const leader = new PaxosDriver({ membership: JOINT }).lead("b");
    for (const from of ["c", "d"]) leader.promise(from, [], 1);
    leader.accept("d", 1);
    leader.step({ kind: "read", context: 1 });
    expect(answer(leader, "c", 1).reads).toEqual([]);
    expect(answer(leader, "d", 1).reads).toEqual([{ context: 1, index: 1 }]);
  });

  test("go on with those who decide now, when those who were asked were let go", () => {
    const leader = new PaxosDriver().lead("b");
    leader.promise("c", [], 1);
    expect(leader.step({ kind: "read", context: 1 }).reads).toEqual([]);
    leader.step({ kind: "reconfigure", target: membershipOf({ voters: ["a"] }) });
    const reads: unknown[] = [];
    for (let turn = 0; turn < 8; turn += 1) {
      reads.push(...leader.flush().reads);
      for (const from of ["b", "c"]) reads.push(...leader.accept(from, 1, leader.status.last).reads);
    }
    expect(leader.status.membership).toEqual(membershipOf({ voters: ["a"] }));
    expect(reads).toMatchObject([{ context: 1 }]);
  });
});

describe("a transfer", () => {
  test("blocks proposals, goes to a caught-up data voter only, and ends in time", () => {
    const leader = new PaxosDriver({ membership: { voters: ["a", "b", "z"], arbiters: ["z"] } }).lead(
      "b",
      "z",
    );
    leader.step({ kind: "transfer", to: "z" });
    expect(leader.status.transferringTo).toBe("");
    leader.propose("x");
    expect(kinds(leader.step({ kind: "transfer", to: "b" }))).toEqual([]);
    expect(leader.propose("y").refused).toMatchObject([{ reason: "transferring" }]);
    const accepted = leader.accept("b", 2);
    expect(accepted.send.filter(({ kind }) => kind === "hand-over")).toMatchObject([{ to: "b", commit: 1 }]);
    for (let tick = 0; tick < ELECTION_TICKS; tick += 1) {
      leader.tick(1);
      leader.receive("b", {
        kind: "heartbeat-response",
        term: 1,
        round: 0,
        sent: 2,
        held: 2,
        lacks: 3,
        base: 0,
      });
    }
    expect(leader.status.transferringTo).toBe("");
    expect(leader.propose("z").accepted).toHaveLength(1);
  });

  test("the successor prepares at once, and nobody protects the leader from it", () => {
    const successor = new PaxosDriver();
    successor.receive("b", { kind: "accept", term: 3, entries: [entry(1, 3, "x")], commit: 0 });
    const effects = successor.receive("b", { kind: "hand-over", term: 3, commit: 1 });
    expect(values(effects.committed)).toEqual(["1/3 x"]);
    const asked = effects.sendAfterPersist.filter(({ kind }) => kind === "prepare");
    expect(asked).toMatchObject([
      { to: "b", term: 4, first: 2, mandate: "transfer" },
      { to: "c", term: 4, first: 2, mandate: "transfer" },
    ]);
  });

  test("a hand-over of an earlier ballot is refused", () => {
    const successor = new PaxosDriver({ durable: { hardState: { term: 5, vote: "c", commit: 0 } } });
    expect(kinds(successor.receive("b", { kind: "hand-over", term: 3, commit: 0 }))).toEqual(["refused"]);
    expect(successor.status.term).toBe(5);
  });
});

test("an entry of a hole is never handed out", () => {
  const follower = new PaxosDriver();
  follower.receive("b", { kind: "accept", term: 1, entries: [entry(2, 1, "y")], commit: 2 });
  expect(follower.status).toMatchObject({ commit: 0, last: 2 });
  expect(follower.replica.entry(1)).toEqual(HOLE(1));
});
