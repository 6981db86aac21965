// Drives one replica by hand: its peers are whatever messages a test makes up. `ReplicaDriver` is for any protocol,
// `Driver` for raft.

import { membershipOf } from "../../../src/consensus/membership.ts";
import type { RaftMessage } from "../../../src/consensus/raft/messages.ts";
import { createRaftReplica } from "../../../src/consensus/raft/replica.ts";
import type {
  DurableState,
  Effects,
  Entry,
  EntryKind,
  Input,
  Membership,
  Message,
  Replica,
  ReplicaFactory,
  ReplicaOptions,
  ReplicaStatus,
} from "../../../src/consensus/seam.ts";

export const ELECTION_TICKS = 10;

// A message without who sends it to whom: the driver knows. Distributes over the union.
type Content<M> = M extends Message ? Omit<M, "from" | "to"> : never;

export interface DriverParts {
  readonly membership?: Partial<Membership>;
  readonly options?: Partial<ReplicaOptions>;
  readonly durable?: Partial<DurableState>;
}

export class ReplicaDriver<M extends Message> {
  readonly replica: Replica;
  #sequence = 0;

  /** A replica `a`; voters a, b and c unless told otherwise. */
  constructor(
    create: ReplicaFactory,
    { membership = { voters: ["a", "b", "c"] }, options = {}, durable = {} }: DriverParts,
  ) {
    this.replica = create(
      {
        id: "a",
        heartbeatTicks: 2,
        electionTicks: ELECTION_TICKS,
        priority: 0,
        arbiter: false,
        random: () => 0,
        appendBytesMax: 10_000,
        inflightBytesMax: 100_000,
        inflightMessagesMax: 16,
        uncommittedBytesMax: 100_000,
        ...options,
      },
      {
        hardState: { term: 0, vote: "", commit: 0 },
        snapshot: { index: 0, term: 0, membership: membershipOf(membership) },
        entries: [],
        applied: 0,
        ...durable,
      },
    );
  }

  get status(): ReplicaStatus {
    return this.replica.status();
  }

  step(input: Input): Effects {
    const effects = this.replica.step(input);
    this.#sequence = effects.persist?.sequence ?? this.#sequence;
    return effects;
  }

  tick(count: number): Effects[] {
    return Array.from({ length: count }, () => this.step({ kind: "tick" }));
  }

  receive(from: string, content: Content<M>): Effects {
    const message: Message = { ...content, from, to: "a" };
    return this.step({ kind: "message", message });
  }

  /** Everything persisted so far is reported flushed. */
  flush(): Effects {
    return this.step({ kind: "persisted", sequence: this.#sequence });
  }

  propose(...texts: readonly string[]): Effects {
    return this.step({
      kind: "propose",
      proposals: texts.map((text, context) => ({ data: bytes(text), context })),
    });
  }
}

/** A raft replica. */
export class Driver extends ReplicaDriver<RaftMessage> {
  constructor(parts: DriverParts = {}) {
    super(createRaftReplica, parts);
  }

  /** Elected by `voters`, with nothing of its term committed. */
  elect(...voters: readonly string[]): this {
    this.step({ kind: "campaign" });
    const campaignTerm = this.status.term + 1;
    for (const from of voters) {
      this.receive(from, { kind: "pre-vote-response", term: campaignTerm - 1, campaignTerm, granted: true });
    }
    this.flush();
    for (const from of voters) {
      this.receive(from, { kind: "vote-response", term: campaignTerm, granted: true });
    }
    return this;
  }

  /** Leader, with its no-op flushed here and acknowledged by `voters`. */
  lead(...voters: readonly string[]): this {
    this.elect(...voters).flush();
    for (const from of voters) this.accept(from, this.status.last);
    return this;
  }

  /** `from` acknowledges the log up to `index`. */
  accept(from: string, index: number): Effects {
    return this.receive(from, { kind: "append-accepted", term: this.status.term, index });
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** An entry of a given term, kind and data. */
export function entry(index: number, term: number, text = "", kind: EntryKind = "command"): Entry {
  return { index, term, kind, data: bytes(text) };
}

/** A log whose entry i + 1 has the i-th term. */
export function logOf(...terms: readonly number[]): Entry[] {
  return terms.map((term, position) => entry(position + 1, term));
}

export function kinds(effects: Effects): readonly string[] {
  return effects.send.map(({ kind }) => kind);
}
