// One replica of one group as the host runs it: the protocol's effects waiting to be written, the
// proposals and reads waiting to be answered, and how far each follower lags in time.

import { EMPTY_EFFECTS } from "../../consensus/effects.ts";
import type {
  Effects,
  Entry,
  Input,
  Membership,
  Message,
  PersistEffect,
  Proposal,
  RefusalReason,
  Replica,
} from "../../consensus/seam.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { groupName, type GroupId, type NodeId } from "../../model/ids.ts";
import type { Clock } from "../clock.ts";
import type { Key } from "../storage/key.ts";
import type { LogWrite } from "../storage/log-store.ts";
import type { StoreWriter } from "../storage/store.ts";
import { TransientMap } from "../transient-map.ts";
import type { DurableGroup } from "./durable-group.ts";
import { LagClock } from "./lag-clock.ts";
import { LOG_ONLY, type StateMachine } from "./machine.ts";

/** Rounds that wait for a disk; a full one can take long. Beyond, answers that say nothing new are not even kept. */
const IN_FLIGHT_MAX = 64;

/** What is to be written and then sent, in the order in which the protocol asked for it. */
interface Unwritten {
  readonly persist: PersistEffect | undefined;
  readonly sendAfterPersist: readonly Message[];
  readonly sendAfterHardState: readonly Message[];
  readonly committed: readonly Entry[];
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** An answer that is due once what it rests on is visible. */
export interface Answer {
  readonly waiting: Waiting;
  readonly give: () => void;
}

/** A state whose place another one takes. */
export interface Replaced {
  readonly group: ReplicaGroup;
  /** Where it lies. */
  readonly prefix: Key;
  /** Of the one that takes its place. */
  readonly generation: number;
}

/** What one round of the host writes for a group. */
export interface Work {
  readonly group: ReplicaGroup;
  readonly effects: readonly Unwritten[];
}

export class ReplicaGroup {
  readonly id: GroupId;
  readonly replica: Replica;
  readonly durable: DurableGroup;
  readonly machine: StateMachine;
  readonly lag: LagClock;
  /** Rank of this node among the replicas that may lead, 0 the most preferred. */
  rank: number;
  private readonly clock: Clock;
  /** Set by the host; called whenever there is something to write or send. */
  private readonly onWork: (group: ReplicaGroup) => void;
  private outgoing: Message[] = [];
  private proposing: Proposal[] = [];
  private unwritten: Unwritten[] = [];
  private readonly proposals = new TransientMap<number, Waiting>();
  private readonly accepted = new Map<number, { readonly term: number; readonly context: number }>();
  private readonly readContexts = new TransientMap<number, Waiting>();
  private readyReads: { readonly index: number; readonly waiting: Waiting }[] = [];
  private snapshotsWanted: { readonly to: NodeId; readonly term: number }[] = [];
  private nextContext = 1;
  private appliedIndex: number;
  private toldApplied: number;
  private flushedApplied: number;
  private readonly awaited = new Map<
    Promise<void>,
    { readonly index: number; readonly generation: number }
  >();
  /** What rounds of the host wrote to the log for this group and is not flushed yet, oldest first. */
  private inFlight: Work[] = [];
  /** Promises that left already, because the hard state they rest on was flushed alone. */
  private readonly sent = new WeakSet<Message>();
  /** The newest persist effect of those. */
  private toldSequence = 0;
  /** Something of leader, term or membership changed since the host last looked. */
  changed = true;
  /** Bytes that the log grew by since the host last thought of compacting it. */
  logGrowthBytes = 0;
  private believed: { readonly leader: NodeId; readonly term: number };
  private known: string | undefined;
  /** Applying met a record that cannot be read, or the state was never opened. */
  private isHalted: boolean;
  /** Committed entries up to here were handed out, whether or not they were applied. */
  private committedSeen: number;
  /** Index at which a state from a peer is staged, whole and flushed, in place of the damaged one. */
  private rebuiltAt: number | undefined;

