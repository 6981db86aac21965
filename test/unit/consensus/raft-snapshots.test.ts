// Raft section 7: compaction, snapshots and their races with appends.

import { describe, expect, test } from "vitest";
import { encodeMembership, membershipOf } from "../../../src/consensus/membership.ts";
import type { Effects, SnapshotMeta } from "../../../src/consensus/seam.ts";
import { Driver, entry, logOf } from "./driver.ts";

const voters = membershipOf({ voters: ["a", "b", "c"] });

function metaAt(index: number, term: number, membership = voters): SnapshotMeta {
  return { index, term, membership };
}

function install(replica: Driver, snapshot: SnapshotMeta, term = 3): Effects {
  return replica.step({ kind: "install", snapshot, from: "b", term });
}

function followerWith(terms: readonly number[], commit = 0): Driver {
  return new Driver({
    durable: { hardState: { term: 3, vote: "", commit }, entries: logOf(...terms), applied: commit },
  });
}

/** A leader whose log begins after `index`, with followers that were heard of. */
function leaderCompactedTo(index: number): Driver {
  const leader = new Driver().lead("b");
  leader.propose("x", "y", "z");
  leader.flush();
  leader.accept("b", 4);
  leader.step({ kind: "applied", index: 4 });
  leader.step({ kind: "compact", index });
  return leader;
}

describe("installing a snapshot", () => {
  test("switches state and log in one persist effect, and acknowledges after its flush (24, 29)", () => {
    const follower = followerWith([1, 2]);
    const effects = install(follower, metaAt(7, 2));
    expect(effects.persist).toMatchObject({ snapshot: metaAt(7, 2), hardState: { commit: 7 } });
    expect(effects.committed).toEqual([]);
    expect(effects.sendAfterPersist).toMatchObject([{ kind: "append-accepted", index: 7 }]);
    expect(follower.status).toMatchObject({ first: 8, last: 7, commit: 7, applied: 7 });
    follower.flush();
    expect(follower.status.durable).toBe(7);
    const next = follower.receive("b", {
      kind: "append",
      term: 3,
      prevIndex: 7,
      prevTerm: 2,
      commit: 8,
      entries: [entry(8, 3)],
    });
    expect(next.committed.map(({ index }) => index)).toEqual([8]);
  });

  test("a stale one changes nothing (26)", () => {
    const follower = followerWith([1, 2, 3], 3);
    const before = follower.status;
    const effects = install(follower, metaAt(2, 2));
    expect(effects.persist).toBeUndefined();
    expect(effects.committed).toEqual([]);
    expect({ ...follower.status, leader: "" }).toEqual(before);
  });

  test("one that the log already agrees with drops none of the acknowledged entries after it (25)", () => {
    const follower = followerWith([1, 2, 3, 3]);
    const effects = install(follower, metaAt(2, 2));
    expect(effects.persist?.snapshot).toBeUndefined();
    expect(effects.committed.map(({ index }) => index)).toEqual([1, 2]);
    expect(follower.status).toMatchObject({ last: 4, commit: 2 });
  });

  test("one that contradicts the log replaces all of it", () => {
    const follower = followerWith([1, 1, 1, 1]);
    install(follower, metaAt(2, 2));
    expect(follower.status).toMatchObject({ first: 3, last: 2, commit: 2, durable: 0 });
  });

  test("two in quick succession leave the later one (27)", () => {
    const follower = followerWith([]);
    install(follower, metaAt(5, 2));
    install(follower, metaAt(9, 3));
    follower.step({ kind: "persisted", sequence: 1 });
    expect(follower.status.commit).toBe(9);
    follower.flush();
    expect(follower.status).toMatchObject({ first: 10, durable: 9 });
    expect(install(follower, metaAt(5, 2)).persist).toBeUndefined();
  });

  test("an append that was under way meanwhile is taken from where the snapshot ends", () => {
    const follower = followerWith([]);
    install(follower, metaAt(3, 3));
    const effects = follower.receive("b", {
      kind: "append",
      term: 3,
      prevIndex: 1,
      prevTerm: 3,
      commit: 5,
      entries: [entry(2, 3), entry(3, 3), entry(4, 3), entry(5, 3)],
    });
    expect(effects.persist?.entries?.map(({ index }) => index)).toEqual([4, 5]);
    expect(effects.committed.map(({ index }) => index)).toEqual([4, 5]);
  });

  test("carries the membership, and a later change rolls back to it (28, 36)", () => {
    const follower = followerWith([]);
    install(follower, metaAt(5, 2, membershipOf({ voters: ["b", "c"], learners: ["a"] })));
    expect(follower.status.role).toBe("learner");
    const change = encodeMembership(membershipOf({ voters: ["a", "b", "c"] }));
    follower.receive("b", {
      kind: "append",
      term: 3,
      prevIndex: 5,
      prevTerm: 2,
      commit: 5,
      entries: [{ index: 6, term: 3, kind: "config", data: change }],
    });
    expect(follower.status.role).toBe("follower");
    const message = { kind: "append", term: 4, prevIndex: 5, prevTerm: 2, commit: 5 } as const;
    const effects = follower.receive("c", { ...message, entries: [entry(6, 4)] });
    expect(effects.changed).toBe(true);
    expect(follower.status).toMatchObject({ role: "learner", membership: { learners: ["a"] } });
  });

  test("a leader ignores one: it has everything that is committed", () => {
    const leader = new Driver().lead("b");
    expect(install(leader, metaAt(9, 1), 1).persist).toBeUndefined();
    expect(leader.status.role).toBe("leader");
  });
});

