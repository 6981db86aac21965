// Raft's checklist, reads, clients and arbiters: lines 41 to 51.

import type { Bug } from "./bug.ts";

const RAFT = { checklist: "raft", protocols: ["raft"] } as const;
const READS = "src/consensus/raft/reads.ts";
const SESSIONS = "src/node/memories/sessions.ts";

export const RAFT_CLIENT_BUGS: readonly Bug[] = [
  {
    ...RAFT,
    name: "read-before-own-term",
    lines: [41],
    what: "a new leader serves reads before it knows what is committed",
    file: READS,
    find: "if (leading.waitingReads.length === 0 || !hasCommittedInTerm(state, leading)) return;",
    replace: "if (leading.waitingReads.length === 0) return;",
  },
  {
    ...RAFT,
    name: "read-joins-a-running-round",
    lines: [42],
    what: "a read is answered by a round of heartbeats that began before it arrived",
    file: READS,
    find: "  } else leading.waitingReads.push(context);",
    replace:
      "  } else if (leading.reading !== undefined) {\n    leading.reading = { ...leading.reading, contexts: [...leading.reading.contexts, context] };\n  } else leading.waitingReads.push(context);",
  },
  {
    ...RAFT,
    name: "read-round-used-again",
    lines: [43],
    what: "every round of reads has the same number, so answers to an earlier one confirm it",
    file: READS,
    find: "    leading.round += 1;\n",
    replace: "    leading.round = 1;\n",
  },
  {
    ...RAFT,
    name: "read-before-applied",
    lines: [44],
    what: "a read is served although its index is not applied yet",
    file: "src/node/host/replica-group.ts",
    find: "if (read.index <= this.appliedIndex) read.waiting",
    replace: "if (read.index >= 0) read.waiting",
  },
  {
    ...RAFT,
    name: "lease-survives-a-stop",
    lines: [45],
    what: "a leader serves reads alone while its ticks say that a majority was heard lately, stopped process or not",
    file: READS,
    find: "voter === state.id || (leading.progress.get(voter)?.round ?? 0) >= reading.round;",
    replace:
      "voter === state.id || state.tick - (leading.progress.get(voter)?.heardTick ?? -1000) < state.options.electionTicks;",
  },
  {
    ...RAFT,
    name: "repeated-command-applied-again",
    lines: [46],
    what: "a command that was applied already is applied again when it is sent again",
    file: "src/node/memories/memory-machine.ts",
    find: '    if (seen.kind === "done") return seen.result as CommandResult;\n',
    replace: "",
  },
  {
    ...RAFT,
    name: "sessions-expire-by-memory-order",
    lines: [46],
    what: "the session that makes room is the first in memory, whose order a restart changes",
    file: SESSIONS,
    find: "      const older =\n        oldest === undefined ||\n",
    replace: "      const older = oldest === undefined;\n      void (\n        oldest === undefined ||\n",
    and: [
      {
        file: SESSIONS,
        find: "entry[0] < oldest[0]);\n",
        replace: "entry[0] < oldest[0]));\n",
      },
    ],
  },
  {
    ...RAFT,
    name: "timeout-called-failed",
    lines: [47],
    what: "a write that was not answered in time is reported as certainly not done",
    file: "src/node/host/replica-group.ts",
    find: 'return new Mem0ctlError("unknown-outcome", "timed-out",',
    replace: 'return new Mem0ctlError("unavailable", "timed-out",',
  },
  {
    ...RAFT,
    name: "full-disk-after-a-lost-answer",
    lines: [47],
    what: "a full disk at the second attempt is reported as not done, though the first attempt may have been",
    file: "src/node/cluster/router.ts",
    find: 'throw unknown !== undefined && error.kind === "full" ? unknown : error;',
    replace: "throw error;",
  },
  {
    ...RAFT,
    name: "expired-session-renewed-blindly",
    lines: [48],
    what: "a write whose session expired is done in a new session, though an earlier attempt may have been applied",
    file: "src/node/cluster/write-session.ts",
    find: 'error.code !== "session-expired" || attempts > 1 || renewed',
    replace: 'error.code !== "session-expired" || attempts < 0 || renewed',
  },
  {
    ...RAFT,
    name: "arbiter-serves-reads",
    lines: [49],
    what: "an arbiter that leads confirms reads, though it has no memories",
    file: READS,
    find: "else if (state.options.arbiter)",
    replace: 'else if (state.id === "")',
  },
  {
    ...RAFT,
    name: "arbiter-keeps-leading",
    lines: [50],
    what: "an arbiter that was elected never hands over",
    file: "src/consensus/raft/transfer.ts",
    find: "if (state.options.arbiter) handOver(state, leading);",
    replace: "",
  },
  {
    ...RAFT,
    name: "arbiter-forgets-what-others-lack",
    lines: [50],
    what: "an arbiter compacts entries that a data replica does not hold yet",
    file: "src/consensus/raft/snapshots.ts",
    find: "if (state.options.arbiter) {",
    replace: "if (state.options.arbiter && state.log.dataBytes < 0) {",
  },
  {
    ...RAFT,
    name: "arbiter-does-not-count",
    lines: [51],
    what: "an arbiter's copy does not count, so two data replicas and an arbiter stop when one is gone",
    file: "src/consensus/raft/state.ts",
    find: "  return node === state.id ? state.durability.index",
    replace:
      "  if (state.memberships.current.arbiters.includes(node)) return 0;\n  return node === state.id ? state.durability.index",
  },
];
