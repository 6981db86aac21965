// The library: build a manifest in code, and talk to a cluster from a program as `mem0ctl` does from a
// shell. Thin over `operations`; it adds defaults for deadlines and nothing else.
//
//   const cluster = await connect("cluster.yaml");
//   try {
//     await cluster.up();
//     await cluster.memories.add({ user_id: "ada", texts: ["Ada drinks tea, never coffee."] });
//     const { health, reasons } = await cluster.status();
//   } finally {
//     await cluster.close();
//   }

import type {
  AddRequest,
  CallOptions,
  ListRequest,
  Memory,
  MemoryChange,
  MemoryPage,
  NodeAction,
  Progress,
  Scope,
  SearchRequest,
} from "./engines/engine.ts";
import { openEngine } from "./engines/registry.ts";
import type { ConsistencyRequest } from "./model/consistency.ts";
import { Mem0ctlError } from "./model/errors.ts";
import type { GroupId, NodeId, Role } from "./model/ids.ts";
import type { Manifest } from "./model/manifest.ts";
import type { MemoryEvent, MemoryStats } from "./model/node-api.ts";
import type { ClusterView, NodeView, ShardView } from "./model/view.ts";
import { clusterLeaders, transferLeader } from "./operations/leader.ts";
import type { LeadersView, TransferOutcome } from "./operations/leader.ts";
import { locateKey } from "./operations/locate.ts";
import type { KeyLocation } from "./operations/locate.ts";
import { openManifest } from "./operations/manifest-file.ts";
import { joinNode, leaveNode } from "./operations/members.ts";
import { exportMemories, importMemories } from "./operations/memories.ts";
import type { ImportSummary } from "./operations/memories.ts";
import { clusterStatus, replicationOf } from "./operations/status.ts";
import type { ReplicationStatus } from "./operations/status.ts";
import { downCluster, restartNodes, unknownNode, upCluster } from "./operations/up.ts";
import type { UpResult } from "./operations/up.ts";
import { waitFor } from "./operations/wait.ts";
import type { WaitGoal } from "./operations/wait.ts";

export { clusterManifest, directory, hash, multiple, none, range, single } from "./manifest/builder.ts";
export type { ClusterManifestBuilder, NodeInput } from "./manifest/builder.ts";
export { addNodeToManifest, removeNodeFromManifest } from "./manifest/edit.ts";
export type { ConsistencyRequest, ReadConsistency, WriteConsistency } from "./model/consistency.ts";
export { Mem0ctlError } from "./model/errors.ts";
export type { ErrorKind } from "./model/errors.ts";
export type { Finding } from "./model/findings.ts";
export type { Manifest } from "./model/manifest.ts";
export type { MemoryEvent, MemoryStats } from "./model/node-api.ts";
export type { Measure, Plan, PlannedState, RebalanceStep, Step } from "./model/plan.ts";
export { planLeaders, planRebalance } from "./topology/rebalance.ts";
export { planSlots } from "./topology/slot-plan.ts";
export { slotOf } from "./topology/slots.ts";
export type { SlotOwner } from "./topology/slot-plan.ts";
export type { RebalanceOptions } from "./topology/rebalance.ts";
export type {
  ClusterView,
  Disagreement,
  Health,
  NodeView,
  Reason,
  ReplicaView,
  ShardView,
} from "./model/view.ts";
export type {
  AddRequest,
  ListRequest,
  Memory,
  MemoryChange,
  MemoryPage,
  NodeAction,
  Progress,
  Scope,
  SearchRequest,
};
export type {
  ImportSummary,
  KeyLocation,
  LeadersView,
  ReplicationStatus,
  TransferOutcome,
  UpResult,
  WaitGoal,
};

/** For any call. Whatever is left out has a default that suits the call. */
export interface CallLimits {
  /** One deadline for the whole call, in ms. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Levels of memory calls; the manifest's where left out. See docs/consistency.md. */
  readonly consistency?: ConsistencyRequest;
}

export interface ConnectOptions {
  /** Token for the nodes. Default: the environment's MEM0CTL_TOKEN, else the manifest's admin token. */
  readonly token?: string;
  /** Where a manifest built in code is saved: `up` and `restart` give this file to the nodes they start. */
  readonly manifestFile?: string;
  /** Defaults of every call. */
  readonly limits?: CallLimits;
}