describe("sending a snapshot", () => {
  test("is asked for when a live follower needs entries that are compacted, once", () => {
    const leader = leaderCompactedTo(4);
    const alive = { kind: "heartbeat-response", term: 1, round: 0 } as const;
    expect(leader.receive("c", alive).snapshotWanted).toEqual([{ to: "c", term: 1 }]);
    expect(leader.receive("c", alive).snapshotWanted).toEqual([]);
    expect(leader.status.progress.find(({ node }) => node === "c")?.state).toBe("snapshot");
  });

  test("goes on with the entries after it; a failure is tried again after the next heartbeat", () => {
    const leader = leaderCompactedTo(4);
    leader.receive("c", { kind: "heartbeat-response", term: 1, round: 0 });
    leader.propose("w");
    expect(leader.step({ kind: "snapshot-sent", to: "c", ok: false, index: 4 }).snapshotWanted).toEqual([]);
    const retried = leader.receive("c", { kind: "heartbeat-response", term: 1, round: 0 });
    expect(retried.snapshotWanted).toEqual([{ to: "c", term: 1 }]);
    const sent = leader.step({ kind: "snapshot-sent", to: "c", ok: true, index: 4 });
    expect(sent.send).toMatchObject([{ kind: "append", to: "c", prevIndex: 4, entries: [{ index: 5 }] }]);
  });

  test("describes the state at the applied index with the membership of that time", () => {
    const leader = leaderCompactedTo(2);
    expect(leader.replica.snapshotAt(4)).toEqual(metaAt(4, 1));
    expect(leader.replica.snapshotAt(2)).toEqual(metaAt(2, 1));
    expect(leader.replica.snapshotAt(1)).toBeUndefined();
    expect(leader.replica.snapshotAt(5)).toBeUndefined();
  });
});

describe("compaction", () => {
  test("keeps the membership of the new base, not that of the log's end (28)", () => {
    const leader = new Driver().lead("b", "c");
    const learner = membershipOf({ voters: ["a", "b", "c"], learners: ["d"] });
    leader.step({ kind: "reconfigure", target: learner });
    leader.flush();
    leader.accept("b", 2);
    leader.step({ kind: "reconfigure", target: voters });
    leader.flush();
    leader.step({ kind: "applied", index: 2 });
    expect(leader.replica.snapshotAt(1)?.membership).toEqual(voters);
    expect(leader.step({ kind: "compact", index: 2 }).persist?.compactTo).toEqual(metaAt(2, 1, learner));
    expect(leader.replica.snapshotAt(2)?.membership).toEqual(learner);
    expect(leader.status.membership).toEqual(voters);
  });

  test("goes no further than what is applied and flushed, and names the new base (30)", () => {
    const leader = new Driver().lead("b", "c");
    leader.propose("x", "y");
    leader.accept("b", 3);
    leader.accept("c", 3);
    leader.step({ kind: "applied", index: 3 });
    expect(leader.step({ kind: "compact", index: 3 }).persist?.compactTo).toEqual(metaAt(1, 1));
    leader.flush();
    expect(leader.step({ kind: "compact", index: 99 }).persist?.compactTo).toEqual(metaAt(3, 1));
    expect(leader.step({ kind: "compact", index: 3 }).persist).toBeUndefined();
    expect(leader.status).toMatchObject({ first: 4, last: 3, logBytes: 0 });
  });
});
