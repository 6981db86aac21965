// What becomes of a slot: Paxos Made Simple 2.2 to 3, each as the promise it makes.

import { describe, expect, test } from "vitest";
import type { Accept, Prepare } from "../../../src/consensus/paxos/messages.ts";
import type { Effects, Message } from "../../../src/consensus/seam.ts";
import { entry, kinds } from "./driver.ts";
import { HOLE, PaxosDriver, values, WINDOW } from "./paxos-driver.ts";

const isPrepare = (message: Message): message is Prepare => message.kind === "prepare";
const isAccept = (message: Message): message is Accept => message.kind === "accept";

/** What the accepts to `to` carry. */
function accepts(effects: Effects, to: string): readonly string[] {
  return effects.send.flatMap((message) =>
    isAccept(message) && message.to === to ? values(message.entries) : [],
  );
}

function durable(term: number, commit: number, ...entries: ReturnType<typeof entry>[]) {
  return { hardState: { term, vote: "b", commit }, entries };
}

describe("phase 1", () => {
  test("asks for every slot from the first that is not known to be chosen (4)", () => {
    const parts = { durable: durable(1, 1, entry(1, 1, "x"), HOLE(2), entry(3, 1, "z")) };
    const proposer = new PaxosDriver(parts);
    const asked = proposer.canvass("b").sendAfterPersist.filter(isPrepare);
    expect(asked.map(({ to, first }) => [to, first])).toEqual([
      ["b", 2],
      ["c", 2],
    ]);
  });

  test("is over when a quorum has promised and reported; one acceptor is no quorum (4, 9)", () => {
    const proposer = new PaxosDriver({ membership: { voters: ["a", "b", "c", "d", "e"] } }).prepare("b", "c");
    proposer.promise("b");
    expect(proposer.status.role).toBe("candidate");
    proposer.promise("b");
    proposer.promise("x");
    expect(proposer.status.role).toBe("candidate");
    proposer.promise("c");
    expect(proposer.status.role).toBe("leader");
  });

  test("adopts the value of the highest ballot, its own included, and accepts it again (5, 8)", () => {
    const own = { ...entry(2, 2, "own"), ballot: 4 };
    const proposer = new PaxosDriver({ durable: durable(4, 0, entry(1, 1, "old"), own) }).prepare("b");
    const reported = [{ ...entry(1, 2, "new"), ballot: 3 }, entry(2, 3, "lower")];
    const effects = proposer.promise("b", reported);
    expect(proposer.status).toMatchObject({ role: "leader", term: 5 });
    // The term stays that of the leader who first proposed it; the ballot is the new one.
    expect(accepts(effects, "b")).toEqual(["1/2@5 new", "2/2@5 own"]);
    expect(values(effects.persist?.entries ?? [])).toEqual(["1/2@5 new", "2/2@5 own"]);
    expect(effects.persist?.truncateFrom).toBe(1);
  });

  test("fills gaps with no-ops, and proposes nothing of its own before (6, 7)", () => {
    const proposer = new PaxosDriver().prepare("b");
    const effects = proposer.promise("b", [entry(1, 1, "x"), HOLE(2), entry(3, 1, "z")]);
    expect(accepts(effects, "b")).toEqual(["1/1 x", "2/1 noop", "3/1 z"]);
    expect(proposer.propose("own").accepted).toEqual([{ context: 0, index: 4, term: 1 }]);
  });

  test("opens its ballot with a no-op where nothing was reported", () => {
    const proposer = new PaxosDriver().prepare("b");
    expect(accepts(proposer.promise("b"), "b")).toEqual(["1/1 noop"]);
  });

  test("takes no proposals before it is over (7)", () => {
    const proposer = new PaxosDriver().prepare("b");
    expect(proposer.propose("early").refused).toMatchObject([{ reason: "not-leader" }]);
  });

  test("reads a long report page by page, and learns from it what is chosen", () => {
    const acceptor = new PaxosDriver({
      options: { appendBytesMax: 70 },
      durable: durable(1, 2, entry(1, 1, "x"), entry(2, 1, "y"), entry(3, 1, "z")),
    });
    const page = acceptor.receive("b", { kind: "prepare", term: 2, first: 1, mandate: "none" });
    expect(page.sendAfterPersist).toMatchObject([
      { entries: [{ index: 1 }, { index: 2 }], last: 3, commit: 2 },
    ]);

    const proposer = new PaxosDriver().prepare("b");
    const report = { kind: "promise", term: 1, last: 3, commit: 2 } as const;
    const first = proposer.receive("b", { ...report, first: 1, entries: [entry(1, 1, "x")] });
    expect(first.committed).toHaveLength(1);
    expect(first.sendAfterPersist.filter(isPrepare)).toMatchObject([{ to: "b", first: 2 }]);
    const rest = proposer.receive("b", {
      ...report,
      first: 2,
      entries: [entry(2, 1, "y"), entry(3, 1, "z")],
    });
    expect(values(rest.committed)).toEqual(["2/1 y"]);
    expect(proposer.status).toMatchObject({ role: "leader", commit: 2, last: 3 });
  });

  test("pages that arrive twice or out of order change nothing", () => {
    const proposer = new PaxosDriver().prepare("b");
    const report = { kind: "promise", term: 1, last: 3, commit: 0 } as const;
    proposer.receive("b", { ...report, first: 3, entries: [entry(3, 1, "z")] });
    expect(proposer.status.role).toBe("candidate");
    proposer.receive("b", { ...report, first: 1, entries: [entry(1, 1, "x")] });
    proposer.receive("b", { ...report, first: 1, entries: [entry(1, 1, "x")] });
    const last = proposer.receive("b", {
      ...report,
      first: 2,
      entries: [entry(2, 1, "y"), entry(3, 1, "z")],
    });
    expect(accepts(last, "b")).toEqual(["1/1 x", "2/1 y", "3/1 z"]);
  });

  test("goes on once with a report that is told many times, because who tells it was asked while it slept", () => {
    const leader = new PaxosDriver().lead("b");
    const page = {
      kind: "promise",
      term: 1,
      first: 2,
      entries: [entry(2, 1, "x")],
      last: 9,
      commit: 1,
    } as const;
    const asked = Array.from({ length: 10 }, () => leader.receive("c", page)).flatMap(
      ({ sendAfterPersist, send }) =>
        [...send, ...sendAfterPersist].filter((message) => message.kind === "prepare"),
    );
    expect(asked).toMatchObject([{ to: "c", first: 3 }]);
  });

  test("infers what is chosen from a value further ahead than anybody may work", () => {
    const proposer = new PaxosDriver().prepare("b");
    const report = Array.from({ length: WINDOW + 1 }, (_, position) =>
      entry(position + 1, 1, `v${position + 1}`),
    );
    // Slot 9 was proposed, so slots 1 and 2 were known to be chosen: the last slot of a window stays free.
    const effects = proposer.promise("b", report);
    expect(values(effects.committed)).toEqual(["1/1 v1", "2/1 v2"]);
    expect(proposer.status).toMatchObject({ role: "leader", commit: 2, last: WINDOW + 1 });
  });

  test("what a late promise reports beyond the leader's slots is adopted too (7)", () => {
    const leader = new PaxosDriver().lead("b");
    const late = leader.receive("c", {
      kind: "promise",
      term: 1,
      first: 2,
      entries: [HOLE(2), entry(3, 1, "late")],
      last: 3,
      commit: 0,
    });
    expect(accepts(late, "b")).toEqual(["2/1 noop", "3/1 late"]);
    expect(leader.propose("next").accepted).toMatchObject([{ index: 4 }]);
  });
});

