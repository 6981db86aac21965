// The other nodes of the manifest as a node without data asks them, over their HTTP API: it is no peer of theirs yet.

import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { errorFromBody, type ErrorBody } from "../model/errors.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import type { Others } from "./beginning.ts";

const ASK_MS_MAX = 1000;
/** The metadata group may have to elect a leader first. */
const ADMIT_MS_MAX = 5000;
const ANSWER_BYTES_MAX = 16 << 20;

export interface PeerAccess {
  readonly token: string | undefined;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined;
}

interface Question {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: unknown;
  readonly timeoutMs: number;
}

interface Answered {
  readonly status: number;
  readonly body: unknown;
}

export function othersOf(manifest: Manifest, self: NodeSpec, access: PeerAccess): Others {
  const others = manifest.nodes.filter((node) => node.id !== self.id);
  return {
    reports: () => Promise.all(others.map((node) => askReport(node, access))),
    admit: async (through, uid) => {
      const node = others.find(({ id }) => id === through);
      const answer =
        node === undefined
          ? undefined
          : await ask(node, access, {
              method: "POST",
              path: "/v1/cluster/admit",
              body: { node: self.id, uid },
              timeoutMs: ADMIT_MS_MAX,
            });
      if (answer === undefined) throw new Error(`${through} does not answer`);
      if (answer.status !== 200) throw errorFromBody(answer.body as ErrorBody);
      const admitted: unknown = Reflect.get(Object(answer.body), "uid");
      return typeof admitted === "string" ? admitted : null;
    },
  };
}

/** undefined when the node does not answer like a node of ours. */
async function askReport(node: NodeSpec, access: PeerAccess): Promise<NodeReport | undefined> {
  const question = { method: "GET", path: "/v1/cluster/node", timeoutMs: ASK_MS_MAX } as const;
  const answer = await ask(node, access, question);
  if (answer?.status !== 200) return undefined;
  const report = answer.body as Partial<NodeReport>;
  const valid =
    typeof report.cluster === "string" &&
    typeof report.clusterId === "string" &&
    typeof report.uid === "string" &&
    typeof report.map?.epoch === "number" &&
    Array.isArray(report.peers) &&
    Array.isArray(report.map.shards) &&
    Array.isArray(report.map.nodes) &&
    report.id === node.id;
  return valid ? (report as NodeReport) : undefined;
}

/** undefined when nothing came that can be read, in time. */
function ask(
  { host, port }: NodeSpec,
  { token, tls }: PeerAccess,
  { method, path, body, timeoutMs }: Question,
): Promise<Answered | undefined> {
  const send = tls === undefined ? httpRequest : httpsRequest;
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve) => {
    const request = send(
      {
        host,
        port,
        path,
        method,
        signal: AbortSignal.timeout(timeoutMs),
        ...(tls === undefined ? {} : tls),
        headers: {
          ...(token === undefined ? {} : { authorization: `Token ${token}` }),
          // So that it says what it could not do, before nothing is heard of it.
          "x-timeout-ms": String(Math.ceil(timeoutMs * 0.8)),
          ...(text === undefined ? {} : { "content-type": "application/json" }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX) request.destroy();
          else chunks.push(chunk);
        });
        response.on("end", () => resolve(answerOf(response.statusCode ?? 0, Buffer.concat(chunks))));
        response.on("error", () => resolve(undefined));
      },
    );
    request.on("error", () => resolve(undefined));
    request.on("close", () => resolve(undefined));
    request.end(text);
  });
}

function answerOf(status: number, bytes: Buffer): Answered | undefined {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    return typeof body === "object" && body !== null ? { status, body } : undefined;
  } catch {
    return undefined;
  }
}
