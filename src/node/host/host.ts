// Runs all replica groups of one node: one store, one network, one tick. The loop is the contract of the
// consensus seam: messages that need no disk leave first; then one transaction for everything that all
// groups want written or applied; answers once it is visible; promises (votes, acknowledgements) once it
// is on disk. Everything it touches is handed in, so a simulator can run this very code.

import type { Message } from "../../consensus/seam.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { META_GROUP, type GroupId, type NodeId } from "../../model/ids.ts";
import { formatBytes } from "../../model/units.ts";
import type { Timer } from "../clock.ts";
import { LOG_DAMAGED, type LogWrite } from "../storage/log-store.ts";
import { StoreCorruptError, type StoreWriter } from "../storage/store.ts";
import { compact } from "./compaction.ts";
import type { GroupStart, HostOptions } from "./host-options.ts";
import { Leftovers } from "./leftovers.ts";
import { loadReplica } from "./loading.ts";
import { LogRecovery, SilentReplica } from "./log-recovery.ts";
import type { Learned, PromiseReport } from "./promise-reports.ts";
import { ReplicaGroup, type Answer, type Replaced, type Work } from "./replica-group.ts";
import { Scrub } from "./scrub.ts";
import { SnapshotTransfers } from "./snapshot-transfers.ts";
import { StateRepair } from "./state-repair.ts";

/** A tick is a quarter of a heartbeat, so that randomised timeouts are fine-grained. */
const TICKS_PER_HEARTBEAT = 4;
/** Ticks made up for at once after the process was stopped; a stop must not look like an election timeout twice. */
const CATCH_UP_TICKS_MAX = TICKS_PER_HEARTBEAT * 2;
export class Host {
  readonly groups = new Map<GroupId, ReplicaGroup>();
  readonly snapshots: SnapshotTransfers;
  private readonly leftovers: Leftovers;
  private readonly repair: StateRepair;
  private readonly scrub: Scrub;
  private readonly recovery: LogRecovery;
  /** How the groups were opened that have to be opened again. */
  private readonly starts = new Map<GroupId, GroupStart>();
  private readonly options: HostOptions;
  private dirty = new Set<ReplicaGroup>();
  private scheduled = false;
  private stopped = false;
  private tickTimer: Timer | undefined;
  private lastTickMs: number;
  private readonly tickMs: number;
  /** Ticks since the last heartbeat, counted as the groups count theirs. */
  private ticks = 0;
  private lastDurable: Promise<void> = Promise.resolve();

  constructor(options: HostOptions) {
    this.options = options;
    this.tickMs = options.heartbeatIntervalMs / TICKS_PER_HEARTBEAT;
    this.lastTickMs = options.clock.nowMs();
    this.snapshots = new SnapshotTransfers({
      host: this,
      stores: options.stores,
      network: options.network,
      clock: options.clock,
      pace: options.pace,
      chunkBytes: options.limits.snapshotChunkBytes,
      cleanRecordsMax: options.limits.cleanRecordsMax,
    });
    this.leftovers = new Leftovers({
      stores: options.stores,
      groups: this.groups,
      cleanRecordsMax: options.limits.cleanRecordsMax,
      lastDurable: () => this.lastDurable,
      remove: (group) => this.drop(group, "the replica was moved away"),
      onFailure: (error) => this.failed(error),
    });
    this.repair = new StateRepair({
      self: options.self,
      host: this,
      network: options.network,
      clock: options.clock,
      onRepaired: options.onRepaired,
    });
    this.recovery = new LogRecovery({
      self: options.self,
      host: this,
      network: options.network,
      clock: options.clock,
      nodes: options.nodes,
    });
    options.stores.log.onFull = () => this.promiseWithoutRoom();
    this.scrub = new Scrub({
      states: () =>
        [...this.groups.values()].map((group) => ({
          prefix: group.durable.prefix(),
          onDamage: (error) => this.damaged(group, error),
        })),
      store: options.stores.state,
      clock: options.clock,
      bytesPerSecond: options.limits.scrubBytesPerSecond,
    });
  }

