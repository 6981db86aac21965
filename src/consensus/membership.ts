// Who belongs to a group: making, comparing and encoding `Membership`. Pure data; which changes are
// allowed when is the protocol's business (raft/reconfiguration.ts).

import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Membership } from "./seam.ts";

/** Nobody: what a replica knows that was created to be filled by a leader. */
export const EMPTY_MEMBERSHIP: Membership = Object.freeze({
  voters: [],
  outgoing: [],
  learners: [],
  arbiters: [],
});

/** A membership with sorted lists that hold no duplicates; absent lists are empty. */
export function membershipOf(parts: Partial<Membership>): Membership {
  return {
    voters: sortedSet(parts.voters ?? []),
    outgoing: sortedSet(parts.outgoing ?? []),
    learners: sortedSet(parts.learners ?? []),
    arbiters: sortedSet(parts.arbiters ?? []),
  };
}

/** Whether the node's vote and log count, in either half of a joint configuration. */
export function isVoter(membership: Membership, node: NodeId): boolean {
  return membership.voters.includes(node) || membership.outgoing.includes(node);
}

export function isMember(membership: Membership, node: NodeId): boolean {
  return isVoter(membership, node) || membership.learners.includes(node);
}

/** Every member once, sorted. */
export function membersOf(membership: Membership): readonly NodeId[] {
  return sortedSet([...membership.voters, ...membership.outgoing, ...membership.learners]);
}

/** Members that hold data or are being filled, sorted. */
export function dataMembersOf(membership: Membership): readonly NodeId[] {
  return membersOf(membership).filter((node) => !membership.arbiters.includes(node));
}

/**
 * Whether a group may become `target`: somebody must vote and hold data, and no voter turns from arbiter to data in
 * place, for it has none.
 */
export function canReplace(current: Membership, target: Membership): boolean {
  const { voters, outgoing, learners, arbiters } = target;
  return (
    outgoing.length === 0 &&
    voters.some((node) => !arbiters.includes(node)) &&
    arbiters.every((node) => voters.includes(node)) &&
    !learners.some((node) => voters.includes(node)) &&
    current.voters.every(
      (node) => !isMember(target, node) || current.arbiters.includes(node) === arbiters.includes(node),
    )
  );
}

/** The configuration between two, in which both decide (Raft dissertation 4.3). */
export function jointOf(current: Membership, target: Membership): Membership {
  return membershipOf({
    voters: target.voters,
    outgoing: current.voters,
    learners: target.learners,
    arbiters: [...current.arbiters, ...target.arbiters],
  });
}

/** What a joint configuration leads to. */
export function afterJoint(joint: Membership): Membership {
  const arbiters = joint.arbiters.filter((node) => joint.voters.includes(node));
  return { ...joint, outgoing: [], arbiters };
}

export function sameMembership(a: Membership, b: Membership): boolean {
  return (
    sameNodes(a.voters, b.voters) &&
    sameNodes(a.outgoing, b.outgoing) &&
    sameNodes(a.learners, b.learners) &&
    sameNodes(a.arbiters, b.arbiters)
  );
}

export function sameNodes(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node, position) => node === b[position]);
}

/** The data of a `config` entry: UTF-8 JSON of the four lists. */
export function encodeMembership(membership: Membership): Uint8Array {
  const { voters, outgoing, learners, arbiters } = membership;
  return new TextEncoder().encode(JSON.stringify({ voters, outgoing, learners, arbiters }));
}

/** The reverse of `encodeMembership`; undefined for anything else. */
export function parseMembership(data: Uint8Array): Membership | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const voters = nodeList(value, "voters");
  const outgoing = nodeList(value, "outgoing");
  const learners = nodeList(value, "learners");
  const arbiters = nodeList(value, "arbiters");
  if (voters === undefined || outgoing === undefined || learners === undefined || arbiters === undefined) {
    return undefined;
  }
  return membershipOf({ voters, outgoing, learners, arbiters });
}

/** The reverse of `encodeMembership`. @throws Mem0ctlError `membership-unreadable` */
export function decodeMembership(data: Uint8Array): Membership {
  const membership = parseMembership(data);
  if (membership === undefined) {
    throw new Mem0ctlError("failed", "membership-unreadable", "a membership entry cannot be read", {
      why: "its bytes are not what this version writes",
      hint: "repair this replica from a peer",
    });
  }
  return membership;
}

function nodeList(value: object, key: string): readonly NodeId[] | undefined {
  const list: unknown = Reflect.get(value, key);
  if (!Array.isArray(list)) return undefined;
  const nodes: NodeId[] = [];
  for (const node of list as readonly unknown[]) {
    if (typeof node !== "string" || node === "") return undefined;
    nodes.push(node);
  }
  return nodes;
}

function sortedSet(nodes: readonly NodeId[]): readonly NodeId[] {
  return [...new Set(nodes)].toSorted();
}
