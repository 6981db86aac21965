// Bugs of the quorum protocol: one for each line of its checklist.

import type { Bug } from "./bug.ts";

const QUORUM = { checklist: "quorum", protocols: ["quorum"] } as const;

export const QUORUM_BUGS: readonly Bug[] = [
  {
    ...QUORUM,
    name: "linearizable-by-name",
    lines: [1],
    what: "a linearizable read is quietly answered as a quorum read",
    file: "src/node/quorum/coordinator.ts",
    find: "    this.refuseUnlessServing();\n    if (query.kind",
    replace:
      '    this.refuseUnlessServing();\n    if (level === "linearizable") return this.read(query, "quorum", deadlineMs);\n    if (query.kind',
  },
  {
    ...QUORUM,
    name: "answers-before-it-writes-back",
    lines: [2],
    what: "a read answers with what it merged before the other copies have it",
    file: "src/consensus/quorum/read-round.ts",
    find: "    if (isEnough(this.sets, this.level, (node) => this.repaired.has(node))) {",
    replace: "    if (this.known.size > 0) {",
  },
  {
    ...QUORUM,
    name: "unknown-called-not-done",
    lines: [3],
    what: "a write that too few copies acknowledged is called certainly not done",
    file: "src/node/quorum/coordinator.ts",
    find: 'output.answer === "unknown") reject(unknownOutcome(copy.shard))',
    replace: 'output.answer === "unknown") reject(tooFewCopies(copy.shard, "nothing was written"))',
    and: [
      {
        file: "src/node/quorum/path.ts",
        find: 'else if (error.kind === "unavailable") break;',
        replace: 'else if (error.kind === "unavailable") throw error;',
      },
    ],
  },
  {
    ...QUORUM,
    name: "first-come-wins",
    lines: [4],
    what: "of two concurrent versions a copy keeps the one that it had first",
    file: "src/consensus/quorum/versions.ts",
    find: "  const fromB = b.versions.filter((version) => !has(a, version.dot)",
    replace: "  const fromB = b.versions.filter((version) => fromA.length === 0 && !has(a, version.dot)",
  },
  {
    ...QUORUM,
    name: "any-time-believed",
    lines: [5],
    what: "a version's time is whatever the node that took the write says",
    file: "src/consensus/quorum/resolve.ts",
    find: "return Math.min(claimedMs, coordinatorMs + AHEAD_MS_MAX);",
    replace: "return claimedMs;",
  },
  {
    ...QUORUM,
    name: "hint-counts-as-a-copy",
    lines: [6],
    what: "a hint for a copy that cannot be reached counts towards W",
    file: "src/consensus/quorum/write-round.ts",
    find: 'if (input.kind === "failed") return this.output({ hint: [input.node] });',
    replace:
      'if (input.kind === "failed") { this.flushed.add(input.node); return this.output({ hint: [input.node] }); }',
  },
  {
    ...QUORUM,
    name: "coordinator-trusts-its-hints",
    lines: [7],
    what: "a coordinator keeps hints for the other copies instead of sending them the write, and acknowledges",
    file: "src/consensus/quorum/write-round.ts",
    find: "return this.output({ send: [...this.waiting] });",
    replace:
      "const hint = [...this.waiting]; for (const node of hint) this.flushed.add(node); this.waiting.clear(); return this.output({ hint });",
  },
  {
    ...QUORUM,
    name: "hints-never-expire",
    lines: [8],
    what: "hints outlive the tombstones of what they name",
    file: "src/consensus/quorum/hints.ts",
    find: "const isOld = nowMs - sinceMs > this.limits.ageMsMax ||",
    replace: "const isOld = false &&",
  },
  {
    ...QUORUM,
    name: "tombstone-forgotten-unseen",
    lines: [9],
    what: "a tombstone is forgotten when it is old, whether every copy knows of it or not",
    file: "src/consensus/quorum/tombstones.ts",
    find: "|| awayMs > awayMsMax,",
    replace: "|| awayMs >= 0 || awayMsMax < 0,",
  },
  {
    ...QUORUM,
    name: "floor-not-consulted",
    lines: [10],
    what: "a copy that has forgotten a deletion takes the old value for news",
    file: "src/consensus/quorum/versions.ts",
    find: "|| covers(floor, version.dot));",
    replace: "|| (floor.length < 0 && covers(floor, version.dot)));",
    and: [
      {
        // It has to have forgotten before the other copy comes back.
        file: "src/consensus/quorum/tombstones.ts",
        find: "|| awayMs > awayMsMax,",
        replace: "|| awayMs >= 0 || awayMsMax < 0,",
      },
    ],
  },
  {
    ...QUORUM,
    name: "compares-everything",
    lines: [11],
    what: "copies list all their keys to each other whether their digests differ or not",
    file: "src/node/quorum/leaderless-shards.ts",
    find: "tree.root === ask.opening.root ? null : tree.rangeDigests()",
    replace: 'tree.root === "" ? null : tree.rangeDigests().map(() => "all")',
    and: [
      {
        file: "src/node/quorum/leaderless-shards.ts",
        find: "ask.ranges.map((range) => copy.tree.leafDigests(range))",
        replace: 'ask.ranges.map((range) => copy.tree.leafDigests(range).map(() => "all"))',
      },
    ],
  },
  {
    ...QUORUM,
    name: "old-set-forgotten-at-once",
    lines: [12],
    what: "the copies before a change of members are asked no more from the moment it begins",
    file: "src/node/quorum/calls.ts",
    find: "outgoing: slice?.outgoing?.replicas ?? [],",
    replace: "outgoing: [],",
  },
  {
    ...QUORUM,
    name: "level-cut-to-fit",
    lines: [13],
    what: "a level above N is quietly taken for N",
    file: "src/consensus/quorum/levels.ts",
    find: "  if (count !== undefined) return count;",
    replace: '  if (count !== undefined) return count;\n  if (typeof level === "number") return copies;',
  },
  {
    ...QUORUM,
    name: "compare-and-set-without-order",
    lines: [14],
    what: "a conditional update is done without its condition",
    file: "src/model/consistency.ts",
    find: "export function checkConditional(protocol: Protocol): void {",
    replace:
      'export function checkConditional(protocol: Protocol): void {\n  if (protocol === "quorum") return;',
  },
  {
    ...QUORUM,
    name: "digest-mismatch-ignored",
    lines: [15],
    what: "a copy whose digest differs is taken to hold the same",
    file: "src/consensus/quorum/read-round.ts",
    find: "if (!same) return { ...nothing(), askItems: [input.node] };",
    replace: "",
  },
];
