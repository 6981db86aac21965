// One embedded node, put together: data directory, stores, peers, HTTP around the node's core. Started from
// a manifest and an id; `stop` hands leadership over, lets requests finish and closes everything in order.

import { readFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { parseAddress } from "../manifest/address.ts";
import { checkTls, resolveSecret, resolveTokens, tlsOfNode } from "../manifest/secrets.ts";
import { consistencyTerms } from "../model/consistency.ts";
import { Mem0ctlError } from "../model/errors.ts";
import { isNoRoom } from "../model/no-room.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { formatBytes } from "../model/units.ts";
import { VERSION } from "../model/version.ts";
import { NodeCore } from "./core.ts";
import { createEmbedder, type Embedder } from "../memory/embedder.ts";
import type { MemoryService } from "../memory/service.ts";
import { establish, type Waiting } from "./beginning.ts";
import { othersOf } from "./founding.ts";
import { canRecover, isEnough, markShort } from "./damaged-log.ts";
import type { Stores } from "./host/durable-group.ts";
import { createHttpServer, type HttpServer } from "../http/server.ts";
import { nodeRoutes } from "./http/routes.ts";
import { peerUid, writePeerUid, type Identity } from "./identity.ts";
import { lockDataDirectory } from "./pid-lock.ts";
import { openLogFolder } from "./storage/log-folder.ts";
import { DAMAGED_FILE, LogStore } from "./storage/log-store.ts";
import { StoreCorruptError } from "./storage/store.ts";
import { isFileDamage } from "./storage/lmdb-file.ts";
import { openLmdbStore } from "./storage/lmdb.ts";
import type { AdminService } from "./service.ts";
import { systemClock } from "./system-clock.ts";
import { PEER_PROTOCOL } from "./transport/network.ts";
import { Peers, type PeerAddress } from "./transport/peers.ts";
import { waitingReport, waitingServices } from "./waiting.ts";

/** What was applied may be lost in a crash for this long; it is then applied again from the log. */
const STATE_FLUSH_DELAY_MS = 2000;
const REQUEST_TIMEOUT_MS = 65_000;
/** A connection that carries nothing for less than this may still be that of a busy machine. */
const SILENCE_MS_MIN = 3000;

export interface NodeOptions {
  readonly manifest: Manifest;
  readonly spec: NodeSpec;
  readonly logger: Logger;
  /** The disk failed: the process must end at once. */
  readonly onDiskFailure: (reason: string) => never;
}

export interface RunningNode {
  readonly port: number;
  /** Resolves when the node has stopped, whoever asked for it. */
  readonly stopped: Promise<void>;
  stop(): Promise<void>;
}

/** Twice the silence after which a peer counts as down, and never so little that a busy machine reaches it. */
function silentBeatsMax({ consensus: { electionTimeoutMs, heartbeatIntervalMs } }: Manifest): number {
  return Math.ceil(Math.max(4 * electionTimeoutMs, SILENCE_MS_MIN) / heartbeatIntervalMs);
}

/** Throws Mem0ctlError for everything that keeps the node from starting; nothing is left running then. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { manifest, spec, logger } = options;
  const place = spec.listen ?? spec;
  const { tokens, adminToken } = await resolveTokens(manifest);
  const tls = await readTls(manifest, spec.id);
  const { apiKey: keyReference } = manifest.embedding;
  const apiKey =
    keyReference === undefined ? undefined : await resolveSecret(keyReference, "the embedding API key");

  mkdirSync(spec.dataDir, { recursive: true, mode: 0o700 });
  const unlock = lockDataDirectory(spec.dataDir, { node: spec.id, cluster: manifest.name, port: place.port });
  const folder = join(spec.dataDir, "store");
  /** What a start that fails gives back, in this order: the stores last, when nobody writes to them any more. */
  const opened: { close(): Promise<void> }[] = [];
  try {
    const { onDiskFailure } = options;
    const log = openLog(options, folder);
    opened.push(log);
    const state = openLmdbStore({
      folder: join(folder, "state"),
      flushDelayMs: STATE_FLUSH_DELAY_MS,
      // The state never gets ahead of the log that it was applied from.
      beforeFlush: () => log.append([]),
      onDiskFailure,
    });
    opened.push(state);
    const stores: Stores = { log, state };
    if (await markShort(manifest, stores)) {
      if (!canRecover(manifest)) throw logDamaged(spec.id, folder, manifest, "its end is gone");
      logger.error({ node: spec.id }, "log damaged: its end is gone; it is recovered from the other nodes");
    }
    const startedMs = performance.now();
    let front: Front = waitingServices(() => {
      if (waiting === undefined) throw new Error("a node says what it waits for before it is asked");
      const uptimeMs = Math.round(performance.now() - startedMs);
      return waitingReport(manifest, spec, waiting, { pid: process.pid, uptimeMs });
    });
    const bounds = {
      dimensions: manifest.embedding.dimensions,
      batchMax: manifest.limits.batchMax,
    };
    const http = createHttpServer({
      routes: nodeRoutes(bounds, () => front),
      tokens,
      ...(tls === undefined ? {} : { tls }),
      limits: manifest.limits,
      consistency: consistencyTerms(manifest),
      logger,
      peers: {
        protocol: PEER_PROTOCOL,
        onUpgrade: (request, socket, head, authorised) => {
          if (!authorised) socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n");
          else if (front.peers === undefined)
            socket.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n");
          else front.peers.accept(request, socket, head);
        },
      },
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    });
    let waiting: Waiting | undefined;
    let listening: Promise<{ readonly port: number }> | undefined;
    const listen = (): Promise<{ readonly port: number }> =>
      (listening ??= http.listen(place.host, place.port));
    opened.unshift(http);
    const established = establish({
      manifest,
      spec,
      log,
      clock: systemClock,
      folder,
      others: othersOf(manifest, spec, { token: adminToken, tls }),
      onWaiting: async (news) => {
        if (news.why !== waiting?.why) logger.info({ node: spec.id, why: news.why }, "node waits");
        waiting = news;
        await listen();
      },
    });
    const { identity, start } = await Promise.race([established, noRoomToBegin(log, folder)]);
    const embedder = createEmbedder(manifest.embedding, apiKey);
    opened.unshift(embedder);
    const node = new EmbeddedNode({ ...options, stores, identity, embedder, adminToken, tls });
    opened.unshift({ close: () => node.core.stop() });
    await node.core.open(start?.map, start?.founder === true);
    front = { memories: node.core.memories, admin: node.core.admin, peers: node.peers };
    const { port } = await listen();
    node.run(http, async () => {
      await embedder.close();
      unlock();
    });
    logger.info({ node: spec.id, port, version: VERSION, clusterId: identity.clusterId }, "node started");
    return { port, stopped: node.stopped, stop: () => node.stop() };
  } catch (error) {
    for (const store of opened) await store.close();
    unlock();
    throw isFileDamage(error) ? stateDamaged(spec.id, join(folder, "state"), manifest, error) : error;
  }
}

