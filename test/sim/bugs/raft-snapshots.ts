// Raft's checklist, snapshots: lines 24 to 31.

import type { Bug } from "./bug.ts";

const RAFT = { checklist: "raft", protocols: ["raft"] } as const;
const SNAPSHOTS = "src/consensus/raft/snapshots.ts";
const TRANSFERS = "src/node/host/snapshot-transfers.ts";

export const RAFT_SNAPSHOT_BUGS: readonly Bug[] = [
  {
    ...RAFT,
    name: "snapshot-not-flushed",
    lines: [24],
    what: "the log says that a received snapshot is the state before that is on disk",
    file: TRANSFERS,
    find: "      await this.stores.state.flush();\n      if (this.host",
    replace: "      if (this.host",
    and: [
      {
        file: TRANSFERS,
        find: "      });\n      await this.stores.state.flush();\n      return true;",
        replace: "      });\n      return true;",
      },
    ],
  },
  {
    ...RAFT,
    name: "leftovers-cleaned-while-staging",
    lines: [24],
    what: "what an earlier snapshot left is still being deleted where a new one is being staged",
    file: TRANSFERS,
    find: "      await this.host.cleaned();\n",
    replace: "",
  },
  {
    ...RAFT,
    name: "snapshot-drops-later-entries",
    lines: [25],
    what: "a snapshot that the log already agrees with throws away the entries behind it",
    file: SNAPSHOTS,
    find: "if (log.term(snapshot.index) === snapshot.term) commitTo(state, snapshot.index);\n    else switchTo",
    replace: "switchTo",
  },
  {
    ...RAFT,
    name: "old-snapshot-installed",
    lines: [26],
    what: "a snapshot older than what is applied takes its place",
    file: SNAPSHOTS,
    find: "  if (snapshot.index > state.commit) {\n",
    replace:
      "  if (snapshot.index < state.commit) switchTo(state, snapshot);\n  if (snapshot.index > state.commit) {\n",
  },
  {
    ...RAFT,
    name: "snapshot-staged-over-another",
    lines: [27],
    what: "the begin of a snapshot, overtaken by that of another, goes on clearing the place of both",
    file: TRANSFERS,
    find: "const isOvertaken = (): boolean => !this.isStaging(group, call.id);",
    replace: "const isOvertaken = (): boolean => false;",
    and: [
      {
        file: TRANSFERS,
        find: "if (this.installing.has(call.group) || group.isSwitching()) {",
        replace: "if (this.installing.size < 0) {",
      },
    ],
  },
  {
    ...RAFT,
    name: "snapshot-with-newest-membership",
    lines: [28],
    what: "a snapshot carries the newest membership instead of that of its index",
    file: "src/consensus/raft/membership-history.ts",
    find: "return (this.#newer.findLast((one) => one.index <= index) ?? this.#oldest).membership;",
    replace: "return index >= 0 ? this.current : this.#oldest.membership;",
  },
  {
    ...RAFT,
    name: "snapshot-without-sessions",
    lines: [28],
    what: "whoever installs a snapshot keeps the sessions that it had before",
    file: "src/node/memories/memory-machine.ts",
    find: "    this.sessions.reload(prefix);\n",
    replace: "",
  },
  {
    ...RAFT,
    name: "gap-behind-snapshot",
    lines: [29],
    what: "a follower takes entries that do not begin where its snapshot or its log ends",
    file: "src/consensus/raft/replication.ts",
    find: "if (prevIndex > log.lastIndex || (prevIndex >= log.baseIndex &&",
    replace: "if (prevIndex <= log.lastIndex && (prevIndex >= log.baseIndex &&",
  },
  {
    ...RAFT,
    name: "compaction-before-flush",
    lines: [30],
    what: "the log is cut up to what is applied, though the state may not be on disk so far",
    file: "src/node/host/compaction.ts",
    find: "  if (index > group.appliedOnDisk) void state.flush();\n  index = Math.min(index, group.appliedOnDisk);\n",
    replace: "",
  },
  {
    ...RAFT,
    name: "lost-state-read-as-empty",
    lines: [31],
    what: "a replica whose state is damaged, or older than its log's beginning, starts with what there is",
    file: "src/node/host/durable-group.ts",
    find: "return { group, durable, damage: error };",
    replace: "return { group, durable, damage: undefined };",
    and: [
      {
        file: "src/node/host/loading.ts",
        find: "machine, damage: error };",
        replace: "machine, damage: undefined };",
      },
    ],
  },
];
