// Gathers what one step asks of the host. Nothing is decided here; a step in which nothing happened
// costs no allocation.

import type { NodeId } from "../model/ids.ts";
import type {
  Effects,
  Entry,
  HardState,
  Message,
  PersistEffect,
  RefusalReason,
  SnapshotMeta,
} from "./seam.ts";
import { invariant } from "./invariant.ts";

const NONE: readonly never[] = Object.freeze([]);

/** What a step returns in which nothing happened. Shared and frozen. */
export const EMPTY_EFFECTS: Effects = Object.freeze({
  send: NONE,
  persist: undefined,
  sendAfterPersist: NONE,
  sendAfterHardState: NONE,
  committed: NONE,
  accepted: NONE,
  refused: NONE,
  reads: NONE,
  refusedReads: NONE,
  snapshotWanted: NONE,
  changed: false,
});

/** What only the end of a step knows. */
export interface StepEnd {
  readonly sequence: number;
  readonly hardState: HardState | undefined;
  /** Persist effects that are not flushed yet: a promise must not overtake them. */
  readonly unflushed: boolean;
  readonly committed: readonly Entry[];
  readonly changed: boolean;
}

interface Refusal {
  readonly context: number;
  readonly reason: RefusalReason;
  readonly leader: NodeId;
}

export class EffectsBuilder<M extends Message> {
  #touched = false;
  #send: M[] | undefined;
  #promises: M[] | undefined;
  #termPromises: M[] | undefined;
  #truncateFrom: number | undefined;
  #entries: Entry[] | undefined;
  #snapshot: SnapshotMeta | undefined;
  #compactTo: SnapshotMeta | undefined;
  #accepted: { readonly context: number; readonly index: number; readonly term: number }[] | undefined;
  #refused: Refusal[] | undefined;
  #reads: { readonly context: number; readonly index: number }[] | undefined;
  #refusedReads: Refusal[] | undefined;
  #snapshotWanted: { readonly to: NodeId; readonly term: number }[] | undefined;

  send(message: M): void {
    this.#touched = true;
    (this.#send ??= []).push(message);
  }

  /** A message that says something about this disk: it leaves after everything made so far is flushed. */
  promise(message: M): void {
    this.#touched = true;
    (this.#promises ??= []).push(message);
  }

  /** A promise about term and vote alone: it need not wait for entries that a full disk does not take. */
  promiseTerm(message: M): void {
    this.promise(message);
    (this.#termPromises ??= []).push(message);
  }

  truncate(from: number): void {
    invariant(this.#entries === undefined, "a step truncates before it appends");
    this.#touched = true;
    this.#truncateFrom = from;
  }

  append(entries: readonly Entry[]): void {
    this.#touched = true;
    if (this.#entries === undefined) this.#entries = [...entries];
    else this.#entries.push(...entries);
  }

  install(snapshot: SnapshotMeta): void {
    this.#touched = true;
    this.#snapshot = snapshot;
  }

  compact(base: SnapshotMeta): void {
    this.#touched = true;
    this.#compactTo = base;
  }

  accept(context: number, index: number, term: number): void {
    this.#touched = true;
    (this.#accepted ??= []).push({ context, index, term });
  }

  refuse(context: number, reason: RefusalReason, leader: NodeId): void {
    this.#touched = true;
    (this.#refused ??= []).push({ context, reason, leader });
  }

  read(context: number, index: number): void {
    this.#touched = true;
    (this.#reads ??= []).push({ context, index });
  }

  refuseRead(context: number, reason: RefusalReason, leader: NodeId): void {
    this.#touched = true;
    (this.#refusedReads ??= []).push({ context, reason, leader });
  }

  wantSnapshot(to: NodeId, term: number): void {
    this.#touched = true;
    (this.#snapshotWanted ??= []).push({ to, term });
  }

  /** Whether the step asked for anything yet. */
  get touched(): boolean {
    return this.#touched;
  }

  /** The effects of the step, and an empty builder for the next. */
  finish(end: StepEnd): Effects {
    const effects: Effects = {
      send: this.#send ?? NONE,
      persist: this.#persist(end),
      sendAfterPersist: this.#promises ?? NONE,
      sendAfterHardState: this.#termPromises ?? NONE,
      committed: end.committed,
      accepted: this.#accepted ?? NONE,
      refused: this.#refused ?? NONE,
      reads: this.#reads ?? NONE,
      refusedReads: this.#refusedReads ?? NONE,
      snapshotWanted: this.#snapshotWanted ?? NONE,
      changed: end.changed,
    };
    if (this.#touched) {
      this.#touched = false;
      this.#send = undefined;
      this.#promises = undefined;
      this.#termPromises = undefined;
      this.#truncateFrom = undefined;
      this.#entries = undefined;
      this.#snapshot = undefined;
      this.#compactTo = undefined;
      this.#accepted = undefined;
      this.#refused = undefined;
      this.#reads = undefined;
      this.#refusedReads = undefined;
      this.#snapshotWanted = undefined;
    }
    return effects;
  }

  // A promise about what an earlier step wrote (a duplicated append or vote request) must wait for that
  // step's flush, so it takes an empty persist effect that stands behind it in the host's order.
  #persist(end: StepEnd): PersistEffect | undefined {
    const nothing =
      end.hardState === undefined &&
      this.#entries === undefined &&
      this.#truncateFrom === undefined &&
      this.#snapshot === undefined &&
      this.#compactTo === undefined;
    if (nothing && !(this.#promises !== undefined && end.unflushed)) return undefined;
    return {
      sequence: end.sequence,
      ...(end.hardState === undefined ? {} : { hardState: end.hardState }),
      ...(this.#truncateFrom === undefined ? {} : { truncateFrom: this.#truncateFrom }),
      ...(this.#entries === undefined ? {} : { entries: this.#entries }),
      ...(this.#snapshot === undefined ? {} : { snapshot: this.#snapshot }),
      ...(this.#compactTo === undefined ? {} : { compactTo: this.#compactTo }),
    };
  }
}
