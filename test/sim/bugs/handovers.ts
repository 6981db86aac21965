// The checklist of moves, splits and transactions: lines 3 to 5, of keys that go from one shard to another.

import type { Bug } from "./bug.ts";

const LEADERLESS = { checklist: "moves", protocols: ["quorum"] } as const;
const COPY = "src/node/quorum/shard-copy.ts";
const SUCCESSIONS = "src/node/quorum/successions.ts";
const CALLS = "src/node/quorum/calls.ts";
const HANDOVERS = { checklist: "moves", protocols: ["raft", "paxos"] } as const;
const CUSTODY = "src/node/memories/custody.ts";
const PARTS = "src/node/memories/slice-parts.ts";
const QUERIES = "src/node/cluster/shard-queries.ts";

export const HANDOVER_BUGS: readonly Bug[] = [
  {
    ...HANDOVERS,
    name: "fence-forgotten",
    lines: [3],
    what: "a slice that was fenced is written and read at its giver by whoever has not heard of the new map",
    file: CUSTODY,
    find: "version === current - 1 && isOwn()",
    replace: "version === current - 1",
    and: [
      {
        file: CUSTODY,
        find: 'if (leaving?.state === "fenced") return leaving.slice;',
        replace: "",
      },
    ],
  },
  {
    ...HANDOVERS,
    name: "stale-epoch-answered",
    lines: [3],
    what: "a read that was routed by an old map is answered by the shard that the keys have left",
    file: QUERIES,
    find: "if (!custody.answers(query.version, () => isAboutOwn(machine, keyField, query))) throw staleEpoch();",
    replace: "",
  },
  {
    ...HANDOVERS,
    name: "arriving-slice-shown",
    lines: [3],
    what: "what has arrived of a slice is shown before it is the shard's",
    file: CUSTODY,
    find: "return arriving?.slice;",
    replace: "return undefined;",
  },
  {
    ...HANDOVERS,
    name: "changes-left-behind",
    lines: [5],
    what: "what is written to a slice while it is copied stays with its giver",
    file: CUSTODY,
    find: 'if (leaving?.state !== "leaving" || !isInSlice(leaving.slice, key)) return;',
    replace: 'if (id !== "") return;',
  },
  {
    ...HANDOVERS,
    name: "deletions-left-behind",
    lines: [5],
    what: "a memory that is deleted while its slice is copied is back at the taker",
    file: PARTS,
    find: "if (item === undefined) removed.push(id);",
    replace: "if (item === undefined) continue;",
  },
  {
    ...LEADERLESS,
    name: "other-version-answered",
    lines: [3],
    what: "a copy answers and acknowledges for a version of its shard that it does not hold the keys of",
    file: CALLS,
    find: "if (version === copy.version) return;",
    replace: "if (version >= 0) return;",
  },
  {
    ...LEADERLESS,
    name: "remains-built-on",
    lines: [4],
    what: "what a crash left of a copy that was being made is taken into the one that is made anew",
    file: SUCCESSIONS,
    find: "if (liesOnDisk(store, target)) {",
    replace: "if (store.full) {",
  },
  {
    ...LEADERLESS,
    name: "heirs-not-told",
    lines: [5],
    what: "what a copy comes to know while the next one is made of it stays behind",
    file: COPY,
    find: "this.heirs?.wrote(this, change, writer);",
    replace: "",
  },
];
