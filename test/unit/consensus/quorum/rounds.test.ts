import { describe, expect, it } from "vitest";
import {
  firstEnough,
  isEnough,
  sourcesNeeded,
  type CopySets,
} from "../../../../src/consensus/quorum/levels.ts";
import { ReadRound } from "../../../../src/consensus/quorum/read-round.ts";
import { NOTHING } from "../../../../src/consensus/quorum/vectors.ts";
import { absent, merge, written, type Held } from "../../../../src/consensus/quorum/versions.ts";
import { WriteRound } from "../../../../src/consensus/quorum/write-round.ts";

const three: CopySets = { replicas: ["n1", "n2", "n3"], outgoing: [] };
const moving: CopySets = { replicas: ["n1", "n2", "n4"], outgoing: ["n1", "n2", "n3"] };

const empty = absent<string>();
const tea = written(empty, empty, { dot: ["a", 1], atMs: 1, write: "w1", value: "tea" });
const coffee = written(tea, tea, { dot: ["b", 1], atMs: 2, write: "w2", value: "coffee" });
const held = (item: typeof tea): readonly Held<string>[] => [{ item, floor: NOTHING }];

describe("levels", () => {
  it("refuses R or W above N (Quorum 13)", () => {
    expect(() => isEnough(three, 4, () => true)).toThrowError(expect.objectContaining({ kind: "invalid" }));
    expect(() => isEnough(three, 0, () => true)).toThrowError(expect.objectContaining({ kind: "invalid" }));
    expect(isEnough(three, 3, () => true)).toBe(true);
  });

  it("refuses the levels of protocols that order writes (Quorum 1)", () => {
    expect(() => isEnough(three, "linearizable", () => true)).toThrowError(/linearizable/);
  });

  it("needs the level in the old and in the new set while they change (Quorum 12)", () => {
    const have =
      (...nodes: string[]) =>
      (node: string) =>
        nodes.includes(node);
    expect(isEnough(moving, "quorum", have("n1", "n4"))).toBe(false);
    expect(isEnough(moving, "quorum", have("n1", "n3"))).toBe(false);
    expect(isEnough(moving, "quorum", have("n1", "n3", "n4"))).toBe(true);
    expect(isEnough(moving, "quorum", have("n1", "n2"))).toBe(true);
  });

  it("asks as few copies as will do, in the order of preference", () => {
    expect(firstEnough(three, "quorum", ["n3", "n1", "n2"])).toEqual(["n3", "n1"]);
    expect(firstEnough(moving, "quorum", ["n1", "n2", "n3", "n4"])).toEqual(["n1", "n2"]);
    expect(firstEnough(moving, "quorum", ["n1", "n3", "n4"])).toEqual(["n1", "n3", "n4"]);
    expect(firstEnough(moving, "quorum", ["n1", "n4"])).toBeUndefined();
  });

  it("fills a copy from enough others to meet every acknowledged write", () => {
    const quorum = { read: "quorum", write: "quorum" } as const;
    expect(sourcesNeeded(quorum, 3, 2)).toBe(2);
    expect(sourcesNeeded(quorum, 5, 4)).toBe(3);
    expect(sourcesNeeded({ read: "one", write: "all" }, 3, 2)).toBe(1);
    expect(sourcesNeeded({ read: "all", write: "one" }, 3, 2)).toBe(2);
    expect(sourcesNeeded(quorum, 1, 0)).toBe(0);
  });

  it("fills a copy from enough others to meet what a read of a majority has told", () => {
    expect(sourcesNeeded({ read: "quorum", write: "all" }, 3, 2)).toBe(2);
    expect(sourcesNeeded({ read: 4, write: 5 }, 5, 4)).toBe(2);
    // Two reads of fewer need not meet.
    expect(sourcesNeeded({ read: 2, write: 5 }, 5, 4)).toBe(1);
    expect(sourcesNeeded({ read: "all", write: "all" }, 3, 2)).toBe(1);
  });
});

