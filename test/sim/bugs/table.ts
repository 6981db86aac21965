// Every deliberate bug that the simulator has to find.

import type { Bug } from "./bug.ts";
import { HANDOVER_BUGS } from "./handovers.ts";
import { HOST_BUGS } from "./host.ts";
import { MOVE_BUGS } from "./moves.ts";
import { PAXOS_BUGS } from "./paxos.ts";
import { QUORUM_BUGS } from "./quorum.ts";
import { RAFT_CLIENT_BUGS } from "./raft-clients.ts";
import { RAFT_ELECTION_BUGS } from "./raft-elections.ts";
import { RAFT_LOG_BUGS } from "./raft-log.ts";
import { RAFT_MEMBERSHIP_BUGS } from "./raft-membership.ts";
import { RAFT_SNAPSHOT_BUGS } from "./raft-snapshots.ts";
import { STORAGE_BUGS } from "./storage.ts";

export const BUGS: readonly Bug[] = [
  ...RAFT_ELECTION_BUGS,
  ...RAFT_LOG_BUGS,
  ...RAFT_SNAPSHOT_BUGS,
  ...RAFT_MEMBERSHIP_BUGS,
  ...RAFT_CLIENT_BUGS,
  ...PAXOS_BUGS,
  ...HOST_BUGS,
  ...STORAGE_BUGS,
  ...QUORUM_BUGS,
  ...MOVE_BUGS,
  ...HANDOVER_BUGS,
];

/** The bug of that name. */
export function bugNamed(name: string): Bug | undefined {
  return BUGS.find((bug) => bug.name === name);
}
