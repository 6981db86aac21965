// How a node with an empty data directory begins: as a founder of a new cluster, or, when other nodes of
// the manifest already run that cluster, as one that joins or waits to be let in.

import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import { beginningAmong, type Beginning } from "./beginning.ts";

const ASK_TIMEOUT_MS = 1000;
const ANSWER_BYTES_MAX = 16 << 20;

export interface PeerAccess {
  readonly token: string | undefined;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined;
}

/**
 * Asks the other nodes of the manifest whether the cluster lives already. Throws `data-lost` when it does and
 * has met this node before: an empty data directory would then take back what it has promised.
 */
export async function beginning(manifest: Manifest, self: NodeSpec, access: PeerAccess): Promise<Beginning> {
  const others = manifest.nodes.filter((node) => node.id !== self.id);
  return beginningAmong(manifest, self, await Promise.all(others.map((node) => askReport(node, access))));
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
    // Before nodes said what they run, they all ran raft.
    return valid ? ({ protocol: "raft", ...report } as NodeReport) : undefined;
  } catch {
    return undefined;
  }
}
