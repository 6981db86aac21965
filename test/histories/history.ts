// What clients asked of a cluster and what they were told: the common form of the histories that the
// simulator and the chaos runs record and that the checkers beside this file judge. A key is a memory's
// id, and every value is written once, so that a read says which write it saw.

/** `ok`: done, as the answer said. `failed`: certainly not done. `unknown`: nobody can say. */
export type Outcome = "ok" | "failed" | "unknown";

/**
 * `add` stores its value whatever was there, and `clear` leaves nothing whatever was there. `update` and `delete` were
 * told that the key was there; one that was told it is not saw what a read of null sees, and is recorded so.
 */
export type OperationKind = "add" | "update" | "delete" | "clear" | "read";

export interface Operation {
  readonly client: string;
  readonly key: string;
  readonly kind: OperationKind;
  /** What an add or update writes, or what a read saw; null for a delete and for a read of nothing. */
  readonly value: string | null;
  /** On one clock for all clients, in any unit. At equal times the operations count as concurrent. */
  readonly invoked: number;
  /** When the answer came; infinite for an unknown outcome, which may take effect at any time or never. */
  readonly returned: number;
  readonly outcome: Outcome;
  /** An update that was to be done only where this value was. */
  readonly expected?: string;
  /** How far a read may lag, in the same unit; infinite: any value that ever was. Absent: it asked for the newest. */
  readonly staleness?: number;
}

/** Why a history is refused. The codes are what tests assert; the message is for a person. */
export interface Violation {
  readonly code: "not-linearizable" | "undecided" | "phantom" | "lost" | "resurrected" | "stale" | "diverged";
  readonly key: string;
  readonly message: string;
}

export function isWrite({ kind }: Operation): boolean {
  return kind !== "read";
}

/** The operations of each key in the order in which they were asked for. */
export function byKey(history: readonly Operation[]): ReadonlyMap<string, readonly Operation[]> {
  const keys = new Map<string, Operation[]>();
  for (const operation of history) {
    const known = keys.get(operation.key);
    if (known === undefined) keys.set(operation.key, [operation]);
    else known.push(operation);
  }
  for (const operations of keys.values()) operations.sort((left, right) => left.invoked - right.invoked);
  return keys;
}

/** One line for a person: `[12.0, 15.5] client-2 update "b": ok`. */
export function describe({ client, kind, value, invoked, returned, outcome, staleness }: Operation): string {
  const end = Number.isFinite(returned) ? returned.toFixed(1) : "...";
  const what = value === null ? "nothing" : JSON.stringify(value);
  const words = kind === "delete" ? kind : `${staleness === undefined ? "" : "stale "}${kind} ${what}`;
  return `[${invoked.toFixed(1)}, ${end}] ${client} ${words}: ${outcome}`;
}
