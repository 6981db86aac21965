// How a node with an empty data directory begins: as a founder of a new cluster, or, when other nodes of
// the manifest already run that cluster, as one that joins or waits to be let in.

import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { Mem0ctlError } from "../model/errors.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { initialShardMap } from "../topology/shard-map.ts";
import { foundingClusterId } from "./identity.ts";

const ASK_TIMEOUT_MS = 1000;
const ANSWER_BYTES_MAX = 16 << 20;

export interface Beginning {
  readonly clusterId: string;
  readonly map: ShardMap;
  /** True: this node makes its replicas itself, as the agreed founding state says. */
  readonly founder: boolean;
}

export interface PeerAccess {
  readonly token: string | undefined;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined;
}

/**
 * Asks the other nodes of the manifest whether the cluster lives already. Throws `data-lost` when it does and
 * has met this node before: an empty data directory would then take back what it has promised.
 */
export async function beginning(manifest: Manifest, self: NodeSpec, access: PeerAccess): Promise<Beginning> {
  const clusterId = foundingClusterId(manifest);
  const others = manifest.nodes.filter((node) => node.id !== self.id);
  const reports = await Promise.all(others.map((node) => askReport(node, access)));
  const living = reports.filter((report) => report?.cluster === manifest.name);
  const [elsewhere] = living
    .filter((report) => report !== undefined && report.clusterId !== clusterId)
    .toSorted((a, b) => (b?.map.epoch ?? 0) - (a?.map.epoch ?? 0));
  const cluster = elsewhere?.clusterId ?? clusterId;
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

/** undefined when the node does not answer like a node of ours. */
function askReport(node: NodeSpec, { token, tls }: PeerAccess): Promise<NodeReport | undefined> {
  const send = tls === undefined ? httpRequest : httpsRequest;
  return new Promise((resolve) => {
    const request = send(
      {
        host: node.host,
        port: node.port,
        path: "/v1/cluster/node",
        timeout: ASK_TIMEOUT_MS,
        ...(tls === undefined ? {} : tls),
        headers: token === undefined ? {} : { authorization: `Token ${token}` },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX) request.destroy();
          else chunks.push(chunk);
        });
        response.on("end", () =>
          resolve(response.statusCode === 200 ? parseReport(Buffer.concat(chunks)) : undefined),
        );
        response.on("error", () => resolve(undefined));
      },
    );
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(undefined));
    request.on("close", () => resolve(undefined));
    request.end();
  });
}

function parseReport(body: Buffer): NodeReport | undefined {
  try {
    const report = JSON.parse(body.toString()) as Partial<NodeReport>;
    const valid =
      typeof report.cluster === "string" &&
      typeof report.clusterId === "string" &&
      typeof report.map?.epoch === "number" &&
      Array.isArray(report.peers) &&
      Array.isArray(report.map.shards) &&
      Array.isArray(report.map.nodes);
    return valid ? (report as NodeReport) : undefined;
  } catch {
    return undefined;
  }
}
