// What a leaderless shard owes its clients: no single order, but after the faults all replicas are equal,
// what they hold is a last write (no acknowledged write that came after it is missing), and a key that was
// deleted is gone unless somebody wrote it later or at the same time. While it runs, a read sees a write
// that somebody made; where the quorums of reads and writes overlap, also none that was overwritten before
// the read began. Overlap is not linearizability: two reads may see two concurrent writes in either order.

import { byKey, describe, isWrite, type Operation, type Violation } from "./history.ts";

/** What one replica holds in the end: key -> value; a key that is not there was deleted or never written. */
export type ReplicaState = ReadonlyMap<string, string>;

export interface ConvergenceOptions {
  /** R + W > N, strictly counted: a read sees every write that was acknowledged before it began. */
  readonly overlap: boolean;
  /** How far the clocks that order the writes may differ: writes closer than that count as concurrent. */
  readonly skewMax?: number;
  /** Reads are written back before they are answered: none is older than one that ended before it began. */
  readonly atomic?: boolean;
}

/** Judges the history and the replicas' states after heal and repair; empty when both hold. */
export function checkConvergence(
  history: readonly Operation[],
  replicas: ReadonlyMap<string, ReplicaState>,
  { overlap, skewMax = 0, atomic = false }: ConvergenceOptions,
): readonly Violation[] {
  const violations: Violation[] = [];
  const keys = byKey(history);
  const held = new Set(keys.keys());
  for (const state of replicas.values()) for (const key of state.keys()) held.add(key);
  for (const key of held) {
    const operations = keys.get(key) ?? [];
    const writes = writesOf(operations);
    const finals = new Map<string | null, string[]>();
    for (const [node, state] of replicas) {
      const value = state.get(key) ?? null;
      finals.set(value, [...(finals.get(value) ?? []), node]);
    }
    if (finals.size > 1) violations.push({ code: "diverged", key, message: differences(finals) });
    for (const value of finals.keys()) {
      const wrong = judge({ value, invoked: Infinity, returned: Infinity }, writes, skewMax);
      if (wrong !== undefined) violations.push({ ...wrong, key });
    }
    for (const read of operations) {
      if (read.kind !== "read" || read.outcome !== "ok") continue;
      const wrong = judge(read, writes, skewMax);
      if (wrong?.code === "phantom") violations.push({ ...wrong, key });
      else if (wrong !== undefined && overlap && read.staleness === undefined) {
        violations.push({ code: "stale", key, message: `${describe(read)}\n  ${wrong.message}` });
      }
    }
    const turned = atomic ? turnedBack(operations, writes) : undefined;
    if (turned !== undefined) violations.push({ ...turned, key });
  }
  return violations;
}

/** All that may have changed the key; what nobody knows the end of may still do it. */
function writesOf(operations: readonly Operation[]): readonly Operation[] {
  return operations
    .filter((operation) => isWrite(operation) && operation.outcome !== "failed")
    .map((write) => (write.outcome === "unknown" ? { ...write, returned: Infinity } : write));
}

/** What was seen, and when. */
type Sight = Pick<Operation, "value" | "invoked" | "returned">;

/**
 * A value may be seen when somebody wrote it (nothing is there from the start) and no acknowledged write
 * lies between the end of one of its writes and the beginning of the look.
 */
function judge(
  { value, invoked, returned }: Sight,
  writes: readonly Operation[],
  skewMax: number,
): Omit<Violation, "key"> | undefined {
  const ends = writes
    .filter((write) => write.value === value && write.invoked <= returned)
    .map((write) => write.returned);
  if (value === null) ends.push(-Infinity);
  if (ends.length === 0) return { code: "phantom", message: `nobody wrote ${JSON.stringify(value)}` };
  const end = Math.max(...ends);
  const between = writes.find(
    (write) =>
      write.outcome === "ok" &&
      write.value !== value &&
      write.invoked > end + skewMax &&
      write.returned < invoked,
  );
  if (between === undefined) return undefined;
  const there = value === null ? "nothing" : JSON.stringify(value);
  return {
    code: value !== null && between.kind === "delete" ? "resurrected" : "lost",
    message: `${there} is there, after ${describe(between)}`,
  };
}

/** A read that saw a write which was over before the one that an earlier read had seen began. */
function turnedBack(
  operations: readonly Operation[],
  writes: readonly Operation[],
): Omit<Violation, "key"> | undefined {
  const reads = operations.filter(
    ({ kind, outcome, staleness }) => kind === "read" && outcome === "ok" && staleness === undefined,
  );
  /** When the last write of the value may have been over, and when the first may have begun. */
  const endOf = ({ value, returned }: Operation): number =>
    Math.max(
      -Infinity,
      ...writes
        .filter((write) => write.value === value && write.invoked <= returned)
        .map((write) => write.returned),
    );
  const beginningOf = ({ value }: Operation): number =>
    value === null
      ? -Infinity
      : Math.min(...writes.filter((write) => write.value === value).map((write) => write.invoked));
  for (const later of reads) {
    const earlier = reads.find(
      (read) =>
        read.returned < later.invoked && read.value !== later.value && endOf(later) < beginningOf(read),
    );
    if (earlier === undefined) continue;
    return { code: "stale", message: `${describe(later)}\n  is older than ${describe(earlier)}` };
  }
  return undefined;
}

function differences(finals: ReadonlyMap<string | null, readonly string[]>): string {
  return [...finals]
    .map(([value, nodes]) => `${nodes.join(", ")}: ${value === null ? "nothing" : JSON.stringify(value)}`)
    .join("; ");
}
