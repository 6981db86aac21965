// The node between its stores, its network and its clock: replica groups, routing, liveness, the shard map
// and what follows from it, the answers to peers, the memory service. All three are handed in, so that a
// simulator runs this very code. node.ts puts the real ones around it.

import { EMPTY_MEMBERSHIP } from "../consensus/membership.ts";
import type { Membership } from "../consensus/seam.ts";
import { VectorCache } from "../memory/vector-cache.ts";
import type { MemoryService } from "../memory/service.ts";
import type { Consistency } from "../model/consistency.ts";
import { Mem0ctlError } from "../model/errors.ts";
import { META_GROUP, type GroupId, type NodeId, type ShardId } from "../model/ids.ts";
import type { Manifest } from "../model/manifest.ts";
import { hasEnded, type Operation } from "../model/operation.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { shardById } from "../topology/shard-map.ts";
import { Account, MEMBERS_MS_MAX } from "./account.ts";
import { every, type Timer } from "./clock.ts";
import { Admin } from "./cluster/admin-service.ts";
import { Liveness } from "./cluster/liveness.ts";
import { MapNews } from "./cluster/map-news.ts";
import { createMemoryService } from "./cluster/memory-service.ts";
import { haveLogsMatching, replicaFactoryOf } from "./cluster/protocols.ts";
import { leaderRank, Reconciler, wantedMembership } from "./cluster/reconcile.ts";
import { Router, type Query, type ShardPath, type ShardRef } from "./cluster/router.ts";
import { runShardQuery } from "./cluster/shard-queries.ts";
import { CORE_LIMITS, type CoreLimits, type CoreOptions } from "./core-options.ts";
import { Host } from "./host/host.ts";
import { replicaDamaged } from "./host/state-repair.ts";
import { writeIdentity } from "./identity.ts";
import { MemoryMachine } from "./memories/memory-machine.ts";
import { MetaMachine } from "./meta/meta-machine.ts";
import { Executor } from "./moves/executor.ts";
import { GroupMembers } from "./moves/group-members.ts";
import { HealthBound } from "./moves/health-bound.ts";
import type { ReadShard } from "./moves/id-clashes.ts";
import { Pace } from "./moves/pace.ts";
import { Operations } from "./moves/service.ts";
import { Verifier, VERIFIED_STALENESS_MS } from "./moves/verify.ts";
import { PeerAnswers } from "./peer-answers.ts";
import { Changeover } from "./quorum/changeover.ts";
import { LeaderlessShards } from "./quorum/leaderless-shards.ts";
import { LeaderlessPath } from "./quorum/path.ts";
import type { SuccessionReport } from "./quorum/successions.ts";
import { StoreCorruptError } from "./storage/store.ts";
import type { Network } from "./transport/network.ts";

const RECONCILE_MS = 200;
/** Longest that leadership is handed over before a stop. */
const HANDOVER_MS_MAX = 1500;
/** A replica's own state, hardly older than the question. */
const FRESH: Consistency = { read: "stale", write: "quorum", maxStalenessMs: VERIFIED_STALENESS_MS };
/** A copy's own state. */
const ONE: Consistency = { read: "one", write: "quorum" };

export class NodeCore {
  readonly host: Host;
  readonly liveness: Liveness;
  readonly router: Router;
  readonly admin: Admin;
  readonly memories: MemoryService;
  private readonly options: CoreOptions;
  private readonly account: Account;
  private readonly answers: PeerAnswers;
  private readonly limits: CoreLimits;
  private readonly network: Network;
  private readonly news: MapNews;
  private readonly reconciler: Reconciler;
  private readonly executor: Executor;
  private readonly operations: Operations;
  private readonly pace: Pace;
  /** Only where the protocol is quorum. */
  readonly leaderless: Leaderless | undefined;
  private readonly vectors: VectorCache;
  private meta: MetaMachine | undefined;
  private initialMap: ShardMap | undefined;
  private readonly timers: Timer[] = [];
  private stopping = false;
  /** Epoch of a map of which a peer says that it does not have this node. */
  private dismissedAt = 0;

