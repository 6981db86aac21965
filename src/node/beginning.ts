// What a node with an empty data directory is: a founder of a new cluster, one that waits to be let into a
// living one, or one that lost its data and must not start. Decided from what the other nodes say.

import { Mem0ctlError } from "../model/errors.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { initialShardMap } from "../topology/shard-map.ts";
import type { Clock } from "./clock.ts";
import {
  checkIdentity,
  foundingClusterId,
  newIdentity,
  readIdentity,
  writeIdentity,
  type Identity,
} from "./identity.ts";
import type { LogStore } from "./storage/log-store.ts";

export interface Beginning {
  readonly clusterId: string;
  readonly map: ShardMap;
  /** True: this node makes its replicas itself, as the agreed founding state says. */
  readonly founder: boolean;
}

/**
 * Whose the data directory is, made out when it is new. `start` is how the node begins, undefined when it
 * has begun before; `ask` is called where the others have to say so. Throws what `checkIdentity` and `ask` throw.
 */
export async function establish(parts: {
  readonly manifest: Manifest;
  readonly spec: NodeSpec;
  readonly log: LogStore;
  readonly clock: Clock;
  /** For messages. */
  readonly folder: string;
  readonly ask: () => Promise<Beginning>;
}): Promise<{ readonly identity: Identity; readonly start: Beginning | undefined }> {
  const { manifest, spec, log, clock, folder, ask } = parts;
  const known = readIdentity(log);
  if (known !== undefined) checkIdentity(known, manifest, spec.id, folder);
  const start = known?.founded === true ? undefined : await ask();
  const identity = known ?? newIdentity(manifest, spec.id, start?.clusterId ?? "", clock);
  if (known === undefined) await writeIdentity(log, identity);
  return { identity, start };
}

/** What `beginning` decides from the answers; undefined stands for a node that did not answer. */
export function beginningAmong(
  manifest: Manifest,
  self: NodeSpec,
  reports: readonly (NodeReport | undefined)[],
): Beginning {
  const clusterId = foundingClusterId(manifest);
  const living = reports.filter((report) => report?.cluster === manifest.name);
  const [elsewhere] = living
    .filter((report) => report !== undefined && report.clusterId !== clusterId)
    .toSorted((a, b) => (b?.map.epoch ?? 0) - (a?.map.epoch ?? 0));
  const cluster = elsewhere?.clusterId ?? clusterId;
  if (elsewhere !== undefined && elsewhere.protocol !== manifest.consensus.protocol) {
    throw new Mem0ctlError(
      "conflict",
      "protocol-changed",
      `the cluster ${manifest.name} runs ${elsewhere.protocol}, and the manifest says ${manifest.consensus.protocol}`,
      {
        why: `${elsewhere.id} says so; nodes of two protocols cannot be one cluster`,
        hint: `set spec.consensus.protocol to ${elsewhere.protocol}`,
      },
    );
  }
  for (const report of living) {
    if (report?.clusterId === cluster && report.peers.some(({ id, known }) => id === self.id && known)) {
      throw new Mem0ctlError("conflict", "data-lost", `${self.id} was here before, and its data is gone`, {
        why: `${report.id} knows it from earlier, and ${self.dataDir} is empty`,
        hint: "put its data back; or let a node with a new id join, and this one leave",
        data: { node: self.id },
      });
    }
  }
  if (elsewhere !== undefined) return { clusterId: cluster, map: elsewhere.map, founder: false };
  return { clusterId, map: initialShardMap(manifest), founder: true };
}