describe("accepting", () => {
  test("any order will do; the slots between are holes, and an acknowledgement waits for the flush", () => {
    const acceptor = new PaxosDriver();
    const effects = acceptor.receive("b", {
      kind: "accept",
      term: 1,
      entries: [entry(3, 1, "z")],
      commit: 0,
    });
    expect(values(effects.persist?.entries ?? [])).toEqual(["1/0 hole", "2/0 hole", "3/1 z"]);
    expect(effects.persist?.truncateFrom).toBeUndefined();
    expect(effects.send).toEqual([]);
    expect(effects.sendAfterPersist).toMatchObject([{ kind: "accepted", first: 3, last: 3 }]);
  });

  test("a hole that is filled is written together with what follows it", () => {
    const acceptor = new PaxosDriver();
    acceptor.receive("b", { kind: "accept", term: 1, entries: [entry(3, 1, "z")], commit: 0 });
    acceptor.flush();
    const effects = acceptor.receive("b", {
      kind: "accept",
      term: 1,
      entries: [entry(2, 1, "y")],
      commit: 0,
    });
    expect(effects.persist?.truncateFrom).toBe(2);
    expect(values(effects.persist?.entries ?? [])).toEqual(["2/1 y", "3/1 z"]);
  });

  test("what was accepted stays when a snapshot ends before it", () => {
    const acceptor = new PaxosDriver();
    acceptor.receive("b", { kind: "accept", term: 1, entries: [entry(4, 1, "z")], commit: 0 });
    acceptor.flush();
    const snapshot = { index: 2, term: 1, membership: acceptor.status.membership };
    const effects = acceptor.step({ kind: "install", snapshot, from: "b", term: 1 });
    expect(effects.persist?.snapshot).toEqual(snapshot);
    expect(values(effects.persist?.entries ?? [])).toEqual(["3/0 hole", "4/1 z"]);
    expect(acceptor.status).toMatchObject({ commit: 2, applied: 2, last: 4 });
  });

  test("a snapshot is not said to be had before it is on disk: an arbiter would forget what a crash takes back", () => {
    const acceptor = new PaxosDriver();
    const heartbeat = { kind: "heartbeat", term: 1, commit: 0, round: 0, sent: 0, settledByAll: 0 } as const;
    acceptor.receive("b", heartbeat);
    acceptor.flush();
    const snapshot = { index: 7, term: 1, membership: acceptor.status.membership };
    acceptor.step({ kind: "install", snapshot, from: "b", term: 1 });
    expect(acceptor.receive("b", heartbeat).send).toMatchObject([{ base: 0 }]);
    acceptor.flush();
    expect(acceptor.receive("b", heartbeat).send).toMatchObject([{ base: 7 }]);
  });

  test("nor where its log reached as far, with values that were not chosen there", () => {
    const acceptor = new PaxosDriver();
    acceptor.receive("b", {
      kind: "accept",
      term: 1,
      entries: [entry(1, 1, "chosen"), entry(2, 1, "lost")],
      commit: 1,
    });
    acceptor.flush();
    const heartbeat = { kind: "heartbeat", term: 2, commit: 7, round: 0, sent: 0, settledByAll: 0 } as const;
    acceptor.receive("c", heartbeat);
    acceptor.flush();
    const snapshot = { index: 7, term: 2, membership: acceptor.status.membership };
    acceptor.step({ kind: "install", snapshot, from: "c", term: 2 });
    expect(acceptor.receive("c", heartbeat).send).toMatchObject([{ base: 0, held: 0 }]);
    acceptor.flush();
    expect(acceptor.receive("c", heartbeat).send).toMatchObject([{ base: 7, held: 7 }]);
  });

  test("what it learns that it had accepted in a lower ballot is on disk as chosen before it is held (16)", () => {
    const acceptor = new PaxosDriver({
      durable: { hardState: { term: 3, vote: "c", commit: 0 }, entries: [entry(1, 3, "v")] },
    });
    const chosen = { ...entry(1, 3, "v"), ballot: 7 };
    const learned = acceptor.receive("b", { kind: "learn", term: 7, entries: [chosen] });
    expect(values(learned.committed)).toEqual(["1/3@7 v"]);
    // A commit index need not outlive a crash. With v of ballot 3 any other value of ballot 4 to 6 would win over it.
    expect(values(learned.persist?.entries ?? [])).toEqual(["1/3@7 v"]);
    const heartbeat = { kind: "heartbeat", term: 7, commit: 1, round: 0, sent: 1, settledByAll: 0 } as const;
    expect(acceptor.receive("b", heartbeat).send).toMatchObject([{ held: 0, lacks: 2 }]);
    acceptor.flush();
    expect(acceptor.receive("b", heartbeat).send).toMatchObject([{ held: 1, lacks: 2 }]);
  });

  test("slots far beyond what it knows are left to be sent again", () => {
    const acceptor = new PaxosDriver();
    const far = acceptor.receive("b", {
      kind: "accept",
      term: 1,
      entries: [entry(500, 1, "far")],
      commit: 0,
    });
    expect(far.sendAfterPersist).toEqual([]);
    expect(acceptor.status.last).toBe(0);
  });

  test("a leader's word about what is chosen counts for values of its own ballot alone (16)", () => {
    const acceptor = new PaxosDriver({ durable: durable(1, 0, entry(1, 1, "old")) });
    const heartbeat = { kind: "heartbeat", term: 2, commit: 2, round: 0, sent: 2, settledByAll: 0 } as const;
    const answer = acceptor.receive("b", heartbeat);
    expect(answer.committed).toEqual([]);
    expect(answer.send).toMatchObject([{ kind: "heartbeat-response", held: 0, lacks: 1, sent: 2 }]);
    const learned = acceptor.receive("b", { kind: "learn", term: 2, entries: [entry(1, 1, "old")] });
    expect(values(learned.committed)).toEqual(["1/1 old"]);
    acceptor.receive("b", { kind: "accept", term: 2, entries: [entry(2, 2, "new")], commit: 1 });
    expect(values(acceptor.receive("b", heartbeat).committed)).toEqual(["2/2 new"]);
  });
});

