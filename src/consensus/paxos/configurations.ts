// Which configuration decides which slot. One that is chosen at slot s decides from slot s + window on
// (Lamport, "Paxos Made Simple", 3): whoever works on slot i knows every slot up to i - window to be chosen,
// so it knows for certain who decides i, and nobody ever works on a slot under two configurations.

import type { NodeId } from "../../model/ids.ts";
import { decodeMembership, isVoter, membersOf } from "../membership.ts";
import type { Entry, Membership, SnapshotMeta } from "../seam.ts";

interface Configuration {
  /** Slot of the config entry. */
  readonly index: number;
  /** First slot that it decides. */
  readonly from: number;
  readonly membership: Membership;
}

export class Configurations {
  readonly #window: number;
  #oldest: Membership;
  /** Ascending by slot. */
  #later: Configuration[] = [];

  constructor(window: number, snapshot: SnapshotMeta) {
    this.#window = window;
    this.#oldest = snapshot.membership;
    this.#addPending(snapshot);
  }

  /** Who decides slot `index`. Certain only up to the window beyond the chosen prefix. */
  at(index: number): Membership {
    const found = this.#later.length === 0 ? undefined : this.#later.findLast((one) => one.from <= index);
    return found === undefined ? this.#oldest : found.membership;
  }

  /** The newest one in the log, in force or not, chosen or not. */
  get latest(): Membership {
    return this.#later.at(-1)?.membership ?? this.#oldest;
  }

  /** First slot that `latest` decides. */
  get latestFrom(): number {
    return this.#later.at(-1)?.from ?? 0;
  }

  /** The last slot that is decided by the same configuration as `index`. */
  lastLike(index: number): number {
    const next = this.#later.find((one) => one.from > index);
    return next === undefined ? Number.MAX_SAFE_INTEGER : next.from - 1;
  }

  /** All that decide slot `index` or a later one, in order. */
  onwards(index: number): readonly Membership[] {
    if (this.#later.length === 0) return [this.#oldest];
    return [
      this.at(index),
      ...this.#later.filter((one) => one.from > index).map(({ membership }) => membership),
    ];
  }

  /** Every member of those, once. */
  members(index: number): readonly NodeId[] {
    const configurations = this.onwards(index);
    const [only] = configurations;
    if (configurations.length === 1 && only !== undefined) return membersOf(only);
    return [...new Set(configurations.flatMap((one) => membersOf(one)))].toSorted();
  }

  /** Whether the node decides slot `index` or a later one. */
  isVoter(index: number, node: NodeId): boolean {
    return this.onwards(index).some((one) => isVoter(one, node));
  }

  /** A slot holds a value now, perhaps instead of another: a configuration that was there is rolled back. */
  place(entry: Entry): void {
    if (this.#later.some((one) => one.index === entry.index)) {
      this.#later = this.#later.filter((one) => one.index !== entry.index);
    }
    if (entry.kind !== "config") return;
    this.#add(entry.index, decodeMembership(entry.data));
  }

  /** The log begins after `index` now. */
  compact(index: number): void {
    this.#oldest = this.at(index + 1);
    this.#later = this.#later.filter((one) => one.from > index + 1);
  }

  /** What a snapshot at `index` carries: who decides the next slot, and who later ones. */
  describe(index: number, term: number): SnapshotMeta {
    const pending = this.#later
      .filter((one) => one.index <= index && one.from > index + 1)
      .map((one) => ({ index: one.index, membership: one.membership }));
    const meta = { index, term, membership: this.at(index + 1) };
    return pending.length === 0 ? meta : { ...meta, pending };
  }

  /** A snapshot took the place of the log up to its index. */
  reset(snapshot: SnapshotMeta): void {
    this.#oldest = snapshot.membership;
    this.#later = this.#later.filter((one) => one.index > snapshot.index);
    this.#addPending(snapshot);
  }

  #addPending(snapshot: SnapshotMeta): void {
    for (const { index, membership } of snapshot.pending ?? []) this.#add(index, membership);
  }

  #add(index: number, membership: Membership): void {
    this.#later.push({ index, from: index + this.#window, membership });
    this.#later.sort((a, b) => a.index - b.index);
  }
}
