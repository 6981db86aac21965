// The HTTP server of a node or a gateway: one port for clients (the routes) and, at a node, for peers (an
// HTTP Upgrade that is checked here and handed over). It owns sockets, their limits, their timeouts and their end; requests are app.ts's.

import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { ConsistencyTerms } from "../model/consistency.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { LimitsSpec } from "../model/manifest.ts";
import { createGate, type TokenDigest } from "./access.ts";
import { createAdmission } from "./admission.ts";
import { createApp, type AppOptions } from "./app.ts";
import { requestIdOf } from "./context.ts";
import { failureOf, rawResponse } from "./failure.ts";
import type { BoundRoute } from "./route.ts";
import { createShortWay } from "./short-way.ts";

export interface HttpServerOptions {
  readonly routes: readonly BoundRoute[];
  /** Empty: every program on this machine may do everything; only ever so on loopback. */
  readonly tokens: readonly TokenDigest[];
  /** PEM. Client certificates are asked for, and demanded of peers. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer };
  readonly limits: LimitsSpec;
  /** What the cluster offers, and what a request gets that asks for no level. */
  readonly consistency: ConsistencyTerms;
  readonly logger: Logger | false;
  /** Absent where there are no peers: nothing is upgraded then. */
  readonly peers?: PeerUpgrade;
  /** Longest time from a request's first byte to its last. */
  readonly requestTimeoutMs: number;
  /** Another than the usual bound on a connection's silence, for tests in which it is to be reached. */
  readonly silenceMs?: number;
}

export interface PeerUpgrade {
  /** What the header Upgrade must name. */
  readonly protocol: string;
  /**
   * Takes over the socket of a peer. `authorised` is false where tokens exist and the request carries none
   * of role admin, or where TLS is on and the peer's certificate is not one that the CA signed: the callee
   * must then refuse it and end the socket. Which node a certificate names is the callee's to check.
   */
  readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer, authorised: boolean) => void;
}

export interface HttpServer {
  /** Throws `port-taken`, `address-unavailable`. Port 0 picks a free one. */
  listen(host: string, port: number): Promise<{ readonly port: number }>;
  /**
   * Takes no more requests, lets those that run finish (at most CLOSE_MS_MAX), and ends the connections of
   * clients. The sockets of peers are the callee's to end. Safe to call twice.
   */
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
/**
 * Longest that nothing moves on a connection with a request on it: longer than any request may take. A client that was
 * stopped, or does not read, keeps its answer in this node's memory, and counts among the requests that it takes.
 */
const SILENCE_MS = 120_000;
/** How often node:http looks for connections that are over their time. */
const TIMEOUT_CHECK_MS = 1_000;
const HEADER_BYTES_MAX = 16_384;
const REQUESTS_MAX = 1_024;
const BODY_BYTES_IN_FLIGHT_MAX = 268_435_456;
/** Connections beyond the clients' limit, so that peers find a way in when clients have used it up. */
const PEER_CONNECTIONS_MAX = 128;
const CLOSE_MS_MAX = 10_000;
const CLOSE_CHECK_MS = 20;

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { limits, tls } = options;
  const admission = createAdmission({ requestsMax: REQUESTS_MAX, bytesMax: BODY_BYTES_IN_FLIGHT_MAX });
  /** Connections that are not, or not yet, a peer's. */
  const clients = new Set<Socket>();
  /** Those that came when the clients' limit was reached: good for an upgrade only. */
  const surplus = new WeakSet<Duplex>();

  const appOptions: AppOptions = {
    ...options,
    admission,
    checkConnection: (request) => {
      if (!surplus.has(request.socket)) return;
      throw new Mem0ctlError(
        "busy",
        "too-many-connections",
        "this node has as many connections as it takes",
        {
          hint: "close unused ones, or raise limits.connections in the manifest",
        },
      );
    },
  };
  const app = createApp(appOptions);
  const shortWay = createShortWay(appOptions);

