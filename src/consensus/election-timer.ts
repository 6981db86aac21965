// How long a replica waits before it campaigns: randomised (Raft 5.2; Paxos Made Moderately Complex 3), a
// little longer the less it is preferred, and after a lost campaign ever longer, so that two that campaign
// against each other stop doing so.

import type { ReplicaOptions } from "./seam.ts";

/** The part of a replica's state that is its timer. */
export interface ElectionTimer {
  readonly options: ReplicaOptions;
  /** Ticks since a leader was heard, a vote or promise was given or a campaign began. */
  electionElapsed: number;
  /** `electionElapsed` at which a follower campaigns. */
  electionTimeout: number;
  /** Campaigns begun since a leader was last heard. */
  campaignsLost: number;
}

/** Ranks wait this part of the election timeout longer each, but never more than the cap. */
const RANK_PART = 0.15;
const RANK_PART_MAX = 0.45;

/** Waits a whole election timeout again: a leader was heard, or a vote or promise was given. */
export function restartElectionTimer(timer: ElectionTimer): void {
  timer.electionElapsed = 0;
  timer.electionTimeout = Math.ceil(timer.options.electionTicks * (1 + spread(timer.options)));
  timer.campaignsLost = 0;
}

/**
 * Waits until the next campaign after one that has just begun. There is no leader whose lease would have to run out,
 * so the first retries come soon; they double up to the election timeout, for slow networks and disks.
 */
export function restartCampaignTimer(timer: ElectionTimer): void {
  const { electionTicks } = timer.options;
  const backoff = Math.min(1, 0.25 * 2 ** Math.min(timer.campaignsLost, 2));
  timer.campaignsLost += 1;
  timer.electionElapsed = 0;
  timer.electionTimeout = Math.ceil(electionTicks * (backoff + spread(timer.options)));
}

/** The leader's process is gone: no reason to wait for its lease, only for better-ranked peers. */
export function hurryElection(timer: ElectionTimer): void {
  const { random, priority } = timer.options;
  const delayTicks = 1 + Math.floor(random() * 3) + 2 * Math.min(priority, 3);
  timer.electionTimeout = Math.min(timer.electionTimeout, timer.electionElapsed + delayTicks);
}

/** The random and the ranked part of a timeout, in election timeouts: [0.05, 0.3) and up to 0.45. */
function spread(options: ReplicaOptions): number {
  return 0.05 + 0.25 * options.random() + Math.min(RANK_PART_MAX, RANK_PART * options.priority);
}
