// Which protocol a replica group runs: shards that of the manifest, the metadata group always raft.

import { paxosReplicas } from "../../consensus/paxos/replica.ts";
import { createRaftReplica } from "../../consensus/raft/replica.ts";
import type { ReplicaFactory } from "../../consensus/seam.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { META_GROUP, type GroupId } from "../../model/ids.ts";
import type { ConsensusSpec } from "../../model/manifest.ts";

type Protocol = ConsensusSpec["protocol"];

/** Those over a replicated log; the quorum protocol has no groups of this kind. */
const FACTORIES: Readonly<Partial<Record<Protocol, ReplicaFactory>>> = {
  raft: createRaftReplica,
  paxos: paxosReplicas(),
};

/** Whether logs that agree on an entry agree on all before it (Raft 2): an acceptor's slots say nothing of each other. */
export function haveLogsMatching(protocol: Protocol, group: GroupId): boolean {
  return group === META_GROUP || protocol !== "paxos";
}

/** Throws `protocol-unknown` for shards of a protocol that has no replicated log. */
export function replicaFactoryOf(protocol: Protocol, group: GroupId): ReplicaFactory {
  const factory = FACTORIES[group === META_GROUP ? "raft" : protocol];
  if (factory === undefined) {
    throw new Mem0ctlError("failed", "protocol-unknown", `a node cannot run ${protocol} groups`);
  }
  return factory;
}