  /** Why writes are refused just now (a full disk), null when they are not. */
  get writeRefusal(): string | null {
    const { log, state } = this.options.stores;
    if (log.full) return `the disk is full: the log needs ${formatBytes(log.neededBytes)} more`;
    return state.full ? "the disk is full: the state cannot grow" : null;
  }

  /** Whether the next round is on its way, with a flush of the network in it. */
  get isRoundDue(): boolean {
    return this.scheduled && !this.stopped;
  }

  /** Entries that a full disk does not take are held in memory, but no more than so many. */
  private takesNoEntries(): boolean {
    const { log, state } = this.options.stores;
    const { unwrittenBytesMax } = this.options.limits;
    return (
      (log.full && log.unwrittenBytes > unwrittenBytesMax) ||
      (state.full && state.unwrittenBytes > unwrittenBytesMax)
    );
  }

  start(): void {
    this.lastTickMs = this.options.clock.nowMs();
    this.scheduleTick();
    this.scrub.start();
  }

  /** Stops ticking, answers what waits with `unknown-outcome`, and lets what is being written finish. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.tickTimer?.close();
    this.scrub.stop();
    this.leftovers.stop();
    this.repair.stop();
    this.recovery.stop();
    for (const group of this.groups.values()) group.close("the node is stopping");
  }

  /** Starts a group from disk, or anew. One whose state cannot be read is rebuilt from another replica. */
  open(start: GroupStart): ReplicaGroup {
    const present = this.groups.get(start.id);
    if (present !== undefined) {
      present.rank = start.rank;
      return present;
    }
    const { clock, limits } = this.options;
    const { durable, state, machine, damage, write } = loadReplica(start, this.options);
    // Writes reach the disk in order.
    if (write !== undefined) this.append([write]);
    const { recovery } = durable;
    const isSilent = recovery !== undefined && recovery.term === undefined;
    const replica = isSilent
      ? new SilentReplica(state)
      : this.options.protocolOf(start.id)(
          {
            id: this.options.self,
            heartbeatTicks: TICKS_PER_HEARTBEAT,
            electionTicks: Math.ceil(this.options.electionTimeoutMs / this.tickMs),
            priority: start.rank,
            arbiter: start.arbiter,
            random: () => clock.random(),
            appendBytesMax: limits.appendBytesMax,
            inflightBytesMax: limits.inflightBytesMax,
            inflightMessagesMax: limits.inflightMessagesMax,
            uncommittedBytesMax: limits.uncommittedBytesMax,
            ...(recovery?.term === undefined
              ? {}
              : { recovery: { term: recovery.term, trusted: recovery.trusted ?? [] } }),
          },
          state,
        );
    const group = new ReplicaGroup({
      id: start.id,
      replica,
      durable,
      machine,
      rank: start.rank,
      clock,
      damage: damage?.message,
      onWork: (dirty) => this.markDirty(dirty),
    });
    this.groups.set(start.id, group);
    for (const { start: from, end } of durable.leftovers()) this.leftovers.clean(from, end);
    this.leftovers.noteWhenDurable(group);
    if (isSilent) {
      this.starts.set(start.id, start);
      this.options.onDamage(start.id, group.trouble ?? "its log was damaged");
      void this.recovery.begin(group);
    } else if (damage !== undefined && recovery?.refill !== true) this.noteDamage(group, damage.message);
    return group;
  }

  /** What this node has promised in a group, for one that has forgotten; null where it has no part in it. */
  promisesOf(id: GroupId): PromiseReport | null {
    const group = this.groups.get(id);
    if (group === undefined) return null;
    const { term, commit, membership } = group.replica.status();
    return { term, commit, membership, recovering: group.durable.recovery !== undefined };
  }