  constructor(options: CoreOptions) {
    this.options = options;
    const { clock, stores, spec, manifest } = options;
    const { heartbeatIntervalMs, electionTimeoutMs, protocol } = manifest.consensus;
    const self = spec.id;
    const map = (): ShardMap => this.map();
    this.limits = { ...CORE_LIMITS, ...options.limits };
    const { vectorBytesMax, vectorSetsMax } = this.limits;
    this.vectors = new VectorCache({ bytesMax: vectorBytesMax, setsMax: vectorSetsMax });
    this.liveness = new Liveness({ nowMs: () => clock.nowMs(), heartbeatIntervalMs, electionTimeoutMs });
    const { liveness } = this;
    this.network = options.connect({
      onMessages: (from, messages) => {
        liveness.alive(from);
        for (const [group, message] of messages) this.host.deliver(from, group, message);
      },
      onBeat: (from, beat) => {
        liveness.beat(from, beat);
        this.news.hear(from, beat.epoch);
      },
      onCall: (from, method, body) => this.answers.answer(from, method, body),
      onGone: (peer) => {
        liveness.gone(peer);
        this.host.peerGone(peer);
      },
      onDismissed: (epoch) => {
        this.dismissedAt = Math.max(this.dismissedAt, epoch);
      },
      willFlush: () => this.host.isRoundDue,
    });
    const { network } = this;
    const askMap = async (peer: NodeId): Promise<ShardMap> =>
      (await network.call(peer, "map", null, clock.nowMs() + electionTimeoutMs)) as ShardMap;
    this.news = new MapNews({
      map,
      ask: askMap,
      onNews: () => this.follow(),
      nowMs: () => clock.nowMs(),
      patienceMs: electionTimeoutMs,
    });
    this.pace = new Pace(clock, () => this.bytesPerSecondMax());
    this.host = new Host({
      pace: this.pace,
      self,
      stores,
      network,
      clock,
      protocolOf: (group) => replicaFactoryOf(protocol, group),
      logsMatch: (group) => haveLogsMatching(protocol, group),
      heartbeatIntervalMs,
      electionTimeoutMs,
      beat: () => this.queueBeats(),
      makeMachine: (group, prefix) =>
        group === META_GROUP
          ? this.makeMeta(prefix)
          : new MemoryMachine({
              owner: group,
              store: stores.state,
              vectors: this.vectors,
              clock,
              prefix,
              sessionsMax: this.limits.sessionsMax,
            }),
      limits: this.limits,
      onChanged: (group) => {
        const { role, term } = group.replica.status();
        if (role === "leader") liveness.claim(group.id, self, term);
      },
      onDamage: (group, why) => options.onDamage(group, why),
      onRepaired: (group, from) => options.onRepaired(group, from),
      onRecovery: (group, term) => options.onRecovery(group, term),
      nodes: () => this.news.newest().nodes.map((node) => node.id),
      onFailure: (error) => options.onFailure(error instanceof Error ? error.message : String(error)),
    });
    const { host } = this;
    this.router = new Router({
      self,
      host,
      network,
      clock,
      liveness,
      electionTimeoutMs,
      dataDir: spec.dataDir,
      runQuery: (group, query) => this.runQuery(group, query),
      replicasOf: (group) => shardById(this.map(), group)?.replicas ?? [],
      zoneOf: (id) => this.map().nodes.find((node) => node.id === id)?.zone,
      heirOf: (shard) => this.map().heirs?.[shard],
      dismissal: () => this.dismissal(),
    });
    this.reconciler = new Reconciler({
      self,
      host,
      network,
      clock,
      liveness,
      map,
      hasShardGroups: protocol !== "quorum",
      askMembers: (group) => this.askMembers(group),
      askMap,
    });
    const operation = (): Operation | null => this.operation();
    this.account = new Account({
      ...options,
      log: stores.log,
      host,
      network,
      liveness,
      router: this.router,
      map,
      operation,
      leaderless: () => this.leaderless?.shards,
    });
    const leaderless = protocol === "quorum";
    const members = new GroupMembers({
      self,
      network,
      router: this.router,
      leaderless,
      membersHere: (group) => this.account.members(group),
      copyingHere: (group, to) => this.account.copying(group, to),
      holdsShards: () => this.account.holdsShards(),
    });
    const readShard: ReadShard = (shard, query, deadlineMs) =>
      this.leaderless?.path.read(this.shardRef(shard), query, manifest.consensus.consistency, deadlineMs) ??
      this.router.readState(shard, query, deadlineMs);
    this.executor = new Executor({
      self,
      clock,
      pace: this.pace,
      router: this.router,
      members,
      health: new HealthBound({
        self,
        clock,
        network,
        liveness,
        router: this.router,
        map,
        leaderless,
        lagMsMax: manifest.limits.maxLagMs,
        worstLagHere: () => this.account.worstLag(),
      }),
      map,
      readShard,
      operation,
      leads: () => this.host.groups.get(META_GROUP)?.replica.status().role === "leader",
      leaderless,
      isUp: (node) => liveness.state(node) === "up",
      transfer: (group, to, deadlineMs) => {
        const consistency = manifest.consensus.consistency;
        const context = { deadlineMs, requestId: "operation", consistency };
        return this.admin.transfer({ group, ...(to === undefined ? {} : { to }) }, context);
      },
      successionAt: async (node, handover, deadlineMs) =>
        node === self
          ? this.account.succession(handover)
          : ((await network.call(node, "succession", { handover }, deadlineMs)) as SuccessionReport),
    });
    this.operations = new Operations({
      clock,
      router: this.router,
      members,
      map,
      readShard,
      operation,
      confirm: (deadlineMs) => host.group(META_GROUP).readIndex(deadlineMs),
      copying: () => this.executor.copying,
      levels: leaderless ? manifest.consensus.consistency : undefined,
    });
    this.admin = new Admin({
      self,
      host,
      network,
      clock,
      router: this.router,
      map,
      leaderless,
      readShard,
      operations: this.operations,
      verifier: new Verifier({
        clock,
        map,
        ask: (node, shard, query, deadlineMs) => this.askReplica(node, shard, query, deadlineMs),
      }),
      report: () => this.account.report(),
      stop: async () => options.onStopAsked(),
    });
    this.leaderless = protocol === "quorum" ? this.makeLeaderless() : undefined;
    this.answers = new PeerAnswers({
      clock,
      host,
      router: this.router,
      admin: this.admin,
      operations: this.operations,
      account: this.account,
      map,
      leaderless: this.leaderless,
    });
    // A protocol without leaders brings commands and reads to its shards by a path of its own.
    const shards: ShardPath = this.leaderless?.path ?? this.router;
    const { dimensions } = manifest.embedding;
    this.memories = createMemoryService({
      shards,
      clock,
      embedder: options.embedder,
      dimensions,
      protocol,
      map: () => this.servingMap(),
    });
  }

