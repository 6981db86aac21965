// What two nodes say to each other before anything else, and whether one of them is refused: a stranger, a
// member of another cluster, or a node that lost its data and came back empty under its old id. Such a one
// might vote twice in a term, or deny what it acknowledged.

import type { NodeId } from "../../model/ids.ts";

export interface Hello {
  readonly k: "hello";
  readonly clusterId: string;
  readonly from: NodeId;
  readonly to: NodeId;
  /** Made with the data directory. */
  readonly uid: string;
}

export function notPart(node: NodeId): string {
  return `${node} is not part of the cluster`;
}

interface Receiver {
  readonly self: NodeId;
  readonly clusterId: string;
  /** The uid a peer had before, if ever seen. */
  readonly knownUid: (peer: NodeId) => string | undefined;
}

/** Why the one who said `hello` is refused; `expected` is whom this side dialled, undefined when it was called. */
export function refusalOf(
  hello: Hello,
  { self, clusterId, knownUid }: Receiver,
  expected: NodeId | undefined,
  isMember: boolean,
): string | undefined {
  if (hello.clusterId !== clusterId) return `${hello.from} belongs to another cluster (${hello.clusterId})`;
  if (hello.to !== self) return `${hello.from} looked for ${hello.to} and reached ${self}`;
  if (expected !== undefined && hello.from !== expected) {
    return `${expected} was expected at its address and ${hello.from} answered`;
  }
  if (!isMember) return notPart(hello.from);
  const known = knownUid(hello.from);
  if (known !== undefined && known !== hello.uid) {
    return `${hello.from} came back without its data; a node that lost its data joins under a new id`;
  }
  return undefined;
}
