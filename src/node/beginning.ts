// How a node with an empty data directory begins: as a founder of a new cluster, as one that joins a living one, or
// not at all, because it lost its data. Decided from what the other nodes say, and only when enough of them do:
//
// - A founder waits until every other node of the manifest has answered, and has written down by which uid each of
//   them goes. So whoever has founded knows every founder again, and one that lost its data, which must hear all of
//   them before it may found a second time, hears it from any whom it may have promised something. No smaller number
//   is enough: what it promised may be known to one node alone (the leader of a group of two, or of three whose third
//   member was away).
// - A founder that comes late, when others have founded, goes on where one of them knows its uid: its data directory
//   is then the one that they founded with, and it has promised nothing yet.
// - One that joins a living cluster is admitted by the metadata group, which keeps the uid: once, and no other
//   under this id. So it needs a majority, and none of those that are down.

import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { initialShardMap } from "../topology/shard-map.ts";
import { pause, type Clock } from "./clock.ts";
import {
  checkIdentity,
  foundingClusterId,
  newIdentity,
  peerUid,
  readIdentity,
  underManifest,
  writeIdentity,
  writePeerUid,
  type Identity,
} from "./identity.ts";
import type { LogStore } from "./storage/log-store.ts";

/** Between the first two times that the others are asked, and at most later. */
const WAIT_MS_MIN = 50;
const WAIT_MS_MAX = 500;
/** So many nodes are named in a message. */
const NAMED_MAX = 5;
const WRITES = "writes down who the other nodes are";

export interface Beginning {
  readonly clusterId: string;
  readonly map: ShardMap;
  /** True: this node makes its replicas itself, as the agreed founding state says. */
  readonly founder: boolean;
}

/** The other nodes, as one that has no data can ask them. */
export interface Others {
  /** What each other node of the manifest says of itself; undefined for one that does not answer. */
  reports(): Promise<readonly (NodeReport | undefined)[]>;
  /**
   * Has the metadata group admit this node, through one that runs. Resolves to the uid that is admitted under its id,
   * null where the group expects nobody under it. Rejects where that cannot be said now.
   */
  admit(through: NodeId, uid: string): Promise<string | null>;
}

/** What a node is that may not begin yet, and what it says of itself meanwhile. */
export interface Waiting {
  /** As the end of a sentence that begins with the node. */
  readonly why: string;
  readonly clusterId: string;
  readonly map: ShardMap;
  readonly uid: string;
}

export type Decision =
  | { readonly kind: "begin"; readonly beginning: Beginning }
  /** The metadata group has to admit it. */
  | { readonly kind: "admit"; readonly beginning: Beginning; readonly through: readonly NodeId[] }
  | {
      readonly kind: "wait";
      readonly beginning: Beginning;
      readonly why: string;
      /** By which uids the others go, to be written down before this node may found. */
      readonly heard: ReadonlyMap<NodeId, string>;
    };

/**
 * Whose the data directory is, made out when it is new. `start` is how the node begins, undefined when it
 * has begun before; the others are then not asked. Waits for as long as they do not let it begin. Throws what
 * `checkIdentity` and `beginningAmong` throw.
 */
export async function establish(parts: {
  readonly manifest: Manifest;
  readonly spec: NodeSpec;
  readonly log: LogStore;
  readonly clock: Clock;
  /** For messages. */
  readonly folder: string;
  readonly others: Others;
  /** Told whenever it has asked and may not begin: from then on it has to answer the others. */
  readonly onWaiting: (waiting: Waiting) => Promise<void>;
}): Promise<{ readonly identity: Identity; readonly start: Beginning | undefined }> {
  const { manifest, spec, log, clock, folder, others, onWaiting } = parts;
  const written = readIdentity(log);
  // Nothing lies on its disk yet: the manifest may still be changed.
  const known = written !== undefined && log.groups.size === 0 ? underManifest(written, manifest) : written;
  if (known !== undefined) checkIdentity(known, manifest, spec.id, folder);
  if (known?.founded === true) return { identity: known, start: undefined };
  const own = known ?? newIdentity(manifest, spec.id, foundingClusterId(manifest), clock);
  if (written === undefined) await writeIdentity(log, own);
  const { uid } = own;
  const wait = ({ clusterId, map }: Beginning, why: string): Promise<void> =>
    onWaiting({ why, clusterId, map, uid });
  for (let pauseMs = WAIT_MS_MIN; ; pauseMs = Math.min(WAIT_MS_MAX, 2 * pauseMs)) {
    const decision = beginningAmong({
      manifest,
      self: spec,
      uid,
      known: (peer) => peerUid(log, peer),
      reports: await others.reports(),
    });
    const refusal =
      decision.kind === "admit" ? await admitted(decision.through, others, spec, uid) : undefined;
    if (decision.kind !== "wait" && refusal === undefined) {
      const { beginning } = decision;
      return { identity: { ...own, clusterId: beginning.clusterId }, start: beginning };
    }
    await wait(decision.beginning, decision.kind === "wait" ? decision.why : (refusal ?? ""));
    const news = [...(decision.kind === "wait" ? decision.heard : [])].filter(
      ([peer, theirs]) => peerUid(log, peer) !== theirs,
    );
    for (const [peer, theirs] of news) await writePeerUid(log, peer, theirs);
    if (news.length === 0) await pause(clock, pauseMs);
  }
}

