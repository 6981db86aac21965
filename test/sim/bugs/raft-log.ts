// Raft's checklist, the log: lines 12 to 23.

import type { Bug } from "./bug.ts";

const RAFT = { checklist: "raft", protocols: ["raft"] } as const;
const REPLICATION = "src/consensus/raft/replication.ts";

export const RAFT_LOG_BUGS: readonly Bug[] = [
  {
    ...RAFT,
    name: "old-term-committed-by-counting",
    lines: [12],
    what: "an entry of an earlier term is committed as soon as a majority holds it (Raft, figure 8)",
    file: REPLICATION,
    find: "if (index > state.commit && state.log.term(index) === state.term) commitTo(state, index);",
    replace: "if (index > state.commit) commitTo(state, index);",
  },
  {
    ...RAFT,
    name: "no-entry-on-election",
    lines: [13],
    what: "a new leader appends nothing, so what it inherited stays uncommitted until somebody writes",
    file: REPLICATION,
    find: '  appendOwn(state, leading, "noop", NO_DATA);',
    replace: "",
  },
  {
    ...RAFT,
    name: "leader-counts-before-flush",
    lines: [14],
    what: "a leader counts its own copy of an entry before that is on disk",
    file: "src/consensus/raft/state.ts",
    find: "node === state.id ? state.durability.index :",
    replace: "node === state.id ? state.log.lastIndex :",
  },
  {
    ...RAFT,
    name: "acknowledged-before-flush",
    lines: [15],
    what: "a follower acknowledges entries before they are on disk",
    file: REPLICATION,
    find: "  commitTo(state, Math.min(message.commit, verified));\n  state.effects.promise({",
    replace: "  commitTo(state, Math.min(message.commit, verified));\n  state.effects.send({",
  },
  {
    ...RAFT,
    name: "group-of-one-commits-before-flush",
    lines: [16],
    what: "the only replica of a group commits what it has not flushed",
    file: REPLICATION,
    find: "  for (const progress of leading.progress.values()) sendAppends(state, progress);\n",
    replace:
      "  for (const progress of leading.progress.values()) sendAppends(state, progress);\n  if (state.memberships.current.voters.length === 1) commitTo(state, state.log.lastIndex);\n",
  },
  {
    ...RAFT,
    name: "short-append-truncates",
    lines: [17],
    what: "an append that ends before the follower's log does cuts that log off, conflict or not",
    file: REPLICATION,
    find: "  commitTo(state, Math.min(message.commit, verified));\n",
    replace: `  if (first === undefined && verified < log.lastIndex && verified >= state.commit) {
    log.truncate(verified + 1);
    state.memberships.truncate(verified + 1);
    state.durability.truncated(verified + 1);
    state.effects.truncate(verified + 1);
  }
  commitTo(state, Math.min(message.commit, verified));
`,
  },
  {
    ...RAFT,
    name: "heartbeat-commits-beyond-match",
    lines: [18],
    what: "a heartbeat carries the leader's commit index to followers that have not acknowledged so far",
    file: REPLICATION,
    find: "commit: Math.min(state.commit, progress.match),",
    replace: "commit: state.commit,",
  },
  {
    ...RAFT,
    name: "no-backtracking",
    lines: [19],
    what: "a leader whose probe was rejected sends the same probe again instead of an earlier one",
    file: REPLICATION,
    find: "progress.probe(Math.min(agree, state.log.lastNotAfter(agree, message.hintTerm)) + 1);",
    replace: "progress.probe(Math.max(agree, progress.next));",
  },
  {
    ...RAFT,
    name: "match-goes-back",
    lines: [20],
    what: "a late acknowledgement takes back what a follower is known to hold",
    file: REPLICATION,
    find: "const moved = message.index > progress.match;",
    replace: "const moved = message.index !== progress.match;",
  },
  {
    ...RAFT,
    name: "late-flush-counts-replaced-entries",
    lines: [21],
    what: "a flush of entries that were truncated meanwhile counts for those in their place",
    file: "src/consensus/raft/durability.ts",
    find: "for (const write of this.#pending) write.last = Math.min(write.last, index - 1);",
    replace: "",
  },
  {
    ...RAFT,
    name: "in-flight-without-bound",
    lines: [22],
    what: "a leader sends a follower all that it lacks at once, however much is on its way already",
    file: REPLICATION,
    find: "window.messages >= options.inflightMessagesMax",
    replace: "window.messages > 1e9",
  },
  {
    ...RAFT,
    name: "uncommitted-without-bound",
    lines: [22],
    what: "a leader takes proposals without end while nothing commits",
    file: REPLICATION,
    find: "if (leading.uncommittedBytes > 0 && bytes > state.options.uncommittedBytesMax) {",
    replace: "if (bytes < 0) {",
  },
  {
    ...RAFT,
    name: "apply-by-local-time",
    lines: [23],
    what: "an update is dated by the clock of the replica that applies it",
    file: "src/node/memories/memory-machine.ts",
    find: "updated(command, before,",
    replace: "updated({ ...command, at: new Date(this.clock.nowMs()).toISOString() }, before,",
  },
];