  constructor(parts: {
    readonly id: GroupId;
    readonly replica: Replica;
    readonly durable: DurableGroup;
    readonly machine: StateMachine;
    readonly rank: number;
    readonly clock: Clock;
    /** Why its state cannot be used, where it could not even be opened. */
    readonly damage: string | undefined;
    readonly onWork: (group: ReplicaGroup) => void;
  }) {
    this.id = parts.id;
    this.replica = parts.replica;
    this.durable = parts.durable;
    this.machine = parts.machine;
    this.rank = parts.rank;
    this.clock = parts.clock;
    this.onWork = parts.onWork;
    const { applied, leader, term } = parts.replica.status();
    this.believed = { leader, term };
    this.appliedIndex = applied;
    this.toldApplied = this.appliedIndex;
    this.flushedApplied = this.appliedIndex;
    this.committedSeen = this.appliedIndex;
    this.known = parts.damage;
    this.isHalted = parts.damage !== undefined;
    this.lag = new LagClock(() => parts.clock.nowMs());
  }

  get applied(): number {
    return this.appliedIndex;
  }

  /** An arbiter's. */
  get keepsLogOnly(): boolean {
    return this.machine === LOG_ONLY;
  }

  /** Rounds whose part of the log is on its way to the disk. */
  get waitingForDisk(): number {
    return this.inFlight.length;
  }

  /** Whom this replica takes for the leader, "" for nobody. Every request asks; a whole status costs more. */
  get leadership(): { readonly leader: NodeId; readonly term: number } {
    return this.believed;
  }

  /** The members of what is applied, so committed; undefined before there is any. */
  committedMembership(): Membership | undefined {
    return this.replica.snapshotAt(this.replica.status().applied)?.membership;
  }

  /** Applied, and on disk as state. */
  get appliedOnDisk(): number {
    return this.flushedApplied;
  }

  /** What is known against its state, for people; undefined while nothing is. */
  get damage(): string | undefined {
    return this.known;
  }

  /** What an admin should know about it, for people; undefined while all is well. */
  get trouble(): string | undefined {
    const { recovery } = this.durable;
    if (recovery === undefined) return this.known;
    return recovery.term === undefined
      ? "its log was damaged: it waits until all other voters of the group have told the term they know"
      : "its log was damaged: it neither votes nor leads until it has everything again";
  }

  /** Commands are no longer applied here: what is proposed would never be answered. */
  get halted(): boolean {
    return this.isHalted;
  }

  /** A record of the state cannot be read. What is not applied because of it is answered by another replica. */
  damaged(why: string, halt: boolean): void {
    this.known ??= why;
    if (!halt) return;
    this.isHalted = true;
    const error = new Mem0ctlError("unknown-outcome", "replica-damaged", why, {
      why: "this replica cannot apply the command; another one may have",
      hint: "read the memory back, or repeat the request with the same id",
      data: { group: this.id, leader: "" },
    });
    this.abandon(error);
  }

  /** A peer's state at `index` lies staged: it takes the place of this one as soon as it can. */
  rebuilt(index: number): void {
    this.rebuiltAt = index;
    this.onWork(this);
  }

  /** What was staged as a new state is being written over by a snapshot. */
  forgetRebuilt(): void {
    this.rebuiltAt = undefined;
  }

  get isRebuilt(): boolean {
    return this.rebuiltAt !== undefined;
  }

  /** Whether the staged state can take over: what comes after it in the log is known to be committed. */
  canSwitchState(): boolean {
    return this.rebuiltAt !== undefined && this.rebuiltAt <= Math.max(this.committedSeen, this.appliedIndex);
  }

  /** The staged state is the state: what was committed after it is applied to it again, all at once. */
  switchState(writer: StoreWriter): Answer[] {
    const index = this.rebuiltAt ?? 0;
    const end = Math.max(this.committedSeen, this.appliedIndex);
    const committed: Entry[] = [];
    for (let at = index + 1; at <= end; at += 1) {
      const entry = this.replica.entry(at);
      if (entry === undefined) throw new Error(`entry ${at} of ${this.id} is missing`);
      committed.push(entry);
    }
    this.rebuiltAt = undefined;
    this.known = undefined;
    this.isHalted = false;
    this.appliedIndex = index;
    this.flushedApplied = index;
    this.machine.reload(this.durable.prefix());
    return this.apply(
      {
        group: this,
        effects: [{ persist: undefined, sendAfterPersist: [], sendAfterHardState: [], committed }],
      },
      writer,
    );
  }