/** What requests come to: at first to a node that waits, then to one that has begun. */
interface Front {
  readonly memories: MemoryService;
  readonly admin: AdminService;
  readonly peers?: Peers;
}

/** Throws `log-damaged` where a damaged log cannot be recovered from other nodes, `disk-full` without room to open it. */
function openLog({ manifest, spec, logger, onDiskFailure }: NodeOptions, folder: string): LogStore {
  try {
    const log = new LogStore({
      folder: openLogFolder(folder),
      clock: systemClock,
      onDiskFailure,
      salvage: (found) => isEnough(manifest, found),
    });
    if (log.salvaged !== undefined) {
      const { damagedAt, frames, bytesLost } = log.salvaged;
      const keptAs = join(folder, DAMAGED_FILE);
      logger.error(
        { node: spec.id, damagedAt, frames, bytesLost, keptAs },
        "log damaged: what can be read of it is kept, and the rest is recovered from the other nodes",
      );
    }
    return log;
  } catch (error) {
    if (error instanceof StoreCorruptError) throw logDamaged(spec.id, folder, manifest, error.message);
    if (!isNoRoom(error)) throw error;
    throw diskFull(folder, error instanceof Error ? error.message : "there is no room for the log", error);
  }
}

/**
 * Rejects with `disk-full` once the log finds no room. A node that has begun waits for room and serves meanwhile; one
 * that has not would wait unseen, and has promised nobody anything.
 */
function noRoomToBegin(log: LogStore, folder: string): Promise<never> {
  return new Promise((_, reject) => {
    log.onFull = () => reject(diskFull(folder, `the log needs ${formatBytes(log.neededBytes)} to begin`));
  });
}

function diskFull(folder: string, why: string, cause?: unknown): Mem0ctlError {
  const hint = "free space there, and start the node again";
  return new Mem0ctlError("full", "disk-full", `nothing more fits into ${folder}`, { why, hint, cause });
}

function logDamaged(node: NodeId, folder: string, manifest: Manifest, why: string): Mem0ctlError {
  return new Mem0ctlError("failed", "log-damaged", `the log of ${node} is damaged`, {
    why: canRecover(manifest)
      ? `${why}; and of its identity nothing is left by which the other nodes would know it`
      : `${why}; and there is no other copy that it could be recovered from`,
    hint: canRecover(manifest)
      ? "let a node with a new id join, and this one leave"
      : `put ${folder} back from a copy; or move it away, start anew, and import an export`,
    data: { node },
  });
}

