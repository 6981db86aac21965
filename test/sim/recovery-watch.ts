// What a member must have again before it counts as every other, whose log was damaged: all that may have been committed
// or chosen with its help. That is what was when it lost its log, and what came of its old promises later, for an
// acknowledgement may be late. What others commit without it, in the term in which it begins or a later one, rests on
// nothing that it has lost: where it learns that term, and its disk is full, they may be far ahead when it begins.

import type { Replica, ReplicaStatus } from "../../src/consensus/seam.ts";
import type { NodeId } from "../../src/model/ids.ts";
import { hasQuorum } from "./quorums.ts";

/** Whether an entry is on a node's disk. */
type IsHeldBy = (node: NodeId, index: number, term: number) => boolean;

/** Of a member, from when its log was damaged until it has everything again. */
interface Lost {
  /** It may have helped with all up to here. */
  upTo: number;
  /** The term in which it began again: in lower ones it helps by what it promised before. Undefined while it is silent. */
  term: number | undefined;
}

/** Of one group. */
export class RecoveryWatch {
  readonly #lost = new Map<NodeId, Lost>();
  /** Replicas as they were when their processes ended last. */
  readonly #before = new Map<NodeId, Replica>();
  /** Up to where raft replicas have committed, by their term. */
  readonly #committed = new Map<number, number>();

  /** The process of a replica is gone. */
  ended(node: NodeId, replica: Replica): void {
    this.#before.set(node, replica);
  }

  /** A raft replica has committed up to `commit`: whoever led it there did so in this term. */
  commits(term: number, commit: number): void {
    this.#committed.set(term, Math.max(commit, this.#committed.get(term) ?? 0));
  }

  /** A log was found damaged: its replica is silent until it knows in which term to begin. */
  damaged(node: NodeId, commitMax: number): void {
    const upTo = Math.max(commitMax, this.#lost.get(node)?.upTo ?? 0);
    this.#lost.set(node, { upTo, term: undefined });
  }

  /** A replica begins. One that does so in the middle of a recovery has lost nothing more. */
  begins(
    node: NodeId,
    { recovering, term }: Pick<ReplicaStatus, "recovering" | "term">,
    isHeldBy: IsHeldBy,
  ): void {
    const lost = this.#lost.get(node);
    if (recovering !== true) this.#lost.delete(node);
    else if (lost !== undefined && lost.term === undefined) {
      lost.upTo = Math.max(lost.upTo, chosenTo(this.#before.get(node), node, isHeldBy));
      lost.term = term;
    }
  }

  /** It counts as every other. Returns up to where it must know everything to be committed, or chosen. */
  counts(node: NodeId): number {
    const lost = this.#lost.get(node);
    this.#lost.delete(node);
    if (lost === undefined) return 0;
    const { upTo, term: begun = Infinity } = lost;
    return Math.max(upTo, ...[...this.#committed].map(([term, commit]) => (term < begun ? commit : 0)));
  }
}

/** The last entry that a quorum holds, the node with what it had on disk before among it: chosen, known or not. */
function chosenTo(replica: Replica | undefined, node: NodeId, isHeldBy: IsHeldBy): number {
  const status = replica?.status();
  if (replica === undefined || status?.ballot === undefined) return 0;
  for (let index = status.durable; index > status.commit; index -= 1) {
    const entry = replica.entry(index);
    if (entry === undefined || entry.kind === "hole") continue;
    const holds = (voter: NodeId): boolean => voter === node || isHeldBy(voter, index, entry.term);
    if (hasQuorum(status.membership, holds)) return index;
  }
  return 0;
}
