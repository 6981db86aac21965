// A host of one replica that keeps every duty the seam names, with a disk in memory that forgets what was
// not flushed. Nothing moves on its own: tests say when it flushes, what arrives and when it crashes.

import { EMPTY_MEMBERSHIP } from "../../../src/consensus/membership.ts";
import type {
  DurableState,
  Effects,
  Entry,
  HardState,
  Input,
  Membership,
  Message,
  PersistEffect,
  Replica,
  ReplicaFactory,
  ReplicaOptions,
  SnapshotMeta,
} from "../../../src/consensus/seam.ts";

/** The state machine: how many entries it applied, and a digest over all of them in order. */
export interface AppliedState {
  readonly index: number;
  readonly digest: number;
}

export interface Snapshot {
  readonly meta: SnapshotMeta;
  readonly state: AppliedState;
}

type DiskWrite =
  | {
      readonly kind: "persist";
      readonly persist: PersistEffect;
      readonly promises: readonly Message[];
      /** Of a staged snapshot: switched to in the same transaction. */
      readonly staged: AppliedState | undefined;
    }
  | { readonly kind: "apply"; readonly state: AppliedState };

interface Disk {
  hardState: HardState;
  snapshot: SnapshotMeta;
  entries: Entry[];
  applied: AppliedState;
}

export interface HostEvents {
  readonly onSend: (message: Message) => void;
  /** After every step, before anything of it is done. */
  readonly onEffects: (host: SimulatedHost, input: Input, effects: Effects) => void;
  /** A replica was made from what is on disk, or is gone. */
  readonly onReplica: (id: string, replica: Replica | undefined) => void;
}

/** What runs on a host, and how careful the host is. */
export interface HostKind {
  readonly create: ReplicaFactory;
  /** Whether a commit index is written when nothing else of the hard state changed; a node does not bother. */
  readonly keepsCommit: boolean;
}

const decoder = new TextDecoder();

export class SimulatedHost {
  readonly id: string;
  readonly options: ReplicaOptions;
  readonly disk: Disk;
  replica: Replica | undefined;
  /** Written, visible to this process, not flushed. */
  writes: DiskWrite[] = [];
  state: AppliedState = { index: 0, digest: 0 };
  readonly #events: HostEvents;
  readonly #kind: HostKind;

  constructor(options: ReplicaOptions, membership: Membership, events: HostEvents, kind: HostKind) {
    this.#kind = kind;
    this.id = options.id;
    this.options = options;
    this.#events = events;
    const member = [...membership.voters, ...membership.learners].includes(options.id);
    this.disk = {
      hardState: { term: 0, vote: "", commit: 0 },
      snapshot: { index: 0, term: 0, membership: member ? membership : EMPTY_MEMBERSHIP },
      entries: [],
      applied: { index: 0, digest: 0 },
    };
    this.start();
  }

  /** From what is on disk. */
  start(): void {
    const { hardState, snapshot, entries, applied } = this.disk;
    const durable: DurableState = { hardState, snapshot, entries: [...entries], applied: applied.index };
    this.state = applied;
    this.replica = this.#kind.create(this.options, durable);
    this.#events.onReplica(this.id, this.replica);
  }

  /** Loses whatever was not flushed. */
  crash(): void {
    this.replica = undefined;
    this.#events.onReplica(this.id, undefined);
    this.writes = [];
  }

  /** The replica was taken away: its place on disk is empty, and a new one begins there. */
  wipe(): void {
    this.crash();
    this.disk.hardState = { term: 0, vote: "", commit: 0 };
    this.disk.snapshot = { index: 0, term: 0, membership: EMPTY_MEMBERSHIP };
    this.disk.entries = [];
    this.disk.applied = { index: 0, digest: 0 };
    this.start();
  }

  get running(): Replica {
    if (this.replica === undefined) throw new Error(`${this.id} is down`);
    return this.replica;
  }

  step(input: Input, staged?: AppliedState): Effects {
    const effects = this.running.step(input);
    this.#events.onEffects(this, input, effects);
    for (const message of effects.send) this.#events.onSend(message);
    if (effects.persist !== undefined) {
      const { persist, sendAfterPersist: promises } = effects;
      const switches = persist.snapshot !== undefined;
      if (switches) {
        if (staged === undefined) throw new Error("a snapshot is installed that was never staged");
        this.state = staged;
      }
      this.writes.push({ kind: "persist", persist, promises, staged: switches ? staged : undefined });
    } else {
      for (const message of effects.sendAfterPersist) this.#events.onSend(message);
    }
    if (effects.committed.length > 0) {
      for (const entry of effects.committed) this.#apply(entry);
      this.writes.push({ kind: "apply", state: this.state });
      this.step({ kind: "applied", index: this.state.index });
    }
    return effects;
  }

  /** Flushes the oldest `count` writes; promises leave and the replica learns of it only then. */
  flush(count: number = this.writes.length): void {
    const flushed = this.writes.splice(0, count);
    let sequence = 0;
    for (const write of flushed) {
      if (write.kind === "persist") {
        writeTo(this.disk, write.persist, this.#kind.keepsCommit);
        if (write.staged !== undefined) this.disk.applied = write.staged;
        sequence = write.persist.sequence;
      } else {
        this.disk.applied = write.state;
      }
    }
    for (const write of flushed) {
      if (write.kind === "persist") for (const message of write.promises) this.#events.onSend(message);
    }
    if (sequence > 0) this.step({ kind: "persisted", sequence });
  }

  /** What it would stream to a peer now. */
  snapshot(): Snapshot {
    const meta = this.running.snapshotAt(this.state.index);
    if (meta === undefined)
      throw new Error(`${this.id} cannot describe its own state at ${this.state.index}`);
    return { meta, state: this.state };
  }

  install(snapshot: Snapshot, from: string, term: number): void {
    this.step({ kind: "install", snapshot: snapshot.meta, from, term }, snapshot.state);
  }

  #apply(entry: Entry): void {
    if (entry.index !== this.state.index + 1) {
      throw new Error(`${this.id} is given entry ${entry.index} after ${this.state.index}`);
    }
    this.state = { index: entry.index, digest: digestOf(this.state.digest, entry) };
  }
}

/** A running digest over index, term, kind and data. */
export function digestOf(before: number, entry: Entry): number {
  let hash = before ^ 0x811c9dc5;
  for (const character of `${entry.index}/${entry.term}/${entry.kind}/${decoder.decode(entry.data)}`) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return hash >>> 0;
}

function writeTo(disk: Disk, persist: PersistEffect, keepsCommit: boolean): void {
  const { hardState } = persist;
  if (hardState !== undefined) {
    const promised = hardState.term !== disk.hardState.term || hardState.vote !== disk.hardState.vote;
    if (promised || keepsCommit) disk.hardState = hardState;
  }
  if (persist.snapshot !== undefined) {
    disk.snapshot = persist.snapshot;
    disk.entries = [];
  }
  const { truncateFrom } = persist;
  if (truncateFrom !== undefined) {
    disk.entries = disk.entries.filter((entry) => entry.index < truncateFrom);
  }
  for (const entry of persist.entries ?? []) {
    const next = disk.snapshot.index + disk.entries.length + 1;
    if (entry.index !== next) throw new Error(`entry ${entry.index} written where ${next} is due`);
    disk.entries.push(entry);
  }
  const { compactTo } = persist;
  if (compactTo !== undefined) {
    disk.snapshot = compactTo;
    disk.entries = disk.entries.filter((entry) => entry.index > compactTo.index);
  }
}

/** A small seeded generator (mulberry32), uniform in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