describe("choosing", () => {
  test("needs a quorum in one ballot, the leader's own copy once it is flushed (9)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.propose("x");
    expect(leader.accept("b", 2).committed).toEqual([]);
    expect(values(leader.flush().committed)).toEqual(["2/1 x"]);
    leader.propose("y");
    leader.flush();
    // An acceptance of another ballot says nothing about this one.
    expect(leader.receive("b", { kind: "accepted", term: 0, first: 3, last: 3 }).committed).toEqual([]);
    // Whoever accepts in this ballot has promised it.
    expect(values(leader.accept("c", 3).committed)).toEqual(["3/1 y"]);
  });

  test("what is chosen out of order is handed out without a gap (10)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.propose("x", "y", "z");
    leader.flush();
    expect(leader.accept("b", 4).committed).toEqual([]);
    expect(leader.accept("b", 3).committed).toEqual([]);
    expect(values(leader.accept("b", 2).committed)).toEqual(["2/1 x", "3/1 y", "4/1 z"]);
  });

  test("different quorums may choose different slots (9, 10)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.promise("c");
    leader.propose("x", "y");
    leader.flush();
    leader.accept("b", 3);
    expect(values(leader.accept("c", 2).committed)).toEqual(["2/1 x", "3/1 y"]);
  });

  test("no more slots are used than the window allows; what waits gets its slot when there is room (12)", () => {
    const leader = new PaxosDriver().lead("b");
    const texts = Array.from({ length: WINDOW + 2 }, (_, position) => `v${position}`);
    const effects = leader.propose(...texts);
    expect(effects.accepted).toHaveLength(WINDOW - 1);
    expect(effects.refused).toEqual([]);
    leader.flush();
    const more = leader.accept("b", 2, 3);
    expect(more.accepted).toEqual([
      { context: WINDOW - 1, index: WINDOW + 1, term: 1 },
      { context: WINDOW, index: WINDOW + 2, term: 1 },
    ]);
  });

  test("what waits is bounded, and refused when the reign ends", () => {
    const leader = new PaxosDriver({ options: { uncommittedBytesMax: 10 } }).lead("b");
    expect(leader.propose("123456", "7890", "more").refused).toMatchObject([{ reason: "overloaded" }]);
    const crowded = new PaxosDriver().lead("b");
    crowded.propose(...Array.from({ length: WINDOW }, (_, position) => `v${position}`));
    const deposed = crowded.receive("c", { kind: "accept", term: 9, entries: [entry(1, 9)], commit: 0 });
    expect(deposed.refused).toEqual([{ context: WINDOW - 1, reason: "not-leader", leader: "c" }]);
  });

  test("what was sent before a heartbeat and is missing is sent again, and only that (16)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.propose("x", "y");
    const answer = { kind: "heartbeat-response", term: 1, round: 0, base: 0 } as const;
    const later = leader.receive("b", { ...answer, sent: 1, held: 1, lacks: 2 });
    expect(accepts(later, "b")).toEqual([]);
    const lost = leader.receive("b", { ...answer, sent: 3, held: 1, lacks: 3 });
    expect(accepts(lost, "b")).toEqual(["3/1 y"]);
  });

  test("an acknowledgement that was lost is made good by the next heartbeat's answer (16)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.propose("x");
    leader.flush();
    const answer = {
      kind: "heartbeat-response",
      term: 1,
      round: 0,
      sent: 2,
      held: 2,
      lacks: 3,
      base: 0,
    } as const;
    expect(values(leader.receive("b", answer).committed)).toEqual(["2/1 x"]);
  });

  test("a chosen slot that an acceptor missed is sent to be learned, others to be accepted (16)", () => {
    const leader = new PaxosDriver().lead("b");
    leader.propose("x");
    leader.flush();
    leader.accept("b", 2);
    leader.propose("y");
    expect(kinds(leader.promise("c", [], 0))).toEqual(["learn", "accept"]);
  });

  test("a group of one chooses what is flushed", () => {
    const alone = new PaxosDriver({ membership: { voters: ["a"] } });
    alone.tick(1);
    expect(alone.status.role).toBe("candidate");
    alone.flush();
    expect(alone.status).toMatchObject({ role: "leader", commit: 0 });
    expect(values(alone.flush().committed)).toEqual(["1/1 noop"]);
  });
});

