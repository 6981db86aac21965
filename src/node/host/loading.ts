// What a replica begins with when its node starts, or is given it: what its disk has, or nothing.

import type { DurableState, SnapshotMeta } from "../../consensus/seam.ts";
import { LOG_DAMAGED, type LogWrite } from "../storage/log-store.ts";
import { StoreCorruptError } from "../storage/store.ts";
import { DurableGroup, generationAfter, type LoadedGroup, type Stores } from "./durable-group.ts";
import type { GroupStart, HostOptions } from "./host-options.ts";
import { LOG_ONLY, type StateMachine } from "./machine.ts";

export interface LoadedReplica {
  readonly durable: DurableGroup;
  readonly state: DurableState;
  readonly machine: StateMachine;
  readonly damage: Error | undefined;
  /** Of a replica that is new here. It has to be on disk before its first vote. */
  readonly write: LogWrite | undefined;
}

interface Created extends LoadedGroup {
  readonly write: LogWrite;
}

/** From its disk, or its genesis; with an empty machine where the state cannot be read. */
export function loadReplica(
  start: GroupStart,
  { stores, logsMatch, makeMachine }: HostOptions,
): LoadedReplica {
  const loaded: LoadedGroup & Partial<Created> =
    DurableGroup.load(start.id, stores, logsMatch(start.id)) ?? create(start, stores);
  const { group: durable, durable: state, damage, write } = loaded;
  const parts = { durable, state, write };
  // An arbiter has no state: where its log begins is all that it needs.
  if (start.arbiter) return { ...parts, machine: LOG_ONLY, damage: undefined };
  if (damage !== undefined)
    return { ...parts, machine: makeMachine(start.id, durable.emptyPrefix()), damage };
  try {
    return { ...parts, machine: makeMachine(start.id, durable.prefix()), damage };
  } catch (error) {
    if (!(error instanceof StoreCorruptError)) throw error;
    const machine = makeMachine(start.id, durable.emptyPrefix());
    return { ...parts, state: { ...state, applied: state.snapshot.index }, machine, damage: error };
  }
}

function create(start: GroupStart, stores: Stores): Created {
  // In a log that was damaged there may have been one, with promises that are not to be broken.
  if ((stores.log.facts.get(LOG_DAMAGED) ?? null) !== null) return createRecovering(start, stores);
  const founder = start.genesis.voters.length > 0;
  // A founding replica begins after an agreed first entry: a later replica, which has nothing, must then
  // be sent a snapshot, and so gets the state that the group was founded with.
  const snapshot: SnapshotMeta = founder
    ? { index: 1, term: 1, membership: start.genesis }
    : { index: 0, term: 0, membership: start.genesis };
  const hardState = { term: snapshot.term, vote: "", commit: snapshot.index };
  const durable: DurableState = { hardState, snapshot, entries: [], applied: snapshot.index };
  const { group, write } = DurableGroup.create(start.id, generationAfter(stores.state, start.id), durable);
  return { group, durable, damage: undefined, write };
}

function createRecovering(start: GroupStart, stores: Stores): Created {
  const durable: DurableState = {
    hardState: { term: 0, vote: "", commit: 0 },
    snapshot: { index: 0, term: 0, membership: start.genesis },
    entries: [],
    applied: 0,
  };
  const generation = generationAfter(stores.state, start.id);
  const { group, write } = DurableGroup.create(start.id, generation, durable, { refill: true });
  return { group, durable, write, damage: new Error("its log was damaged, and nothing of it is left") };
}
