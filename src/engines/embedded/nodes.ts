// All nodes of one cluster as the CLI reaches them: one client per node, opened when first used. Asks
// every node for its report, or sends one request to the first node that answers; a request goes to
// another node only when it was certainly never seen by the first.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";

import { consistencyTerms, resolveConsistency } from "../../model/consistency.ts";
import type { ConsistencyRequest } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId, Protocol } from "../../model/ids.ts";
import type { Manifest, NodeSpec } from "../../model/manifest.ts";
import type { NodeReport } from "../../model/node-api.ts";
import { isUnspecified } from "../../manifest/address.ts";
import { requireSendable, resolveSecret } from "../../manifest/secrets.ts";
import { nodeReport } from "./answers.ts";
import type { Decoder } from "../../model/decode.ts";
import { NodeFailure } from "../node-failure.ts";
import type { Endpoint } from "../node-failure.ts";
import { NodeClient } from "./http-client.ts";
import type { Credentials, NodeRequest } from "./http-client.ts";
import { newestMap, sortAnswers } from "./view.ts";
import type { NodeAnswer } from "./view.ts";

/** A node that has nothing to say for this long is passed over for another. */
const NODE_ANSWER_MS_MAX = 2000;
/** How long one node is waited for before the next is asked as well, when looking for one that answers. */
const HEAD_START_MS = 250;
const NOTHING_ANSWERED = "nothing-answered";
/**
 * What a node answers that has no way to the cluster, as one that was taken out of it and still runs: it says nothing
 * of what was asked for, which was certainly not done. All are of kind unavailable.
 */
const ASK_ANOTHER: ReadonlySet<string> = new Set([
  "peer-unreachable",
  "not-a-member",
  "node-waiting",
  "starting",
]);

/** What a node answers that found nobody who could, perhaps because it is cut off itself. */
const LATE: ReadonlySet<string> = new Set(["no-leader", "read-timed-out"]);

export interface AskOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly consistency?: ConsistencyRequest;
}

export type ClusterRequest = Pick<NodeRequest, "method" | "path" | "write"> & { readonly body?: unknown };

export class ClusterNodes {
  readonly #manifest: Manifest;
  readonly #tokenGiven: string | undefined;
  readonly #clients = new Map<NodeId, NodeClient>();
  #credentials: Promise<Credentials> | undefined;
  /** The node that requests go to, once one has answered as a node of this cluster. */
  #entry: NodeId | undefined;
  /** The node that could not bring the last one to where it is answered: others are looked for first. */
  #poor: NodeId | undefined;

  constructor(manifest: Manifest, token: string | undefined) {
    this.#manifest = manifest;
    this.#tokenGiven = token;
  }

  get protocol(): Protocol {
    return this.#manifest.consensus.protocol;
  }