  const server = openServer(options, (request, response) => {
    if (!shortWay(request, response)) app.routing(request, response);
  });
  server.timeout = options.silenceMs ?? SILENCE_MS;
  server.maxConnections = limits.connectionsMax + PEER_CONNECTIONS_MAX;
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    if (clients.size >= limits.connectionsMax) surplus.add(socket);
    clients.add(socket);
    socket.once("close", () => clients.delete(socket));
  });
  server.on("clientError", answerUnparsable);
  if (options.peers !== undefined) server.on("upgrade", createUpgrade(options, options.peers, clients));

  let closing: Promise<void> | undefined;
  return {
    listen: async (host, port) => {
      await app.ready();
      return listen(server, host, port);
    },
    close: async () => {
      closing ??= close(server, () => admission.close(), clients).then(async () => app.close());
      return closing;
    },
  };
}

function openServer({ tls, requestTimeoutMs }: HttpServerOptions, listener: RequestListener): Server {
  const settings = {
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    noDelay: true,
  };
  if (tls === undefined) return createServer(settings, listener);
  return createTlsServer(
    {
      ...settings,
      ...tls,
      minVersion: "TLSv1.2",
      // Clients come with a token, peers with a certificate too: asked of all, demanded at the upgrade.
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: HEADERS_TIMEOUT_MS,
    },
    listener,
  );
}

async function listen(server: Server, host: string, port: number): Promise<{ readonly port: number }> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port));
    server.once("error", onError);
    server.listen({ host, port }, () => {
      server.off("error", onError);
      resolve();
    });
  });
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : port };
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): Mem0ctlError {
  if (error.code === "EADDRINUSE") {
    return new Mem0ctlError("failed", "port-taken", `port ${port} on ${host} is taken`, {
      why: "another program listens on it",
      hint: "stop that program; a node that has never run can have another port in the manifest instead",
      cause: error,
    });
  }
  return new Mem0ctlError("failed", "address-unavailable", `cannot listen on ${host} port ${port}`, {
    why: error.message,
    hint: "the address must be one of this machine, and ports below 1024 need a privilege",
    cause: error,
  });
}

/** Answers what node:http could not take as a request. */
function answerUnparsable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [known, reason] =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? [
          new Mem0ctlError("invalid", "request-timeout", "the request took too long to arrive"),
          "Request Timeout",
        ]
      : error.code === "HPE_HEADER_OVERFLOW"
        ? [
            new Mem0ctlError(
              "invalid",
              "header-too-large",
              `the headers are larger than ${HEADER_BYTES_MAX} bytes`,
            ),
            "Request Header Fields Too Large",
          ]
        : [new Mem0ctlError("invalid", "http-invalid", "this is not an HTTP/1.1 request"), "Bad Request"];
  socket.end(rawResponse(failureOf(known, "-"), reason));
}

type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

function createUpgrade(
  options: HttpServerOptions,
  { protocol, onUpgrade }: PeerUpgrade,
  clients: Set<Socket>,
): UpgradeListener {
  const gate = createGate(options.tokens);
  return (request, socket, head) => {
    clients.delete(request.socket);
    // A peer that goes away before it is taken over must not end the process.
    socket.on("error", () => socket.destroy());
    if (request.headers.upgrade?.toLowerCase() !== protocol || request.method !== "GET") {
      const refusal = new Mem0ctlError("invalid", "upgrade-required", `only ${protocol} is spoken here`, {
        hint: "send the request without the header Upgrade",
      });
      const upgrade = { upgrade: protocol, connection: "Upgrade, close" };
      socket.end(rawResponse(failureOf(refusal, requestIdOf(request)), "Upgrade Required", upgrade));
      return;
    }
    let authorised =
      options.tls === undefined || (request.socket instanceof TLSSocket && request.socket.authorized);
    try {
      gate.check({ headers: request.headers, remoteAddress: request.socket.remoteAddress }, "admin");
    } catch {
      authorised = false;
    }
    onUpgrade(request, socket, head, authorised);
  };
}

async function close(
  server: Server,
  refuseRequests: () => void,
  clients: ReadonlySet<Socket>,
): Promise<void> {
  refuseRequests();
  // Its callback would wait for the peers' sockets too, which are not ours to end.
  if (server.listening) server.close();
  const giveUpMs = performance.now() + CLOSE_MS_MAX;
  while (clients.size > 0 && performance.now() < giveUpMs) {
    server.closeIdleConnections();
    // To node:http a connection that never sent anything is not idle but a request about to begin.
    for (const socket of clients) if (socket.bytesRead === 0) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, CLOSE_CHECK_MS));
  }
  for (const socket of clients) socket.destroy();
}