  step(input: Input): void {
    const effects = this.replica.step(input);
    if (this.take(effects)) this.onWork(this);
  }

  /** Resolves with what the state machine answered. Rejects when it certainly was not done, or with kind
   * `unknown-outcome` when that cannot be said. */
  propose(data: Uint8Array, deadlineMs: number): Promise<unknown> {
    return this.wait(this.proposals, deadlineMs, (context) => {
      this.proposing.push({ data, context });
      this.onWork(this);
    });
  }

  /**
   * On the leader: resolves once this replica's state holds everything that was acknowledged before the
   * call, with an index that covers it.
   */
  async readIndex(deadlineMs: number): Promise<number> {
    return Number(
      await this.wait(this.readContexts, deadlineMs, (context) => this.step({ kind: "read", context })),
    );
  }

  /** Resolves once the state holds everything up to `index`. */
  async reached(index: number, deadlineMs: number): Promise<void> {
    await this.wait(this.readContexts, deadlineMs, (context) => {
      const waiting = this.readContexts.take(context);
      if (waiting !== undefined) this.readyReads.push({ index, waiting });
      this.serveReads();
    });
  }

  /** Hands the protocol what was proposed since the last round, in one step: one append to each follower. */
  proposeGathered(): void {
    if (this.proposing.length === 0) return;
    const proposals = this.proposing;
    this.proposing = [];
    this.step({ kind: "propose", proposals });
  }

  takeOutgoing(): readonly Message[] {
    const messages = this.outgoing;
    this.outgoing = [];
    return messages;
  }

  takeSnapshotsWanted(): readonly { readonly to: NodeId; readonly term: number }[] {
    const wanted = this.snapshotsWanted;
    this.snapshotsWanted = [];
    return wanted;
  }

  hasUnwritten(): boolean {
    return this.unwritten.length > 0;
  }

  /** A snapshot was accepted and is not yet the state: what is staged is spoken for. */
  isSwitching(): boolean {
    return this.unwritten.some(({ persist }) => persist?.snapshot !== undefined);
  }

  takeUnwritten(): Work {
    const effects = this.unwritten;
    this.unwritten = [];
    return { group: this, effects };
  }

  /** Adds the log's part of `work` to `writes`. Returns the states that a snapshot replaced. */
  writeLog(work: Work, writes: LogWrite[]): Replaced[] {
    const replaced: Replaced[] = [];
    for (const { persist } of work.effects) {
      const prefix = persist === undefined ? undefined : this.durable.write(persist, writes);
      if (prefix !== undefined) replaced.push({ group: this, prefix, generation: this.durable.generation });
    }
    return replaced;
  }

  /**
   * Applies what was committed. Returns the answers to give once the transaction is visible; they rest on
   * the quorum's flushed logs, not on this state being flushed. Throws StoreCorruptError when a record that
   * it needs cannot be read; the transaction must then not happen, and none of it counts as applied.
   */
  apply(work: Work, writer: StoreWriter): Answer[] {
    const answers: Answer[] = [];
    let before = this.appliedIndex;
    let term = 0;
    try {
      for (const { persist, committed } of work.effects) {
        if (persist?.snapshot !== undefined) {
          before = persist.snapshot.index;
          this.takeSnapshot(before);
        }
        for (const entry of committed) {
          this.committedSeen = Math.max(this.committedSeen, entry.index);
          if (this.isHalted || entry.index <= this.appliedIndex) continue;
          const result =
            entry.kind === "command" ? this.machine.apply(entry.data, entry.index, writer) : undefined;
          this.appliedIndex = entry.index;
          ({ term } = entry);
          const answer = this.answerFor(entry, result);
          if (answer !== undefined) answers.push(answer);
        }
      }
      if (this.appliedIndex !== before) {
        this.machine.finish(writer);
        this.durable.writeApplied(writer, this.appliedIndex, term);
      }
      return answers;
    } catch (error) {
      this.appliedIndex = before;
      for (const { committed } of work.effects) {
        this.committedSeen = Math.max(this.committedSeen, committed.at(-1)?.index ?? 0);
      }
      for (const { waiting } of answers) waiting.reject(timedOut(this.id));
      throw error;
    }
  }