  map(): ShardMap {
    const map = this.meta?.map ?? this.initialMap;
    if (map === undefined)
      throw new Mem0ctlError("unavailable", "starting", "this node has no shard map yet");
    return map;
  }

  /** The operation that runs, or ran last, as this node has it. */
  operation(): Operation | null {
    return this.meta?.operation ?? null;
  }

  /** A map to answer clients by: with none yet, no memory could be found, which is not that there is none. */
  private servingMap(): ShardMap {
    const dismissal = this.dismissal();
    if (dismissal !== undefined) throw dismissal;
    const map = this.map();
    if (map.shards.length === 0) {
      throw new Mem0ctlError("unavailable", "starting", "this node has not been told the shard map yet", {
        why: "it has not joined the cluster, or cannot reach it",
      });
    }
    return map;
  }

  /**
   * What was taken out of the cluster reaches nobody any more: its clients are told at once. Not one that joins: it
   * is in no map yet, its own included.
   */
  private dismissal(): Mem0ctlError | undefined {
    const { nodes, epoch } = this.news.newest();
    const self = this.options.spec.id;
    if (this.dismissedAt <= epoch || !nodes.some(({ id }) => id === self)) return undefined;
    return new Mem0ctlError("unavailable", "not-a-member", `${self} is not part of the cluster any more`, {
      why: `the shard map of epoch ${this.dismissedAt} does not have it`,
      hint: "ask another node; `mem0ctl nodes list` names them",
    });
  }

