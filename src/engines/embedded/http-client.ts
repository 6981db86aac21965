// One node over HTTP: a request under one deadline, a bounded answer, and every way it can fail turned
// into words and into what is known about the outcome. It never retries: whoever calls knows whether
// another node may be asked.
//
// On node:http and not on undici, because every command pays for it once: undici parses with WebAssembly,
// whose loading and compilation take a short process more time than all else it does (three small answers,
// whole process: 1.0 x `node -e 0` here, 3.5 x with undici's Client alone, most of it spent at exit).

import { Agent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";

import type { ConsistencyRequest } from "../../model/consistency.ts";
import { errorFromBody, Mem0ctlError } from "../../model/errors.ts";
import { connectionReason, NodeFailure, shortDuration, systemCode } from "../node-failure.ts";
import type { Endpoint } from "../node-failure.ts";
import { errorAnswer } from "./answers.ts";
import { DecodeError } from "../../model/decode.ts";
import type { Decoder } from "../../model/decode.ts";

export interface Credentials {
  readonly token: string | undefined;
  /** PEM of the CA that signed the nodes' certificates; undefined: plain HTTP. */
  readonly ca: Buffer | undefined;
}

export interface NodeRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** A lost answer then means that the outcome is unknown, not that it failed. */
  readonly write: boolean;
  readonly requestId: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly consistency?: ConsistencyRequest;
}

const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const CONNECT_MS_MAX = 2000;
/** Idle connections are of use only within one command. */
const KEEP_ALIVE_MS = 2000;

interface RawAnswer {
  readonly status: number;
  readonly body: Buffer;
}

class Deadline extends Error {}
class ConnectDeadline extends Error {}
class TooLarge extends Error {}
class Interrupted extends Error {}

/** What differs between HTTP and HTTPS. */
interface Transport {
  readonly agent: Agent;
  readonly connected: "connect" | "secureConnect";
  request(options: RequestOptions): ClientRequest;
}

/** Connections to one node: one per request under way, reused, closed with `close`. */
export class NodeClient {
  readonly endpoint: Endpoint;
  readonly #credentials: Credentials;
  #transport: Promise<Transport> | undefined;
  #closed = false;

  constructor(endpoint: Endpoint, credentials: Credentials) {
    this.endpoint = endpoint;
    this.#credentials = credentials;
  }

  /**
   * @throws NodeFailure when the node did not answer or not as a node does; Mem0ctlError as the node
   *   answered it otherwise. A write whose answer did not arrive is `outcome-unknown`.
   */
  async request<T>(request: NodeRequest, decode: Decoder<T>): Promise<T> {
    const answer = await this.#exchange(request);
    const json = this.#parse(answer, request);
    if (answer.status >= 400) throw this.#refusal(answer, json, request);
    try {
      return decode(json, "");
    } catch (error) {
      if (error instanceof DecodeError) throw this.#notANode(request, error.message);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const transport = await this.#transport;
    transport?.agent.destroy();
  }

  async #exchange(request: NodeRequest): Promise<RawAnswer> {
    if (this.#closed) throw new Error("the client is closed");
    this.#transport ??= openTransport(this.#credentials.ca, this.endpoint);
    const transport = await this.#transport;
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    return new Promise((resolve, reject) => {
      let ended = false;
      let sent = false;
      let connecting: NodeJS.Timeout | undefined;
      const end = (outcome: RawAnswer | Error): void => {
        // A request that is destroyed reports that once more.
        if (ended) return;
        ended = true;
        clearTimeout(deadline);
        clearTimeout(connecting);
        request.signal?.removeEventListener("abort", interrupt);
        if (outcome instanceof Error) {
          outgoing.destroy();
          reject(this.#failure(outcome, sent, request));
        } else {
          resolve(outcome);
        }
      };
      const interrupt = (): void => end(new Interrupted());
      const { host, port } = this.endpoint;
      const { method, path } = request;
      const headers = this.#headers(request);
      const outgoing = transport.request({ host, port, method, path, headers, agent: transport.agent });
      const deadline = setTimeout(() => end(new Deadline()), Math.max(1, request.timeoutMs));
      outgoing.once("socket", (socket) => {
        if (outgoing.reusedSocket) {
          sent = true;
          return;
        }
        connecting = setTimeout(() => end(new ConnectDeadline()), CONNECT_MS_MAX);
        // What was written before is only now given to the network.
        socket.once(transport.connected, () => {
          sent = true;
          clearTimeout(connecting);
        });
      });
      outgoing.once("response", (response) => readAnswer(response, end));
      outgoing.on("error", end);
      if (request.signal?.aborted === true) {
        interrupt();
        return;
      }
      request.signal?.addEventListener("abort", interrupt, { once: true });
      outgoing.end(body);
    });
  }

  #headers(request: NodeRequest): Record<string, string> {
    const { token } = this.#credentials;
    const { read, write, maxStalenessMs } = request.consistency ?? {};
    return {
      accept: "application/json",
      "x-request-id": request.requestId,
      // The node gives up first, so that what it knows of the outcome still arrives here.
      "x-timeout-ms": String(Math.min(60_000, Math.max(1, Math.floor(request.timeoutMs * 0.9)))),
      ...(request.body === undefined ? {} : { "content-type": "application/json" }),
      ...(read === undefined ? {} : { "x-consistency": String(read) }),
      ...(write === undefined ? {} : { "x-write-consistency": String(write) }),
      ...(maxStalenessMs === undefined ? {} : { "x-max-staleness-ms": String(maxStalenessMs) }),
      ...(token === undefined ? {} : { authorization: `Token ${token}` }),
    };
  }

  #parse(answer: RawAnswer, request: NodeRequest): unknown {
    if (answer.body.length === 0) return undefined;
    try {
      const json: unknown = JSON.parse(answer.body.toString("utf8"));
      return json;
    } catch {
      throw this.#notANode(request, `it answered HTTP ${answer.status} without JSON`);
    }
  }

