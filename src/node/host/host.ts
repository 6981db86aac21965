// Runs all replica groups of one node: one store, one network, one tick. The loop is the contract of the
// consensus seam: messages that need no disk leave first; then one transaction for everything that all
// groups want written or applied; answers once it is visible; promises (votes, acknowledgements) once it
// is on disk. Everything it touches is handed in, so a simulator can run this very code.

import type { DurableState, Membership, Message, ReplicaFactory, SnapshotMeta } from "../../consensus/seam.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { GroupId, NodeId } from "../../model/ids.ts";
import { prefixEnd, type Key } from "../storage/key.ts";
import { removeRange, StoreFullError, type Store } from "../storage/store.ts";
import type { Network } from "../transport/network.ts";
import { DurableGroup } from "./durable-group.ts";
import { LOG_ONLY, type StateMachine } from "./machine.ts";
import { ReplicaGroup, type Written } from "./replica-group.ts";
import { SnapshotTransfers } from "./snapshot-transfers.ts";

/** Time and chance, handed in. */
export interface Clock {
  nowMs(): number;
  /** Runs `work` after the inputs at hand have been taken in. */
  soon(work: () => void): void;
  later(ms: number, work: () => void): { cancel(): void };
  /** Uniform in [0, 1). */
  random(): number;
}

export interface HostOptions {
  readonly self: NodeId;
  readonly store: Store;
  readonly network: Network;
  readonly clock: Clock;
  readonly createReplica: ReplicaFactory;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly makeMachine: (group: GroupId, prefix: Key) => StateMachine;
  /** Log bytes that all groups together keep in memory for followers that lag. */
  readonly logBudgetBytes: number;
  /** Leader, term or membership of a group changed. */
  readonly onChanged: (group: ReplicaGroup) => void;
}

export interface GroupStart {
  readonly id: GroupId;
  /** Log only. */
  readonly arbiter: boolean;
  /** Preference as leader, 0 first. */
  readonly rank: number;
  /** What a group that is not on disk yet begins with. */
  readonly genesis: Membership;
}

/** A tick is a quarter of a heartbeat, so that randomised timeouts are fine-grained. */
const TICKS_PER_HEARTBEAT = 4;
/** Ticks made up for at once after the process was stopped; a stop must not look like an election timeout twice. */
const CATCH_UP_TICKS_MAX = TICKS_PER_HEARTBEAT * 2;
const FULL_RETRY_MS = 500;
const MIB = 1 << 20;

export class Host {
  readonly groups = new Map<GroupId, ReplicaGroup>();
  readonly snapshots: SnapshotTransfers;
  private readonly options: HostOptions;
  private readonly dirty = new Set<ReplicaGroup>();
  private scheduled = false;
  private stopped = false;
  private tickTimer: { cancel(): void } | undefined;
  private lastTickMs: number;
  private readonly tickMs: number;
  private refusal: string | null = null;
  private readonly cleaning = new Set<Promise<void>>();

  constructor(options: HostOptions) {
    this.options = options;
    this.tickMs = options.heartbeatIntervalMs / TICKS_PER_HEARTBEAT;
    this.lastTickMs = options.clock.nowMs();
    this.snapshots = new SnapshotTransfers({ host: this, store: options.store, network: options.network });
  }

  /** Why writes are refused just now (a full disk), null when they are not. */
  get writeRefusal(): string | null {
    return this.refusal;
  }

  start(): void {
    this.lastTickMs = this.options.clock.nowMs();
    this.scheduleTick();
  }

  /** Stops ticking, answers what waits with `unknown-outcome`, and lets what is being written finish. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.tickTimer?.cancel();
    for (const group of this.groups.values()) group.close("the node is stopping");
    await Promise.allSettled(this.cleaning);
  }

  /** Starts a group from disk, or anew. Throws StoreCorruptError when what is on disk cannot be trusted. */
  open(start: GroupStart): ReplicaGroup {
    const present = this.groups.get(start.id);
    if (present !== undefined) {
      present.rank = start.rank;
      return present;
    }
    const { store, clock } = this.options;
    const loaded = DurableGroup.load(start.id, store) ?? this.create(start);
    const { group: durable, durable: state } = loaded;
    const replica = this.options.createReplica(
      {
        id: this.options.self,
        heartbeatTicks: TICKS_PER_HEARTBEAT,
        electionTicks: Math.ceil(this.options.electionTimeoutMs / this.tickMs),
        priority: start.rank,
        arbiter: start.arbiter,
        random: () => clock.random(),
        appendBytesMax: MIB,
        inflightBytesMax: 16 * MIB,
        inflightMessagesMax: 256,
        uncommittedBytesMax: 64 * MIB,
      },
      state,
    );
    const group = new ReplicaGroup({
      id: start.id,
      replica,
      durable,
      machine: start.arbiter ? LOG_ONLY : this.options.makeMachine(start.id, durable.prefix()),
      rank: start.rank,
      nowMs: () => clock.nowMs(),
      onWork: (dirty) => this.markDirty(dirty),
    });
    this.groups.set(start.id, group);
    return group;
  }

