// Drives one multi-paxos replica by hand: its peers are whatever messages a test makes up.

import type { PaxosMessage } from "../../../src/consensus/paxos/messages.ts";
import { paxosReplicas } from "../../../src/consensus/paxos/replica.ts";
import type { Effects, Entry } from "../../../src/consensus/seam.ts";
import { ReplicaDriver, type DriverParts } from "./driver.ts";

/** Slots that may be worked on beyond the chosen ones. */
export const WINDOW = 8;

export class PaxosDriver extends ReplicaDriver<PaxosMessage> {
  #canvass = 0;

  /** A replica `a`; voters a, b and c unless told otherwise. */
  constructor(parts: DriverParts = {}) {
    super(paxosReplicas(WINDOW), parts);
  }

  /** Asked around, and `voters` are willing: a ballot is on its way to the disk. */
  canvass(...voters: readonly string[]): Effects {
    let effects = this.step({ kind: "campaign" });
    this.#canvass += 1;
    const { term } = this.status;
    for (const from of voters) {
      effects = this.receive(from, { kind: "canvass-answer", number: this.#canvass, term, willing: true });
    }
    return effects;
  }

  /** A ballot of its own, on disk and asked for. */
  prepare(...voters: readonly string[]): this {
    this.canvass(...voters);
    this.flush();
    return this;
  }

  /** `from` promises the ballot; its whole report is `entries`, from the slot after `commit` on. */
  promise(from: string, entries: readonly Entry[] = [], commit: number = this.status.commit): Effects {
    const first = entries[0]?.index ?? this.status.commit + 1;
    const last = entries.at(-1)?.index ?? commit;
    return this.receive(from, { kind: "promise", term: this.status.term, first, entries, last, commit });
  }

  /** Leader, by promises of `voters` that have nothing to report, its first slot chosen. */
  lead(...voters: readonly string[]): this {
    this.prepare(...voters);
    for (const from of voters) this.promise(from);
    this.flush();
    for (const from of voters) this.accept(from, 1, this.status.last);
    return this;
  }

  /** `from` accepted the slots `first` … `last` in this ballot. */
  accept(from: string, first: number, last: number = first): Effects {
    return this.receive(from, { kind: "accepted", term: this.status.term, first, last });
  }
}

export const HOLE = (index: number): Entry => ({ index, term: 0, kind: "hole", data: new Uint8Array(0) });

/** What a message of the kind carries, as `slot/term value` or `slot/term@ballot value`. */
export function values(entries: readonly Entry[]): readonly string[] {
  return entries.map(({ index, term, ballot, kind, data }) => {
    const place = ballot === undefined ? `${index}/${term}` : `${index}/${term}@${ballot}`;
    return `${place} ${kind === "command" ? new TextDecoder().decode(data) : kind}`;
  });
}