  /** The protocol's own snapshot replaced state and log, and with them whatever was wrong. */
  private takeSnapshot(index: number): void {
    this.known = undefined;
    this.isHalted = false;
    this.rebuiltAt = undefined;
    this.appliedIndex = index;
    this.committedSeen = Math.max(this.committedSeen, index);
    this.machine.reload(this.durable.prefix());
    for (const accepted of this.accepted.keys()) if (accepted <= index) this.accepted.delete(accepted);
  }

  /** What was applied is visible: reads that waited for it are served. */
  visible(): void {
    if (this.appliedIndex > this.toldApplied) {
      this.toldApplied = this.appliedIndex;
      this.step({ kind: "applied", index: this.appliedIndex });
    }
    this.serveReads();
  }

  /** What is applied now is on disk once `flushed` resolves; false when that was waited for already. */
  awaits(flushed: Promise<void>): boolean {
    const isNew = !this.awaited.has(flushed);
    this.awaited.set(flushed, { index: this.appliedIndex, generation: this.durable.generation });
    return isNew;
  }

  /** What `flushed` stood for is on disk: the log before it can go. Or it was never written. */
  settled(flushed: Promise<void>, isOnDisk: boolean): void {
    const state = this.awaited.get(flushed);
    this.awaited.delete(flushed);
    if (!isOnDisk || state?.generation !== this.durable.generation) return;
    this.flushedApplied = Math.max(this.flushedApplied, state.index);
  }

  /** The log's part of `work` is being written. */
  writing(work: Work): void {
    this.inFlight.push(work);
  }

  /** The log's part of `work` is on disk: what promises so may leave. */
  flushed(work: Work): void {
    for (const { persist, sendAfterPersist } of work.effects) {
      for (const message of sendAfterPersist) if (!this.sent.has(message)) this.outgoing.push(message);
      if (persist !== undefined) this.step({ kind: "persisted", sequence: persist.sequence });
    }
    this.inFlight = this.inFlight.filter((other) => other !== work);
  }

  /** What is being written and has a promise about the hard state alone in it. */
  promisesInFlight(): readonly Work[] {
    const isPromise = ({ persist, sendAfterHardState }: Unwritten): boolean =>
      (persist?.hardState !== undefined && persist.sequence > this.toldSequence) ||
      sendAfterHardState.some((message) => !this.sent.has(message));
    return this.inFlight.filter(({ effects }) => effects.some(isPromise));
  }

  /** The hard state of `works` is on disk, though not yet their entries: votes may leave. */
  hardStateFlushed(works: readonly Work[]): void {
    let sequence = 0;
    for (const { persist, sendAfterHardState } of works.flatMap((work) => work.effects)) {
      for (const message of sendAfterHardState) {
        if (this.sent.has(message)) continue;
        this.sent.add(message);
        this.outgoing.push(message);
      }
      sequence = Math.max(sequence, persist?.sequence ?? 0);
    }
    if (sequence <= this.toldSequence) return;
    this.toldSequence = sequence;
    this.step({ kind: "hard-state-persisted", sequence });
  }

  close(reason: string): void {
    const error = new Mem0ctlError("unknown-outcome", "node-stopping", reason, {
      why: "the node stopped before it could answer",
      hint: "read the memory back, or repeat the request with the same id",
    });
    this.abandon(error);
    this.machine.close();
  }

  private abandon(error: Mem0ctlError): void {
    for (const waiting of [...this.proposals.takeAll(), ...this.readContexts.takeAll()])
      waiting.reject(error);
    for (const { waiting } of this.readyReads) waiting.reject(error);
    this.readyReads = [];
  }

  private wait(
    table: TransientMap<number, Waiting>,
    deadlineMs: number,
    start: (context: number) => void,
  ): Promise<unknown> {
    const context = this.nextContext++;
    const { clock } = this;
    return new Promise((resolve, reject) => {
      const timer = clock.later(Math.max(1, deadlineMs - clock.nowMs()), () => {
        table.take(context);
        this.readyReads = this.readyReads.filter(({ waiting }) => waiting !== entry);
        reject(timedOut(this.id));
      });
      const entry: Waiting = {
        resolve: (result) => {
          timer.close();
          resolve(result);
        },
        reject: (error) => {
          timer.close();
          reject(error);
        },
      };
      table.set(context, entry);
      start(context);
    });
  }