  /** A group whose log was damaged knows in which term to begin: once that is on disk, it does. */
  learned(group: ReplicaGroup, learned: Learned): void {
    const start = this.starts.get(group.id);
    if (start === undefined) return;
    this.starts.delete(group.id);
    const writes: LogWrite[] = [];
    group.durable.learn(learned, writes);
    this.lastDurable = this.options.stores.log.append(writes);
    this.lastDurable.then(
      () => {
        if (this.stopped || this.groups.get(group.id) !== group) return;
        this.options.onRecovery(group.id, learned.term);
        this.drop(group, "the replica begins again");
        const { damage } = group;
        const begun = this.open({ ...start, rank: group.rank });
        // What was found while it was silent waited for this.
        if (damage !== undefined && begun.damage === undefined) {
          begun.damaged(damage, false);
          this.mend(begun);
        }
        this.markDirty(begun);
      },
      (error: unknown) => this.failed(error),
    );
  }

  /** Where the log was damaged: whether every replica that the map names here has everything again. */
  noteRecovered(): void {
    const { log } = this.options.stores;
    if ((log.facts.get(LOG_DAMAGED) ?? null) === null) return;
    for (const group of this.groups.values()) if (group.durable.recovery !== undefined) return;
    log
      .append([{ kind: "fact", name: LOG_DAMAGED, value: null }])
      .catch((error: unknown) => this.failed(error));
  }

  /** It took part in nothing until now; from here on it is a replica as every other. */
  private endRecovery(group: ReplicaGroup): void {
    if (group.durable.recovery?.term === undefined || group.replica.status().recovering === true) return;
    const writes: LogWrite[] = [];
    group.durable.recovered(writes);
    this.append(writes);
    this.options.onRecovery(group.id, undefined);
  }

  /**
   * A record of the group's state does not match its checksum: told, and repaired from another replica where
   * there is one. `halt` when a command could not be applied because of it.
   */
  damaged(group: ReplicaGroup, error: StoreCorruptError, halt = false): void {
    if (this.groups.get(group.id) !== group || this.stopped) return;
    const isNews = group.damage === undefined;
    group.damaged(error.message, halt);
    if (isNews) this.noteDamage(group, error.message);
  }

  /**
   * An admin has seen that a replica holds something else than the others: its state is made anew from another
   * one. @throws Mem0ctlError `only-copy` (conflict) where there is none.
   */
  rebuild(id: GroupId): void {
    const group = this.group(id);
    const { voters, outgoing, arbiters } = group.replica.status().membership;
    const others = [...voters, ...outgoing].filter(
      (node) => node !== this.options.self && !arbiters.includes(node),
    );
    if (others.length === 0) {
      throw new Mem0ctlError("conflict", "only-copy", `there is no other replica of shard ${id}`, {
        hint: "import what is wrong from an export",
      });
    }
    if (group.damage !== undefined) return;
    group.damaged("an admin asked for it to be made anew", false);
    this.noteDamage(group, "an admin asked for it to be made anew");
  }

  private noteDamage(group: ReplicaGroup, why: string): void {
    this.options.onDamage(group.id, why);
    this.mend(group);
  }

  /**
   * Asks others for the state, unless the log was damaged, too, and comes first: one that is silent has no log yet to go
   * on with after another state, and one that begins with nothing is sent a state anyway.
   */
  private mend(group: ReplicaGroup): void {
    const { recovery } = group.durable;
    if (recovery === undefined || (recovery.term !== undefined && !recovery.refill)) this.repair.begin(group);
  }

  /** Resolves when all that was applied so far is on disk, the shard map among it. */
  flushState(): Promise<void> {
    return this.options.stores.state.flush();
  }

  /**
   * Forgets a replica that the cluster has taken away from this node, if that is still due once all that was applied so
   * far is on disk, the shard map among it.
   */
  removeGroup(id: GroupId, isDue: () => boolean): Promise<void> {
    return this.leftovers.forget(id, isDue);
  }

  /** At the start, when all replicas that are on disk are known. */
  cleanForgotten(): void {
    this.leftovers.cleanForgotten();
  }

  /** Resolves once nothing of a former state or staging is being deleted any more. */
  cleaned(): Promise<void> {
    return this.leftovers.cleaned();
  }

