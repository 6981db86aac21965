// What lies in the state store of replicas and of states that are no more, and how it goes: at leisure, and only once the
// log says that they are no more. The state says as well which replicas the log has, so that a log which lost its end is
// told from one that never had them.

import type { GroupId } from "../../model/ids.ts";
import { prefixEnd, type Key } from "../storage/key.ts";
import { removeRange } from "../storage/store.ts";
import { forgetLogged, forgottenStates, loggedGroups, noteLogged, type Stores } from "./durable-group.ts";
import type { ReplicaGroup, Replaced } from "./replica-group.ts";

export interface LeftoversOptions {
  readonly stores: Stores;
  readonly groups: ReadonlyMap<GroupId, ReplicaGroup>;
  readonly cleanRecordsMax: number;
  /** Resolves when all that was appended to the log so far is on disk. */
  readonly lastDurable: () => Promise<void>;
  /** From here on the replica is none of this node's. */
  readonly remove: (group: ReplicaGroup) => void;
  readonly onFailure: (error: unknown) => void;
}

export class Leftovers {
  private readonly options: LeftoversOptions;
  private readonly cleaning = new Set<Promise<void>>();
  /** Those that are about to be forgotten. */
  private readonly leaving = new WeakSet<ReplicaGroup>();
  private stopped = false;

  constructor(options: LeftoversOptions) {
    this.options = options;
  }

  stop(): void {
    this.stopped = true;
  }

  /** Forgets a replica, if that is still due once all that was applied so far is on disk. */
  async forget(id: GroupId, isDue: () => boolean): Promise<void> {
    const { stores, groups } = this.options;
    const group = groups.get(id);
    if (group === undefined) return;
    const { log, state } = stores;
    this.leaving.add(group);
    let forgotten: number;
    // A snapshot may take the state's place meanwhile.
    do {
      forgotten = group.durable.generation;
      await Promise.all([forgetLogged(state, id, forgotten), state.flush()]);
    } while (group.durable.generation !== forgotten);
    if (groups.get(id) !== group || this.stopped) return;
    if (!isDue()) {
      this.leaving.delete(group);
      this.noteWhenDurable(group);
      return;
    }
    this.options.remove(group);
    const removed = log.append([{ kind: "remove", group: id }]);
    const { start, end } = group.durable.allStates();
    // Under way from now on: the replica may be called back, and be sent a state, before this is on disk.
    this.clean(start, end, removed);
    await removed;
  }

  /** The state says which generation of the replica the log has on disk, from where it has. */
  noteWhenDurable(group: ReplicaGroup): void {
    const { generation } = group.durable;
    this.options
      .lastDurable()
      .then(() => this.noteLogged(group, generation))
      .catch((error: unknown) => this.options.onFailure(error));
  }

  private async noteLogged(group: ReplicaGroup, generation: number): Promise<void> {
    if (this.stopped || this.leaving.has(group) || this.options.groups.get(group.id) !== group) return;
    await noteLogged(this.options.stores.state, group.id, generation);
  }

  /** The log has the switch to `generation` on disk: what was the state before goes, once the state says so, too. */
  dropReplaced({ group, generation, prefix }: Replaced): void {
    const noted = this.noteLogged(group, generation);
    void this.options.stores.state.flush();
    this.clean(prefix, prefixEnd(prefix), noted);
  }

  cleanForgotten(): void {
    const { stores, groups } = this.options;
    for (const { start, end } of forgottenStates(stores)) this.clean(start, end);
    for (const id of loggedGroups(stores.state)) {
      if (groups.has(id)) continue;
      forgetLogged(stores.state, id).catch((error: unknown) => this.options.onFailure(error));
    }
  }

  async cleaned(): Promise<void> {
    await Promise.allSettled(this.cleaning);
  }

  /** Deletes a range of states at leisure, once `after` has resolved. */
  clean(start: Key, end: Key, after: Promise<void> = Promise.resolve()): void {
    // What a stop leaves is cleaned at the next start.
    const { stores, cleanRecordsMax } = this.options;
    const work = after
      .then(() => removeRange(stores.state, start, end, () => this.stopped, cleanRecordsMax))
      .catch((error: unknown) => this.options.onFailure(error))
      .finally(() => this.cleaning.delete(work));
    this.cleaning.add(work);
  }
}
