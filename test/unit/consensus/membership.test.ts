import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodeMembership,
  encodeMembership,
  isMember,
  isVoter,
  membershipOf,
  membersOf,
  parseMembership,
  sameMembership,
} from "../../../src/consensus/membership.ts";
import { bytes } from "./driver.ts";

const nodes = fc.array(fc.stringMatching(/^[a-z0-9-]{1,8}$/), { maxLength: 5 });

describe("membership", () => {
  test("what is encoded is decoded, sorted and without duplicates", () => {
    fc.assert(
      fc.property(nodes, nodes, nodes, nodes, (voters, outgoing, learners, arbiters) => {
        const membership = membershipOf({ voters, outgoing, learners, arbiters });
        const decoded = decodeMembership(encodeMembership(membership));
        expect(decoded).toEqual(membership);
        expect(sameMembership(decoded, membership)).toBe(true);
        expect(decoded.voters).toEqual([...new Set(voters)].toSorted());
      }),
    );
  });

  test("anything else is refused, never half read", () => {
    const good = { voters: ["a"], outgoing: [], learners: [], arbiters: [] };
    const bad = [
      "",
      "null",
      "[]",
      "{",
      "\u0000",
      JSON.stringify({ ...good, voters: "a" }),
      JSON.stringify({ ...good, voters: [1] }),
      JSON.stringify({ ...good, arbiters: [""] }),
      JSON.stringify({ voters: ["a"] }),
    ];
    expect(bad.filter((text) => parseMembership(bytes(text)) !== undefined)).toEqual([]);
    expect(parseMembership(new Uint8Array([0xff, 0xfe]))).toBeUndefined();
    expect(() => decodeMembership(bytes("{"))).toThrow(/cannot be read/);
  });

  test("a joint configuration has the voters of both halves; learners are members that do not vote", () => {
    const joint = membershipOf({ voters: ["a", "b"], outgoing: ["b", "c"], learners: ["c", "d"] });
    expect(membersOf(joint)).toEqual(["a", "b", "c", "d"]);
    expect(["a", "c", "d"].map((node) => isVoter(joint, node))).toEqual([true, true, false]);
    expect(["d", "e"].map((node) => isMember(joint, node))).toEqual([true, false]);
  });
});
