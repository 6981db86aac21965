import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { membershipOf } from "../../../src/consensus/membership.ts";
import { committedIndex, hasQuorum } from "../../../src/consensus/quorum-math.ts";

const NODES = ["a", "b", "c", "d", "e", "f", "g"];
const someNodes = fc.subarray(NODES);
const membershipParts = fc.record({ voters: someNodes, outgoing: someNodes });

/** The dumb version: sort what the voters hold and take the one that a majority reaches. */
function sortedMajority(voters: readonly string[], held: (node: string) => number): number {
  const indexes = voters.map(held).toSorted((a, b) => b - a);
  return indexes[Math.floor(voters.length / 2)] ?? 0;
}

describe("quorum maths", () => {
  test("the committed index is the one that sorting gives, in both halves of a joint configuration", () => {
    fc.assert(
      fc.property(membershipParts, fc.array(fc.nat(20), { minLength: 7, maxLength: 7 }), (parts, indexes) => {
        const held = (node: string): number => indexes[NODES.indexOf(node)] ?? 0;
        const incoming = sortedMajority(parts.voters, held);
        const expected =
          parts.outgoing.length === 0 ? incoming : Math.min(incoming, sortedMajority(parts.outgoing, held));
        expect(committedIndex(membershipOf(parts), held)).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  test("an index is committed exactly when those that hold it are a quorum", () => {
    fc.assert(
      fc.property(membershipParts, fc.array(fc.nat(5), { minLength: 7, maxLength: 7 }), (parts, indexes) => {
        const membership = membershipOf(parts);
        const held = (node: string): number => indexes[NODES.indexOf(node)] ?? 0;
        const committed = committedIndex(membership, held);
        for (let index = 1; index <= 6; index += 1) {
          expect(hasQuorum(membership, (node) => held(node) >= index)).toBe(index <= committed);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("two quorums of one configuration, or of a joint one and either of its halves, share a voter", () => {
    fc.assert(
      fc.property(membershipParts, someNodes, someNodes, (parts, some, others) => {
        fc.pre(parts.voters.length > 0 && parts.outgoing.length > 0);
        const joint = membershipOf(parts);
        const agrees = (nodes: readonly string[]) => (node: string) => nodes.includes(node);
        for (const half of [{ voters: parts.voters }, { voters: parts.outgoing }, parts]) {
          const both = hasQuorum(joint, agrees(some)) && hasQuorum(membershipOf(half), agrees(others));
          expect(!both || some.some((node) => others.includes(node))).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("nobody is never a quorum", () => {
    expect(hasQuorum(membershipOf({}), () => true)).toBe(false);
    expect(committedIndex(membershipOf({}), () => 9)).toBe(0);
  });
});
