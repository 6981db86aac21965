// All servers of one cluster as the CLI reaches them: one connection each, opened when first used. Asks
// every one for its own view, in parallel, under one deadline; nobody's word stands for another's.

import { readFile } from "node:fs/promises";

import { isLoopback, isUnspecified } from "../../manifest/address.ts";
import { resolveSecret, tlsOfNode } from "../../manifest/secrets.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Manifest, NodeSpec } from "../../model/manifest.ts";
import { recordedPids } from "../local/process-identity.ts";
import { NodeFailure } from "../node-failure.ts";
import type { Endpoint } from "../node-failure.ts";
import { RedisConnection } from "./connection.ts";
import type { RedisCredentials, SendOptions } from "./connection.ts";
import { infoNumber, parseClusterNodes, parseInfo } from "./gossip.ts";
import type { GossipNode } from "./gossip.ts";
import { ProtocolError, ReplyError, textOf } from "./reply-values.ts";
import type { Command } from "./reply-values.ts";

/** What one server says: its own line first of all, then how it sees the others. */
export interface RedisReport {
  readonly node: NodeId;
  readonly self: GossipNode;
  /** Itself among them. */
  readonly nodes: readonly GossipNode[];
  readonly info: ReadonlyMap<string, string>;
  readonly cluster: ReadonlyMap<string, string>;
  /** Unix time in ms at the server. */
  readonly clockMs: number;
  readonly keys: number;
}

export type RedisAnswer =
  | { readonly node: NodeId; readonly report: RedisReport }
  | { readonly node: NodeId; readonly error: string; readonly denied?: Mem0ctlError };

/** A node that has nothing to say for this long counts as one that does not answer. */
const NODE_ANSWER_MS_MAX = 2000;

const LOOK: readonly Command[] = [["CLUSTER", "NODES"], ["CLUSTER", "INFO"], ["INFO"], ["TIME"], ["DBSIZE"]];

export class RedisNodes {
  readonly #manifest: Manifest;
  readonly #connections = new Map<NodeId, RedisConnection>();
  #credentials: Promise<RedisCredentials> | undefined;

  constructor(manifest: Manifest) {
    this.#manifest = manifest;
  }

