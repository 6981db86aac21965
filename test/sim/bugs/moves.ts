// The checklist of moves, splits and transactions, as far as the node has them: lines 1, 2 and 4.

import type { Bug } from "./bug.ts";

const MOVES = { checklist: "moves", protocols: ["raft"] } as const;
const META = "src/node/meta/meta-machine.ts";

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
    name: "removed-replica-stays-in-the-log",
    lines: [2],
    what: "that a replica was taken away is not written down, so it comes back to life at the next start",
    file: "src/node/host/leftovers.ts",
    find: 'log.append([{ kind: "remove", group: id }]);',
    replace: "log.append([]);",
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
  {
    ...MOVES,
    name: "two-operations-at-once",
    lines: [4],
    what: "an operation begins while another one runs, and nobody finishes what that has begun",
    file: META,
    find: "if (this.latest !== null && !hasEnded(this.latest)) return undefined;",
    replace: "",
    and: [
      {
        file: "src/node/moves/service.ts",
        find: "if (running !== null) throw refusedBecauseOf(running);",
        replace: "",
      },
    ],
  },
  {
    ...MOVES,
    name: "operation-forgotten-at-start",
    lines: [4],
    what: "a node that starts again does not know of the operation that runs",
    file: META,
    find: "plan === undefined || progress === undefined",
    replace: "plan === undefined || progress !== undefined",
  },
  {
    ...MOVES,
    name: "operation-moved-on-by-an-old-leader",
    lines: [4],
    what: "how far an operation is can be said by who does not know how far it was",
    file: META,
    find: "return progress.revision === latest.progress.revision + 1 ? { plan: latest.plan, progress } : undefined;",
    replace: "return { plan: latest.plan, progress };",
  },
  {
    ...MOVES,
    name: "leaderless-move-undone-when-over",
    lines: [2, 4],
    protocols: ["quorum"],
    what: "a move that is cancelled after it has ended gives the shard back to a copy that is gone",
    file: "src/topology/steps.ts",
    find: "    if (shard.outgoing === undefined) return map;",
    replace:
      '    if (shard.outgoing === undefined) return step.kind === "move-replica" ? withShard(map, exchanged(shard, step.to, step.from)) : map;',
  },
];