  /** Opens every replica of this node. A founder makes those that are not there yet. */
  async open(map: ShardMap | undefined, founder: boolean): Promise<void> {
    this.initialMap = map;
    const { stores, identity, spec } = this.options;
    const self = spec.id;
    const genesis = (group: GroupId): Membership =>
      (founder && map !== undefined ? wantedMembership(map, group) : undefined) ?? EMPTY_MEMBERSHIP;
    const rank = (group: GroupId): number => (map === undefined ? 0 : leaderRank(map, group, self));
    this.host.open({ id: META_GROUP, arbiter: false, rank: rank(META_GROUP), genesis: genesis(META_GROUP) });
    const { meta } = this;
    if (founder && map !== undefined && meta !== undefined && !meta.hasMap()) {
      await stores.state.transact((writer) => meta.found(map, writer));
    }
    if (!founder && meta?.hasMap() === false) this.missMap();
    if (founder && map !== undefined && this.leaderless !== undefined) {
      await this.leaderless.shards.found(map);
    } else if (founder && map !== undefined) {
      for (const shard of map.shards) {
        const arbiter = shard.arbiters.includes(self);
        if (!arbiter && !shard.replicas.includes(self)) continue;
        this.host.open({ id: shard.id, arbiter, rank: rank(shard.id), genesis: genesis(shard.id) });
      }
    }
    // What this node holds of groups that the map has moved elsewhere: they may need its vote until they have
    // let it go, and a restart must not leave them without it.
    for (const id of stores.log.groups.keys()) {
      const arbiter = spec.role === "arbiter" && id !== META_GROUP;
      this.host.open({ id, arbiter, rank: leaderRank(this.map(), id, self), genesis: EMPTY_MEMBERSHIP });
    }
    if (!identity.founded) {
      // Twice: whichever of the two a damaged log loses, the other says whose it is.
      for (let times = 0; times < 2; times += 1)
        await writeIdentity(stores.log, { ...identity, founded: true });
    }
    // Leaderless shards have states without logs.
    if (this.options.manifest.consensus.protocol !== "quorum") this.host.cleanForgotten();
    this.reconciler.look();
    this.leaderless?.shards.follow();
  }

  /** The map that a cluster was founded with is in no log: a state that began with one, and has none, was lost. */
  private missMap(): void {
    const log = this.options.stores.log.groups.get(META_GROUP);
    if (log === undefined || log.record.snapshot.index === 0) return;
    this.host.damaged(
      this.host.group(META_GROUP),
      new StoreCorruptError("the shard map is not there any more"),
    );
  }

  /** From here on it ticks, beats and follows the map. */
  run(): void {
    const { clock } = this.options;
    this.options.onMap(this.news.newest());
    this.host.start();
    this.leaderless?.shards.start();
    this.timers.push(every(clock, RECONCILE_MS, () => this.follow()));
  }

  /** Hands over what it leads; it goes on answering. */
  async retire(): Promise<void> {
    this.stopping = true;
    for (const timer of this.timers) timer.close();
    await this.handOverAll();
  }

  /** What still waits is told that its outcome is unknown. The stores are closed by whoever opened them. */
  async stop(): Promise<void> {
    this.leaderless?.shards.stop();
    await this.host.stop();
  }

  /** Leaves no group waiting for an election timeout, where another replica can take over at once. */
  private async handOverAll(): Promise<void> {
    const led = [...this.host.groups.values()].filter((group) => group.replica.status().role === "leader");
    await Promise.allSettled(
      led.map((group) => this.admin.transferHere({ group: group.id, to: null, ttlMs: HANDOVER_MS_MAX })),
    );
  }

  private makeMeta(prefix: Buffer): MetaMachine {
    const { stores, manifest, clock } = this.options;
    const initial = this.initialMap ?? emptyMap(manifest);
    this.meta = new MetaMachine({
      store: stores.state,
      prefix,
      initial,
      // Called inside a transaction: what follows from a new map waits until it is over.
      onMap: () => clock.soon(() => this.follow()),
    });
    return this.meta;
  }

  private follow(): void {
    if (this.stopping) return;
    this.options.onMap(this.news.newest());
    this.reconciler.look();
    this.leaderless?.shards.follow();
    this.leaderless?.changeover.look();
    this.executor.look();
  }

