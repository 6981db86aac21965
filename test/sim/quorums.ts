// What a majority is, said once more: the invariants must not count with the code that they judge.

import type { NodeId } from "../../src/model/ids.ts";
import type { Membership } from "../../src/consensus/seam.ts";

/** Whether those that agree are a majority of the voters and, in a joint configuration, of those before. */
export function hasQuorum({ voters, outgoing }: Membership, agrees: (voter: NodeId) => boolean): boolean {
  return [voters, ...(outgoing.length > 0 ? [outgoing] : [])].every(
    (half) => 2 * half.filter(agrees).length > half.length,
  );
}
