// One embedded node, put together: store, peers, replica groups, services, HTTP. Started from a manifest
// and an id; `stop` hands leadership over, lets requests finish and closes everything in order.

import { readFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { EMPTY_MEMBERSHIP } from "../consensus/membership.ts";
import type { Membership } from "../consensus/seam.ts";
import { createRaftReplica } from "../consensus/raft/replica.ts";
import { parseAddress } from "../manifest/address.ts";
import { checkTls, resolveSecret, resolveTokens, tlsOfNode } from "../manifest/secrets.ts";
import { consistencyTerms, type Consistency } from "../model/consistency.ts";
import { Mem0ctlError } from "../model/errors.ts";
import { META_GROUP, type GroupId, type NodeId } from "../model/ids.ts";
import type { Manifest, NodeSpec } from "../model/manifest.ts";
import type { NodeReport } from "../model/node-api.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { VERSION } from "../model/version.ts";
import { shardById } from "../topology/shard-map.ts";
import { Admin, type TransferCall } from "./cluster/admin-service.ts";
import { Liveness } from "./cluster/liveness.ts";
import { createMemoryService } from "./cluster/memory-service.ts";
import { leaderRank, Reconciler, wantedMembership } from "./cluster/reconcile.ts";
import { groupReport } from "./cluster/report.ts";
import { Router, type Query } from "./cluster/router.ts";
import { runShardQuery } from "./cluster/shard-queries.ts";
import { createEmbedder } from "./embedder.ts";
import { beginning } from "./founding.ts";
import type { Stores } from "./host/durable-group.ts";
import { Host, type Clock } from "./host/host.ts";
import { createHttpServer, type HttpServer } from "./http/server.ts";
import { checkIdentity, newIdentity, readIdentity, writeIdentity, type Identity } from "./identity.ts";
import { MemoryMachine } from "./memories/memory-machine.ts";
import { VectorCache } from "./memories/vector-cache.ts";
import { MetaMachine } from "./meta/meta-machine.ts";
import { lockDataDirectory } from "./pid-lock.ts";
import { LogStore } from "./storage/log-store.ts";
import { openLmdbStore } from "./storage/lmdb.ts";
import { Peers, type PeerAddress } from "./transport/peers.ts";

const LOG_BUDGET_BYTES = 32 << 20;
const VECTOR_CACHE_BYTES = 512 << 20;
const VECTOR_SETS_MAX = 512;
/** What was applied may be lost in a crash for this long; it is then applied again from the log. */
const STATE_FLUSH_DELAY_MS = 2000;
const RECONCILE_MS = 200;
const REQUEST_TIMEOUT_MS = 65_000;
/** Longest that leadership is handed over before a stop. */
const HANDOVER_MS_MAX = 1500;

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

const systemClock: Clock = {
  // Monotonic: a clock that is set back must not stop the ticks.
  nowMs: () => performance.now(),
  soon: (work) => void setImmediate(work),
  later(ms, work) {
    const timer = setTimeout(work, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  random: () => Math.random(),
};

/** Throws Mem0ctlError for everything that keeps the node from starting; nothing is left running then. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { manifest, spec, logger } = options;
  const { tokens, adminToken } = await resolveTokens(manifest);
  const tls = await readTls(manifest, spec.id);
  const { apiKey: keyReference } = manifest.embedding;
  const apiKey =
    keyReference === undefined ? undefined : await resolveSecret(keyReference, "the embedding API key");

  mkdirSync(spec.dataDir, { recursive: true, mode: 0o700 });
  const unlock = lockDataDirectory(spec.dataDir, { node: spec.id, cluster: manifest.name, port: spec.port });
  const folder = join(spec.dataDir, "store");
  const opened: { close(): Promise<void> }[] = [];
  try {
    const { onDiskFailure } = options;
    const log = new LogStore({ folder, onDiskFailure });
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
    const known = readIdentity(log);
    if (known !== undefined) checkIdentity(known, manifest, spec.id, folder);
    const start =
      known?.founded === true ? undefined : await beginning(manifest, spec, { token: adminToken, tls });
    const identity = known ?? newIdentity(manifest, spec.id, start?.clusterId ?? "");
    if (known === undefined) await writeIdentity(log, identity);
    const node = new EmbeddedNode({ ...options, stores, identity, adminToken, tls });
    await node.open(start?.map, start?.founder === true);
    const embedder = createEmbedder(manifest.embedding, apiKey);
    const http = createHttpServer({
      memories: createMemoryService({
        router: node.router,
        embedder,
        dimensions: manifest.embedding.dimensions,
        map: () => node.map(),
      }),
      admin: node.admin,
      tokens,
      ...(tls === undefined ? {} : { tls }),
      limits: manifest.limits,
      dimensions: manifest.embedding.dimensions,
      consistency: consistencyTerms(manifest),
      logger,
      onPeerUpgrade: (request, socket, head, authorised) => {
        if (authorised) node.peers.accept(request, socket, head);
        else socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n");
      },
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    });
    const { port } = await http.listen(spec.host, spec.port);
    node.run(http, async () => {
      await embedder.close();
      unlock();
    });
    logger.info({ node: spec.id, port, version: VERSION, clusterId: identity.clusterId }, "node started");
    return { port, stopped: node.stopped, stop: () => node.stop() };
  } catch (error) {
    for (const store of opened) await store.close();
    unlock();
    throw error;
  }
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
  readonly peers: Peers;
  readonly router: Router;
  readonly admin: Admin;
  readonly stopped: Promise<void>;
  private readonly options: NodeOptions;
  private readonly stores: Stores;
  private readonly identity: Identity;
  private readonly host: Host;
  private readonly liveness: Liveness;
  private readonly reconciler: Reconciler;
  private readonly vectors = new VectorCache({ bytesMax: VECTOR_CACHE_BYTES, setsMax: VECTOR_SETS_MAX });
  private readonly startedMs = Date.now();
  private meta: MetaMachine | undefined;
  private initialMap: ShardMap | undefined;
  private http: HttpServer | undefined;
  private release: (() => Promise<void>) | undefined;
  private readonly timers: NodeJS.Timeout[] = [];
  private stopping: Promise<void> | undefined;
  private markStopped: () => void = () => undefined;
  private readonly refusals = new Map<string, string>();

  constructor(
    parts: NodeOptions & {
      readonly stores: Stores;
      readonly identity: Identity;
      readonly adminToken: string | undefined;
      readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined;
    },
  ) {
    this.options = parts;
    this.stores = parts.stores;
    this.identity = parts.identity;
    const { heartbeatIntervalMs, electionTimeoutMs } = parts.manifest.consensus;
    const self = parts.spec.id;
    this.stopped = new Promise((resolve) => {
      this.markStopped = resolve;
    });
    this.liveness = new Liveness({ nowMs: () => performance.now(), heartbeatIntervalMs, electionTimeoutMs });
    this.peers = new Peers({
      self,
      clusterId: parts.identity.clusterId,
      uid: parts.identity.uid,
      knownUid: (peer) => this.knownUid(peer),
      rememberUid: (peer, uid) => this.rememberUid(peer, uid),
      adminToken: parts.adminToken,
      tls: parts.tls,
      onRefused: (peer, reason) => this.noteRefusal(peer, reason),
      handlers: {
        onMessages: (from, messages) => {
          this.liveness.alive(from);
          for (const [group, message] of messages) this.host.deliver(from, group, message);
        },
        onBeat: (from, beat) => this.liveness.beat(from, beat),
        onCall: (from, method, body) => this.answer(from, method, body),
        onGone: (peer) => {
          this.liveness.gone(peer);
          this.host.peerGone(peer);
        },
      },
    });
    this.host = new Host({
      self,
      stores: parts.stores,
      network: this.peers,
      clock: systemClock,
      createReplica: createRaftReplica,
      heartbeatIntervalMs,
      electionTimeoutMs,
      makeMachine: (group, prefix) =>
        group === META_GROUP
          ? this.makeMeta(prefix)
          : new MemoryMachine({ owner: group, store: this.stores.state, vectors: this.vectors, prefix }),
      logBudgetBytes: LOG_BUDGET_BYTES,
      onChanged: (group) => {
        const { role, term } = group.replica.status();
        if (role === "leader") this.liveness.claim(group.id, self, term);
      },
      onFailure: (error) => parts.onDiskFailure(error instanceof Error ? error.message : String(error)),
    });
    this.router = new Router({
      self,
      host: this.host,
      network: this.peers,
      liveness: this.liveness,
      electionTimeoutMs,
      runQuery: (group, query) => this.runQuery(group, query),
      replicasOf: (group) => shardById(this.map(), group)?.replicas ?? [],
    });
    this.reconciler = new Reconciler({
      self,
      host: this.host,
      network: this.peers,
      liveness: this.liveness,
      map: () => this.map(),
      askMembers: (group) => this.askMembers(group),
    });
    this.admin = new Admin({
      self,
      host: this.host,
      network: this.peers,
      router: this.router,
      map: () => this.map(),
      report: () => this.report(),
      stop: async () => {
        setImmediate(() => void this.stop());
      },
    });
  }

  map(): ShardMap {
    const map = this.meta?.map ?? this.initialMap;
    if (map === undefined)
      throw new Mem0ctlError("unavailable", "starting", "this node has no shard map yet");
    return map;
  }

  /** Opens every replica of this node. A founder makes those that are not there yet. */
  async open(map: ShardMap | undefined, founder: boolean): Promise<void> {
    this.initialMap = map;
    const self = this.options.spec.id;
    const genesis = (group: GroupId): Membership =>
      (founder && map !== undefined ? wantedMembership(map, group) : undefined) ?? EMPTY_MEMBERSHIP;
    const rank = (group: GroupId): number => (map === undefined ? 0 : leaderRank(map, group, self));
    this.host.open({ id: META_GROUP, arbiter: false, rank: rank(META_GROUP), genesis: genesis(META_GROUP) });
    const meta = this.meta;
    if (founder && map !== undefined && meta !== undefined && !meta.hasMap()) {
      await this.stores.state.transact((writer) => meta.found(map, writer));
    }
    if (founder && map !== undefined) {
      for (const shard of map.shards) {
        const arbiter = shard.arbiters.includes(self);
        if (!arbiter && !shard.replicas.includes(self)) continue;
        this.host.open({ id: shard.id, arbiter, rank: rank(shard.id), genesis: genesis(shard.id) });
      }
    }
    if (!this.identity.founded) await writeIdentity(this.stores.log, { ...this.identity, founded: true });
    this.reconciler.look();
  }

  run(http: HttpServer, release: () => Promise<void>): void {
    this.http = http;
    this.release = release;
    this.peers.setPeers(this.addresses());
    this.host.start();
    const { heartbeatIntervalMs } = this.options.manifest.consensus;
    this.timers.push(
      setInterval(() => this.sendBeats(), heartbeatIntervalMs),
      setInterval(() => {
        this.peers.setPeers(this.addresses());
        this.reconciler.look();
      }, RECONCILE_MS),
    );
  }

  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  private async shutDown(): Promise<void> {
    const { logger, spec } = this.options;
    logger.info({ node: spec.id }, "node stopping");
    for (const timer of this.timers) clearInterval(timer);
    await this.handOverAll();
    await this.http?.close();
    this.peers.close();
    await this.host.stop();
    // The state waits for the log: a log that is stuck on a full disk must give up first.
    await this.stores.log.close();
    await this.stores.state.close();
    await this.release?.();
    logger.info({ node: spec.id }, "node stopped");
    this.markStopped();
  }

  /** Leaves no group waiting for an election timeout, where another replica can take over at once. */
  private async handOverAll(): Promise<void> {
    const led = [...this.host.groups.values()].filter((group) => group.replica.status().role === "leader");
    await Promise.allSettled(
      led.map((group) => this.admin.transferHere({ group: group.id, to: null, ttlMs: HANDOVER_MS_MAX })),
    );
  }

  private makeMeta(prefix: Buffer): MetaMachine {
    const initial = this.initialMap ?? emptyMap(this.options.manifest);
    this.meta = new MetaMachine({
      store: this.stores.state,
      prefix,
      initial,
      // Called inside a transaction: what follows from a new map waits until it is over.
      onMap: () => setImmediate(() => this.mapChanged()),
    });
    return this.meta;
  }

  private mapChanged(): void {
    if (this.stopping !== undefined) return;
    this.peers.setPeers(this.addresses());
    this.reconciler.look();
  }

  private addresses(): PeerAddress[] {
    const self = this.options.spec.id;
    return this.map().nodes.flatMap((node) => {
      const address = parseAddress(node.address);
      return node.id === self || "problem" in address
        ? []
        : [{ id: node.id, host: address.host, port: address.port }];
    });
  }

  private sendBeats(): void {
    const leads: [GroupId, number][] = [];
    for (const group of this.host.groups.values()) {
      const status = group.replica.status();
      if (status.role === "leader") leads.push([group.id, status.term]);
    }
    for (const node of this.map().nodes)
      if (node.id !== this.options.spec.id) this.peers.beat(node.id, { leads });
    this.peers.flush();
  }

  private async answer(from: NodeId, method: string, body: unknown): Promise<unknown> {
    switch (method) {
      case "propose": {
        const { group, data, ttlMs } = body as { group: GroupId; data: Uint8Array; ttlMs: number };
        return this.router.proposeHere(group, data, Date.now() + ttlMs);
      }
      case "query": {
        const { group, query, consistency, ttlMs } = body as {
          group: GroupId;
          query: Query;
          consistency: Consistency;
          ttlMs: number;
        };
        if (consistency.read === "stale") return this.runQuery(group, query);
        return this.router.readHere(group, query, Date.now() + ttlMs);
      }
      case "snapshot":
        return this.host.snapshots.receive(from, body);
      case "transfer":
        return this.admin.transferHere(body as TransferCall);
      case "holds-shards":
        return this.host.holdsShards();
      case "members":
        return this.membersHere((body as { group: GroupId }).group);
      default:
        throw new Mem0ctlError(
          "failed",
          "call-unknown",
          "a peer asked for something this version does not know",
        );
    }
  }

  private membersHere(group: GroupId): Membership {
    const status = this.host.group(group).replica.status();
    if (status.role !== "leader")
      throw new Mem0ctlError("unavailable", "not-leader", "this node does not lead the group");
    // What is appended and not committed may be taken back; a replica that was wiped for it may not.
    const committed = this.host.group(group).committedMembership();
    if (committed === undefined) {
      throw new Mem0ctlError("unavailable", "starting", "the members of the group are not known yet");
    }
    return committed;
  }

  private async askMembers(group: GroupId): Promise<Membership | undefined> {
    const { leader } = this.liveness.leaderOf(group);
    if (leader === null || leader === this.options.spec.id) return undefined;
    return (await this.peers.call(leader, "members", { group }, Date.now() + 2000)) as Membership;
  }

  private async runQuery(group: GroupId, query: Query): Promise<unknown> {
    const { machine } = this.host.group(group);
    if (!(machine instanceof MemoryMachine)) {
      throw new Mem0ctlError("unavailable", "not-here", "this node keeps no memories of that shard", {
        data: { group, leader: "" },
      });
    }
    return runShardQuery(machine, this.map().key, query);
  }

  private report(): NodeReport {
    const { manifest, spec } = this.options;
    const map = this.map();
    const groups = [...this.host.groups.values()];
    const names = [META_GROUP, ...map.shards.map((shard) => shard.id)];
    return {
      cluster: manifest.name,
      clusterId: this.identity.clusterId,
      id: spec.id,
      address: spec.address,
      role: map.nodes.find((node) => node.id === spec.id)?.role ?? spec.role,
      zone: spec.zone,
      pid: process.pid,
      version: VERSION,
      uptimeMs: Date.now() - this.startedMs,
      writeRefusal: this.host.writeRefusal,
      map,
      peers: map.nodes
        .filter((node) => node.id !== spec.id)
        .map((node) => {
          const error = this.peers.lastError(node.id);
          return {
            id: node.id,
            state: this.liveness.state(node.id),
            lastHeartbeatMs: this.liveness.lastHeartbeatMs(node.id),
            known: this.knownUid(node.id) !== undefined,
            ...(error === undefined || this.peers.connected(node.id) ? {} : { error }),
          };
        }),
      groups: groups.map((group) => groupReport(group, spec.id, this.peers)),
      leaders: Object.fromEntries(names.map((group) => [group, this.router.leaderOf(group)])),
    };
  }

  private knownUid(peer: NodeId): string | undefined {
    const uid = this.stores.log.facts.get(`peer ${peer}`);
    return typeof uid === "string" ? uid : undefined;
  }

  private rememberUid(peer: NodeId, uid: string): void {
    // Not written only when the node stops while its disk is full; it then meets the peer again.
    void this.stores.log.append([{ kind: "fact", name: `peer ${peer}`, value: uid }]).catch(() => undefined);
  }

  private noteRefusal(peer: NodeId, reason: string): void {
    if (this.refusals.get(peer) === reason) return;
    this.refusals.set(peer, reason);
    this.options.logger.warn({ peer, reason }, "peer refused");
  }
}

/** Until the metadata group has told a joining node the real one. */
function emptyMap(manifest: Manifest): ShardMap {
  return {
    epoch: 0,
    strategy: manifest.sharding.strategy,
    key: manifest.sharding.key,
    directory: {},
    shards: [],
    nodes: [],
    metaVoters: [],
  };
}