export interface NewNode {
  readonly id: NodeId;
  /** `host:port`, or `[v6]:port`. */
  readonly address: string;
  /** Default `primary`. */
  readonly role?: Role;
  /** Failure domain; default: the node's id. */
  readonly zone?: string;
  /** Default 1. */
  readonly weight?: number;
}

/** Every method throws Mem0ctlError, with a stable `code` and what to do in `hint`. */
export interface ClusterClient {
  readonly manifest: Manifest;
  /** Starts the nodes that the manifest spawns, and waits until the cluster is healthy or time is up. */
  up(limits?: CallLimits): Promise<UpResult>;
  /** Stops them (all of them when no id is given). */
  down(nodes?: readonly NodeId[], limits?: CallLimits): Promise<readonly NodeAction[]>;
  /** Restarts nodes one at a time, keeping the cluster available. */
  restart(nodes?: readonly NodeId[], limits?: CallLimits): Promise<UpResult>;
  /** Resolves once the goal is reached; `wait-timeout` otherwise. */
  waitFor(goal: WaitGoal, limits?: CallLimits): Promise<ClusterView>;
  /** What `mem0ctl status -o json` prints. A cluster that does not answer is a status, not an error. */
  status(limits?: CallLimits): Promise<ClusterView>;
  nodes(limits?: CallLimits): Promise<readonly NodeView[]>;
  /** One node's part of the status: state, last heartbeat, why it is not up. */
  nodeHealth(id: NodeId, limits?: CallLimits): Promise<NodeView>;
  shards(limits?: CallLimits): Promise<readonly ShardView[]>;
  /** Slot, shard, leader and replicas of a shard key. */
  locate(key: string, limits?: CallLimits): Promise<KeyLocation>;
  /** Lag of every replica, and the totals. */
  replicationStatus(limits?: CallLimits): Promise<ReplicationStatus>;
  leaders(limits?: CallLimits): Promise<LeadersView>;
  /** `group` is a shard's id or `meta`; without `to` the best caught-up replica takes over. */
  transferLeader(group: GroupId, to?: NodeId, limits?: CallLimits): Promise<TransferOutcome>;
  /** Makes a running node a member; it runs with a manifest that names it (see `addNodeToManifest`). */
  join(node: NewNode, limits?: CallLimits): Promise<void>;
  /** Moves a node's replicas to others and ends its membership. */
  leave(node: NodeId, limits?: CallLimits): Promise<void>;
  readonly memories: ClientMemories;
  /** Closes all connections; the cluster runs on. */
  close(): Promise<void>;
}

export interface ClientMemories {
  /** One memory per text. */
  add(request: AddRequest, limits?: CallLimits): Promise<readonly Memory[]>;
  /** Best first. */
  search(request: SearchRequest, limits?: CallLimits): Promise<readonly Memory[]>;
  /** Newest first. */
  list(request: ListRequest, limits?: CallLimits): Promise<MemoryPage>;
  get(id: string, limits?: CallLimits): Promise<Memory>;
  /** Oldest first. */
  history(id: string, limits?: CallLimits): Promise<readonly MemoryEvent[]>;
  update(id: string, change: MemoryChange, limits?: CallLimits): Promise<Memory>;
  delete(id: string, limits?: CallLimits): Promise<void>;
  /** Deletes every memory of the scope; resolves to how many. */
  deleteAll(scope: Scope, limits?: CallLimits): Promise<number>;
  /** Lines of the interchange format, as `export` gives them. `timeoutMs` is each batch's. */
  import(lines: AsyncIterable<string>, limits?: CallLimits): Promise<ImportSummary>;
  /** Every memory, one line each, vectors and history included. `timeoutMs` is each request's. */
  export(limits?: CallLimits): AsyncIterable<string>;
  stats(limits?: CallLimits): Promise<MemoryStats>;
}

/** Calls that only look, or that touch single memories. */
const CALL_TIMEOUT_MS = 10_000;
/** Calls that start, stop, move or wait. */
const OPERATION_TIMEOUT_MS = 60_000;

/**
 * A client for the cluster of a manifest: its path, or what the builder or another `connect` gave.
 * Nothing is asked of any node before the first call.
 * @throws Mem0ctlError `manifest-invalid` with `data.findings`, `no-manifest` (both invalid).
 */
