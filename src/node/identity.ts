// What a data directory is: whose it is, of which cluster and which format. Written once, checked at each
// start, so that data of another cluster or a newer format is refused before anything is touched.

import { createHash, randomUUID } from "node:crypto";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest } from "../model/manifest.ts";
import type { LogStore } from "./storage/log-store.ts";

/** Raised when an older version could not read what this one writes. */
const DATA_FORMAT = 1;

export interface Identity {
  readonly format: number;
  readonly cluster: string;
  readonly clusterId: string;
  readonly node: NodeId;
  /** Made with the data directory: a node that lost its data comes back with another. */
  readonly uid: string;
  /** True once every replica that this node founded is on disk. */
  readonly founded: boolean;
}

const IDENTITY = "identity";

export function readIdentity(log: LogStore): Identity | undefined {
  return log.facts.get(IDENTITY) as Identity | undefined;
}

export function writeIdentity(log: LogStore, identity: Identity): Promise<void> {
  return log.append([{ kind: "fact", name: IDENTITY, value: identity }]);
}

export function newIdentity(manifest: Manifest, node: NodeId, clusterId: string): Identity {
  return { format: DATA_FORMAT, cluster: manifest.name, clusterId, node, uid: randomUUID(), founded: false };
}

/** Throws `data-newer-format`, `data-of-other-cluster`, `data-of-other-node`. */
export function checkIdentity(identity: Identity, manifest: Manifest, node: NodeId, folder: string): void {
  if (identity.format > DATA_FORMAT) {
    throw new Mem0ctlError(
      "conflict",
      "data-newer-format",
      `the data in ${folder} was written by a newer version`,
      {
        why: `its format is ${identity.format}, this version reads up to ${DATA_FORMAT}`,
        hint: "upgrade mem0ctl on this machine",
      },
    );
  }
  if (identity.cluster !== manifest.name) {
    throw new Mem0ctlError(
      "conflict",
      "data-of-other-cluster",
      `the data in ${folder} belongs to the cluster ${identity.cluster}, not to ${manifest.name}`,
      { hint: "give this cluster another dataDir, or move the old data away" },
    );
  }
  if (identity.node !== node) {
    throw new Mem0ctlError(
      "conflict",
      "data-of-other-node",
      `the data in ${folder} belongs to ${identity.node}, not to ${node}`,
      { hint: "give each node a dataDir of its own" },
    );
  }
}

/** The same on every node that founds the cluster from the same settings, so founding needs no talk. */
export function foundingClusterId(manifest: Manifest): string {
  const founding = {
    name: manifest.name,
    nodes: manifest.nodes.map(({ id, role, zone, weight }) => ({ id, role, zone, weight })),
    replication: manifest.replication,
    sharding: manifest.sharding,
    protocol: manifest.consensus.protocol,
  };
  const digest = createHash("sha256").update(JSON.stringify(founding)).digest("hex");
  return [
    digest.slice(0, 8),
    digest.slice(8, 12),
    digest.slice(12, 16),
    digest.slice(16, 20),
    digest.slice(20, 32),
  ].join("-");
}