/** Not set aside by the node itself: that would take the copies of a leaderless shard for empty. */
function stateDamaged(node: NodeId, folder: string, { consensus }: Manifest, cause: unknown): Mem0ctlError {
  const isLogged = consensus.protocol !== "quorum";
  return new Mem0ctlError("failed", "state-damaged", `the state of ${node} is damaged`, {
    why: `${folder}: ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: isLogged
      ? "move that folder away and start the node again: its log and the other copies of its shards make it anew"
      : "let a node with a new id join, and this one leave",
    data: { node },
    cause,
  });
}

async function readTls(
  manifest: Manifest,
  node: NodeId,
): Promise<{ cert: Buffer; key: Buffer; ca: Buffer } | undefined> {
  const files = tlsOfNode(manifest, node);
  if (files === undefined) return undefined;
  await checkTls(files);
  return { cert: readFileSync(files.cert), key: readFileSync(files.key), ca: readFileSync(files.ca) };
}

class EmbeddedNode {
  readonly core: NodeCore;
  readonly peers: Peers;
  readonly stopped: Promise<void>;
  private readonly options: NodeOptions;
  private readonly stores: Stores;
  private http: HttpServer | undefined;
  private release: (() => Promise<void>) | undefined;
  private stopping: Promise<void> | undefined;
  private markStopped: () => void = () => undefined;
  private readonly refusals = new Map<string, string>();

  constructor(
    parts: NodeOptions & {
      readonly stores: Stores;
      readonly identity: Identity;
      readonly embedder: Embedder;
      readonly adminToken: string | undefined;
      readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined;
    },
  ) {
    const { stores, identity, spec } = parts;
    this.options = parts;
    this.stores = stores;
    this.stopped = new Promise((resolve) => {
      this.markStopped = resolve;
    });
    let peers: Peers | undefined;
    this.core = new NodeCore({
      manifest: parts.manifest,
      spec,
      identity,
      stores,
      clock: systemClock,
      embedder: parts.embedder,
      connect: (handlers) =>
        (peers = new Peers({
          self: spec.id,
          clusterId: identity.clusterId,
          uid: identity.uid,
          knownUid: (peer) => peerUid(stores.log, peer),
          // Not written only when the node stops while its disk is full; it then meets the peer again.
          rememberUid: (peer, uid) => void writePeerUid(stores.log, peer, uid).catch(() => undefined),
          adminToken: parts.adminToken,
          tls: parts.tls,
          silentBeatsMax: silentBeatsMax(parts.manifest),
          onRefused: (peer, reason) => this.noteRefusal(peer, reason),
          handlers,
        })),
      onMap: (map) => peers?.setPeers(addressesIn(map, spec.id), map.epoch),
      onStopAsked: () => void setImmediate(() => void this.stop()),
      onDamage: (group, why) => parts.logger.error({ group, why }, "replica damaged"),
      onRepaired: (group, from) => parts.logger.info({ group, from }, "replica repaired"),
      onRecovery: (group, term) =>
        parts.logger.info(
          { group, ...(term === undefined ? {} : { term }) },
          term === undefined ? "replica recovered" : "replica recovering",
        ),
      onFailure: parts.onDiskFailure,
      pid: process.pid,
    });
    if (peers === undefined) throw new Error("the core connects when it is made");
    this.peers = peers;
  }

  run(http: HttpServer, release: () => Promise<void>): void {
    this.http = http;
    this.release = release;
    this.core.run();
  }

  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  private async shutDown(): Promise<void> {
    const { logger, spec } = this.options;
    logger.info({ node: spec.id }, "node stopping");
    await this.core.retire();
    await this.http?.close();
    this.peers.close();
    await this.core.stop();
    // The state waits for the log: a log that is stuck on a full disk must give up first.
    await this.stores.log.close();
    await this.stores.state.close();
    await this.release?.();
    logger.info({ node: spec.id }, "node stopped");
    this.markStopped();
  }

  private noteRefusal(peer: NodeId, reason: string): void {
    if (this.refusals.get(peer) === reason) return;
    this.refusals.set(peer, reason);
    this.options.logger.warn({ peer, reason }, "peer refused");
  }
}

function addressesIn(map: ShardMap, self: NodeId): PeerAddress[] {
  return map.nodes.flatMap((node) => {
    const address = parseAddress(node.address);
    return node.id === self || "problem" in address
      ? []
      : [{ id: node.id, host: address.host, port: address.port }];
  });
}
