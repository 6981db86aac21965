// The checklist of moves, splits and transactions, as far as the node has them: lines 1 and 2.

import type { Bug } from "./bug.ts";

const MOVES = { checklist: "moves", protocols: ["raft"] } as const;
const HOST = "src/node/host/host.ts";

export const MOVE_BUGS: readonly Bug[] = [
  {
    ...MOVES,
    name: "one-term-for-all-groups",
    lines: [1],
    what: "a node's beat names the highest of its terms for every group that it leads",
    file: "src/node/core.ts",
    find: "leads.push([group.id, status.term]);",
    replace: "leads.push([group.id, Math.max(status.term, ...leads.map(([, term]) => term))]);",
  },
  {
    ...MOVES,
    name: "removed-replica-written-again",
    lines: [2],
    what: "a late answer writes a replica that was taken away back into the log",
    file: HOST,
    find: "    if (this.groups.get(group.id) !== group) return;\n",
    replace: "",
  },
  {
    ...MOVES,
    name: "called-back-and-votes-again",
    lines: [2],
    what: "a replica that was moved away and called back votes before it knows anything of its group again",
    file: "src/consensus/raft/state.ts",
    find: "  if (isBlank) return false;\n",
    replace: "",
  },
];