  /**
   * Every node of the manifest and every further one that those know of, with its report or the reason why
   * there is none.
   * @throws Mem0ctlError of kind denied when whoever answered refused this client.
   */
  async askAll(options: SendOptions): Promise<readonly RedisAnswer[]> {
    const deadlineMs = performance.now() + options.timeoutMs;
    const answers = await Promise.all(
      this.#manifest.nodes.map((node) => this.#answer(node.id, deadlineMs, options.signal)),
    );
    const reports = answers.flatMap((answer) => ("report" in answer ? [answer.report] : []));
    if (reports.length === 0) {
      for (const answer of answers)
        if ("denied" in answer && answer.denied !== undefined) throw answer.denied;
    }
    const more = await Promise.all(
      this.#strangersOf(reports).map(({ host, port }) => {
        const id = placeOf(host, port);
        this.#endpoints.set(id, { id, host, port });
        return this.#answer(id, deadlineMs, options.signal);
      }),
    );
    return [...answers, ...more];
  }

  /** Nodes that the cluster has and the manifest does not name, once each. */
  #strangersOf(reports: readonly RedisReport[]): GossipNode[] {
    const known = new Set(reports.map(({ self }) => self.redisId));
    const declared = new Set(this.#manifest.nodes.map(({ host, port }) => placeOf(host, port)));
    const found = new Map<string, GossipNode>();
    for (const { nodes } of reports) {
      for (const node of nodes) {
        if (known.has(node.redisId) || node.flags.has("handshake") || node.flags.has("noaddr")) continue;
        if (node.host === "" || declared.has(placeOf(node.host, node.port))) continue;
        found.set(node.redisId, node);
      }
    }
    return [...found.values()];
  }

  /** One server's view. @throws NodeFailure, Mem0ctlError. */
  async report(node: NodeId, options: SendOptions): Promise<RedisReport> {
    const connection = await this.connection(node);
    const replies = await connection.send(LOOK, options);
    const [nodes, cluster, info, time, size] = replies;
    if (nodes instanceof ReplyError && /cluster support disabled/i.test(nodes.message)) {
      throw new NodeFailure(node, "no cluster mode", true, {
        kind: "failed",
        code: "not-a-node",
        message: `${node} is a server without cluster mode`,
        why: nodes.message,
        hint: "start it with `cluster-enabled yes`",
      });
    }
    if (replies.some((reply) => reply instanceof ReplyError && reply.code === "LOADING")) {
      throw new NodeFailure(node, "loading its data", true, {
        kind: "unavailable",
        code: "loading",
        message: `${node} is still loading its data`,
        hint: "look again in a moment",
      });
    }
    const lines = parseClusterNodes(textOf(nodes));
    const self = lines.find(({ flags }) => flags.has("myself"));
    if (self === undefined) throw new ProtocolError("CLUSTER NODES does not name the node itself");
    const seconds = Array.isArray(time) ? Number(textOf(time[0])) : 0;
    const fields = parseInfo(textOf(info));
    await this.#checkOurs(node, infoNumber(fields, "process_id"));
    return {
      node,
      self,
      nodes: lines,
      info: fields,
      cluster: parseInfo(textOf(cluster)),
      clockMs: seconds * 1000,
      keys: typeof size === "number" ? size : 0,
    };
  }

  /**
   * A port of this machine may be another cluster's by chance: a server that was not started for this node is not
   * looked at as one, so that nothing is ever done to it.
   */
  async #checkOurs(node: NodeId, pid: number | null): Promise<void> {
    const spec = this.#manifest.nodes.find(({ id }) => id === node);
    if (spec === undefined || spec.manage === "connect" || !isLoopback(spec.host)) return;
    if (pid !== null && (await recordedPids(spec.dataDir)).includes(pid)) return;
    throw new NodeFailure(node, "another server has its port", true, {
      kind: "failed",
      code: "not-our-server",
      message: `what answers at ${spec.address} is not the server of ${node}`,
      why: `pid ${pid ?? "unknown"} was not started by \`mem0ctl up\` of this manifest`,
      hint: "give the node another port, or set `manage: connect` if it is yours",
    });
  }

  readonly #endpoints = new Map<NodeId, Endpoint>();

  /** The connection to a node of the manifest, or to one that `askAll` found. */
  async connection(node: NodeId): Promise<RedisConnection> {
    this.#credentials ??= readCredentials(this.#manifest);
    const credentials = await this.#credentials;
    let connection = this.#connections.get(node);
    if (connection === undefined) {
      const spec = this.#manifest.nodes.find(({ id }) => id === node);
      const endpoint = spec === undefined ? this.#endpoints.get(node) : endpointOfSpec(spec);
      if (endpoint === undefined) throw new RangeError(`no node ${node}`);
      connection = new RedisConnection(endpoint, credentials);
      this.#connections.set(node, connection);
    }
    return connection;
  }

  /** A connection of the caller's own, not opened yet: who waits on one holds up whoever shares it. */
  async dial(endpoint: Endpoint): Promise<RedisConnection> {
    this.#credentials ??= readCredentials(this.#manifest);
    return new RedisConnection(endpoint, await this.#credentials);
  }

  /** The server at a place that another server named. */
  endpointAt(host: string, port: number): Endpoint {
    const place = placeOf(host, port);
    const spec = this.#manifest.nodes.find((node) => placeOf(node.host, node.port) === place);
    return spec === undefined ? { id: place, host, port } : endpointOfSpec(spec);
  }

  close(): Promise<void> {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
    return Promise.resolve();
  }

  async #answer(node: NodeId, deadlineMs: number, signal: AbortSignal | undefined): Promise<RedisAnswer> {
    const timeoutMs = Math.max(1, Math.min(NODE_ANSWER_MS_MAX, deadlineMs - performance.now()));
    try {
      return {
        node,
        report: await this.report(node, { timeoutMs, ...(signal === undefined ? {} : { signal }) }),
      };
    } catch (error) {
      if (error instanceof NodeFailure) {
        return { node, error: error.reason, ...(error.kind === "denied" ? { denied: error } : {}) };
      }
      if (error instanceof ReplyError || error instanceof ProtocolError)
        return { node, error: error.message };
      throw error;
    }
  }
}

/** `127.0.0.1:7001`, whatever name the loopback address goes by. */
export function placeOf(host: string, port: number): string {
  return `${host === "localhost" ? "127.0.0.1" : host}:${port}`;
}

/** A node of this machine is asked where it listens; any other is reached by its address. */
function endpointOfSpec({ id, host, port, manage, listen }: NodeSpec): Endpoint {
  if (manage === "connect" || listen === undefined) return { id, host, port };
  const near = isUnspecified(listen.host) ? (listen.host.includes(":") ? "::1" : "127.0.0.1") : listen.host;
  return { id, host: near, port: listen.port, certifiedHost: host };
}

/** The password, and this machine's certificate where the manifest has one that can be read here. */
async function readCredentials(manifest: Manifest): Promise<RedisCredentials> {
  const { user, password, tls } = manifest.security;
  const own = tls === undefined ? undefined : await readClientTls(manifest);
  return {
    user,
    password: password === undefined ? undefined : await resolveSecret(password, "the password"),
    tls: own,
  };
}

async function readClientTls(manifest: Manifest): Promise<RedisCredentials["tls"]> {
  // The servers ask for a certificate of their own authority; any node's will do.
  const tls = tlsOfNode(manifest, manifest.nodes.find(({ manage }) => manage === "spawn")?.id ?? "");
  if (tls === undefined) return undefined;
  const optional = (path: string): Promise<Buffer | undefined> => readFile(path).catch(() => undefined);
  try {
    return { ca: await readFile(tls.ca), cert: await optional(tls.cert), key: await optional(tls.key) };
  } catch (cause) {
    throw new Mem0ctlError("invalid", "ca-unreadable", "the CA certificate cannot be read", {
      why: cause instanceof Error ? cause.message : String(cause),
      hint: "see `spec.security.tls.ca`",
      cause,
    });
  }
}

/** Milliseconds since the server started. */
export function uptimeMsOf({ info }: RedisReport): number | null {
  const seconds = infoNumber(info, "uptime_in_seconds");
  return seconds === null ? null : seconds * 1000;
}