  /** Whether this node holds a replica of any shard. */
  holdsShards(): boolean {
    for (const id of this.groups.keys()) if (id !== META_GROUP) return true;
    return false;
  }

  deliver(from: NodeId, id: GroupId, message: Message): void {
    const group = this.groups.get(id);
    if (group === undefined || this.stopped || message.from !== from) return;
    // As if the network had lost it: its sender sends it again, until there is room.
    if (carriesEntries(message) && this.takesNoEntries()) return;
    try {
      group.step({ kind: "message", message });
    } catch (error) {
      // A protocol throws only on a broken invariant, never on what a peer sent: it cannot go on half-stepped.
      this.options.onFailure(error);
    }
  }

  peerGone(peer: NodeId): void {
    if (this.stopped) return;
    for (const group of this.groups.values()) group.step({ kind: "unreachable", peer });
  }

  group(id: GroupId): ReplicaGroup {
    const group = this.groups.get(id);
    if (group === undefined) {
      throw new Mem0ctlError("unavailable", "not-here", `this node holds no replica of group ${id}`, {
        data: { group: id, leader: "" },
      });
    }
    return group;
  }

  private drop(group: ReplicaGroup, why: string): void {
    this.groups.delete(group.id);
    this.dirty.delete(group);
    group.close(why);
  }

  /** Makes `group` part of the next round of the loop. */
  markDirty(group: ReplicaGroup): void {
    // One that was taken away comes back to life by no late answer.
    if (this.groups.get(group.id) !== group) return;
    this.dirty.add(group);
    if (this.scheduled || this.stopped) return;
    this.scheduled = true;
    this.options.clock.soon(() => {
      this.scheduled = false;
      this.round();
    });
  }

  /** What nothing waits for but what is written after it. */
  private append(writes: readonly LogWrite[]): void {
    this.lastDurable = this.options.stores.log.append(writes);
    this.lastDurable.catch((error: unknown) => this.failed(error));
  }

  private scheduleTick(): void {
    const { clock } = this.options;
    this.tickTimer = clock.later(Math.max(1, this.lastTickMs + this.tickMs - clock.nowMs()), () => {
      if (this.stopped) return;
      this.tick();
      this.scheduleTick();
    });
  }

  private tick(): void {
    const now = this.options.clock.nowMs();
    const due = Math.floor((now - this.lastTickMs) / this.tickMs);
    if (due <= 0) return;
    this.lastTickMs = due > CATCH_UP_TICKS_MAX ? now : this.lastTickMs + due * this.tickMs;
    const count = Math.min(due, CATCH_UP_TICKS_MAX);
    this.ticks += count;
    const isBeat = this.ticks >= TICKS_PER_HEARTBEAT;
    if (isBeat) {
      this.ticks %= TICKS_PER_HEARTBEAT;
      this.options.beat();
    }
    for (let left = count; left > 0; left -= 1) {
      for (const group of this.groups.values()) group.step({ kind: "tick" });
    }
    // After the round, which takes the beats along where a group has something to say.
    if (isBeat) this.options.network.flushSoon();
  }

  /** One round: send, write and apply, answer, then (flushed) acknowledge. */
  private round(): void {
    if (this.stopped) return;
    const { self, stores, limits } = this.options;
    for (const group of this.dirty) group.proposeGathered();
    const groups = this.dirty;
    this.dirty = new Set();
    for (const group of groups) this.sendOutgoing(group);
    this.options.network.flush();
    const writing = [...groups].filter((group) => group.hasUnwritten());
    if (writing.length > 0) this.write(writing);
    for (const group of groups) {
      if (group.canSwitchState()) this.switchState(group);
      if (group.durable.recovery !== undefined) this.endRecovery(group);
    }
    const compaction = {
      self,
      state: stores.state,
      limits,
      groups: this.groups.size,
      snapshots: this.snapshots,
    };
    for (const group of groups) {
      if (group.changed) {
        group.changed = false;
        this.options.onChanged(group);
      }
      for (const wanted of group.takeSnapshotsWanted()) this.snapshots.send(group, wanted.to, wanted.term);
      compact(group, compaction);
    }
  }