test("a replica that has forgotten over a restart which of its slots are chosen is told them again (16)", () => {
  const leader = new PaxosDriver({ options: { inflightMessagesMax: 1 } }).lead("b");
  leader.propose("x", "y", "z");
  leader.flush();
  leader.accept("b", 2, 4);
  expect(leader.status.commit).toBe(4);
  // It has all four on disk, accepted in an earlier ballot or learned, and knows of the first only.
  const { term } = leader.status;
  const response = {
    kind: "heartbeat-response",
    term,
    round: 0,
    sent: 4,
    held: 1,
    lacks: 2,
    base: 0,
  } as const;
  const again = leader.receive("b", response).send.filter((message) => message.kind === "learn");
  expect(again).toMatchObject([{ to: "b", entries: [{ index: 2 }, { index: 3 }, { index: 4 }] }]);
  // Its answer frees the window, though it says nothing new.
  leader.receive("b", { kind: "learned", term, index: 4 });
  const next = leader.propose("w").send.filter((message) => message.kind === "accept" && message.to === "b");
  expect(next).toMatchObject([{ entries: [{ index: 5 }] }]);
});

test("slots that are accepted again, because a restart forgot what is chosen before them, leave the window (16)", () => {
  const leader = new PaxosDriver({
    membership: { voters: ["a", "b", "c", "d", "e"] },
    options: { inflightMessagesMax: 1, appendBytesMax: 1 },
  }).lead("b", "c");
  leader.propose("x", "y");
  leader.flush();
  // b holds both slots; of the second no quorum is known yet.
  leader.accept("b", 2);
  leader.accept("b", 3);
  leader.accept("c", 2);
  const { term, commit } = leader.status;
  expect(commit).toBe(2);
  // Back from a restart, b does not know that the second slot is chosen: that and all behind it is sent again.
  const lacks = { kind: "heartbeat-response", term, round: 0, sent: 3, held: 1, lacks: 2, base: 0 } as const;
  expect(kinds(leader.receive("b", lacks))).toEqual(["learn"]);
  const again = leader.receive("b", { kind: "learned", term, index: 2 });
  expect(accepts(again, "b")).toEqual(["3/1 y"]);
  leader.accept("b", 3);
  expect(accepts(leader.propose("z"), "b")).toEqual(["4/1 z"]);
});

