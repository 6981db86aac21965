// The configurations of a log: a replica uses the newest one in its log, committed or not (Raft
// section 6), so a truncated one must give way to the one before it.

import type { NodeId } from "../../model/ids.ts";
import { decodeMembership, isVoter } from "../membership.ts";
import type { Entry, Membership } from "../seam.ts";

interface Configuration {
  /** Of the config entry; of the snapshot for the oldest one. */
  readonly index: number;
  readonly membership: Membership;
}

export class MembershipHistory {
  #oldest: Configuration;
  #newer: Configuration[] = [];

  constructor(index: number, membership: Membership) {
    this.#oldest = { index, membership };
  }

  get current(): Membership {
    return (this.#newer.at(-1) ?? this.#oldest).membership;
  }

  /** Where the current one stands in the log. */
  get currentIndex(): number {
    return (this.#newer.at(-1) ?? this.#oldest).index;
  }

  /**
   * Whether the node votes in the current configuration or, while that is not committed, in one that it
   * follows: until then its vote and its log may be needed to commit its own removal (dissertation 4.2.2).
   */
  isVoterSince(commit: number, node: NodeId): boolean {
    for (let position = this.#newer.length - 1; position >= 0; position -= 1) {
      const one = this.#newer[position];
      if (one === undefined) break;
      if (isVoter(one.membership, node)) return true;
      if (one.index <= commit) return false;
    }
    return isVoter(this.#oldest.membership, node);
  }

  /** The membership that a snapshot at `index` carries. */
  at(index: number): Membership {
    return (this.#newer.findLast((one) => one.index <= index) ?? this.#oldest).membership;
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.kind !== "config") continue;
      this.#newer.push({ index: entry.index, membership: decodeMembership(entry.data) });
    }
  }

  truncate(from: number): void {
    while ((this.#newer.at(-1)?.index ?? 0) >= from) this.#newer.pop();
  }

  compact(index: number): void {
    const membership = this.at(index);
    this.#oldest = { index, membership };
    this.#newer = this.#newer.filter((one) => one.index > index);
  }

  reset(index: number, membership: Membership): void {
    this.#oldest = { index, membership };
    this.#newer = [];
  }
}
