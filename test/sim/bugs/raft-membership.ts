// Raft's checklist, membership: lines 32 to 40.

import type { Bug } from "./bug.ts";

const RAFT = { checklist: "raft", protocols: ["raft"] } as const;
const RECONFIGURATION = "src/consensus/raft/reconfiguration.ts";
const TRANSFER = "src/consensus/raft/transfer.ts";
const QUORUM = "src/consensus/quorum-math.ts";

export const RAFT_MEMBERSHIP_BUGS: readonly Bug[] = [
  {
    ...RAFT,
    name: "change-before-own-term",
    lines: [32],
    what: "a new leader changes members before an entry of its own term is committed",
    file: RECONFIGURATION,
    find: "    hasCommittedInTerm(state, leading) &&\n",
    replace: "",
    and: [
      {
        file: RECONFIGURATION,
        find: "  if (!hasCommittedInTerm(state, leading)) return;\n",
        replace: "",
      },
    ],
  },
  {
    ...RAFT,
    name: "two-changes-at-once",
    lines: [33],
    what: "the next step of a change is taken before the one before is committed",
    file: RECONFIGURATION,
    find: "if (leading.transfer !== undefined || state.memberships.currentIndex > state.commit) return;",
    replace: "if (leading.transfer !== undefined) return;",
  },
  {
    ...RAFT,
    name: "joint-votes-of-one-half",
    lines: [34],
    what: "in a joint configuration the majority of the new half alone elects a leader",
    file: QUORUM,
    find: "    (membership.outgoing.length === 0 || hasMajority(membership.outgoing, agrees))",
    replace: "    (membership.outgoing.length >= 0 || hasMajority(membership.outgoing, agrees))",
  },
  {
    ...RAFT,
    name: "joint-commits-of-one-half",
    lines: [34],
    what: "in a joint configuration the majority of the new half alone commits",
    file: QUORUM,
    find: "if (membership.outgoing.length === 0) return incoming;",
    replace: "if (membership.outgoing.length >= 0) return incoming;",
  },
  {
    ...RAFT,
    name: "joint-left-to-its-leader",
    lines: [35],
    what: "only the leader that began a joint configuration ends it; when it crashes, nobody does",
    file: RECONFIGURATION,
    find: "if (leading.plan === undefined && current.outgoing.length === 0) return;",
    replace: "if (leading.plan === undefined) return;",
    and: [
      {
        file: RECONFIGURATION,
        find: "  leading.plan = undefined;\n  appendMembership(state, leading, jointOf",
        replace: "  appendMembership(state, leading, jointOf",
      },
    ],
  },
  {
    ...RAFT,
    name: "truncated-change-stays",
    lines: [36],
    what: "a membership that was truncated from the log stays in use",
    file: "src/consensus/raft/replication.ts",
    find: "      state.memberships.truncate(first.index);\n",
    replace: "",
  },
  {
    ...RAFT,
    name: "wiped-for-an-uncommitted-change",
    lines: [36],
    what: "a node deletes a replica because of a membership that is not committed and may be taken back",
    file: "src/node/account.ts",
    find: "    const committed = host.group(group).committedMembership();",
    replace: "    const committed = status.membership;",
  },
  {
    ...RAFT,
    name: "wiped-by-a-leader-that-lags",
    lines: [36],
    what: "a new leader says who is a member before it has applied what is committed, and a member is wiped",
    file: "src/node/account.ts",
    find: "    await host.group(group).readIndex(deadlineMs);\n",
    replace: "",
    // Those on their way in, and those whom the map wants, are named for other reasons, and hide it.
    and: [
      {
        file: "src/node/account.ts",
        find: "    named.push(...(wantedMembership(map(), group)?.voters ?? []));\n",
        replace: "",
      },
      {
        file: "src/node/account.ts",
        find: "[...committed.learners, ...status.progress.map(({ node }) => node)]",
        replace: "[...committed.learners]",
      },
    ],
  },
  {
    ...RAFT,
    name: "removed-leader-stays",
    lines: [37],
    what: "a leader whose removal is committed goes on leading",
    file: "src/consensus/raft/replica.ts",
    find: "if (currentIndex <= state.commit && !isVoter(current, state.id)) {",
    replace: "if (currentIndex < 0 && !isVoter(current, state.id)) {",
  },
  {
    ...RAFT,
    name: "wiped-node-votes-again",
    lines: [38],
    what: "a node that lost its data comes back under its old id, founds its replicas anew and is let in",
    file: "src/node/beginning.ts",
    find: "if (mine !== undefined && mine !== uid) throw dataLost(self, id);",
    replace: 'if (mine === "") throw dataLost(self, id);',
    and: [
      {
        file: "src/node/beginning.ts",
        find: "  if (missing === undefined && isWritten(heard)) return {",
        replace: "  if (missing === undefined || isWritten(heard)) return {",
      },
      {
        file: "src/node/transport/hello.ts",
        find: "if (known !== undefined && known !== hello.uid) {",
        replace: 'if (known === "") {',
      },
    ],
  },
  {
    ...RAFT,
    name: "last-voter-removed",
    lines: [39],
    what: "a change may leave nobody who votes and holds data",
    file: "src/consensus/membership.ts",
    find: "    voters.some((node) => !arbiters.includes(node)) &&\n",
    replace: "",
  },
  {
    ...RAFT,
    name: "transfer-to-one-that-lags",
    lines: [40],
    what: "a successor is asked to campaign before it has everything",
    file: TRANSFER,
    find: "if (progress.match !== state.log.lastIndex || transfer.askedTick === state.tick) return;",
    replace: "if (transfer.askedTick === state.tick) return;",
  },
  {
    ...RAFT,
    name: "transfer-never-ends",
    lines: [40],
    what: "a transfer that does not succeed is never given up, and refuses every write meanwhile",
    file: TRANSFER,
    find: "if (state.tick >= transfer.deadlineTick || progress === undefined || !canTakeOver(state, progress)) {",
    replace: "if (state.tick < 0) {",
    and: [
      {
        file: TRANSFER,
        find: "  if (progress.match !== state.log.lastIndex || transfer.askedTick === state.tick) return;",
        replace: "  if (progress?.match !== state.log.lastIndex || transfer.askedTick >= 0) return;",
      },
      {
        file: "src/consensus/raft/replica.ts",
        find: "  if (leading.transfer?.to === peer) leading.transfer = undefined;\n",
        replace: "",
      },
    ],
  },
];
