// Every deliberate bug that the simulator has to find.

import type { Bug } from "./bug.ts";
import { RAFT_ELECTION_BUGS } from "./raft-elections.ts";

export const BUGS: readonly Bug[] = [...RAFT_ELECTION_BUGS];

/** The bug of that name. */
export function bugNamed(name: string): Bug | undefined {
  return BUGS.find((bug) => bug.name === name);
}