  /**
   * Every node of the manifest and of the newest map, with its report or the reason why there is none.
   * @throws Mem0ctlError of kind denied when whoever answered refused this client.
   */
  async askAll(options: AskOptions): Promise<readonly NodeAnswer[]> {
    const deadlineMs = performance.now() + options.timeoutMs;
    const declared = this.#manifest.nodes;
    const answers = await Promise.all(declared.map((node) => this.#answer(node, deadlineMs, options.signal)));
    const denied = denialOf(answers);
    if (denied !== undefined) throw denied;
    const { reports } = sortAnswers(this.#manifest, answers);
    const known = new Set(declared.map(({ id }) => id));
    const joined = newestMap(reports)?.nodes.filter(({ id }) => !known.has(id)) ?? [];
    const more = await Promise.all(
      joined.map(({ id, address }) => this.#answer(endpointOf(id, address), deadlineMs, options.signal)),
    );
    return [...answers, ...more];
  }

  /** One node's report. @throws NodeFailure, Mem0ctlError. */
  async report(node: Endpoint, options: AskOptions): Promise<NodeReport> {
    const client = await this.#client(node);
    return client.request({ ...REPORT, requestId: randomUUID(), ...options }, nodeReport);
  }

  /**
   * Sends a request to a node that answers, and to another one when that one went away (a read again, a
   * write only when it was certainly never seen) or says that it has no way to the cluster.
   * @throws Mem0ctlError for a level of consistency that the protocol does not have; `nothing-answered` (kind unavailable: certainly not done), NodeFailure, or as the
   *   node answers.
   */
  async request<T>(request: ClusterRequest, decode: Decoder<T>, options: AskOptions): Promise<T> {
    const deadlineMs = performance.now() + options.timeoutMs;
    const requestId = randomUUID();
    const { signal, consistency } = options;
    // Said before any node is asked, and by the same words as a node would.
    if (consistency !== undefined) resolveConsistency(consistency, consistencyTerms(this.#manifest));
    const failed = new Set<NodeId>();
    let said: Mem0ctlError | undefined;
    for (;;) {
      const entry = await this.#findEntry(deadlineMs, signal, failed).catch((error: unknown) => {
        const isNobodyLeft = error instanceof Mem0ctlError && error.code === NOTHING_ANSWERED;
        throw (isNobodyLeft ? said : undefined) ?? error;
      });
      const timeoutMs = Math.max(1, deadlineMs - performance.now());
      try {
        const client = await this.#client(entry);
        return await client.request(
          {
            ...request,
            requestId,
            timeoutMs,
            ...(signal === undefined ? {} : { signal }),
            ...(consistency === undefined ? {} : { consistency }),
          },
          decode,
        );
      } catch (error) {
        if (!(error instanceof Mem0ctlError)) throw error;
        const isGone = error instanceof NodeFailure;
        const hasNoWay = error.kind === "unavailable" && ASK_ANOTHER.has(error.code);
        // It has used up the time; the next request begins with another.
        const isLate = error.kind === "unavailable" && LATE.has(error.code);
        if (isGone || hasNoWay || isLate) {
          this.#entry = undefined;
          this.#poor = entry.id;
        }
        if (!isGone && !hasNoWay) throw error;
        if (hasNoWay) said ??= error;
        failed.add(entry.id);
        const again = hasNoWay || (isGone && error.kind === "unavailable" && !(error.sent && request.write));
        const others = failed.size < this.#manifest.nodes.length && performance.now() < deadlineMs;
        if (!again || !others) throw error;
      }
    }
  }

  async close(): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    this.#entry = undefined;
    await Promise.all(clients.map((client) => client.close()));
  }

  async #answer(node: Endpoint, deadlineMs: number, signal: AbortSignal | undefined): Promise<NodeAnswer> {
    const timeoutMs = Math.max(1, Math.min(NODE_ANSWER_MS_MAX, deadlineMs - performance.now()));
    try {
      const report = await this.report(node, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
      return { node: node.id, report };
    } catch (error) {
      if (error instanceof NodeFailure) {
        const denied = error.kind === "denied" ? { denied: error } : {};
        return { node: node.id, error: error.reason, ...denied };
      }
      if (error instanceof Mem0ctlError && error.code !== "interrupted" && error.kind !== "invalid") {
        return { node: node.id, error: error.message };
      }
      throw error;
    }
  }

  /** Asks the nodes in turn, each with a head start before the next; the first that answers is the entry. */
  async #findEntry(
    deadlineMs: number,
    signal: AbortSignal | undefined,
    failed: ReadonlySet<NodeId>,
  ): Promise<Endpoint> {
    const nodes = this.#manifest.nodes
      .filter(({ id }) => !failed.has(id))
      .toSorted((a, b) => Number(a.id === this.#poor) - Number(b.id === this.#poor));
    const chosen = nodes.find(({ id }) => id === this.#entry);
    if (chosen !== undefined) return chosen;
    const failures: NodeAnswer[] = [];
    let denied: Mem0ctlError | undefined;
    const racing = new Set<Promise<void>>();
    let found: Endpoint | undefined;
    for (const node of nodes) {
      const asked = this.#probe(node, deadlineMs, signal).then((outcome) => {
        if (outcome === undefined) found ??= node;
        else if (outcome instanceof Mem0ctlError) denied = outcome;
        else failures.push(outcome);
        racing.delete(asked);
      });
      racing.add(asked);
      await Promise.race([asked, pauseMs(HEAD_START_MS)]);
      if (found !== undefined) break;
    }
    while (found === undefined && racing.size > 0) await Promise.race(racing);
    // TypeScript does not see the assignments in the callback.
    const entry = found as Endpoint | undefined;
    if (entry === undefined) throw (denied as Mem0ctlError | undefined) ?? nothingAnswered(failures);
    this.#entry = entry.id;
    return entry;
  }

  /** undefined: it answers as a node of this cluster. An error: it refuses this client. Else: why not. */
  async #probe(
    node: Endpoint,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<NodeAnswer | Mem0ctlError | undefined> {
    const timeoutMs = Math.max(1, Math.min(NODE_ANSWER_MS_MAX, deadlineMs - performance.now()));
    try {
      const report = await this.report(node, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
      // Another cluster's node may have the port: nothing outside the intended cluster is touched.
      const { errors } = sortAnswers(this.#manifest, [{ node: node.id, report }]);
      const error = errors.get(node.id) ?? report.waiting;
      return error === undefined ? undefined : { node: node.id, error };
    } catch (error) {
      if (!(error instanceof Mem0ctlError)) throw error;
      // Of this client, or of what it would send: no other node answers anything else.
      if (error.kind === "denied" || error.kind === "invalid" || error.code === "interrupted") return error;
      return { node: node.id, error: error instanceof NodeFailure ? error.reason : error.message };
    }
  }

  async #client(node: Endpoint): Promise<NodeClient> {
    this.#credentials ??= this.#readCredentials();
    const credentials = await this.#credentials;
    let client = this.#clients.get(node.id);
    if (client === undefined) {
      const declared = this.#manifest.nodes.find(({ id }) => id === node.id);
      client = new NodeClient(declared === undefined ? node : endpointOfSpec(declared), credentials);
      this.#clients.set(node.id, client);
    }
    return client;
  }

  async #readCredentials(): Promise<Credentials> {
    const { tokens, tls } = this.#manifest.security;
    const environment = process.env["MEM0CTL_TOKEN"];
    let token = this.#tokenGiven ?? (environment === "" ? undefined : environment);
    if (token !== undefined) requireSendable(token, "the token of MEM0CTL_TOKEN cannot be sent");
    else {
      for (const { name, role, source } of tokens) {
        if (role !== "admin" || "sha256" in source) continue;
        token = await resolveSecret(source, `the token ${name}`);
        break;
      }
    }
    return { token, ca: tls === undefined ? undefined : await readCa(tls.ca) };
  }
}

/**
 * The refusal of this client when nobody let it in: what the cluster is like cannot be said then, and a view
 * would call nodes down that run. One that did let it in tells of the others.
 */
function denialOf(answers: readonly NodeAnswer[]): Mem0ctlError | undefined {
  if (answers.some((answer) => "report" in answer)) return undefined;
  for (const answer of answers) if ("error" in answer && answer.denied !== undefined) return answer.denied;
  return undefined;
}

const REPORT = { method: "GET", path: "/v1/cluster/node", write: false } as const;

async function readCa(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new Mem0ctlError("invalid", "ca-unreadable", "the CA certificate cannot be read", {
      why: cause instanceof Error ? cause.message : String(cause),
      hint: "see `spec.security.tls.ca`",
      cause,
    });
  }
}

function nothingAnswered(failures: readonly NodeAnswer[]): Mem0ctlError {
  const reasons = failures.flatMap((answer) =>
    "error" in answer ? [`${answer.node}: ${answer.error}`] : [],
  );
  return new Mem0ctlError("unavailable", NOTHING_ANSWERED, "no node answered", {
    why: reasons.slice(0, 5).join("; "),
    hint: "start the cluster with `mem0ctl up`, or see `mem0ctl status`",
    data: { failures },
  });
}

/**
 * A node of this machine is asked where it listens: its address may be one that only others can use, and
 * whether its process lives is not for a forwarded port to say. Any other is reached by its address.
 */
function endpointOfSpec({ id, host, port, manage, listen }: NodeSpec): Endpoint {
  if (manage === "connect" || listen === undefined) return { id, host, port };
  const near = isUnspecified(listen.host) ? (listen.host.includes(":") ? "::1" : "127.0.0.1") : listen.host;
  return { id, host: near, port: listen.port, certifiedHost: host };
}

/** `host:port` or `[v6]:port` of a node that only the live map names. */
function endpointOf(id: NodeId, address: string): Endpoint {
  const colon = address.lastIndexOf(":");
  return {
    id,
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: Number(address.slice(colon + 1)),
  };
}

function pauseMs(ms: number): Promise<void> {
  return new Promise((resolve) => {
    // Never what keeps the process alive: the answer has usually come before.
    setTimeout(resolve, ms).unref();
  });
}