  private sendOutgoing(group: ReplicaGroup): void {
    for (const message of group.takeOutgoing()) this.options.network.send(message.to, group.id, message);
  }

  private write(groups: readonly ReplicaGroup[]): void {
    const { log } = this.options.stores;
    const works = groups.map((group) => group.takeUnwritten());
    const replaced: Replaced[] = [];
    const writes: LogWrite[] = [];
    for (const work of works) replaced.push(...work.group.writeLog(work, writes));
    if (writes.length > 0) this.lastDurable = log.append(writes);
    for (const work of works) work.group.writing(work);
    if (log.full) this.promiseWithoutRoom();
    this.apply(
      works.filter(({ effects }) =>
        effects.some(({ persist, committed }) => committed.length > 0 || persist?.snapshot !== undefined),
      ),
    );
    // Without anything for the log, promises still wait for what was written to it before.
    this.lastDurable.then(
      () => {
        for (const work of works) {
          // Taken away meanwhile: under its name there may be another one already, which holds nothing of this.
          if (this.groups.get(work.group.id) !== work.group) continue;
          work.group.flushed(work);
          this.sendOutgoing(work.group);
        }
        // What was committed by it is answered in this turn, too, and shares the frame.
        this.options.network.flushSoon();
        for (const one of replaced) this.leftovers.dropReplaced(one);
      },
      (error: unknown) => this.failed(error),
    );
  }

  /** A disk that takes no entries still takes votes: elections go on. */
  private promiseWithoutRoom(): void {
    const { log } = this.options.stores;
    for (const group of this.groups.values()) {
      const works = group.promisesInFlight();
      if (works.length === 0) continue;
      log.promiseHardState(group.id).then(
        () => {
          // What was taken away meanwhile has nothing on disk to stand for its word.
          if (this.stopped || this.groups.get(group.id) !== group) return;
          group.hardStateFlushed(works);
          this.sendOutgoing(group);
          this.options.network.flush();
        },
        (error: unknown) => this.failed(error),
      );
    }
  }

  private apply(works: readonly Work[]): void {
    for (const work of works) this.applyTo(work.group, (writer) => work.group.apply(work, writer));
  }

  /** One transaction of one group: a record that cannot be read stops this group and no other. */
  private applyTo(group: ReplicaGroup, work: (writer: StoreWriter) => readonly Answer[]): void {
    let answers: readonly Answer[] = [];
    let damage: StoreCorruptError | undefined;
    const flushed = this.options.stores.state.transact((writer) => {
      try {
        answers = work(writer);
      } catch (error) {
        if (error instanceof StoreCorruptError) damage = error;
        throw error;
      }
    });
    for (const { give } of answers) give();
    const isNew = group.awaits(flushed);
    if (damage === undefined) group.visible();
    else this.damaged(group, damage, true);
    // Transactions that are flushed together share a promise.
    if (!isNew) return;
    flushed.then(
      () => group.settled(flushed, true),
      (error: unknown) => {
        group.settled(flushed, false);
        // What could not be read was told above, and nothing of the transaction was written.
        if (!(error instanceof StoreCorruptError)) this.failed(error);
      },
    );
  }

  /** A state from a peer takes the place of a damaged one: one small write to the log, then what came after it. */
  private switchState(group: ReplicaGroup): void {
    const writes: LogWrite[] = [];
    const prefix = group.durable.switchState(writes);
    const { generation } = group.durable;
    this.lastDurable = this.options.stores.log.append(writes);
    this.applyTo(group, (writer) => group.switchState(writer));
    this.lastDurable.then(
      () => this.leftovers.dropReplaced({ group, generation, prefix }),
      (error: unknown) => this.failed(error),
    );
  }

  /** A stopping node whose disk is full gives up what it could not write: nobody was promised it. */
  private failed(error: unknown): void {
    if (!this.stopped) this.options.onFailure(error);
  }
}

function carriesEntries(message: Message): boolean {
  return "entries" in message && Array.isArray(message.entries) && message.entries.length > 0;
}