  /** Sorts one batch of effects into queues; true when the host has something to do. */
  private take(effects: Effects): boolean {
    if (effects === EMPTY_EFFECTS) return false;
    let work = false;
    if (effects.changed) {
      this.changed = true;
      const status = this.replica.status();
      this.believed = { leader: status.leader, term: status.term };
      this.lag.leading(status);
      work = true;
    }
    if (effects.send.length > 0) {
      this.outgoing.push(...effects.send);
      work = true;
    }
    for (const { data } of effects.persist?.entries ?? []) this.logGrowthBytes += data.length;
    if (
      effects.persist !== undefined ||
      effects.sendAfterPersist.length > 0 ||
      effects.committed.length > 0
    ) {
      const nothingBefore = this.unwritten.length === 0 && this.inFlight.length === 0;
      if (effects.persist === undefined && effects.committed.length === 0 && nothingBefore) {
        this.outgoing.push(...effects.sendAfterPersist);
      } else if (this.inFlight.length < IN_FLIGHT_MAX || !isAnswerAlone(effects)) {
        this.unwritten.push(effects);
      }
      work = true;
    }
    for (const { context, index, term } of effects.accepted) {
      this.accepted.set(index, { term, context });
      this.lag.appended(index);
    }
    for (const { context, reason, leader } of effects.refused)
      this.refuse(this.proposals, context, reason, leader);
    for (const { context, reason, leader } of effects.refusedReads) {
      this.refuse(this.readContexts, context, reason, leader);
    }
    for (const { context, index } of effects.reads) {
      const waiting = this.readContexts.take(context);
      if (waiting === undefined) continue;
      this.readyReads.push({ index, waiting });
    }
    if (effects.reads.length > 0) this.serveReads();
    if (effects.snapshotWanted.length > 0) {
      this.snapshotsWanted.push(...effects.snapshotWanted);
      work = true;
    }
    return work;
  }

  private serveReads(): void {
    if (this.readyReads.length === 0) return;
    const later: typeof this.readyReads = [];
    for (const read of this.readyReads) {
      if (read.index <= this.appliedIndex) read.waiting.resolve(read.index);
      else later.push(read);
    }
    this.readyReads = later;
  }

  private answerFor(entry: Entry, result: unknown): Answer | undefined {
    const place = this.accepted.get(entry.index);
    if (place === undefined) return undefined;
    this.accepted.delete(entry.index);
    const waiting = this.proposals.take(place.context);
    if (waiting === undefined) return undefined;
    if (place.term === entry.term) return { waiting, give: () => waiting.resolve(result) };
    // Another leader's entry took the place: this proposal can never commit.
    const refused = (): void => waiting.reject(refusal(this.id, "not-leader", this.replica.status().leader));
    return { waiting, give: refused };
  }

  private refuse(
    table: TransientMap<number, Waiting>,
    context: number,
    reason: RefusalReason,
    leader: NodeId,
  ): void {
    const waiting = table.take(context);
    if (waiting === undefined) return;
    waiting.reject(refusal(this.id, reason, leader));
  }
}

/** Certainly not done; `data.leader` is a hint where to go. */
function refusal(group: GroupId, reason: RefusalReason, leader: NodeId): Mem0ctlError {
  if (reason === "overloaded") {
    return new Mem0ctlError("busy", "group-overloaded", `${groupName(group)} has too much in flight`, {
      hint: "send less at a time, or try again shortly",
    });
  }
  return new Mem0ctlError("unavailable", "not-leader", `this node does not lead ${groupName(group)}`, {
    why: reason,
    data: { leader, group },
  });
}

function timedOut(group: GroupId): Mem0ctlError {
  return new Mem0ctlError("unknown-outcome", "timed-out", `${groupName(group)} did not answer in time`, {
    why: "no quorum of its replicas acknowledged before the deadline",
    hint: "the outcome of a write is unknown: read it back, or repeat it with the same id",
    data: { group },
  });
}

/** Whether the disk gets nothing of it: as if the network had lost the answer, which is asked for again. */
function isAnswerAlone({ persist, sendAfterHardState, committed }: Effects): boolean {
  if (sendAfterHardState.length > 0 || committed.length > 0) return false;
  return persist === undefined || Object.keys(persist).length === 1;
}