test("what a late report brings takes its room from what waits, and waits for room itself (22)", () => {
  const leader = new PaxosDriver({ options: { uncommittedBytesMax: 10 } }).lead("b");
  leader.propose("123456");
  const late = { kind: "promise", term: 1, first: 3, last: 4, commit: 0 } as const;
  const entries = [entry(3, 1, "abc"), entry(4, 1, "defg")];
  expect(accepts(leader.receive("c", { ...late, entries }), "b")).toEqual(["3/1 abc"]);
  expect(leader.propose("h").accepted).toEqual([]);
  leader.flush();
  leader.accept("b", 2);
  const [next] = leader.tick(1);
  expect(next?.accepted).toEqual([{ context: 0, index: 5, term: 1 }]);
  expect(next === undefined ? [] : accepts(next, "b")).toEqual(["4/1 defg", "5/1 h"]);
});

test("one of two voters knows what it accepted to be chosen when a later leader says so; of three nobody does (16)", () => {
  const commitOf = (...voters: readonly string[]): number => {
    const acceptor = new PaxosDriver({ membership: { voters } });
    const entries = [entry(1, 1, "x"), entry(2, 1, "y")];
    acceptor.receive("b", { kind: "accept", term: 1, entries, commit: 0 });
    acceptor.flush();
    const heartbeat = { kind: "heartbeat", commit: 3, round: 0, sent: 3, settledByAll: 0 } as const;
    acceptor.receive("b", { ...heartbeat, term: 2 });
    return acceptor.status.commit;
  };
  // The leader may have forgotten them: nobody else could tell.
  expect(commitOf("a", "b")).toBe(2);
  expect(commitOf("a", "b", "c")).toBe(0);
  expect(commitOf("b")).toBe(0);
  expect(commitOf()).toBe(0);
});
