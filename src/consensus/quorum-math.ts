// What a majority is, over plain and joint configurations (Raft dissertation 4.3: in a joint
// configuration every decision needs a majority of both halves). No state, and no allocation: this
// runs for every acknowledgement.

import type { NodeId } from "../model/ids.ts";
import type { Membership } from "./seam.ts";

/** Whether those that agree are a quorum. A configuration without voters never has one. */
export function hasQuorum(membership: Membership, agrees: (voter: NodeId) => boolean): boolean {
  return (
    hasMajority(membership.voters, agrees) &&
    (membership.outgoing.length === 0 || hasMajority(membership.outgoing, agrees))
  );
}

/** The highest index that a quorum holds, given what each voter holds; 0 without voters. */
export function committedIndex(membership: Membership, held: (voter: NodeId) => number): number {
  const incoming = majorityIndex(membership.voters, held);
  if (membership.outgoing.length === 0) return incoming;
  return Math.min(incoming, majorityIndex(membership.outgoing, held));
}

function hasMajority(voters: readonly NodeId[], agrees: (voter: NodeId) => boolean): boolean {
  let count = 0;
  for (const voter of voters) if (agrees(voter)) count += 1;
  return count * 2 > voters.length;
}

// Counting instead of sorting: groups have a handful of voters, and a sort would need an array.
function majorityIndex(voters: readonly NodeId[], held: (voter: NodeId) => number): number {
  let best = 0;
  for (const voter of voters) {
    const index = held(voter);
    if (index <= best) continue;
    let count = 0;
    for (const other of voters) if (held(other) >= index) count += 1;
    if (count * 2 > voters.length) best = index;
  }
  return best;
}
