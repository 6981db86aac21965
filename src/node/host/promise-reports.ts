// What the other voters of a group tell one that has forgotten its promises, and what follows from it. Pure.

import type { Membership } from "../../consensus/seam.ts";
import type { NodeId } from "../../model/ids.ts";

/** What a member of the group knows, as it tells one that recovers; null where it holds no replica of it. */
export interface PromiseReport {
  readonly term: number;
  readonly commit: number;
  readonly membership: Membership;
  /** It has forgotten, too. */
  readonly recovering: boolean;
}

/** What is left of its own in the log that was damaged. */
export interface Remains {
  readonly term: number;
  readonly membership: Membership;
  /** Committed up to here, where the membership is written down. */
  readonly base: number;
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
  own: Remains,
  answers: ReadonlyMap<NodeId, PromiseReport | null>,
): Learned | undefined {
  const reports = [...answers.values()].filter((answer) => answer !== null);
  const known = reports.filter(({ recovering }) => !recovering);
  const newest = known.toSorted((a, b) => b.commit - a.commit)[0];
  if (newest === undefined) return undefined;
  // Whoever votes by what anybody knows.
  for (const { membership } of known) {
    for (const voter of [...membership.voters, ...membership.outgoing]) {
      if (voter === self) continue;
      const answer = answers.get(voter);
      if (answer === undefined || answer === null || answer.recovering) return undefined;
    }
  }
  // Where nobody knows as much as is written here, who was a voter then at least says that it is none. Else those known
  // have come after it, and who is not among them may have left the cluster, and answers no more.
  const isSuperseded = newest.commit >= own.base;
  for (const voter of isSuperseded ? [] : [...own.membership.voters, ...own.membership.outgoing]) {
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