  /** An answer of 400 and above: the node's own error where it is one. */
  #refusal(answer: RawAnswer, json: unknown, request: NodeRequest): Mem0ctlError {
    const { id } = this.endpoint;
    const reason = `HTTP ${answer.status}`;
    let known: Mem0ctlError | undefined;
    try {
      known = errorFromBody(errorAnswer(json, ""));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
    if (answer.status === 401 || answer.status === 403) {
      const missing = this.#credentials.token === undefined;
      return new NodeFailure(id, reason, true, {
        kind: "denied",
        code: known?.code ?? (answer.status === 401 ? "unauthenticated" : "not-allowed"),
        message: known?.message ?? `${id} refused the ${missing ? "request without a token" : "token"}`,
        why: known?.why ?? (missing ? "no token was sent" : `${id} answered ${reason}`),
        hint: "set MEM0CTL_TOKEN to a token with the right role",
      });
    }
    if (known !== undefined) return known;
    return this.#notANode(request, `it answered ${reason}`);
  }

  #notANode(request: NodeRequest, why: string): NodeFailure {
    const { id } = this.endpoint;
    return new NodeFailure(id, "no mem0ctl node of this version", true, {
      kind: "failed",
      code: "not-a-node",
      message: `${this.#place()} does not answer as a node of this version does`,
      why: `${request.method} ${request.path}: ${why}`,
      hint: "see which program has the port, or whether the node runs another version of mem0ctl",
    });
  }

  #failure(error: Error, sent: boolean, request: NodeRequest): Mem0ctlError {
    const { id } = this.endpoint;
    if (error instanceof Interrupted && !(sent && request.write)) {
      return new Mem0ctlError("failed", "interrupted", "interrupted");
    }
    const reason = reasonOf(error, request.timeoutMs);
    if (sent && request.write) {
      return new NodeFailure(
        id,
        reason,
        sent,
        {
          kind: "unknown-outcome",
          code: "outcome-unknown",
          message: `the outcome of the write is unknown: ${this.#place()} took it, then ${reason}`,
          why: `it may or may not have happened (request ${request.requestId})`,
          hint: "look whether it happened before you do it again",
          cause: error,
        },
        { requestId: request.requestId },
      );
    }
    return new NodeFailure(id, reason, sent, {
      kind: "unavailable",
      code: codeOf(error),
      message: `${this.#place()}: ${reason}`,
      hint: "see the state of all nodes with `mem0ctl status`",
      cause: error,
    });
  }

  #place(): string {
    const { id, host, port } = this.endpoint;
    return `${id} (${host.includes(":") ? `[${host}]` : host}:${port})`;
  }
}

async function openTransport(ca: Buffer | undefined, { certifiedHost }: Endpoint): Promise<Transport> {
  const options = { keepAlive: true, timeout: KEEP_ALIVE_MS };
  if (ca === undefined) {
    return { agent: new Agent(options), connected: "connect", request: httpRequest };
  }
  const [{ Agent: SecureAgent, request }, { checkServerIdentity }] = await Promise.all([
    import("node:https"),
    import("node:tls"),
  ]);
  const agent = new SecureAgent({
    ...options,
    ca,
    checkServerIdentity: (dialled, certificate) => checkServerIdentity(certifiedHost ?? dialled, certificate),
  });
  return { agent, connected: "secureConnect", request };
}

function readAnswer(response: IncomingMessage, end: (outcome: RawAnswer | Error) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) end(new TooLarge());
    else chunks.push(chunk);
  });
  response.once("end", () => end({ status: response.statusCode ?? 0, body: Buffer.concat(chunks, bytes) }));
  response.on("error", end);
}

function reasonOf(error: Error, timeoutMs: number): string {
  if (error instanceof Deadline) return `no answer within ${shortDuration(timeoutMs)}`;
  if (error instanceof ConnectDeadline) return `no connection within ${shortDuration(CONNECT_MS_MAX)}`;
  if (error instanceof Interrupted) return "interrupted";
  if (error instanceof TooLarge) return `answer above ${ANSWER_BYTES_MAX / 1_048_576} MiB`;
  const code = systemCode(error);
  if (code.startsWith("HPE_")) return "does not speak HTTP";
  return connectionReason(error);
}

function codeOf(error: Error): string {
  if (error instanceof Deadline || error instanceof ConnectDeadline) return "no-answer";
  if (error instanceof TooLarge) return "answer-too-large";
  return systemCode(error) === "ECONNREFUSED" ? "connection-refused" : "connection-failed";
}