/** undefined once the metadata group has admitted it; else what it waits for. */
async function admitted(
  through: readonly NodeId[],
  others: Others,
  self: NodeSpec,
  uid: string,
): Promise<string | undefined> {
  let why = "";
  for (const node of through) {
    try {
      const admittedUid = await others.admit(node, uid);
      if (admittedUid === uid) return undefined;
      if (admittedUid !== null) throw dataLost(self, node);
      return "is one of those that founded the cluster, and no node that runs knows its data directory; it waits for one that does";
    } catch (error) {
      if (error instanceof Mem0ctlError && error.code === "data-lost") throw error;
      why = error instanceof Error ? error.message : String(error);
    }
  }
  return `waits until the metadata group admits it: ${why}`;
}

/**
 * @internal What follows from the answers; undefined stands for a node that did not answer. Throws `protocol-changed`, and
 * `data-lost` when somebody knows this node under another uid: an empty data directory would take back what it promised.
 */
export function beginningAmong({
  manifest,
  self,
  uid,
  known,
  reports,
}: {
  readonly manifest: Manifest;
  readonly self: NodeSpec;
  /** Of this node's data directory. */
  readonly uid: string;
  /** By which uid a peer goes, as far as it is written down here. */
  readonly known: (peer: NodeId) => string | undefined;
  readonly reports: readonly (NodeReport | undefined)[];
}): Decision {
  const founding = foundingOf(manifest);
  const living = reports.flatMap((report) => (report?.cluster === manifest.name ? [report] : []));
  const running = living.filter(({ waiting }) => waiting === undefined);
  for (const { id, peers } of running) {
    const mine = peers.find((peer) => peer.id === self.id)?.uid;
    if (mine !== undefined && mine !== uid) throw dataLost(self, id);
  }
  const knows = running.some(({ peers }) => peers.some((peer) => peer.id === self.id && peer.uid === uid));
  const told = toldBy(running, self.id);
  const isWritten = (heard: ReadonlyMap<NodeId, string>): boolean =>
    [...heard].every(([peer, theirs]) => known(peer) === theirs);
  const begins = (beginning: Beginning): Decision =>
    isWritten(told) ? { kind: "begin", beginning } : { kind: "wait", beginning, why: WRITES, heard: told };
  const [newest] = running.toSorted((a, b) => b.map.epoch - a.map.epoch);
  const isMember = newest?.map.nodes.some(({ id }) => id === self.id) === true;
  if (newest !== undefined && (newest.clusterId !== founding.clusterId || !isMember)) {
    if (newest.protocol !== manifest.consensus.protocol) throw otherProtocol(manifest, newest);
    const { clusterId, map } = newest;
    const beginning = { clusterId, map, founder: false };
    if (!isMember) {
      const why = `waits to be let into the cluster: ${newest.id} does not count it in (\`mem0ctl nodes add\`)`;
      return { kind: "wait", beginning, why, heard: new Map() };
    }
    if (knows) return begins(beginning);
    return { kind: "admit", beginning, through: running.map(({ id }) => id) };
  }
  if (knows) return begins(founding);
  const others = manifest.nodes.flatMap(({ id }) => (id === self.id ? [] : [id]));
  const alike = living.filter(({ clusterId }) => clusterId === founding.clusterId);
  // One that has founded knows better than whoever goes by that id now.
  const heard = new Map([...alike.map((report) => [report.id, report.uid] as const), ...told]);
  const missing = missingOf(others, living, founding);
  if (missing === undefined && isWritten(heard)) return { kind: "begin", beginning: founding };
  return { kind: "wait", beginning: founding, why: missing ?? WRITES, heard };
}

/** By which uids those that run know the others. */
function toldBy(running: readonly NodeReport[], self: NodeId): Map<NodeId, string> {
  const told = running.flatMap(({ peers }) =>
    peers.flatMap(({ id, uid }) => (uid === undefined || id === self ? [] : [[id, uid] as const])),
  );
  return new Map([...running.map(({ id, uid }) => [id, uid] as const), ...told]);
}

/** What keeps a cluster from being founded; undefined when every other node has said that it would. */
function missingOf(
  others: readonly NodeId[],
  living: readonly NodeReport[],
  { clusterId }: Beginning,
): string | undefined {
  const silent = others.filter((other) => !living.some(({ id }) => id === other));
  if (silent.length > 0) {
    return `has no data, and begins when every node of its manifest has said whether it knew it; nothing is heard of ${named(silent)}`;
  }
  const differing = living.filter((report) => report.clusterId !== clusterId).map(({ id }) => id);
  if (differing.length === 0) return undefined;
  return `cannot found a cluster with ${named(differing)}: name, nodes, replication, sharding or protocol differ between their manifests`;
}

function foundingOf(manifest: Manifest): Beginning {
  return { clusterId: foundingClusterId(manifest), map: initialShardMap(manifest), founder: true };
}

function named(ids: readonly NodeId[]): string {
  const rest = ids.length - NAMED_MAX;
  return `${ids.slice(0, NAMED_MAX).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function dataLost(self: NodeSpec, by: NodeId): Mem0ctlError {
  return new Mem0ctlError("conflict", "data-lost", `${self.id} was here before, and its data is gone`, {
    why: `${by} knows it from earlier, and ${self.dataDir} is empty`,
    hint: "put its data back; or let a node with a new id join, and this one leave",
    data: { node: self.id },
  });
}

function otherProtocol(manifest: Manifest, { id, protocol }: NodeReport): Mem0ctlError {
  return new Mem0ctlError(
    "conflict",
    "protocol-changed",
    `the cluster ${manifest.name} runs ${protocol}, and the manifest says ${manifest.consensus.protocol}`,
    {
      why: `${id} says so; nodes of two protocols cannot be one cluster`,
      hint: `set spec.consensus.protocol to ${protocol}`,
    },
  );
}
