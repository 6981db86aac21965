// A log that is kept for others, in the simulator: as long as what a member lacks, and no longer than that and some.

import { expect, test } from "vitest";
import type { Entry, Input, ReplicaStatus } from "../../../src/consensus/seam.ts";
import { KeptLog } from "../../sim/kept-log.ts";

const ENTRY_BYTES = 100;
const LIMITS = { logBytesMax: 1000, lookBytes: 200 };

/** Steps a log that grows to `last` while its leader says that all hold what is up to `told`. */
function watched() {
  const problems: string[] = [];
  const entry = (index: number): Entry => ({
    index,
    term: 1,
    kind: "command",
    data: new Uint8Array(ENTRY_BYTES),
  });
  const log = new KeptLog("c in 0", { entry }, LIMITS, (holds, invariant, message) => {
    if (!holds) problems.push(`${invariant}: ${message()}`);
  });
  const statusOf = (last: number, role: ReplicaStatus["role"]): ReplicaStatus =>
    ({ role, leader: "a", first: 1, last, commit: last, logBytes: last * ENTRY_BYTES }) as ReplicaStatus;
  let before = statusOf(0, "follower");
  return (last: number, told: number, role: ReplicaStatus["role"] = "follower"): readonly string[] => {
    const heartbeat = {
      kind: "heartbeat",
      from: "a",
      to: "c",
      term: 1,
      commit: last,
      round: 1,
      heldByAll: told,
    };
    const input = { kind: "message", message: heartbeat } as Input;
    const after = statusOf(last, role);
    log.judge(before, after, input);
    before = after;
    return problems;
  };
}

test("what a member lacks may be there, however much it is", () => {
  const step = watched();
  for (let last = 1; last <= 100; last += 1) expect(step(last, 5)).toEqual([]);
});

test("what all hold is gone when the log has grown twice by what makes the host look", () => {
  const step = watched();
  for (let last = 1; last <= 50; last += 1) step(last, 0);
  // Told just now.
  expect(step(50, 40)).toEqual([]);
  expect(step(52, 40)).toEqual([]);
  expect(step(54, 40)).toEqual([
    "log-bounded: c in 0: 4000 bytes of entries up to 40, which all others hold",
  ]);
});

test("one that leads goes by what it hears itself", () => {
  const step = watched();
  for (let last = 1; last <= 50; last += 1) expect(step(last, 40, "leader")).toEqual([]);
});