  private queueBeats(): void {
    if (this.stopping) return;
    const leads: [GroupId, number][] = [];
    for (const group of this.host.groups.values()) {
      const status = group.replica.status();
      if (status.role === "leader") leads.push([group.id, status.term]);
    }
    const { epoch } = this.map();
    for (const node of this.news.newest().nodes)
      if (node.id !== this.options.spec.id) this.network.beat(node.id, { leads, epoch });
  }

  private shardRef(shard: ShardId): ShardRef {
    return shardById(this.map(), shard) ?? { id: shard };
  }

  private bytesPerSecondMax(): number | null {
    const operation = this.operation();
    return operation === null || hasEnded(operation) ? null : operation.plan.bytesPerSecondMax;
  }

  private makeLeaderless(): Leaderless {
    const { clock, stores, spec, manifest, onFailure, onDamage } = this.options;
    const { host, router, network, vectors } = this;
    const map = (): ShardMap => this.map();
    const self = spec.id;
    const shards = new LeaderlessShards({
      self,
      store: stores.state,
      network,
      clock,
      vectors,
      map,
      pace: this.pace,
      consistency: manifest.consensus.consistency,
      limits: this.limits.leaderless,
      scrubBytesPerSecond: this.limits.scrubBytesPerSecond,
      onDamage,
      onFailure: (error) => onFailure(error instanceof Error ? error.message : String(error)),
    });
    const attemptMs = Math.max(500, 1.5 * manifest.consensus.electionTimeoutMs);
    return {
      shards,
      path: new LeaderlessPath({
        self,
        shards,
        network,
        clock,
        map,
        attemptMs,
        dismissal: () => this.dismissal(),
      }),
      changeover: new Changeover({ host, router, clock, shards, map }),
    };
  }

  /** One replica's own answer, with nearly all in it that was acknowledged before the question. */
  private askReplica(node: NodeId, shard: GroupId, query: Query, deadlineMs: number): Promise<unknown> {
    const { clock, spec } = this.options;
    const ttlMs = deadlineMs - clock.nowMs();
    if (this.leaderless !== undefined) {
      const read = { shard, query, consistency: ONE, ttlMs };
      if (node === spec.id) return this.leaderless.path.readHere(read);
      return this.network.call(node, "quorum-read", read, deadlineMs);
    }
    if (node === spec.id) return this.router.readHere(shard, query, FRESH, deadlineMs);
    return this.network.call(node, "query", { group: shard, query, consistency: FRESH, ttlMs }, deadlineMs);
  }

  private async askMembers(group: GroupId): Promise<Membership | undefined> {
    const { leader } = this.liveness.leaderOf(group);
    if (leader === null || leader === this.options.spec.id) return undefined;
    const deadlineMs = this.options.clock.nowMs() + MEMBERS_MS_MAX;
    return (await this.network.call(leader, "members", { group }, deadlineMs)) as Membership;
  }

  private async runQuery(group: GroupId, query: Query): Promise<unknown> {
    const { machine } = this.host.group(group);
    if (!(machine instanceof MemoryMachine)) {
      throw new Mem0ctlError("unavailable", "not-here", "this node keeps no memories of that shard", {
        data: { group, leader: "" },
      });
    }
    const replica = this.host.group(group);
    const { id: self } = this.options.spec;
    if (replica.halted) throw replicaDamaged(replica, self);
    try {
      return await runShardQuery(machine, this.map().key, query);
    } catch (error) {
      if (!(error instanceof StoreCorruptError)) throw error;
      this.host.damaged(replica, error);
      throw replicaDamaged(replica, self);
    }
  }
}

interface Leaderless {
  readonly shards: LeaderlessShards;
  readonly path: LeaderlessPath;
  readonly changeover: Changeover;
}

/**
 * While this node does not know the real one: its state was damaged, and is to be had from the nodes of the
 * manifest. Nothing is decided by it.
 */
function emptyMap(manifest: Manifest): ShardMap {
  return {
    epoch: 0,
    strategy: manifest.sharding.strategy,
    key: manifest.sharding.key,
    directory: {},
    shards: [],
    nodes: manifest.nodes.map(({ id, address, role, zone, weight }) => ({
      id,
      address,
      role,
      zone,
      weight,
      draining: false,
    })),
    metaVoters: [],
  };
}
