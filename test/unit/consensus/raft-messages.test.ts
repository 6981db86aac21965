// What a peer sends is untrusted in its values: nonsense is ignored, and never throws.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeMembership, membershipOf } from "../../../src/consensus/membership.ts";
import { isRaftMessage } from "../../../src/consensus/raft/messages.ts";
import type { Message } from "../../../src/consensus/seam.ts";
import { bytes, Driver, entry, logOf } from "./driver.ts";

const KINDS = [
  "pre-vote",
  "pre-vote-response",
  "vote",
  "vote-response",
  "append",
  "append-accepted",
  "append-rejected",
  "heartbeat",
  "heartbeat-response",
  "timeout-now",
  "unheard-of",
];

const count = fc.oneof(fc.nat(6), fc.nat(), fc.constantFrom(Number.MAX_SAFE_INTEGER, -1, 1.5, Number.NaN));
const data = fc.oneof(
  fc.uint8Array({ maxLength: 4 }),
  fc.constantFrom(encodeMembership(membershipOf({ voters: ["a", "x"] })), encodeMembership(membershipOf({}))),
);
const anyEntry = fc.record({
  index: fc.oneof(fc.nat(6), count),
  term: count,
  kind: fc.constantFrom("noop", "command", "config", "else"),
  data,
});
/** Entries that follow from 1 on, so that some are taken. */
const run = fc
  .array(fc.record({ term: fc.nat(3), kind: fc.constantFrom("noop", "command", "config"), data }), {
    maxLength: 4,
  })
  .map((all) => all.map((one, position) => ({ ...one, index: position + 1 })));
const anyMessage = fc.record({
  kind: fc.constantFrom(...KINDS),
  from: fc.constantFrom("b", "c", "x", "a", ""),
  to: fc.constantFrom("a", "a", "a", "b"),
  term: fc.oneof(fc.nat(4), count),
  lastIndex: count,
  lastTerm: count,
  priority: count,
  campaignTerm: fc.oneof(fc.nat(4), count),
  granted: fc.oneof(fc.boolean(), fc.constant("yes")),
  transfer: fc.boolean(),
  prevIndex: fc.oneof(fc.constant(0), count),
  prevTerm: fc.oneof(fc.constant(0), count),
  commit: count,
  entries: fc.oneof(run, fc.array(anyEntry, { maxLength: 3 }), fc.constant(null)),
  index: count,
  hintIndex: count,
  hintTerm: count,
  round: count,
  heldByAll: count,
});

describe("messages", () => {
  test("no values from a peer make a replica throw, whatever it was doing", () => {
    const makers = [
      () => new Driver(),
      () => new Driver().elect("b"),
      () => new Driver().lead("b"),
      () => new Driver({ options: { arbiter: true } }).lead("b"),
      () =>
        new Driver({
          durable: { hardState: { term: 2, vote: "", commit: 2 }, entries: logOf(1, 1, 2), applied: 2 },
        }),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...makers), fc.array(anyMessage, { maxLength: 12 }), (make, messages) => {
        const replica = make();
        const { commit } = replica.status;
        for (const message of messages) {
          replica.step({ kind: "message", message });
          replica.step({ kind: "tick" });
          replica.flush();
        }
        expect(replica.status.commit).toBeGreaterThanOrEqual(commit);
        expect(replica.status.commit).toBeLessThanOrEqual(replica.status.last);
      }),
      { numRuns: 3000 },
    );
  });

  const append = { kind: "append", from: "b", to: "a", term: 2, prevIndex: 1, prevTerm: 1, commit: 0 };

  test.each([
    ["a gap", [entry(3, 1)]],
    ["a falling term", [entry(2, 2), entry(3, 1)]],
    ["a term above the leader's", [entry(2, 3)]],
    [
      "a membership without voters",
      [{ ...entry(2, 2, "", "config"), data: encodeMembership(membershipOf({})) }],
    ],
    ["an unreadable membership", [{ ...entry(2, 2, "", "config"), data: bytes("{") }]],
    ["data that is no bytes", [{ ...entry(2, 2), data: "text" }]],
  ])("an append with %s has no shape", (_, entries) => {
    const message: Message & Record<string, unknown> = { ...append, entries };
    expect(isRaftMessage(message)).toBe(false);
    expect(isRaftMessage({ ...append, entries: [entry(2, 2)] } as Message)).toBe(true);
  });

  test("what is not for this replica, or claims to be from it, is ignored", () => {
    const replica = new Driver();
    const before = replica.status;
    const vote = { kind: "vote", term: 5, lastIndex: 9, lastTerm: 9, transfer: false };
    for (const [from, to] of [
      ["b", "c"],
      ["a", "a"],
      ["", "a"],
    ] as const) {
      const message: Message & Record<string, unknown> = { ...vote, from, to };
      replica.step({ kind: "message", message });
    }
    expect(replica.status).toEqual(before);
  });
});