  /** Forgets a replica that the cluster has taken away from this node. */
  async removeGroup(id: GroupId): Promise<void> {
    const group = this.groups.get(id);
    if (group === undefined) return;
    this.groups.delete(id);
    this.dirty.delete(group);
    group.close("the replica was moved away");
    let state: Key | undefined;
    await this.options.store.transact((writer) => {
      state = group.durable.remove(writer);
    });
    if (state !== undefined) this.clean(state, prefixEnd(state));
  }

  deliver(from: NodeId, id: GroupId, message: Message): void {
    const group = this.groups.get(id);
    if (group !== undefined && !this.stopped && message.from === from) group.step({ kind: "message", message });
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

  /** Makes `group` part of the next round of the loop. */
  markDirty(group: ReplicaGroup): void {
    this.dirty.add(group);
    if (this.scheduled || this.stopped) return;
    this.scheduled = true;
    this.options.clock.soon(() => {
      this.scheduled = false;
      this.round();
    });
  }

  /** Deletes a range at leisure. */
  clean(start: Key, end: Key): void {
    const work = removeRange(this.options.store, start, end).catch((error: unknown) => {
      // What is left is unreachable and is tried again at the next start; a failing disk ends the process elsewhere.
      if (!(error instanceof StoreFullError)) throw error;
    });
    this.cleaning.add(work);
    void work.finally(() => this.cleaning.delete(work));
  }

  private create(start: GroupStart): { group: DurableGroup; durable: DurableState } {
    const founder = start.genesis.voters.length > 0;
    // A founding replica begins after an agreed first entry: a later replica, which has nothing, must then
    // be sent a snapshot, and so gets the state that the group was founded with.
    const snapshot: SnapshotMeta = founder
      ? { index: 1, term: 1, membership: start.genesis }
      : { index: 0, term: 0, membership: start.genesis };
    const hardState = { term: snapshot.term, vote: "", commit: snapshot.index };
    let group: DurableGroup | undefined;
    // Durable with the first vote at the latest: transactions reach the disk in order.
    this.options.store
      .transact((writer) => {
        group = DurableGroup.create(start.id, this.options.store, writer, hardState, snapshot);
      })
      .catch(() => undefined);
    if (group === undefined) throw new Mem0ctlError("full", "disk-full", "no room to create a replica group");
    return { group, durable: { hardState, snapshot, entries: [], applied: snapshot.index } };
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
    for (let count = Math.min(due, CATCH_UP_TICKS_MAX); count > 0; count -= 1) {
      for (const group of this.groups.values()) group.step({ kind: "tick" });
    }
  }

  /** One round: send, write and apply, answer, then (flushed) acknowledge. */
  private round(): void {
    if (this.stopped) return;
    const groups = [...this.dirty];
    this.dirty.clear();
    for (const group of groups) this.sendOutgoing(group);
    this.options.network.flush();
    const writing = groups.filter((group) => group.canWrite());
    if (writing.length > 0 && this.refusal === null) this.write(writing);
    for (const group of groups) {
      if (group.changed) {
        group.changed = false;
        this.options.onChanged(group);
      }
      for (const wanted of group.takeSnapshotsWanted()) this.snapshots.send(group, wanted.to, wanted.term);
      this.compact(group);
    }
  }

  private sendOutgoing(group: ReplicaGroup): void {
    for (const message of group.takeOutgoing()) this.options.network.send(message.to, group.id, message);
  }

  private write(groups: readonly ReplicaGroup[]): void {
    const { store } = this.options;
    let written: Written[] = [];
    store
      .transact((writer) => {
        written = groups.map((group) => group.write(writer));
      })
      .then(
        () => this.writeDone(written),
        (error: unknown) => this.writeFailed(groups, error),
      );
  }

  private writeDone(written: readonly Written[]): void {
    for (const one of written) {
      one.group.written(one);
      one.group.flushed(one);
      for (const prefix of one.replaced) this.clean(prefix, prefixEnd(prefix));
      this.sendOutgoing(one.group);
    }
    this.options.network.flush();
  }

  /**
   * No room: nothing was written, and no acknowledgement leaves. Groups are then tried one by one, so that
   * a vote, which needs a few bytes, still finds its place; the rest is tried again until there is room.
   */
  private writeFailed(groups: readonly ReplicaGroup[], error: unknown): void {
    for (const group of groups) group.notWritten();
    if (!(error instanceof StoreFullError)) throw error;
    if (groups.length > 1) {
      for (const group of groups) this.write([group]);
      return;
    }
    this.refusal = "the disk is full";
    this.options.clock.later(FULL_RETRY_MS, () => {
      if (this.stopped) return;
      this.refusal = null;
      for (const group of this.groups.values()) if (group.hasUnwritten()) this.markDirty(group);
    });
  }

  private compact(group: ReplicaGroup): void {
    const budget = Math.max(MIB, this.options.logBudgetBytes / Math.max(1, this.groups.size));
    const status = group.replica.status();
    if (status.logBytes <= budget || group.applied <= status.first) return;
    // Keep the newer half for followers that are a little behind.
    let keep = 0;
    let index = group.applied;
    while (index > status.first && keep < budget / 2) {
      keep += group.replica.entry(index)?.data.length ?? 0;
      index -= 1;
    }
    if (index <= status.first || this.snapshots.sending(group.id)) return;
    group.step({ kind: "compact", index });
    const obsolete = group.durable.obsoleteLog();
    this.clean(obsolete.start, obsolete.end);
  }
}
