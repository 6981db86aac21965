// What a peer sends is untrusted in its values: nonsense is ignored, and never throws.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeMembership, membershipOf } from "../../../src/consensus/membership.ts";
import { isPaxosMessage } from "../../../src/consensus/paxos/messages.ts";
import type { Message } from "../../../src/consensus/seam.ts";
import { entry } from "./driver.ts";
import { PaxosDriver } from "./paxos-driver.ts";

const KINDS = [
  "canvass",
  "canvass-answer",
  "prepare",
  "promise",
  "refused",
  "trimmed",
  "accept",
  "accepted",
  "learn",
  "learned",
  "heartbeat",
  "heartbeat-response",
  "hand-over",
  "unheard-of",
];

const count = fc.oneof(fc.nat(6), fc.nat(), fc.constantFrom(Number.MAX_SAFE_INTEGER, -1, 1.5, Number.NaN));
const data = fc.oneof(
  fc.uint8Array({ maxLength: 4 }),
  fc.constantFrom(encodeMembership(membershipOf({ voters: ["a", "x"] })), encodeMembership(membershipOf({}))),
);
const kind = fc.constantFrom("noop", "command", "config", "hole", "else");
const anyEntry = fc.record({ index: count, term: count, kind, data, ballot: fc.option(count) });
/** Entries that follow from some slot on, so that some are taken. */
const run = fc
  .tuple(
    fc.integer({ min: 1, max: 12 }),
    fc.array(fc.record({ term: fc.nat(3), kind, data }), { maxLength: 4 }),
  )
  .map(([first, all]) => all.map((one, position) => ({ ...one, index: first + position })));
const anyMessage = fc.record({
  kind: fc.constantFrom(...KINDS),
  from: fc.constantFrom("b", "c", "x", "a", ""),
  to: fc.constantFrom("a", "a", "a", "b"),
  term: fc.oneof(fc.nat(4), count),
  number: fc.oneof(fc.nat(2), count),
  commit: count,
  priority: count,
  willing: fc.oneof(fc.boolean(), fc.constant("yes")),
  first: fc.oneof(fc.integer({ min: 1, max: 12 }), count),
  last: fc.oneof(fc.integer({ min: 1, max: 12 }), count),
  mandate: fc.constantFrom("none", "transfer", "quorum", "else"),
  entries: fc.oneof(run, fc.array(anyEntry, { maxLength: 3 }), fc.constant(null)),
  index: count,
  round: count,
  proposer: fc.constantFrom("b", "c", 3),
  sent: count,
  settledByAll: count,
  held: count,
  lacks: count,
  base: count,
});

describe("messages from peers", () => {
  test.each([
    { kind: "accept", entries: [], commit: 0 },
    { kind: "accept", entries: [entry(2, 1), entry(4, 1)], commit: 0 },
    { kind: "accept", entries: [entry(2, 7)], commit: 0 },
    { kind: "accept", entries: [{ ...entry(2, 0), kind: "hole" }], commit: 0 },
    { kind: "learn", entries: [{ ...entry(2, 1), ballot: 9 }] },
    { kind: "promise", first: 1, last: 2, commit: 0, entries: [entry(2, 1)] },
    { kind: "promise", first: 1, last: 2, commit: 0, entries: [{ ...entry(1, 2), ballot: 1 }] },
    { kind: "accept", entries: [{ ...entry(1, 1, "{}"), kind: "config" }], commit: 0 },
    { kind: "prepare", first: 1, mandate: "mine" },
  ])("a $kind that cannot be meant is none", (content) => {
    const message: Message = { term: 5, from: "b", to: "a", ...content };
    expect(isPaxosMessage(message)).toBe(false);
  });

  test("nonsense never throws, whatever the replica is", () => {
    const replicas = [
      (): PaxosDriver => new PaxosDriver(),
      (): PaxosDriver => new PaxosDriver().prepare("b"),
      (): PaxosDriver => new PaxosDriver().lead("b"),
      (): PaxosDriver => new PaxosDriver({ membership: {} }),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...replicas), fc.array(anyMessage, { maxLength: 20 }), (make, messages) => {
        const driver = make();
        for (const message of messages) {
          driver.step({ kind: "message", message });
          driver.flush();
          driver.tick(1);
        }
        const { commit, last, applied } = driver.status;
        expect(commit).toBeLessThanOrEqual(last);
        expect(applied).toBeLessThanOrEqual(commit);
      }),
      { numRuns: 600 },
    );
  });
});
