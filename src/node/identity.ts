// What a data directory is: whose it is, of which cluster and which format. Written once, checked at each
// start, so that data of another cluster or a newer format is refused before anything is touched.

import { createHash } from "node:crypto";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId, Protocol, ShardingStrategy, ShardKeyField } from "../model/ids.ts";
import type { Manifest } from "../model/manifest.ts";
import type { Clock } from "./clock.ts";
import type { LogStore } from "./storage/log-store.ts";

/** Raised whenever what is written changes its layout: neither an older nor a newer version may guess at it. */
const DATA_FORMAT = 2;

export interface Identity {
  readonly format: number;
  readonly cluster: string;
  readonly clusterId: string;
  readonly node: NodeId;
  /** What the data was written under, and what it cannot change to. */
  readonly settings: FoundingSettings;
  /** Made with the data directory: a node that lost its data comes back with another. */
  readonly uid: string;
  /** True once every replica that this node founded is on disk. */
  readonly founded: boolean;
}

/** Settings that decide how data lies on disk, and in which shard. */
export interface FoundingSettings {
  readonly protocol: Protocol;
  readonly sharding: ShardingStrategy;
  readonly shards: number;
  readonly key: ShardKeyField;
}

function settingsOf({ consensus, sharding }: Manifest): FoundingSettings {
  const { strategy, shards, key } = sharding;
  return { protocol: consensus.protocol, sharding: strategy, shards, key };
}

const IDENTITY = "identity";
const UID_BYTES = 16;

export function readIdentity(
  log: Pick<LogStore, "facts"> | { readonly facts: ReadonlyMap<string, unknown> },
): Identity | undefined {
  return log.facts.get(IDENTITY) as Identity | undefined;
}

export function writeIdentity(log: LogStore, identity: Identity): Promise<void> {
  return log.append([{ kind: "fact", name: IDENTITY, value: identity }]);
}

/** Of a node that has not begun: it may still begin under other settings. */
export function underManifest(identity: Identity, manifest: Manifest): Identity {
  return identity.founded ? identity : { ...identity, settings: settingsOf(manifest) };
}

/** The uid by which a peer goes: as it was founded with, or as it showed first. */
export function peerUid(log: Pick<LogStore, "facts">, peer: NodeId): string | undefined {
  const uid = log.facts.get(`peer ${peer}`);
  return typeof uid === "string" ? uid : undefined;
}

/** Resolves once it is on disk. */
export function writePeerUid(log: LogStore, peer: NodeId, uid: string): Promise<void> {
  return log.append([{ kind: "fact", name: `peer ${peer}`, value: uid }]);
}

export function newIdentity(manifest: Manifest, node: NodeId, clusterId: string, clock: Clock): Identity {
  return {
    format: DATA_FORMAT,
    cluster: manifest.name,
    clusterId,
    node,
    settings: settingsOf(manifest),
    uid: Buffer.from(clock.randomBytes(UID_BYTES)).toString("hex"),
    founded: false,
  };
}

/**
 * Throws `data-newer-format`, `data-older-format`, `data-of-other-cluster`, `data-of-other-node`; `protocol-changed` and
 * `sharding-changed` where the manifest now asks for what this data cannot become.
 */
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
  if (identity.format < DATA_FORMAT) {
    throw new Mem0ctlError(
      "conflict",
      "data-older-format",
      `the data in ${folder} was written by an older version`,
      {
        why: `its format is ${identity.format}, this version reads ${DATA_FORMAT}`,
        hint: "with the version that wrote it: `mem0ctl memories export --out all.jsonl`; then a new dataDir, `mem0ctl up`, `mem0ctl memories import all.jsonl`",
      },
    );
  }
  if (identity.cluster !== manifest.name) {
    throw new Mem0ctlError(
      "conflict",
      "data-of-other-cluster",
      `the data in ${folder} belongs to the cluster ${identity.cluster}, not to ${manifest.name}`,
      {
        why: "a data directory is one node's of one cluster",
        hint: "give this cluster another dataDir, or move the old data away",
      },
    );
  }
  if (identity.node !== node) {
    throw new Mem0ctlError(
      "conflict",
      "data-of-other-node",
      `the data in ${folder} belongs to ${identity.node}, not to ${node}`,
      {
        why: "a data directory is one node's of one cluster",
        hint: "give each node a dataDir of its own",
      },
    );
  }
  checkSettings(identity.settings, manifest, folder);
}

/** One protocol cannot read another's log, and a key would be looked for in a shard that does not have it. */
function checkSettings(written: FoundingSettings, manifest: Manifest, folder: string): void {
  const asked = settingsOf(manifest);
  if (written.protocol !== asked.protocol) {
    throw settingChanged(
      "protocol-changed",
      `protocol ${written.protocol}`,
      `protocol ${asked.protocol}`,
      folder,
    );
  }
  const { sharding, shards, key } = written;
  if (sharding === asked.sharding && shards === asked.shards && key === asked.key) return;
  const text = (one: FoundingSettings): string => `${one.shards} shards by ${one.sharding} of ${one.key}`;
  throw settingChanged("sharding-changed", text(written), text(asked), folder);
}

function settingChanged(code: string, before: string, now: string, folder: string): Mem0ctlError {
  return new Mem0ctlError(
    "conflict",
    code,
    `the data in ${folder} was written with ${before}, and the manifest says ${now}`,
    {
      why: "a running cluster cannot change this; its memories have to be moved into a new one",
      hint: "undo the change; to migrate: `mem0ctl memories export --out all.jsonl`, `mem0ctl down`, change the manifest and its dataDir, `mem0ctl up`, `mem0ctl memories import all.jsonl`",
    },
  );
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
