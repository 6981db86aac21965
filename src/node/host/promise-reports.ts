// What the other voters of a group tell one that has forgotten its promises, and what follows from it. Pure.

import type { Membership, ReplicaStatus } from "../../consensus/seam.ts";
import type { NodeId } from "../../model/ids.ts";

/** What a member of the group knows, as it tells one that recovers; null where it holds no replica of it. */
export interface PromiseReport {
  readonly term: number;
  readonly commit: number;
  readonly membership: Membership;
  /** It has forgotten, too. */
  readonly recovering: boolean;
}

/** Where a group begins again. */
export interface Learned {
  readonly term: number;
  readonly trusted: readonly NodeId[];
  readonly membership: Membership;
}

/** What follows from the answers; undefined while somebody is missing whose answer could matter. */
export function conclude(
  self: NodeId,
  own: Pick<ReplicaStatus, "term" | "membership">,
  answers: ReadonlyMap<NodeId, PromiseReport | null>,
): Learned | undefined {
  const reports = [...answers.values()].filter((answer) => answer !== null);
  const known = reports.filter(({ recovering }) => !recovering);
  const newest = known.toSorted((a, b) => b.commit - a.commit)[0];
  if (newest === undefined) return undefined;
  // Whoever votes by what anybody knows; who was a voter by what is written here at least says that it is none.
  for (const { membership } of known) {
    for (const voter of [...membership.voters, ...membership.outgoing]) {
      if (voter === self) continue;
      const answer = answers.get(voter);
      if (answer === undefined || answer === null || answer.recovering) return undefined;
    }
  }
  for (const voter of [...own.membership.voters, ...own.membership.outgoing]) {
    if (voter !== self && (answers.get(voter) === undefined || answers.get(voter)?.recovering === true)) {
      return undefined;
    }
  }
  const term = 1 + Math.max(own.term, ...reports.map((report) => report.term));
  const { membership } = newest;
  const others = membership.voters.filter((voter) => voter !== self);
  const isPair = known.every(
    (report) =>
      report.membership.outgoing.length === 0 &&
      report.membership.voters.length === 2 &&
      report.membership.voters.includes(self),
  );
  return { term, trusted: isPair ? others : [], membership };
}