describe("a write", () => {
  it("is acknowledged when W copies have flushed it", () => {
    const round = new WriteRound({ self: "n1", sets: three, level: "quorum" });
    expect(round.begin()).toEqual({ send: ["n2", "n3"], hint: [] });
    expect(round.step({ kind: "flushed", node: "n3" }).answer).toBe("acknowledged");
    expect(round.isOver).toBe(false);
    expect(round.step({ kind: "flushed", node: "n2" })).toEqual({ send: [], hint: [] });
    expect(round.isOver).toBe(true);
  });

  it("counts no hint as a copy (Quorum 6)", () => {
    const round = new WriteRound({ self: "n1", sets: three, level: "quorum" });
    round.begin();
    expect(round.step({ kind: "failed", node: "n2" })).toEqual({ send: [], hint: ["n2"] });
    expect(round.step({ kind: "failed", node: "n3" })).toEqual({ send: [], hint: ["n3"], answer: "unknown" });
  });

  it("has an unknown outcome when too few acknowledge, because it may appear later (Quorum 3)", () => {
    const round = new WriteRound({ self: "n1", sets: three, level: "all" });
    round.begin();
    round.step({ kind: "flushed", node: "n2" });
    expect(round.step({ kind: "deadline" })).toEqual({ send: [], hint: ["n3"], answer: "unknown" });
  });

  it("counts a copy once, however often its answer comes", () => {
    const round = new WriteRound({ self: "n1", sets: three, level: "all" });
    round.begin();
    round.step({ kind: "flushed", node: "n2" });
    expect(round.step({ kind: "flushed", node: "n2" }).answer).toBeUndefined();
  });

  it("needs W in both sets while they change (Quorum 12)", () => {
    const round = new WriteRound({ self: "n1", sets: moving, level: "quorum" });
    expect(round.begin().send).toEqual(["n2", "n4", "n3"]);
    expect(round.step({ kind: "flushed", node: "n4" }).answer).toBeUndefined();
    expect(round.step({ kind: "flushed", node: "n3" }).answer).toBe("acknowledged");
  });

  it("keeps a hint for one that is late after the client was answered (Quorum 7)", () => {
    const round = new WriteRound({ self: "n1", sets: three, level: "one" });
    expect(round.begin()).toEqual({ send: ["n2", "n3"], hint: [], answer: "acknowledged" });
    expect(round.step({ kind: "deadline" })).toEqual({ send: [], hint: ["n2", "n3"] });
  });
});

describe("a read", () => {
  const begin = (level: "one" | "quorum" | "all", usable = ["n1", "n2", "n3"]) => {
    const round = new ReadRound<string>({
      self: "n1",
      sets: three,
      level,
      usable,
      own: held(tea),
      ownDigests: ["d1"],
    });
    return { round, first: round.begin() };
  };

  it("asks for digests, and answers at once when they agree", () => {
    const { round, first } = begin("quorum");
    expect(first.askDigests).toEqual(["n2"]);
    const answer = round.step({ kind: "digests", node: "n2", digests: ["d1"] });
    expect(answer.answer).toEqual(held(tea));
    expect(answer.repair).toEqual([]);
  });

  it("reads in full where a digest differs, and writes back before it answers (Quorum 2, 15)", () => {
    const { round } = begin("quorum");
    const mismatch = round.step({ kind: "digests", node: "n2", digests: ["d2"] });
    expect(mismatch).toEqual({ askDigests: [], askItems: ["n2"], repair: [] });
    const found = round.step({ kind: "items", node: "n2", held: held(coffee) });
    // n2 has the merged item; n1 is repaired, and until it has flushed that nobody is answered.
    expect(found).toEqual({ askDigests: [], askItems: [], repair: ["n1"] });
    expect(round.result[0]?.item).toEqual(merge(tea, coffee));
    const done = round.step({ kind: "repaired", node: "n1" });
    expect(done.answer?.[0]?.item.versions[0]?.value).toBe("coffee");
  });

  it("repairs another copy when one fails to take the repair", () => {
    const { round } = begin("quorum");
    round.step({ kind: "digests", node: "n2", digests: ["d2"] });
    round.step({ kind: "items", node: "n2", held: held(coffee) });
    const next = round.step({ kind: "failed", node: "n1" });
    expect(next.repair).toEqual(["n3"]);
    expect(next.answer).toBeUndefined();
    expect(round.step({ kind: "repaired", node: "n3" }).answer).toBeDefined();
  });

  it("asks another copy when one fails or is slow, and fails when too few are left", () => {
    const { round } = begin("quorum");
    expect(round.step({ kind: "slow" }).askDigests).toEqual(["n3"]);
    expect(round.step({ kind: "failed", node: "n3" }).failed).toBeUndefined();
    expect(round.step({ kind: "failed", node: "n2" }).failed).toBe(true);
  });

  it("waits for every copy at the level all", () => {
    const { round, first } = begin("all");
    expect(first.askDigests).toEqual(["n2", "n3"]);
    expect(round.step({ kind: "digests", node: "n2", digests: ["d1"] }).answer).toBeUndefined();
    expect(round.step({ kind: "digests", node: "n3", digests: ["d1"] }).answer).toEqual(held(tea));
  });

  it("answers from one copy at the level one", () => {
    expect(begin("one").first.answer).toEqual(held(tea));
  });
});
