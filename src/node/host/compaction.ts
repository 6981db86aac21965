// When a group's log is cut, and where.

import type { NodeId } from "../../model/ids.ts";
import type { Store } from "../storage/store.ts";
import type { HostLimits } from "./host-options.ts";
import type { ReplicaGroup } from "./replica-group.ts";
import type { SnapshotTransfers } from "./snapshot-transfers.ts";
import { otherCopies } from "./state-repair.ts";

/** How often a log is looked at for compaction while it grows by its budget. */
const COMPACTION_LOOKS = 16;
/** By so many budgets a log grows while a state is sent, before it is cut all the same. */
const SENDING_BUDGETS = 8;
/** What is kept for an arbiter at least, in what a log may have that nobody needs. */
const KEPT_BUDGETS_MIN = 4;

export interface Compaction {
  readonly self: NodeId;
  readonly state: Store;
  readonly limits: HostLimits;
  /** How many share the bounds. */
  readonly groups: number;
  readonly snapshots: Pick<SnapshotTransfers, "sending">;
}

/** Cuts a group's log where it has grown. Only what is on disk as state leaves it, and the newer half of its budget stays. */
export function compact(group: ReplicaGroup, { self, state, limits, groups, snapshots }: Compaction): void {
  // What comes after the state that a peer sends is taken from this log; where there is no peer, none will come.
  if (group.damage !== undefined && otherCopies(group, self).length > 0) return;
  const { logBytes, groupLogBytesMin, keptLogBytes, groupKeptLogBytesMax } = limits;
  const budget = Math.max(groupLogBytesMin, logBytes / Math.max(1, groups));
  // A look costs a status, and rounds are many. Who is sent the state goes on from this log: it is cut between two
  // attempts, or when one lasts so long that memory is what would end.
  const isSending = snapshots.sending(group.id);
  if (group.logGrowthBytes < (isSending ? SENDING_BUDGETS * budget : budget / COMPACTION_LOOKS)) return;
  group.logGrowthBytes = 0;
  const { logBytes: bytes, first } = group.replica.status();
  if (bytes <= budget) return;
  // Keep the newer half for followers that are a little behind.
  let keep = 0;
  let index = group.applied;
  while (index > first && keep < budget / 2) {
    keep += group.replica.entry(index)?.data.length ?? 0;
    index -= 1;
  }
  // Only what is on disk as state may leave the log.
  if (index > group.appliedOnDisk) void state.flush();
  index = Math.min(index, group.appliedOnDisk);
  if (index <= first) return;
  // Who brings an arbiter up to date keeps a part of it, which has to be more than a log that nobody needs.
  const kept = Math.min(groupKeptLogBytesMax, keptLogBytes / groups);
  group.step({ kind: "compact", index, keepBytesMax: Math.max(KEPT_BUDGETS_MIN * budget, kept) });
}