export async function connect(
  source: Manifest | string,
  options: ConnectOptions = {},
): Promise<ClusterClient> {
  if (typeof source !== "string") requireManifest(source);
  const manifest = typeof source === "string" ? (await openManifest(source)).manifest : source;
  const manifestFile = typeof source === "string" ? source : options.manifestFile;
  const { token } = options;
  const engine = await openEngine(manifest, {
    manifestFile: manifestFile ?? "",
    ...(token === undefined ? {} : { token }),
  });
  const callOptions = (limits: CallLimits | undefined, timeoutMs: number): CallOptions => ({
    timeoutMs,
    ...options.limits,
    ...limits,
  });
  const look = (limits: CallLimits | undefined): CallOptions => callOptions(limits, CALL_TIMEOUT_MS);
  const operate = (limits: CallLimits | undefined): CallOptions => callOptions(limits, OPERATION_TIMEOUT_MS);
  const status = (limits?: CallLimits): Promise<ClusterView> =>
    clusterStatus(engine, manifest.limits, look(limits));

  return {
    manifest,
    async up(limits) {
      needFile(manifestFile);
      return upCluster(engine, manifest, operate(limits));
    },
    down: (nodes = [], limits) => downCluster(engine, manifest, nodes, operate(limits)),
    async restart(nodes = [], limits) {
      needFile(manifestFile);
      return restartNodes(engine, manifest, nodes, operate(limits));
    },
    waitFor: (goal, limits) => waitFor(engine, goal, { ...operate(limits), limits: manifest.limits }),
    status,
    nodes: async (limits) => (await status(limits)).nodes,
    async nodeHealth(id, limits) {
      const { nodes } = await status(limits);
      const found = nodes.find((node) => node.id === id);
      if (found !== undefined) return found;
      throw unknownNode(
        id,
        nodes.map((node) => node.id),
      );
    },
    shards: async (limits) => (await status(limits)).shards,
    locate: (key, limits) => locateKey(engine, key, look(limits)),
    replicationStatus: async (limits) => replicationOf(await status(limits)),
    leaders: (limits) => clusterLeaders(engine, look(limits)),
    transferLeader: (group, to, limits) =>
      transferLeader(engine, { group, ...(to === undefined ? {} : { to }) }, operate(limits)),
    async join({ id, address, role = "primary", zone = id, weight = 1 }, limits) {
      await joinNode(engine, { id, address, role, zone, weight, draining: false }, operate(limits));
    },
    async leave(node, limits) {
      await leaveNode(engine, node, operate(limits));
    },
    memories: {
      add: (request, limits) => engine.memories.add(request, look(limits)),
      search: (request, limits) => engine.memories.search(request, look(limits)),
      list: (request, limits) => engine.memories.list(request, look(limits)),
      get: (id, limits) => engine.memories.get(id, look(limits)),
      history: (id, limits) => engine.memories.history(id, look(limits)),
      update: (id, change, limits) => engine.memories.update(id, change, look(limits)),
      delete: (id, limits) => engine.memories.delete(id, look(limits)),
      deleteAll: (scope, limits) => engine.memories.deleteAll(scope, look(limits)),
      import: (lines, limits) =>
        importMemories(engine, lines, {
          ...operate(limits),
          dimensions: manifest.embedding.dimensions,
          limits: manifest.limits,
        }),
      export: (limits) => exportMemories(engine, operate(limits)),
      stats: (limits) => engine.memories.stats(look(limits)),
    },
    close: () => engine.close(),
  };
}

/** Not every caller is checked by a compiler. */
function requireManifest(source: unknown): void {
  const isObject = typeof source === "object" && source !== null;
  const given = isObject ? "an object of another shape" : source === null ? "null" : typeof source;
  if (isObject && "engine" in source && "nodes" in source && Array.isArray(source.nodes)) return;
  throw new Mem0ctlError("invalid", "no-manifest", "connect was given no manifest", {
    why: `it takes the path of one, or a manifest that was built, and got ${given}`,
    hint: 'connect("cluster.yaml"), or connect(clusterManifest("demo").withNodes([…]).build())',
  });
}

/** A node that is started reads the manifest itself. */
function needFile(manifestFile: string | undefined): void {
  if (manifestFile !== undefined) return;
  throw new Mem0ctlError("invalid", "manifest-file-needed", "nodes are started from a manifest file", {
    why: "this manifest was built in code and is in no file",
    hint: "save it with `.toYaml()` and give its path to connect, or as `manifestFile`",
  });
}
