// ReadIndex (dissertation 6.4).

import { describe, expect, test } from "vitest";
import { Driver, kinds } from "./driver.ts";

function answerRound(leader: Driver, from: string, round: number) {
  return leader.receive(from, { kind: "heartbeat-response", term: leader.status.term, round });
}

describe("linearizable reads", () => {
  test("wait for a commit in the leader's own term (41)", () => {
    const leader = new Driver().elect("b");
    expect(leader.step({ kind: "read", context: 1 }).send).toEqual([]);
    leader.flush();
    expect(kinds(leader.accept("b", 1))).toContain("heartbeat");
    expect(answerRound(leader, "b", 1).reads).toEqual([{ context: 1, index: 1 }]);
  });

  test("are confirmed by a round that began after they arrived (42)", () => {
    const leader = new Driver().lead("b");
    const first = leader.step({ kind: "read", context: 1 });
    expect(first.send).toMatchObject([{ round: 1 }, { round: 1 }]);
    leader.step({ kind: "read", context: 2 });
    const answered = answerRound(leader, "b", 1);
    expect(answered.reads).toEqual([{ context: 1, index: 1 }]);
    expect(answered.send).toMatchObject([{ round: 2 }, { round: 2 }]);
    // A late answer to the first round confirms nothing about the second.
    expect(answerRound(leader, "c", 1).reads).toEqual([]);
    expect(answerRound(leader, "c", 2).reads).toEqual([{ context: 2, index: 1 }]);
  });

  test("are not confirmed by rounds of an earlier reign (43)", () => {
    const leader = new Driver().lead("b");
    leader.step({ kind: "read", context: 1 });
    leader.receive("c", { kind: "heartbeat-response", term: 4, round: 0 });
    leader.elect("b").flush();
    leader.accept("b", leader.status.last);
    leader.step({ kind: "read", context: 2 });
    expect(leader.receive("b", { kind: "heartbeat-response", term: 1, round: 1 }).reads).toEqual([]);
    // Nor by an answer to a round that was never asked.
    expect(answerRound(leader, "b", 99).reads).toEqual([]);
    expect(answerRound(leader, "b", 1).reads).toMatchObject([{ context: 2 }]);
  });

  test("that arrive during a round share the next one", () => {
    const leader = new Driver().lead("b");
    leader.step({ kind: "read", context: 1 });
    for (const context of [2, 3, 4]) {
      expect(leader.step({ kind: "read", context }).send).toEqual([]);
    }
    answerRound(leader, "b", 1);
    expect(answerRound(leader, "b", 2).reads.map(({ context }) => context)).toEqual([2, 3, 4]);
  });

  test("need a majority of both halves of a joint configuration", () => {
    const membership = { voters: ["a", "d", "e"], outgoing: ["a", "b", "c"] };
    const leader = new Driver({ membership }).elect("b", "d");
    leader.flush();
    leader.accept("b", 1);
    leader.accept("d", 1);
    leader.step({ kind: "read", context: 1 });
    expect(answerRound(leader, "b", 1).reads).toEqual([]);
    expect(answerRound(leader, "c", 1).reads).toEqual([]);
    expect(answerRound(leader, "d", 1).reads).toHaveLength(1);
  });

  test("a learner's answer confirms nothing", () => {
    const leader = new Driver({ membership: { voters: ["a", "b"], learners: ["c"] } }).lead("b");
    leader.step({ kind: "read", context: 1 });
    expect(answerRound(leader, "c", 1).reads).toEqual([]);
  });

  test("a group of one answers at once, when its no-op is committed", () => {
    const alone = new Driver({ membership: { voters: ["a"] } });
    alone.tick(1);
    alone.flush();
    expect(alone.step({ kind: "read", context: 1 }).reads).toEqual([]);
    expect(alone.flush().reads).toEqual([{ context: 1, index: 1 }]);
    expect(alone.step({ kind: "read", context: 2 }).reads).toEqual([{ context: 2, index: 1 }]);
  });

  test("are refused by who does not lead, and by a leader that is deposed meanwhile", () => {
    const leader = new Driver().lead("b");
    leader.step({ kind: "read", context: 1 });
    leader.step({ kind: "read", context: 2 });
    const deposed = leader.receive("c", {
      kind: "append",
      term: 9,
      prevIndex: 0,
      prevTerm: 0,
      commit: 0,
      entries: [],
    });
    expect(deposed.refusedReads).toEqual([
      { context: 1, reason: "not-leader", leader: "c" },
      { context: 2, reason: "not-leader", leader: "c" },
    ]);
    expect(leader.step({ kind: "read", context: 3 }).refusedReads).toMatchObject([{ leader: "c" }]);
  });
});
